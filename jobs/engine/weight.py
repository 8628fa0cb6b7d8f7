"""Whether a micro-batch fits into memory: Kafka tells how many records it has, but not how large they are."""

IN_MEMORY_BYTES = 64 * 2**20
"""Above so many bytes of values, a batch is written part by part."""

LARGEST_RECORD_BYTES = 2**20
"""What Kafka takes unless it is told otherwise."""


class Weight:
    """Expects the records of a batch to be as large as those of the batch before.

    Those of the first batch may be as large as Kafka takes them. Should records have grown so much that a batch did not
    fit, the process that starts in place of this one is careful with it.
    """

    def __init__(self) -> None:
        self._bytes_per_record: float = LARGEST_RECORD_BYTES

    def fits(self, records: int) -> bool:
        """Whether so many records are expected to fit into memory."""
        return not records or records * self._bytes_per_record <= IN_MEMORY_BYTES

    def learn(self, records: int, size: int) -> None:
        """Take note of what a batch weighed, in bytes."""
        if records:
            self._bytes_per_record = size / records
