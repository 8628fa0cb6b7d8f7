"""The types that a contract may name in ``physicalType``, as Spark types."""

import re

from pyspark.sql.types import (
    ArrayType,
    BooleanType,
    DataType,
    DateType,
    DecimalType,
    DoubleType,
    IntegerType,
    LongType,
    StringType,
    StructType,
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


def is_widened(before: DataType, after: DataType) -> bool:
    """Whether a type holds every value of another, unchanged.

    An object may have more members, and lack some, whose values then stay as they are.
    """
    if isinstance(before, ArrayType) and isinstance(after, ArrayType):
        return is_widened(before.elementType, after.elementType)
    if isinstance(before, StructType) and isinstance(after, StructType):
        shared = set(before.names) & set(after.names)
        return all(is_widened(before[name].dataType, after[name].dataType) for name in shared)
    if isinstance(after, DecimalType) and (digits := _digits(before)) is not None:
        whole, fraction = digits
        return after.scale >= fraction and after.precision - after.scale >= whole
    return before == after or (isinstance(before, IntegerType) and isinstance(after, LongType | DoubleType))


def _digits(data_type: DataType) -> tuple[int, int] | None:
    """How many digits a number has at most, before and after the point."""
    if isinstance(data_type, DecimalType):
        return data_type.precision - data_type.scale, data_type.scale
    if isinstance(data_type, IntegerType):
        return 10, 0
    return (19, 0) if isinstance(data_type, LongType) else None
