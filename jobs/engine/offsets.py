"""Offsets of Kafka."""

Offsets = dict[str, dict[str, int]]
"""The next offset of each topic and partition, as Spark writes it in JSON."""


def spans_between(start: Offsets, end: Offsets) -> dict[str, int]:
    """How many records of each topic lie between two sets of offsets, topics without any left out.

    A partition that ``start`` lacks counts from its beginning.
    """
    spans = {
        topic: sum(offset - start.get(topic, {}).get(partition, 0) for partition, offset in partitions.items())
        for topic, partitions in end.items()
    }
    return {topic: span for topic, span in spans.items() if span}
