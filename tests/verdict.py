"""What must become of an event, said a second time: in Python's own JSON, decimals and times, by nothing of Spark's."""

import datetime as dt
import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, TypeAlias

from pyspark.sql.types import (
    BooleanType,
    DateType,
    DecimalType,
    DoubleType,
    IntegerType,
    StringType,
    TimestampType,
)

from schemas import Contract, ContractField

TIME = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[T ](\d\d):(\d\d)(?::(\d\d)(?:\.(\d+))?)?(Z|([+-])(\d\d)(?::?(\d\d))?)?", re.ASCII
)
DATE = re.compile(r"(\d{4})-(\d\d)-(\d\d)", re.ASCII)
PLAIN_DECIMAL = re.compile(r"-?[0-9]+(\.[0-9]+)?")

Verdict: TypeAlias = tuple[tuple[str, ...], dict[str, Any]]
"""Why an event is refused, and what silver must have of it where it is not."""


class WrongTypeError(Exception):
    """A value is none of its field's type."""


class TooPreciseError(Exception):
    """A number has more digits than its field's type."""


def verdict(contract: Contract, text: str, *, arrived: dt.datetime) -> Verdict:
    """Why an event is refused, and, where it is not, what silver must have of it."""
    event = json.loads(text, parse_float=Number, parse_int=Number)
    reasons, kept = _members(contract.fields, event, "")
    time = kept[contract.event_time]
    if time is not None and time > arrived + contract.ahead_tolerance:
        reasons.append(f"ahead: {contract.event_time} ({event[contract.event_time]})")
    return tuple(dict.fromkeys(reasons)), kept


def same(found: Any, wanted: Any) -> bool:
    """Whether two values are equal, minus zero being another than zero."""
    if isinstance(wanted, dict):
        return isinstance(found, dict) and all(same(found[name], value) for name, value in wanted.items())
    if isinstance(wanted, list):
        return len(found) == len(wanted) and all(map(same, found, wanted))
    if isinstance(wanted, float):
        return isinstance(found, float) and found == wanted and math.copysign(1, found) == math.copysign(1, wanted)
    return type(found) is type(wanted) and bool(found == wanted)


class Number(Decimal):
    """A number of JSON: its value, and how it was written."""

    text: str

    def __new__(cls, text: str) -> "Number":
        """Keep the text beside the value."""
        # Python's decimals, too, have exponents that are too large for them.
        number = super().__new__(cls, re.sub(r"([eE][+-]?)[0-9]{18,}$", r"\g<1>" + "9" * 17, text))
        number.text = text
        return number


def _members(
    fields: Sequence[ContractField], holder: Mapping[str, Any], prefix: str
) -> tuple[list[str], dict[str, Any]]:
    found = {field.name: _judged(field, holder.get(field.name), prefix + field.name) for field in fields}
    return [reason for reasons, _ in found.values() for reason in reasons], {
        name: one for name, (_, one) in found.items()
    }


def _judged(field: ContractField, value: Any, path: str) -> tuple[list[str], Any]:
    """The reasons against a value, and what is kept of it."""
    if value is None:
        return [f"missing: {path}"] if field.required else [], None
    try:
        typed = _typed(field, value)
    except WrongTypeError:
        return [f"wrong_type: {path} ({_shown(value)})"], None
    except TooPreciseError:
        return [f"too_precise: {path} ({_shown(value)})"], None
    for rule, is_broken in _limits(field, typed):
        if is_broken:
            return [f"{rule}: {path} ({_shown(value)})"], typed
    if field.item is not None:
        items = [_judged(field.item, one, f"{path}[]") for one in typed]
        return [reason for reasons, _ in items for reason in reasons], [one for _, one in items]
    return _members(field.fields, typed, f"{path.replace('[]', '')}.") if field.fields else ([], typed)


def _typed(field: ContractField, value: Any) -> Any:
    kind = field.data_type
    if field.item is not None:
        return value if isinstance(value, list) else _wrong()
    if field.fields:
        return value if isinstance(value, dict) else _wrong()
    if isinstance(kind, StringType):
        return value if isinstance(value, str) else _wrong()
    if isinstance(kind, BooleanType):
        return value if isinstance(value, bool) else _wrong()
    if isinstance(kind, TimestampType | DateType):
        text = value if isinstance(value, str) else _wrong()
        return _time(text) if isinstance(kind, TimestampType) else _date(text)
    if isinstance(kind, DecimalType) and isinstance(value, str) and PLAIN_DECIMAL.fullmatch(value):
        value = Number(value)
    if not isinstance(value, Number):
        return _wrong()
    if isinstance(kind, DoubleType):
        # Only a fraction or an exponent makes a number of JSON one that knows a negative zero.
        number = float(value) if any(mark in value.text for mark in ".eE") else float(value) + 0.0
        return number if abs(number) != float("inf") else _wrong()
    return _exact(kind, value)


def _exact(kind: Any, number: Decimal) -> Any:
    digits, power = "".join(map(str, number.as_tuple().digits)), int(number.as_tuple().exponent)
    if not digits.strip("0"):
        return Decimal(0) if isinstance(kind, DecimalType) else 0
    power += len(digits) - len(digits.rstrip("0"))
    digits = digits.strip("0")
    whole, fraction = len(digits) + power, max(0, -power)
    if not isinstance(kind, DecimalType):
        most = 2**31 if isinstance(kind, IntegerType) else 2**63
        if fraction or whole > 20 or not -most <= int(number) < most:
            _wrong()
        return int(number)
    if whole > kind.precision - kind.scale or len(digits) > 400 or power < -400:
        _wrong()
    if fraction > kind.scale:
        raise TooPreciseError
    return Decimal(number)


def _time(text: str) -> dt.datetime:
    match = TIME.fullmatch(text)
    if match is None:
        _wrong()
    assert match is not None
    year, month, day, hour, minute = map(int, match.groups()[:5])
    sign = -1 if match[9] == "-" else 1
    offset = dt.timedelta(hours=int(match[10] or 0), minutes=int(match[11] or 0)) * sign
    try:
        micros = int((match[7] or "0")[:6].ljust(6, "0"))
        # Of a year in which nothing can go wrong, the offset may lead into another.
        local = dt.datetime(year or 1, month, day, hour, minute, int(match[6] or 0), micros, dt.UTC)
        if not year or abs(offset) > dt.timedelta(hours=18):
            _wrong()
        return local - offset
    except (ValueError, OverflowError):
        return _wrong()


def _date(text: str) -> dt.date:
    match = DATE.fullmatch(text)
    try:
        return dt.date(*map(int, match.groups())) if match else _wrong()
    except ValueError:
        return _wrong()


def _wrong() -> Any:
    raise WrongTypeError


def _limits(field: ContractField, value: Any) -> Iterator[tuple[str, bool]]:
    size = len(value) if isinstance(value, str | list) else 0
    yield "not_allowed", bool(field.allowed) and str(value) not in field.allowed
    yield "below_minimum", field.minimum is not None and value < Decimal(str(field.minimum))
    yield "above_maximum", field.maximum is not None and value > Decimal(str(field.maximum))
    yield "too_short", field.min_length is not None and size < field.min_length
    yield "too_long", field.max_length is not None and size > field.max_length
    # Python's own `$`, too, lets a last end of line follow.
    pattern = (field.pattern or "").replace("$", r"\Z")
    yield "wrong_format", field.pattern is not None and re.search(pattern, value, re.ASCII) is None
    yield "too_few_items", field.min_items is not None and size < field.min_items
    yield "too_many_items", field.max_items is not None and size > field.max_items


def _shown(value: Any) -> str:
    return (value if isinstance(value, str) else _compact(value))[:200]


def _compact(value: Any) -> str:
    if isinstance(value, Number):
        return value.text
    if isinstance(value, list):
        return f"[{','.join(map(_compact, value))}]"
    if isinstance(value, dict):
        return "{" + ",".join(f"{json.dumps(name)}:{_compact(one)}" for name, one in value.items()) + "}"
    return json.dumps(value, ensure_ascii=False)
