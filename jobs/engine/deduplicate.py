"""Deduplicate within the watermark, against the events that silver has.

Spark's ``dropDuplicatesWithinWatermark`` gives the same guarantee from a state of its own, but walks through all of it
in every micro-batch (docs/decisions/0006). Silver holds the same knowledge already, committed exactly once: the driver
keeps the identities of its younger events in memory and reads them back from the table when it starts.
"""

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from deltalake import DeltaTable
from numpy.typing import NDArray
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from jobs.engine.batch import EPOCH, Batch
from jobs.engine.identities import Flags, Identities, IdentitySet

PLACE = ("partition", "offset")
ORIGIN = (*PLACE, "timestamp")
BUCKETS_PER_DELAY = 4
KEPT = b"\x01"

Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Arrivals:
    """The records of a micro-batch as far as deduplication looks at them, one row each, in any order."""

    partitions: Integers
    offsets: Integers
    times: Integers
    """Event times, microseconds since the epoch; 0 where the record is refused."""
    identities: Identities
    is_accepted: Flags
    oldest: int
    """When the first of them came to Kafka, microseconds since the epoch."""
    released: dict[int, str]
    """The keys of accepted events that an operator released from quarantine, by row."""

    @classmethod
    def of(cls, rows: pa.Table, *, key: str, event_time: str) -> "Arrivals":
        """Take them from a judged batch: ``key``, ``event_time``, ``ORIGIN``, ``is_accepted``, ``is_released``."""
        is_accepted = rows["is_accepted"].to_numpy().astype(np.bool_)
        released = np.flatnonzero(is_accepted & rows["is_released"].to_numpy().astype(np.bool_))
        return cls(
            partitions=_integers(rows["partition"]),
            offsets=_integers(rows["offset"]),
            times=_integers(rows[event_time]),
            identities=Identities.of(rows[key]),
            is_accepted=is_accepted,
            oldest=int(_integers(rows["timestamp"]).min(initial=np.iinfo(np.int64).max)),
            released=dict(zip(released.tolist(), rows[key].take(released).to_pylist(), strict=True)),
        )

    def __len__(self) -> int:
        return len(self.offsets)


@dataclass(frozen=True)
class Sifted:
    """What becomes of each record of a micro-batch, in the order of its ``Arrivals``."""

    arrivals: Arrivals
    is_new: Flags
    is_late: Flags

    @property
    def accepted(self) -> int:
        """Valid events, in time and for the first time."""
        return int(self.is_new.sum())

    @property
    def late(self) -> int:
        """Valid events at or before the watermark."""
        return int(self.is_late.sum())

    @property
    def refused(self) -> int:
        """Records that are no valid events."""
        return len(self.arrivals) - int(self.arrivals.is_accepted.sum())

    @property
    def duplicates(self) -> int:
        """Valid events that came before."""
        return len(self.arrivals) - self.accepted - self.late - self.refused

    def keep(self, judged: DataFrame) -> DataFrame:
        """The rows of the batch that are new."""
        if self.accepted == len(self.arrivals):
            return judged
        entries = [entry for place in self._kept_by_partition() for entry in place]
        # Literals of these types leave the generated code the same for every batch, so that it is compiled once.
        place = F.element_at(F.create_map(*entries), F.col("partition"))
        position = (F.col("offset") - place["first"] + 1).cast("int")
        return judged.where(F.substring(place["kept"], position, F.lit(1)) == F.lit(KEPT))

    def _kept_by_partition(self) -> Iterator[tuple[Column, Column]]:
        """Per partition its first offset, and a byte per offset from there that says whether to keep it."""
        for partition in np.unique(self.arrivals.partitions):
            rows = self.arrivals.partitions == partition
            offsets = self.arrivals.offsets[rows]
            first = int(offsets.min())
            kept = np.zeros(int(offsets.max()) - first + 1, dtype=np.uint8)
            kept[offsets - first] = self.is_new[rows]
            place = F.struct(F.lit(first).cast("long").alias("first"), F.lit(kept.tobytes()).alias("kept"))
            yield F.lit(int(partition)), place


class Deduplication:
    """Keeps each event of one entity once, as long as its repetitions are less than the watermark's delay apart.

    Args:
        silver: the table of events that were kept; it has the columns ``key``, ``event_time`` and ``PLACE``.
        key: the column that identifies an event.
        event_time: the column of its event time.
        delay: the watermark's delay.
    """

    def __init__(self, silver: DeltaTable, *, key: str, event_time: str, delay: dt.timedelta) -> None:
        self._silver = silver
        self._key = key
        self._event_time = event_time
        self._delay = _microseconds(delay)
        self._seen: IdentitySet | None = None

    def sift(self, arrivals: Arrivals, batch: Batch) -> Sifted:
        """Decide what is new, late or a duplicate; the same for a batch that runs again."""
        watermark = _microseconds(batch.watermark - EPOCH)
        if self._seen is None:
            self._seen = self._read(watermark, arrivals)
        self._seen.forget(watermark - self._delay)
        is_late = arrivals.is_accepted & (arrivals.times <= watermark)
        # What an operator released waited in quarantine while the watermark went on.
        released = np.array(list(arrivals.released), dtype=np.int64)
        is_late[released] = False
        candidates = np.flatnonzero(arrivals.is_accepted & ~is_late)
        identities = arrivals.identities[candidates]
        is_first = identities.first((arrivals.offsets[candidates], arrivals.partitions[candidates]))
        is_new = np.zeros(len(arrivals), dtype=np.bool_)
        is_new[candidates] = is_first & ~self._seen.known(identities)
        is_new[released] &= ~self._is_in_silver(arrivals)
        return Sifted(arrivals, is_new, is_late)

    def remember(self, sifted: Sifted) -> None:
        """Remember the new events of a batch that every table has."""
        assert self._seen is not None, "sifted before"
        new = sifted.is_new
        if not new.any():
            return
        times = sifted.arrivals.times[new]
        # A large batch may span months: what the next watermark, in whole milliseconds, makes us forget is left out.
        newest = int(times.max()) // 1000 * 1000
        young = times >= self._seen.floor(newest - 2 * self._delay)
        self._seen.add(sifted.arrivals.identities[new][young], times[young])

    def _read(self, watermark: int, arrivals: Arrivals) -> IdentitySet:
        """The identities of silver's events that the memory would hold now, had this process seen all batches before.

        When this batch runs for the second time, silver may have its events already: those do not count, or they
        would be duplicates of themselves.
        """
        seen = IdentitySet(self._delay // BUCKETS_PER_DELAY)
        since = EPOCH + dt.timedelta(microseconds=max(0, seen.floor(watermark - self._delay)))
        self._silver.update_incremental()
        young = pc.field(self._event_time) >= pa.scalar(since, pa.timestamp("us", "UTC"))
        columns = [self._key, self._event_time, *PLACE]
        rows = self._silver.to_pyarrow_dataset().to_table(columns=columns, filter=young)
        before = came_before(rows, arrivals)
        seen.add(Identities.of(rows[self._key])[before], _integers(rows[self._event_time])[before])
        return seen

    def _is_in_silver(self, arrivals: Arrivals) -> Flags:
        """Which of the released events silver has, however old: the memory holds only the younger ones."""
        if not arrivals.released:
            return np.zeros(0, dtype=np.bool_)
        keys = pa.array(arrivals.released.values(), pa.string())
        self._silver.update_incremental()
        # A filter of the dataset would skip files without statistics of the key, such as those of other writers.
        silver = self._silver.to_pyarrow_dataset().scanner(columns=[self._key, *PLACE])
        found = [rows.filter(pc.is_in(rows[self._key], keys)) for rows in silver.to_batches()]
        rows = pa.Table.from_batches(found, silver.projected_schema)
        earlier = rows[self._key].filter(pa.array(came_before(rows, arrivals)))
        is_known: Flags = pc.is_in(keys, earlier).to_numpy(False)
        return is_known


def came_before(rows: pa.Table, arrivals: Arrivals) -> Flags:
    """Which rows of silver are of earlier batches."""
    before = np.ones(rows.num_rows, dtype=np.bool_)
    partitions, offsets = _integers(rows["partition"]), _integers(rows["offset"])
    for partition in np.unique(arrivals.partitions):
        first = arrivals.offsets[arrivals.partitions == partition].min()
        before &= (partitions != partition) | (offsets < first)
    return before


def _integers(column: pa.ChunkedArray) -> Integers:
    if pa.types.is_timestamp(column.type):
        column = column.cast(pa.timestamp("us", "UTC"))
    numbers: Integers = column.cast(pa.int64()).fill_null(0).to_numpy()
    return numbers


def _microseconds(span: dt.timedelta) -> int:
    return span // dt.timedelta(microseconds=1)
