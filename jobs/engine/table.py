"""A Delta table of the lake: where it lies and what it looks like."""

from dataclasses import dataclass
from typing import Literal

from deltalake import DeltaTable, Schema
from pyspark.sql.types import StructType

Layer = Literal["bronze", "silver", "quarantine", "gold", "ops"]


@dataclass(frozen=True)
class Table:
    """A table, ``<layer>/<name>`` below the lake's root."""

    layer: Layer
    name: str
    schema: StructType
    description: str
    partition_by: tuple[str, ...] = ()

    def url(self, lake: str) -> str:
        """Path or URL of the table in a lake."""
        return f"{lake}/{self.layer}/{self.name}"

    def create(self, lake: str) -> DeltaTable:
        """Create the table, empty, where it does not exist yet, so that readers can rely on it; then open it."""
        # Spark's and Delta's JSON form of a schema are the same.
        schema = Schema.from_json(self.schema.json())
        return DeltaTable.create(
            self.url(lake),
            schema=schema,
            mode="ignore",
            partition_by=list(self.partition_by),
            description=self.description,
        )
