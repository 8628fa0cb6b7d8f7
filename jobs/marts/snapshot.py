"""The declaration of a snapshot: what is known of things now."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import DataType, StringType, TimestampType

from jobs.engine.table import Layer, Table, column
from jobs.marts.mart import shown_table
from jobs.marts.metric import Metric

UPDATED_AT = "updated_at"


@dataclass(frozen=True)
class Attribute:
    """What a snapshot says of a thing; ``formula`` is Spark SQL over the columns that the snapshot's ``facts`` give."""

    name: str
    formula: str
    data_type: DataType
    unit: str
    description: str


@dataclass(frozen=True)
class Snapshot:
    """A gold table with one row per thing: what the newest event about it says.

    ``facts`` is a pure function from valid events to those that say something; it gives at least the keys,
    ``updated_at``, which is the event time, and the event's ``offset``. ``metrics`` are for those who read the table.
    """

    name: str
    description: str
    keys: Mapping[str, str]
    attributes: tuple[Attribute, ...]
    facts: Callable[[DataFrame], DataFrame]
    metrics: tuple[Metric, ...] = ()
    layer: Layer = "gold"

    @property
    def table(self) -> Table:
        """The snapshot's table."""
        columns = [
            *(column(name, StringType(), description) for name, description in self.keys.items()),
            *(column(a.name, a.data_type, f"{a.description} Unit: {a.unit}.") for a in self.attributes),
            column(UPDATED_AT, TimestampType(), "When the newest event happened, UTC."),
        ]
        return shown_table(self.layer, self.name, columns, self.description)

    def measure(self, events: DataFrame) -> DataFrame:
        """What the newest of some events say: one row per thing, with the table's columns in order."""
        facts = self.said(events)
        said = F.struct(*(attribute.name for attribute in self.attributes), UPDATED_AT)
        newest = F.max_by(said, F.struct(UPDATED_AT, "offset")).alias("newest")
        return facts.groupBy(*self.keys).agg(newest).select(*self.keys, "newest.*")

    def said(self, events: DataFrame) -> DataFrame:
        """What each of some events says: the table's columns, and ``offset``."""
        return self.facts(events).select(*self.keys, *self._attributes, UPDATED_AT, "offset")

    @cached_property
    def _attributes(self) -> list[Column]:
        # Made once: to parse them again for every micro-batch takes as long as to compute them.
        return [F.expr(f"cast({a.formula} as {a.data_type.simpleString()})").alias(a.name) for a in self.attributes]
