"""A data contract as the jobs need it."""

import datetime as dt
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Literal

from pyspark.sql.types import ArrayType, DataType, StructField, StructType

Number = int | float | Decimal
Protection = Literal["hash", "mask"]
"""What silver and gold hold instead of a personal value: a keyed pseudonym, or its first character."""


@dataclass(frozen=True)
class ContractField:
    """One field of an event.

    ``fields`` are the members of an object, or of the objects in an array; they are empty for a plain value.
    ``item`` is what each item of an array must be. ``minimum`` and ``maximum`` are inclusive. ``allowed`` is empty
    where every value may occur.
    """

    name: str
    data_type: DataType
    required: bool
    label: str
    description: str
    minimum: Number | None = None
    maximum: Number | None = None
    min_length: int | None = None
    max_length: int | None = None
    pattern: str | None = None
    min_items: int | None = None
    max_items: int | None = None
    allowed: tuple[str, ...] = ()
    protection: Protection | None = None
    fields: tuple["ContractField", ...] = ()
    item: "ContractField | None" = None

    @property
    def is_array(self) -> bool:
        """Whether the field holds a list."""
        return isinstance(self.data_type, ArrayType)


@dataclass(frozen=True)
class Contract:
    """What the events of one topic look like, how late they may be, and how soon they must be in gold."""

    path: Path
    domain: str
    entity: str
    topic: str
    fields: tuple[ContractField, ...]
    key: str
    message_key: str
    event_time: str
    watermark_delay: dt.timedelta
    ahead_tolerance: dt.timedelta
    freshness: dt.timedelta

    @property
    def name(self) -> str:
        """The name of the entity's tables, ``<domain>_<entity>``."""
        return f"{self.domain}_{self.entity}"

    @property
    def silver(self) -> str:
        """The silver table, ``<layer>.<name>``."""
        return f"silver.{self.name}"

    @property
    def spark_schema(self) -> StructType:
        """The schema of an event's JSON value."""
        return struct_type(self.fields)


def struct_type(fields: tuple[ContractField, ...]) -> StructType:
    """The Spark type of an object with these fields; every field may be null, for refusal is not decoding."""
    return StructType(
        [
            StructField(field.name, field.data_type, nullable=True, metadata={"comment": field.description})
            for field in fields
        ]
    )
