"""Hold marts and snapshots against silver, cell by cell."""

from collections.abc import Callable, Sequence
from functools import reduce
from operator import and_, or_

import pyarrow as pa
import pyarrow.compute as pc
from deltalake import DeltaTable
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import DoubleType, FloatType

from jobs.corrections import next_number, replace, same
from jobs.cut import Cut, cut
from jobs.engine.newest import newest
from jobs.engine.table import Table
from jobs.engine.upsert import merge
from jobs.entity import silver_table
from jobs.marts import Mart, Measure, Snapshot
from jobs.marts.snapshot import UPDATED_AT
from jobs.proof import ALL_DAYS, KIND, LESS, MORE, MOST, OTHER, RIGHT, SEEN, Days, Differences, row_of
from jobs.settings import Settings
from schemas import Contract

STRAY = "stray"
"""The kind of a window that events of some days should not have: windows do not follow from event time then."""
TOLERANCE = 1e-9
"""A sum of floats depends on their order."""
PARITY_NAMES = {RIGHT: "batch", SEEN: "stream"}

Cells = Callable[[DataFrame, DataFrame], DataFrame]
"""Compares silver and a table of gold: the keys, ``RIGHT``, ``SEEN`` and ``KIND``, null where both are the same."""


class MartProof:
    """Holds a mart against silver: every measure of every window of some days."""

    def __init__(self, session: SparkSession, contract: Contract, mart: Mart, settings: Settings, days: Days) -> None:
        self.table = mart.table
        self._mart = mart
        self._event_time = contract.event_time
        self._days = days
        self._sides = _Sides(session, contract, mart.table, settings)
        self._keys = [mart.window, *mart.dimensions]
        self._measures = [measure.name for measure in mart.measures]

    def compare(self) -> Differences:
        """Compare; of one consistent state of both sides."""
        found = self._sides.differences(self._compared)
        if STRAY in found.kinds:
            found.release()
            self._days = ALL_DAYS
            found = self._sides.differences(self._compared)
        return found

    def correct(self, found: Differences) -> None:
        """Correct rows that the last comparison found, see ``Proof``."""
        columns = [*self._keys, *self._measures]
        wrong = self._sides.collect(found, self._keys)
        self._sides.correct(
            wrong,
            self._sides.rows(wrong, RIGHT, self._keys),
            self._keys,
            merged=lambda rows: merge(self._mart, rows.select(columns), rows.select(columns)[:0]),
            along=self._mart.window,
        )

    def cells(self, found: Differences) -> DataFrame:
        """What differs, see ``Proof``: one row per measure."""
        pairs = [
            F.struct(
                F.lit(measure.name).alias("measure"),
                *(F.col(side)[measure.name].cast("string").alias(name) for side, name in PARITY_NAMES.items()),
                _is_equal(measure).alias("is_equal"),
            )
            for measure in self._mart.measures
        ]
        dimensions = F.to_json(F.struct(*self._mart.dimensions)) if self._mart.dimensions else F.lit("{}")
        window = F.col(self._mart.window).alias("window")
        rows = found.cells.select(window, dimensions.alias("dimensions"), F.explode(F.array(*pairs)).alias("pair"))
        different = rows.where("NOT pair.is_equal")
        return different.select("window", "dimensions", "pair.measure", "pair.batch", "pair.stream")

    def _compared(self, silver: DataFrame, gold: DataFrame) -> DataFrame:
        mart, width, window = self._mart, self._mart.width, F.col(self._mart.window)
        is_inside = self._days.hold(window, before=width)
        is_near = self._days.hold(window, before=2 * width, after=width)
        events = silver.where(self._days.hold(F.col(self._event_time), before=width, after=width))
        row = row_of(self._measures, mart.table.schema)
        right = mart.measure(events).select(*self._keys, row.alias(RIGHT))
        seen = mart.merged(gold.where(is_inside)).select(*self._keys, row.alias(SEEN))
        both = _side_by_side(right, seen, self._keys).withColumn(KIND, F.when(~is_near, STRAY).otherwise(self._kind()))
        return both.where(is_inside | ~is_near)

    def _kind(self) -> Column:
        measures = self._mart.measures
        has_less = reduce(or_, (~_is_equal(measure) & _has_less(measure) for measure in measures))
        has_more = reduce(or_, (~_is_equal(measure) & ~_has_less(measure) for measure in measures))
        return (
            F.when(F.col(SEEN).isNull(), LESS)
            .when(F.col(RIGHT).isNull(), MORE)
            .when(has_less & has_more, OTHER)
            .when(has_less, LESS)
            .when(has_more, MORE)
        )


class SnapshotProof:
    """Holds a snapshot against silver: what the newest event says of each thing that events of some days are about."""

    def __init__(
        self, session: SparkSession, contract: Contract, snapshot: Snapshot, settings: Settings, days: Days
    ) -> None:
        self.table = snapshot.table
        self._snapshot = snapshot
        self._event_time = contract.event_time
        self._days = days
        self._sides = _Sides(session, contract, snapshot.table, settings)
        self._keys = list(snapshot.keys)
        self._said = [*(attribute.name for attribute in snapshot.attributes), UPDATED_AT]

    def compare(self) -> Differences:
        """Compare; of one consistent state of both sides."""
        return self._sides.differences(self._compared)

    def correct(self, found: Differences) -> None:
        """Correct rows that the last comparison found, see ``Proof``."""
        wrong = self._sides.collect(found, self._keys)
        # What is right may have been said on another day than those that were compared.
        silver = self._sides.silver()
        things = silver.sparkSession.createDataFrame(wrong.select(self._keys)).toDF(*(f"_{key}" for key in self._keys))
        is_wrong = reduce(and_, (F.col(key).eqNullSafe(F.col(f"_{key}")) for key in self._keys))
        right = self._snapshot.measure(silver).join(F.broadcast(things), is_wrong, "left_semi").toArrow()
        self._sides.correct(
            wrong,
            right,
            self._keys,
            merged=lambda rows: newest(self._snapshot, rows),
            along=UPDATED_AT,
        )

    def cells(self, found: Differences) -> DataFrame:
        """What differs, see ``Proof``: one row per thing."""
        return found.cells.select(
            F.coalesce(F.col(RIGHT)[UPDATED_AT], F.col(SEEN)[UPDATED_AT]).alias("window"),
            F.to_json(F.struct(*self._keys)).alias("dimensions"),
            F.lit("newest").alias("measure"),
            *(F.to_json(side).alias(name) for side, name in PARITY_NAMES.items()),
        )

    def _compared(self, silver: DataFrame, gold: DataFrame) -> DataFrame:
        said = self._snapshot.said(silver.where(self._days.hold(F.col(self._event_time))))
        row = row_of(self._said, self._snapshot.table.schema)
        at_a_time = said.groupBy(*self._keys, UPDATED_AT).agg(
            F.max_by(row, "offset").alias("row"), F.collect_set(row).alias("equally_new")
        )
        right = at_a_time.groupBy(*self._keys).agg(F.max_by(F.struct("row", "equally_new"), UPDATED_AT).alias(RIGHT))
        seen = gold.groupBy(*self._keys).agg(
            F.struct(F.max_by(row, UPDATED_AT).alias("row"), F.count("*").alias("rows")).alias(SEEN)
        )
        both = _side_by_side(right, seen, self._keys)
        is_inside = F.coalesce(self._days.hold(F.col(f"{SEEN}.row.{UPDATED_AT}")), F.lit(False))
        compared = both.where(F.col(RIGHT).isNotNull() | is_inside).withColumn(KIND, _kind_of_thing(is_inside))
        return compared.select(*self._keys, *(F.col(f"{side}.row").alias(side) for side in (RIGHT, SEEN)), KIND)


def _kind_of_thing(is_inside: Column) -> Column:
    """The kind of difference of a thing; ``is_inside``: its row in gold is of the days that are compared."""
    seen, at = F.col(f"{SEEN}.row"), F.col(f"{SEEN}.row.{UPDATED_AT}")
    right_at = F.col(f"{RIGHT}.row.{UPDATED_AT}")
    # Of several events of the same time, any may be the one that is shown.
    is_right = F.exists(F.col(f"{RIGHT}.equally_new"), lambda row: row.eqNullSafe(seen))
    return (
        F.when(F.col(SEEN).isNull() | F.coalesce(at < right_at, F.lit(False)), LESS)
        .when((F.col(f"{SEEN}.rows") > 1) | F.col(RIGHT).isNull(), MORE)
        .when(is_right | ~is_inside, F.lit(None))
        .when(at > right_at, MORE)
        .otherwise(OTHER)
    )


class _Sides:
    """Silver and a table of gold, at versions that hold the same events."""

    def __init__(self, session: SparkSession, contract: Contract, gold: Table, settings: Settings) -> None:
        self._session = session
        self._contract = contract
        self._gold = gold
        self._settings = settings
        self._cut = Cut(0, 0)
        self._number = 0

    def differences(self, compared: Cells) -> Differences:
        """Compare both."""
        self._gold.create(self._settings.lake_url)
        self._cut = cut(self._contract, self._gold, self._settings)
        url = self._gold.url(self._settings.lake_url)
        self._number = next_number(DeltaTable(url, version=self._cut.gold), self._gold)
        return Differences.of(compared(self.silver(), self._read(self._gold, self._cut.gold)))

    def silver(self) -> DataFrame:
        """Silver, as it was compared last."""
        return self._read(silver_table(self._contract), self._cut.silver)

    def collect(self, found: Differences, keys: Sequence[str]) -> pa.Table:
        """What differs: the keys, ``RIGHT`` and ``SEEN``."""
        return found.cells.select(*keys, RIGHT, SEEN).limit(MOST).toArrow()

    def rows(self, wrong: pa.Table, side: str, keys: Sequence[str]) -> pa.Table:
        """The rows of one side of what differs, where it has any, with the types of the table."""
        present = wrong.filter(pc.is_valid(wrong[side]))
        names = [field.name for field in wrong.schema.field(side).type]
        columns = {key: present[key] for key in keys} | {n: pc.struct_field(present[side], n) for n in names}
        return self._typed(pa.table(columns))

    def correct(
        self,
        wrong: pa.Table,
        right: pa.Table,
        keys: Sequence[str],
        *,
        merged: Callable[[pa.Table], pa.Table],
        along: str,
    ) -> None:
        """Replace the rows of what differs, unless the table says something else of them by now.

        Args:
            wrong: what is to be corrected.
            right: the rows that are right.
            keys: of the table.
            merged: makes one row per key of the table's rows.
            along: the column by whose statistics files are found.
        """
        seen, wanted = self.rows(wrong, SEEN, keys), self._typed(wrong.select(list(keys)))
        measures = [name for name in seen.column_names if name not in keys]
        replace(
            self._gold,
            self._settings.lake_url,
            wanted,
            right,
            along=along,
            number=self._number,
            still=lambda rows: same(merged(rows), seen, wanted, measures),
        )

    def _typed(self, rows: pa.Table) -> pa.Table:
        schema = pa.schema(DeltaTable(self._gold.url(self._settings.lake_url)).schema().to_arrow())
        return rows.cast(pa.schema([schema.field(name) for name in rows.column_names]))

    def _read(self, table: Table, version: int) -> DataFrame:
        reader = self._session.read.format("delta").option("versionAsOf", version)
        return reader.load(table.url(self._settings.lake_url))


def _side_by_side(right: DataFrame, seen: DataFrame, keys: Sequence[str]) -> DataFrame:
    """The rows of two frames by their keys, of which nulls are equal; each has a row of a key at most once."""
    sides = [right.withColumn(SEEN, F.lit(None)), seen.withColumn(RIGHT, F.lit(None))]
    both = sides[0].unionByName(sides[1].select(*keys, RIGHT, SEEN))
    return both.groupBy(*keys).agg(*(F.first(side, ignorenulls=True).alias(side) for side in (RIGHT, SEEN)))


def _is_equal(measure: Measure) -> Column:
    right, seen = F.col(RIGHT)[measure.name], F.col(SEEN)[measure.name]
    equal = right.eqNullSafe(seen)
    if isinstance(measure.data_type, DoubleType | FloatType):
        is_close = F.abs(right - seen) <= TOLERANCE * F.greatest(F.abs(right), F.abs(seen))
        return equal | F.coalesce(is_close, F.lit(False))
    return equal


def _has_less(measure: Measure) -> Column:
    """Whether gold's value is of fewer events than silver's."""
    right, seen = F.col(RIGHT)[measure.name], F.col(SEEN)[measure.name]
    return F.coalesce(seen > right if measure.merge == "min" else seen < right, seen.isNull())
