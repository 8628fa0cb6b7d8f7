"""A Delta table of the lake: where it lies and what it looks like."""

from dataclasses import dataclass
from typing import Literal

from deltalake import DeltaTable, Schema
from pyspark.sql.types import DataType, StructField, StructType

from jobs.engine.races import beside_others

Layer = Literal["bronze", "silver", "late", "quarantine", "gold", "ops"]


@dataclass(frozen=True)
class Table:
    """A table, ``<layer>/<name>`` below the lake's root.

    ``history`` is how long its log remembers old versions, as an interval in SQL. The log grows by a commit a second,
    and everybody who reads or commits lists it (docs/decisions/0009). ``checkpoint_every`` counts the commits
    between two checkpoints of the log: few make reading cheap, many make committing cheap.
    """

    layer: Layer
    name: str
    schema: StructType
    description: str
    partition_by: tuple[str, ...] = ()
    history: str = "1 hour"
    checkpoint_every: int = 100

    def url(self, lake: str) -> str:
        """Path or URL of the table in a lake."""
        return f"{lake}/{self.layer}/{self.name}"

    @beside_others
    def create(self, lake: str) -> DeltaTable:
        """Create the table, empty, where it does not exist yet, so that readers can rely on it; then open it."""
        properties = {
            "delta.logRetentionDuration": f"interval {self.history}",
            "delta.deletedFileRetentionDuration": f"interval {self.history}",
            "delta.checkpointInterval": str(self.checkpoint_every),
            # Of every column: whoever reads may look for any (docs/decisions/0013). By default, of the first 32.
            "delta.dataSkippingNumIndexedCols": "-1",
        }
        table = DeltaTable.create(
            self.url(lake),
            # Spark's and Delta's JSON form of a schema are the same.
            schema=Schema.from_json(self.schema.json()),
            mode="ignore",
            partition_by=list(self.partition_by),
            description=self.description,
            configuration=properties,
        )
        if not properties.items() <= table.metadata().configuration.items():
            table.alter.set_table_properties(properties)
        return table


def column(name: str, data_type: DataType, description: str) -> StructField:
    """A column with its description; every column may be null."""
    return StructField(name, data_type, nullable=True, metadata={"comment": description})
