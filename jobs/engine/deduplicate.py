"""Deduplicate against the events that silver has.

An event came before if silver has one of the same key whose event time is at most the watermark's delay away. Spark's
``dropDuplicatesWithinWatermark`` keeps a state of its own, and walks through all of it in every micro-batch
(docs/decisions/0006). Silver holds the same knowledge already, committed exactly once: the driver keeps the identities
of its younger events in memory, reads them back from the table when it starts, and looks older ones up there
(docs/decisions/0060).
"""

import datetime as dt
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from deltalake import DeltaTable
from numpy.typing import NDArray
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from jobs.engine.batch import EPOCH
from jobs.engine.identities import Flags, Identities, IdentitySet

PLACE = ("partition", "offset")
ORIGIN = (*PLACE, "timestamp")
BUCKETS_PER_DELAY = 4
INTERVALS = 64
"""Of event times that are looked up at once; more are put together."""
KEPT = b"\x01"

Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Arrivals:
    """The records of a micro-batch as far as deduplication looks at them, one row each, in any order."""

    partitions: Integers
    offsets: Integers
    arrived: Integers
    """When they came to Kafka, microseconds since the epoch."""
    times: Integers
    """Event times, microseconds since the epoch; 0 where the record is refused."""
    identities: Identities
    is_accepted: Flags

    @classmethod
    def of(cls, rows: pa.Table, *, key: str, event_time: str) -> "Arrivals":
        """Take them from a judged batch: ``key``, ``event_time``, ``ORIGIN`` and ``is_accepted``."""
        return cls(
            partitions=_integers(rows["partition"]),
            offsets=_integers(rows["offset"]),
            arrived=_integers(rows["timestamp"]),
            times=_integers(rows[event_time]),
            identities=Identities.of(rows[key]),
            is_accepted=rows["is_accepted"].to_numpy().astype(np.bool_),
        )

    @classmethod
    def late(cls, rows: pa.Table, *, key: str, event_time: str) -> "Arrivals":
        """Take them from late events, with the columns of silver."""
        every = pa.array(np.ones(rows.num_rows, dtype=np.bool_))
        return cls.of(rows.append_column("is_accepted", every), key=key, event_time=event_time)

    @property
    def oldest(self) -> int | None:
        """When the first of them came to Kafka, microseconds since the epoch; None of no records."""
        return int(self.arrived.min()) if len(self) else None

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
        """Valid events that came later than the watermark's delay; the late lane takes them."""
        return int(self.is_late.sum())

    @property
    def refused(self) -> int:
        """Records that are no valid events."""
        return len(self.arrivals) - int(self.arrivals.is_accepted.sum())

    @property
    def duplicates(self) -> int:
        """Valid events in time that came before."""
        return len(self.arrivals) - self.accepted - self.late - self.refused

    def keep(self, judged: DataFrame, which: Flags) -> DataFrame:
        """Some rows of the batch."""
        if which.all():
            return judged
        entries = [entry for place in self._kept_by_partition(which) for entry in place]
        # Literals of these types leave the generated code the same for every batch, so that it is compiled once.
        place = F.element_at(F.create_map(*entries), F.col("partition"))
        position = (F.col("offset") - place["first"] + 1).cast("int")
        return judged.where(F.substring(place["kept"], position, F.lit(1)) == F.lit(KEPT))

    def _kept_by_partition(self, which: Flags) -> Iterator[tuple[Column, Column]]:
        """Per partition its first offset, and a byte per offset from there that says whether to keep it."""
        for partition in np.unique(self.arrivals.partitions):
            rows = self.arrivals.partitions == partition
            offsets = self.arrivals.offsets[rows]
            first = int(offsets.min())
            kept = np.zeros(int(offsets.max()) - first + 1, dtype=np.uint8)
            kept[offsets - first] = which[rows]
            place = F.struct(F.lit(first).cast("long").alias("first"), F.lit(kept.tobytes()).alias("kept"))
            yield F.lit(int(partition)), place


@dataclass
class Deduplication:
    """Keeps each event of one entity once.

    Who sifts and commits what is new to silver holds ``lock`` from the one to the other.

    Args:
        silver: the table of events that were kept; it has the columns ``key``, ``event_time`` and ``PLACE``.
        key: the column that identifies an event.
        event_time: the column of its event time.
        delay: the watermark's delay.
    """

    silver: DeltaTable
    key: str
    event_time: str
    delay: dt.timedelta
    lock: threading.Lock = field(default_factory=threading.Lock)
    _seen: IdentitySet | None = None
    _complete_from: int = 0
    """Event times from which the memory has all that silver has, microseconds."""
    _lately: list[tuple[Identities, Integers]] | None = None
    """What was remembered since a look-up began beside the stream."""

    def sift(self, arrivals: Arrivals, *, is_in_silver: bool = False) -> Sifted:
        """Decide what is new, late or a duplicate.

        Args:
            arrivals: of a micro-batch.
            is_in_silver: whether silver has the batch already, which runs again. Then new is what silver has of it.
        """
        is_late = arrivals.is_accepted & (arrivals.times < arrivals.arrived - self._delay)
        if is_in_silver:
            return Sifted(arrivals, self.in_silver(arrivals) & arrivals.is_accepted & ~is_late, is_late)
        candidates = np.flatnonzero(arrivals.is_accepted & ~is_late)
        identities, times = arrivals.identities[candidates], arrivals.times[candidates]
        is_known = self._memory(arrivals).known(identities, times, within=self._delay)
        # After a stop, one partition may lie far behind the others, or all of them behind what silver has.
        is_old = ~is_known & (times - self._delay < self._complete_from)
        is_known[is_old] = self._has(identities[is_old], times[is_old])
        return Sifted(arrivals, self._first(arrivals, candidates[~is_known]), is_late)

    def look_up(self, arrivals: Arrivals) -> Flags:
        """Which late events silver has, beside the stream; what the stream adds from now on is noted."""
        with self.lock:
            self._lately = []
        return self._has(arrivals.identities, arrivals.times)

    def sift_late(self, arrivals: Arrivals, is_known: Flags) -> Flags:
        """Which late events are new, under the lock: neither known when they were looked up nor added since."""
        is_known = is_known.copy()
        for identities, times in self._lately or ():
            lately = _set_of(identities, times, self._delay)
            is_known |= lately.known(arrivals.identities, arrivals.times, within=self._delay)
        self._lately = None
        return self._first(arrivals, np.flatnonzero(~is_known))

    def in_silver(self, arrivals: Arrivals) -> Flags:
        """Which of these very records silver has, by partition and offset; of others it does not say."""
        is_there = np.zeros(len(arrivals), dtype=np.bool_)
        rows = np.flatnonzero(arrivals.is_accepted)
        if not len(rows):
            return is_there
        partitions = arrivals.partitions[rows]
        for found in self._batches(_intervals(arrivals.times[rows], 0), list(PLACE)):
            theirs, offsets = _integers(found["partition"]), _integers(found["offset"])
            for partition in np.unique(partitions):
                own = rows[partitions == partition]
                is_there[own] |= np.isin(arrivals.offsets[own], offsets[theirs == partition])
        return is_there

    def remember(self, arrivals: Arrivals, is_new: Flags) -> None:
        """Remember new events, which silver has by now."""
        if not is_new.any():
            return
        identities, times = arrivals.identities[is_new], arrivals.times[is_new]
        if self._lately is not None:
            self._lately.append((identities, times))
        if self._seen is not None:
            young = times >= self._complete_from
            self._seen.add(identities[young], times[young])

    def forget(self) -> None:
        """Forget what silver had: somebody else has changed it."""
        self._seen = None

    @property
    def _delay(self) -> int:
        return _microseconds(self.delay)

    def _first(self, arrivals: Arrivals, candidates: NDArray[np.intp]) -> Flags:
        """Which of some rows are the first of their identity."""
        order = (arrivals.offsets[candidates], arrivals.partitions[candidates], arrivals.arrived[candidates])
        identities, times = arrivals.identities[candidates], arrivals.times[candidates]
        is_first = np.zeros(len(arrivals), dtype=np.bool_)
        is_first[candidates] = identities.first(times, order, within=self._delay)
        return is_first

    def _memory(self, arrivals: Arrivals) -> IdentitySet:
        """The identities of silver's younger events."""
        # A clock that is not the broker's may say anything.
        now = _microseconds(dt.datetime.now(dt.UTC) - EPOCH)
        oldest = min(now, arrivals.oldest or 0)
        if self._seen is None:
            seen = IdentitySet(self._delay // BUCKETS_PER_DELAY)
            # Of a replay, the first arrivals are long ago: what is further back than the memory reaches is looked up.
            since = max(oldest, min(now, self._newest_in_silver() or 0))
            self._complete_from = max(0, seen.floor(since - 2 * self._delay))
            for identities, times in self._rows([(self._complete_from, None)]):
                seen.add(identities, times)
            self._seen = seen
        # An event in time is a delay older than its arrival at most, and what it repeats a delay older than that.
        self._complete_from = max(self._complete_from, self._seen.floor(oldest - 2 * self._delay))
        self._seen.forget(self._complete_from)
        return self._seen

    def _newest_in_silver(self) -> int | None:
        """The newest arrival in silver, microseconds, by the statistics of its files."""
        self.silver.update_incremental()
        actions = pa.table(self.silver.get_add_actions(flatten=True))
        if "max.timestamp" not in actions.column_names:
            return None
        newest = pc.max(actions["max.timestamp"].cast(pa.timestamp("us", "UTC")).cast(pa.int64())).as_py()
        return None if newest is None else int(newest)

    def _has(self, identities: Identities, times: Integers) -> Flags:
        """Which events silver has, looked up in those of its files that may have them."""
        is_known = np.zeros(len(identities), dtype=np.bool_)
        if not len(identities):
            return is_known
        for others, their_times in self._rows(_intervals(times, self._delay)):
            known = _set_of(others, their_times, self._delay).known(identities, times, within=self._delay)
            is_known |= known
        return is_known

    def _rows(self, intervals: "Intervals") -> Iterator[tuple[Identities, Integers]]:
        for rows in self._batches(intervals, [self.key, self.event_time]):
            yield Identities.of(rows[self.key]), _integers(rows[self.event_time])

    def _batches(self, intervals: "Intervals", columns: list[str]) -> Iterator[pa.Table]:
        """The events of silver with an event time in one of these intervals."""
        # One of its own: a look-up beside the stream and the stream must not move the same object.
        silver = DeltaTable(self.silver.table_uri)
        is_inside = pc.scalar(False)
        for first, last in intervals:
            is_between = pc.field(self.event_time) >= _moment(first)
            if last is not None:
                is_between &= pc.field(self.event_time) <= _moment(last)
            is_inside |= is_between
        for batch in silver.to_pyarrow_dataset().to_batches(columns=columns, filter=is_inside):
            yield pa.Table.from_batches([batch])


Intervals = Sequence[tuple[int, int | None]]
"""From and to, microseconds since the epoch, both inside; without an end where it is None."""


def _intervals(times: Integers, around: int) -> Intervals:
    """Intervals around all of these times; where there are many, those that lie next to each other become one."""
    ordered = np.unique(times)
    gaps = np.diff(ordered)
    limit = 2 * around
    if len(gaps) >= INTERVALS:
        limit = max(limit, int(np.partition(gaps, -INTERVALS)[-INTERVALS]))
    cuts = np.flatnonzero(gaps > limit)
    firsts, lasts = ordered[np.r_[0, cuts + 1]], ordered[np.r_[cuts, len(ordered) - 1]]
    return [(int(first) - around, int(last) + around) for first, last in zip(firsts, lasts, strict=True)]


def _set_of(identities: Identities, times: Integers, delay: int) -> IdentitySet:
    found = IdentitySet(max(1, delay))
    found.add(identities, times)
    return found


def _moment(microseconds: int) -> pa.Scalar:
    return pa.scalar(microseconds, pa.timestamp("us", "UTC"))


def _integers(column: pa.ChunkedArray) -> Integers:
    if pa.types.is_timestamp(column.type):
        column = column.cast(pa.timestamp("us", "UTC"))
    numbers: Integers = column.cast(pa.int64()).fill_null(0).to_numpy()
    return numbers


def _microseconds(span: dt.timedelta) -> int:
    return span // dt.timedelta(microseconds=1)
