"""The declaration of a view: figures that do not merge, computed anew from silver on a schedule."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import DataType, StringType, StructType, TimestampType

from jobs.engine.table import Layer, Table, column
from jobs.marts.metric import Metric
from jobs.marts.snapshot import Attribute


@dataclass(frozen=True)
class View:
    """A materialized view: a table that `sluice refresh` replaces as a whole, so it may hold any figure.

    ``rows`` is a pure function from the silver tables of ``sources``, in their order, to rows of which the keys name
    one each; the formulas of ``attributes`` are over its columns. ``time`` is the key that is a time, if one is;
    the others are text, but for ``key_types``.
    """

    name: str
    description: str
    sources: tuple[str, ...]
    keys: Mapping[str, str]
    attributes: tuple[Attribute, ...]
    rows: Callable[..., DataFrame]
    metrics: tuple[Metric, ...] = ()
    time: str | None = None
    key_types: Mapping[str, DataType] = field(default_factory=dict)
    layer: Layer = "gold"

    @property
    def table(self) -> Table:
        """The view's table."""
        columns = [
            *(column(name, self._key_type(name), description) for name, description in self.keys.items()),
            *(column(a.name, a.data_type, f"{a.description} Unit: {a.unit}.") for a in self.attributes),
        ]
        return Table(self.layer, self.name, StructType(columns), self.description, checkpoint_every=10)

    def compute(self, *silver: DataFrame) -> DataFrame:
        """The view's rows, with the table's columns in order; of the silver tables of its sources."""
        figures = [F.expr(f"cast({a.formula} as {a.data_type.simpleString()})").alias(a.name) for a in self.attributes]
        return self.rows(*silver).select(*self.keys, *figures)

    def _key_type(self, name: str) -> DataType:
        return TimestampType() if name == self.time else self.key_types.get(name, StringType())
