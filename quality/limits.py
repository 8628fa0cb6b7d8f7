"""What a contract says of one value beside its type, as native Column expressions."""

import re
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from pyspark.sql import Column
from pyspark.sql import functions as F
from pyspark.sql.types import DateType, DecimalType, DoubleType, TimestampType

from schemas import ContractField

# A class of characters, what is quoted or escaped, or an end.
PART = re.compile(r"\\Q.*?(?:\\E|\Z)|\\.|\[\^?\]?(?:\\.|[^\]\\])*\]?|\$", re.S)
FIRST_TIME, LAST_TIME = "timestamp'0001-01-01 00:00:00Z'", "timestamp'9999-12-31 23:59:59.999999Z'"
FIRST_DATE = "date'0001-01-01'"


def limits(field: ContractField, value: Column) -> Iterator[tuple[str, Column]]:
    """Each rule that a value may break, by its name, and whether it does; the cheaper ones come first."""
    if field.allowed:
        yield "not_allowed", ~value.isin(*field.allowed)
    if field.minimum is not None:
        yield "below_minimum", value < _limit(field, field.minimum)
    if field.maximum is not None:
        yield "above_maximum", value > _limit(field, field.maximum)
    if field.min_length is not None:
        yield "too_short", F.length(value) < field.min_length
    if field.max_length is not None:
        yield "too_long", F.length(value) > field.max_length
    if field.pattern is not None:
        yield "wrong_format", ~value.rlike(java_pattern(field.pattern))
    if field.min_items is not None:
        yield "too_few_items", F.size(value) < field.min_items
    if field.max_items is not None:
        yield "too_many_items", F.size(value) > field.max_items


def is_in_range(field: ContractField, value: Column) -> Column | None:
    """Whether Python, Arrow and every reader of the tables know a value that Spark can hold; None: they do."""
    if isinstance(field.data_type, DoubleType):
        return (value > float("-inf")) & (value < float("inf"))
    if isinstance(field.data_type, TimestampType):
        return value.between(F.expr(FIRST_TIME), F.expr(LAST_TIME))
    return value >= F.expr(FIRST_DATE) if isinstance(field.data_type, DateType) else None


def java_pattern(pattern: str) -> str:
    """A contract's pattern for Java, where ``$`` alone also lets a last end of line follow."""
    return PART.sub(lambda part: r"\z" if part[0] == "$" else part[0], pattern)


def _limit(field: ContractField, limit: Any) -> Any:
    # Compared with a floating-point number, a decimal becomes one.
    return F.lit(Decimal(str(limit))) if isinstance(field.data_type, DecimalType) else limit
