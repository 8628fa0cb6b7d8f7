"""Offsets of Kafka."""

Offsets = dict[str, dict[str, int]]
"""The next offset of each topic and partition, as Spark writes it in JSON."""


def offsets_between(start: Offsets, end: Offsets) -> int:
    """How many records lie between two sets of offsets; a partition that ``start`` lacks counts from its beginning."""
    return sum(
        offset - start.get(topic, {}).get(partition, 0)
        for topic, partitions in end.items()
        for partition, offset in partitions.items()
    )
