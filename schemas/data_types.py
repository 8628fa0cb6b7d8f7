"""The types that a contract may name in ``physicalType``, as Spark types."""

import re

from pyspark.sql.types import (
    BooleanType,
    DataType,
    DateType,
    DecimalType,
    DoubleType,
    IntegerType,
    LongType,
    StringType,
    TimestampType,
)

PLAIN: dict[str, DataType] = {
    "bigint": LongType(),
    "boolean": BooleanType(),
    "date": DateType(),
    "double": DoubleType(),
    "int": IntegerType(),
    "string": StringType(),
    "timestamp": TimestampType(),
}
DECIMAL = re.compile(r"decimal\((\d+), ?(\d+)\)")
KNOWN = (*PLAIN, "decimal(precision,scale)")


def plain_type(physical_type: str) -> DataType | None:
    """The Spark type of a plain value, or None where the contract's type is not known."""
    if physical_type in PLAIN:
        return PLAIN[physical_type]
    decimal = DECIMAL.fullmatch(physical_type)
    if decimal is None:
        return None
    precision, scale = int(decimal[1]), int(decimal[2])
    return DecimalType(precision, scale) if scale <= precision <= 38 and precision > 0 else None
