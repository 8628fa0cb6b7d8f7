"""Offsets of Kafka."""

from collections.abc import Iterable, Iterator, Mapping

import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

Offsets = dict[str, dict[str, int]]
"""An offset of each topic and partition, as Spark writes it in JSON; mostly the next one to read."""


def spans_between(start: Offsets, end: Offsets) -> dict[str, int]:
    """How many records of each topic lie between two sets of offsets, topics without any left out.

    A partition that ``start`` lacks counts from its beginning.
    """
    spans = {
        topic: sum(offset - start.get(topic, {}).get(partition, 0) for partition, offset in partitions.items())
        for topic, partitions in end.items()
    }
    return {topic: span for topic, span in spans.items() if span}


def each(offsets: Offsets) -> Iterator[tuple[str, str, int]]:
    """Topic, partition and offset of each."""
    for topic, partitions in offsets.items():
        for partition, offset in partitions.items():
            yield topic, partition, offset


def offset_of(offsets: Offsets, topic: str, partition: str) -> int | None:
    """The offset of one partition, if there is one."""
    return offsets.get(topic, {}).get(partition)


def gathered(offsets: Iterable[tuple[str, int | str, int]]) -> Offsets:
    """The offsets of topics and partitions."""
    found: Offsets = {}
    for topic, partition, offset in offsets:
        found.setdefault(topic, {})[str(partition)] = offset
    return found


def without(offsets: Offsets, topics: Iterable[str]) -> Offsets:
    """All but those of some topics."""
    left_out = set(topics)
    return {topic: dict(partitions) for topic, partitions in offsets.items() if topic not in left_out}


def changed(offsets: Offsets, changes: Mapping[str, Mapping[str, int]]) -> Offsets:
    """Offsets with those of ``changes`` in place of their own, or beside them."""
    topics = offsets.keys() | changes.keys()
    return {topic: {**offsets.get(topic, {}), **changes.get(topic, {})} for topic in sorted(topics)}


def first_offsets(rows: Iterable[pa.Table | DataFrame]) -> Offsets:
    """The lowest offset of each partition in rows with the columns ``topic``, ``partition`` and ``offset``."""
    lowest: Offsets = {}
    for part in rows:
        if isinstance(part, pa.Table):
            grouped = part.group_by(["topic", "partition"]).aggregate([("offset", "min")]).to_pylist()
            found = gathered((row["topic"], row["partition"], row["offset_min"]) for row in grouped)
        else:
            collected = part.groupBy("topic", "partition").agg(F.min("offset")).collect()
            found = gathered((row[0], row[1], row[2]) for row in collected)
        lowest = changed(lowest, found)
    return lowest
