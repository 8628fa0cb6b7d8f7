"""The declaration of a mart: its grain, its measures and how they are computed from events."""

import datetime as dt
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import DataType, DecimalType, LongType, StringType, StructField, StructType, TimestampType

from jobs.engine.table import Layer, Table, column
from jobs.marts.metric import Metric

MONEY = DecimalType(38, 4)

Merge = Literal["sum", "min", "max"]


@dataclass(frozen=True)
class Measure:
    """A measure that merges: the value over two sets of events follows from its values over each.

    ``formula`` is a Spark SQL aggregate over the columns that the mart's ``facts`` give.
    """

    name: str
    formula: str
    data_type: DataType
    unit: str
    description: str
    merge: Merge = "sum"


def counted(name: str, condition: str, unit: str, description: str) -> Measure:
    """How many facts meet a condition."""
    return Measure(name, f"count_if({condition})", LongType(), unit, description)


def summed(
    name: str, value: str, condition: str, unit: str, description: str, *, data_type: DataType = MONEY
) -> Measure:
    """The sum of a value over the facts that meet a condition."""
    return Measure(name, f"coalesce(sum({value}) filter (where {condition}), 0)", data_type, unit, description)


def lowest(
    name: str, value: str, condition: str, unit: str, description: str, *, data_type: DataType = MONEY
) -> Measure:
    """The lowest value over the facts that meet a condition; null without one."""
    return Measure(name, f"min({value}) filter (where {condition})", data_type, unit, description, merge="min")


def highest(
    name: str, value: str, condition: str, unit: str, description: str, *, data_type: DataType = MONEY
) -> Measure:
    """The highest value over the facts that meet a condition; null without one."""
    return Measure(name, f"max({value}) filter (where {condition})", data_type, unit, description, merge="max")


def shown_table(layer: Layer, name: str, columns: Sequence[StructField], description: str) -> Table:
    """A table that dashboards read many times a second, so that its log is short; it has few files."""
    schema = StructType(list(columns))
    return Table(layer, name, schema, description, history="10 minutes", checkpoint_every=10)


@dataclass(frozen=True)
class Mart:
    """A gold table with one row per window and dimensions.

    ``facts`` is a pure function from valid events to the rows that the measures are computed over; it gives at least
    the window's start and the dimensions. ``metrics`` are for those who read the table.
    """

    name: str
    description: str
    window: str
    width: dt.timedelta
    dimensions: dict[str, str]
    measures: tuple[Measure, ...]
    facts: Callable[[DataFrame], DataFrame]
    metrics: tuple[Metric, ...] = ()
    layer: Layer = "gold"

    @property
    def table(self) -> Table:
        """The mart's table."""
        columns = [
            column(self.window, TimestampType(), f"Start of the window of {self.width.total_seconds():.0f} s, UTC."),
            *(column(name, StringType(), description) for name, description in self.dimensions.items()),
            *(column(m.name, m.data_type, f"{m.description} Unit: {m.unit}.") for m in self.measures),
        ]
        return shown_table(self.layer, self.name, columns, self.description)

    def measure(self, events: DataFrame) -> DataFrame:
        """Compute the measures of some events: one row per window and dimensions, with the table's columns in order."""
        return self.facts(events).groupBy(self.window, *self.dimensions).agg(*self._aggregates)

    def merged(self, rows: DataFrame) -> DataFrame:
        """One row per window and dimensions of the table's rows, of which some may hold parts of the same one."""
        measures = [
            F.expr(f"cast({m.merge}({m.name}) as {m.data_type.simpleString()})").alias(m.name) for m in self.measures
        ]
        return rows.groupBy(self.window, *self.dimensions).agg(*measures)

    @cached_property
    def _aggregates(self) -> list[Column]:
        # Made once: to parse them again for every micro-batch takes as long as to compute them.
        return [F.expr(f"cast({m.formula} as {m.data_type.simpleString()})").alias(m.name) for m in self.measures]
