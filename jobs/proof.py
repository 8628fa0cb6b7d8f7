"""What a comparison of one table finds, and spans of days that it covers."""

import datetime as dt
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import or_
from typing import Protocol

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import StructField, StructType

from jobs.engine.table import Table

LESS, MORE, OTHER = "less", "more", "other"
RIGHT, SEEN, KIND = "right", "seen", "kind"
MOST = 100_000
"""So many rows of a table are corrected at a time, in the driver's memory."""
MOST_SPANS = 50
DAY = dt.timedelta(days=1)
NO_TIME = dt.timedelta()
MICROSECOND = dt.timedelta(microseconds=1)


@dataclass(frozen=True)
class Differences:
    """The rows of one table that differ from what they should be.

    ``cells`` has their keys, ``KIND`` (``LESS``: the table lacks something, ``MORE``: it has too much, ``OTHER``, or
    what is never corrected), ``RIGHT``, the row as it should be, and ``SEEN``, the row as it is: structs, null where
    there is none.
    """

    rows: int
    """Rows that were compared."""
    kinds: Mapping[str, int]
    """How many of them differ, by kind."""
    cells: DataFrame
    _held: DataFrame

    @classmethod
    def of(cls, compared: DataFrame) -> "Differences":
        """Take them from all rows that were compared, of which those that are right have no ``KIND``."""
        held = compared.persist()
        counts = {row[KIND]: row["count"] for row in held.groupBy(KIND).count().collect()}
        kinds = {kind: count for kind, count in counts.items() if kind is not None}
        return cls(sum(counts.values()), kinds, held.where(F.col(KIND).isNotNull()), held)

    @property
    def different(self) -> int:
        """How many rows differ."""
        return sum(self.kinds.values())

    @property
    def correctable(self) -> int:
        """How many of them may be corrected."""
        return sum(count for kind, count in self.kinds.items() if kind in (LESS, MORE, OTHER))

    def release(self) -> None:
        """Give the memory back."""
        self._held.unpersist()


class Proof(Protocol):
    """Holds one table against what it is computed from."""

    @property
    def table(self) -> Table:
        """The table."""

    def compare(self) -> Differences:
        """Compare; of one consistent state of both sides."""

    def correct(self, found: Differences) -> None:
        """Correct at most ``MOST`` rows of what the last comparison found.

        Raises:
            OvertakenError: the table has changed since.
        """

    def cells(self, found: Differences) -> DataFrame:
        """What differs, for people: ``window``, ``dimensions``, ``measure``, ``batch`` and ``stream``, all text but
        the first, a time."""


@dataclass(frozen=True)
class Days:
    """Days of event time, UTC, as spans of days since the epoch, the last included; None for all there are."""

    spans: tuple[tuple[int, int], ...] | None

    @classmethod
    def of(cls, days: Collection[int]) -> "Days":
        """The spans of some days; of many, they are put together."""
        spans: list[tuple[int, int]] = []
        for day in sorted(days):
            if spans and day <= spans[-1][1] + 1:
                spans[-1] = (spans[-1][0], day)
            else:
                spans.append((day, day))
        if len(spans) > MOST_SPANS:
            spans = [(spans[0][0], spans[-1][1])]
        return cls(tuple(spans))

    def hold(self, time: Column, *, before: dt.timedelta = NO_TIME, after: dt.timedelta = NO_TIME) -> Column:
        """Whether a time is in one of the spans, widened on either side."""
        if self.spans is None:
            return F.lit(True)
        inside = [
            (time >= _moment(first * DAY - before)) & (time < _moment((last + 1) * DAY + after))
            for first, last in self.spans
        ]
        return reduce(or_, inside, F.lit(False))


ALL_DAYS = Days(None)


def row_of(names: Sequence[str], schema: StructType) -> Column:
    """Some columns as a struct whose members may all be null, as where there is no row at all."""
    members = StructType([StructField(name, schema[name].dataType) for name in names])
    return F.struct(*names).cast(members)


def _moment(since_epoch: dt.timedelta) -> Column:
    return F.timestamp_micros(F.lit(since_epoch // MICROSECOND))
