"""Values that hurt, of every field of any contract at every depth, and what must become of each.

What is right is said here a second time, in Python's own JSON, decimals and times, and by nothing of Spark's.
"""

import datetime as dt
import json
import math
import random
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from typing import Any, TypeAlias

import yaml
from pyspark.sql.types import (
    BooleanType,
    DateType,
    DecimalType,
    DoubleType,
    IntegerType,
    LongType,
    StringType,
    TimestampType,
)

from schemas import Contract, ContractField

ARRIVED = dt.datetime(2026, 3, 2, 12, 0, 10, tzinfo=dt.UTC)
PLACE = "@here@"
NUL = "\\" + "u0000"

WRONG = ("7", "-1.5", "1e400", "-1e400", "true", '"x"', "[]", '["x"]', "{}", '{"a":1}', "[[]]", '[{"a":"1"}]')
TEXTS = (
    *(
        '""',
        '" "',
        '"7"',
        '"-1"',
        '"true"',
        '"null"',
        '"{}"',
        '"[1]"',
        '"a:"',
        '":"',
        '":5"',
        '"::5:"',
        r'"\\"',
        r'"\""',
    ),
    *('"a\\nb"', '"DE\\n"', '"DE\\r\\n"', '"DE\\u2028"', f'"{NUL}"', '"é"', '"e\\u0301"', '"🙂"', r'"\ud83d\ude00"'),
    *(
        '"\\ufeff"',
        '"a@b.c\\n"',
        '"a@b.c"',
        '"DE"',
        '"\\/"',
        '"\\u0041"',
        '"' + "x" * 100_000 + '"',
        '"' + "Aa😀" * 3 + '"',
    ),
)
BOMBS = (
    *("1e10000000", "1e300000000", "1e-300000000", "-1e999999999", "1e2147483647", "1e99999999999999999999"),
    *("0e300000000", "0e-999999999999999999999", "1" * 200_000, "0." + "0" * 200_000 + "1", "1." + "0" * 200_000),
    *("1" + "0" * 2_000 + "e-2000", "0." + "0" * 300 + "1e301"),
)
NUMBERS = (
    *("0", "-0", "0.0", "-0.0", "1", "-1", "2.0", "2e0", "20e-1", "0.2E+1", "1E3", "1.5", "-0.00004", "100000.00004"),
    *(
        "19.99",
        "19.99995",
        "19.9999500",
        "0.1",
        "0.3",
        "5",
        "6",
        "99999",
        "100000",
        "100000.01",
        "100001",
        "1e-4",
        "1e-5",
    ),
    *("2147483647", "2147483648", "-2147483649", "9007199254740993", "9223372036854775807", "9223372036854775808"),
    *("-9223372036854775808", "12345678901234.1234", "99999999999999.9999", "999999999999999.9999", "1e30", "1e400"),
    *("-1e400", "1e-400", "5e-324", "1.7976931348623157e308", "0.30000000000000004", "123456789012345678901234567890"),
    *BOMBS,
)
DECIMAL_TEXTS = (
    *(
        '"19.99"',
        '"-19.99"',
        '"0"',
        '"-0"',
        '"007.50"',
        '"19.9900000000"',
        '"19.99995"',
        '"1E3"',
        '"1e0"',
        '"1\u2019000.5"',
    ),
    *(
        '"1,5"',
        '"1,000.00"',
        '"\uff11\uff19.\uff19\uff19"',
        '"\u0661\u0669"',
        '"+1"',
        '" 1"',
        '"1 "',
        '"1\\n"',
        '"1."',
        '".5"',
        '"19.99€"',
        '"0x10"',
        '"NaN"',
    ),
    *('"Infinity"', '"1_000"', '"' + "9" * 5_000 + '"', '"0.' + "0" * 5_000 + '"', '"--1"', '"1.2.3"', '"-"'),
)
TIMES = (
    *("2026-03-01T12:00:05.250Z", "2026-03-01 12:00:05", "2026-03-01T12:00", "2026-03-01T12:00:05+01:00"),
    *(
        "2026-03-01T12:00:05.1234567Z",
        "2026-03-01T12:00:05.999999999Z",
        "2026-03-01T12:00:05-0930",
        "2026-03-01T12:00Z",
    ),
    *("0001-01-01T00:00:00Z", "0001-01-01T00:00:00+01:00", "0000-01-01T00:00:00Z", "0000-12-31T23:59:59.999999Z"),
    *("9999-12-31T23:59:59Z", "9999-12-31T23:59:59.9999999Z", "9999-12-31T23:59:59-01:00", "10000-01-01T00:00:00Z"),
    *("1969-12-31T23:59:59.999999Z", "1582-10-10T00:00:00Z", "1900-02-29T00:00:00Z", "2026-02-29T00:00:00Z"),
    *("2026-03-01T24:00:00Z", "2026-03-01T12:60:00Z", "2026-03-01T12:00:60Z", "2026-13-01T00:00:00Z", "2026"),
    *("2026-03", "2026-03-01", "12:00", "T12:00", "yesterday", "now", "epoch", "", " 2026-03-01T12:00:05Z"),
    *(
        "2026-03-01T12:00:05Z ",
        "2026-03-01T12:00:05Z\n",
        "2026-03-01T12:00:05 Europe/Paris",
        "2026-03-01T12:00:05+99:00",
    ),
    *(
        "\uff12\uff10\uff12\uff16-03-01T12:00:05Z",
        "+2026-03-01T12:00:05Z",
        "-2026-03-01T12:00:05Z",
        "20260301T120005Z",
        "1772366405",
    ),
)
DATES = (
    *("2026-03-01", "0001-01-01", "0000-12-31", "9999-12-31", "10000-01-01", "2026-02-29", "1582-10-10", "2026-3-1"),
    *(
        "2026-03-01T00:00:00Z",
        "2026-03",
        "2026",
        "",
        "today",
        "2026-03-01\n",
        " 2026-03-01",
        "\uff12\uff10\uff12\uff16-03-01",
        "01.03.2026",
    ),
)
TIME = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[T ](\d\d):(\d\d)(?::(\d\d)(?:\.(\d+))?)?(Z|([+-])(\d\d)(?::?(\d\d))?)?", re.ASCII
)
DATE = re.compile(r"(\d{4})-(\d\d)-(\d\d)", re.ASCII)
PLAIN_DECIMAL = re.compile(r"-?[0-9]+(\.[0-9]+)?")


Verdict: TypeAlias = tuple[tuple[str, ...], dict[str, Any]]
Judge: TypeAlias = Callable[[str], Verdict]


class WrongTypeError(Exception):
    """A value is none of its field's type."""


class TooPreciseError(Exception):
    """A number has more digits than its field's type."""


@dataclass(frozen=True)
class Case:
    """A record's value, and what must become of it.

    ``kept`` is the event as silver must have it, or None where it is refused, for ``reasons``, of which each begins so.
    """

    name: str
    value: bytes | None
    kept: Mapping[str, Any] | None
    reasons: tuple[str, ...] = ()


def example(contract: Contract) -> dict[str, Any]:
    """An event of the examples of its fields."""
    return _example(yaml.safe_load(contract.path.read_text())["schema"][0]["properties"])


def cases(contract: Contract, base: Mapping[str, Any] | None = None, arrived: dt.datetime = ARRIVED) -> Iterator[Case]:
    """Every case of a contract.

    Args:
        contract: the contract.
        base: the event that is changed a little in each; default: its example.
        arrived: when they arrive.
    """
    judge = partial(verdict, contract, arrived=arrived)
    right = base or example(contract)
    yield from _cases_of_fields(contract, right, judge)
    yield from _cases_of_records(contract, right, judge)


def _example(fields: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {field["name"]: _value(field) for field in fields}


def _value(field: Mapping[str, Any]) -> Any:
    if "items" in field:
        return [_value(field["items"])]
    return _example(field["properties"]) if "properties" in field else field["examples"][0]


def _cases_of_fields(contract: Contract, base: Mapping[str, Any], judge: Judge) -> Iterator[Case]:
    for steps, path, field in _places(contract.fields, (), ""):
        for token in _tokens(field):
            text = _with(base, steps, PLACE).replace(f'"{PLACE}"', token)
            yield _case(judge, f"{path} = {token[:60]}", text)
        if isinstance(steps[-1], str):
            yield _case(judge, f"{path} absent", _without(base, steps))
            yield from _cases_of_names(judge, base, steps, path)


def _cases_of_names(judge: Judge, base: Mapping[str, Any], steps: tuple[Any, ...], path: str) -> Iterator[Case]:
    """A name given twice, or spelled with an escape: the last counts, and a name is its characters."""
    name, right = steps[-1], _dumps(_at(base, steps))
    escaped = f"\\u{ord(name[0]):04x}{name[1:]}"
    text = _with(base, steps, PLACE)
    for first, last in (
        ('{"a": 1}', right),
        ("5", right),
        (right, '{"a": 1}'),
        (right, "5"),
        (right, "null"),
        ("null", right),
    ):
        for other in (name, escaped):
            twice = text.replace(f'"{name}": "{PLACE}"', f'"{name}": {first}, "{other}": {last}')
            yield _case(judge, f"{path} = {first} then {last}", twice)


def _case(judge: Judge, name: str, text: str) -> Case:
    reasons, event = judge(text)
    return Case(name, text.encode(), None, reasons) if reasons else Case(name, text.encode(), event)


def _cases_of_records(contract: Contract, base: Mapping[str, Any], judge: Judge) -> Iterator[Case]:
    text = _dumps(base)
    none, right = judge(text)
    assert none == ()
    body = text.removesuffix("}")
    for name, odd in {
        "white space around": f"\n\t\r {text}\n\r\n\t ",
        "indented": json.dumps(base, indent=3),
        "ASCII": json.dumps(base),
        "unknown members": body + ', "x": {"y": [1, null]}, "z": "}"}',
        "huge unknown numbers": body + ', "x": 1e300000000, "y": [' + "1" * 100_000 + "]}",
        "deep unknown": body + ', "x": ' + "[" * 900 + "]" * 900 + "}",
        "our own last member": body + ', "$end": true}',
        "a pair of surrogates": body + r', "x": "\ud83d\ude00 \\ud83d"}',
        "many escapes": body + ', "x": "' + r"\u00e9\"" * 50_000 + '"}',
        "much white space": text.replace(": ", ":" + " " * 50_000, 1),
    }.items():
        yield Case(name, odd.encode(), right)
    for name, odd, reason in (
        *(
            (f"then {more!r}", text + more, "not_json")
            for more in ("garbage", "{", ",", "}", "]", "\\", '"', "\0", "1")
        ),
        ("two on two lines", f"{text}\n{text}", "not_json: more follows after the object"),
        ("two beside each other", text + text, "not_json: more follows after the object"),
        ("then a member", text + ', "x": {}', "not_json: more follows after the object"),
        ("our own last member, then more", body + ', "$end": true} {}', "not_json: more follows after the object"),
        *(("cut off", text[: len(text) * part // 10], "not_json") for part in range(1, 10)),
        ("without its end", body, "not_json"),
        ("a byte order mark", "\ufeff" + text, "not_json: begins with a byte order mark"),
        ("a frame", "\0\0\0\0\1" + text, "not_json: begins with the frame of a schema registry"),
        ("too deep", body + ', "x": ' + "[" * 1_100 + "]" * 1_100 + "}", "not_json"),
        ("a list", f"[{text}]", "not_an_object"),
        ("a text", '"x"', "not_an_object"),
        ("a number", " 1e300000000", "not_an_object"),
        ("null", "null\n", "not_an_object"),
        ("single quotes", text.replace('"', "'"), "not_json"),
        ("blank", " \n\t", "empty"),
        ("half a character", body + r', "x": "\ud83d"}', "not_utf8: an escape is half of a character"),
        ("its other half", body + r', "x": "\ude00\ud83d"}', "not_utf8: an escape is half of a character"),
        ("half a character in a name", body + r', "\uD83Dx": 1}', "not_utf8: an escape is half of a character"),
        ("half after a backslash", body + r', "x": "\\\ud83d"}', "not_utf8: an escape is half of a character"),
        ("Debezium", f'{{"before": null, "after": {text}, "op": "c"}}', "envelope: a change event of Debezium"),
        ("Debezium with schema", f'{{"schema": {{}}, "payload": {text}}}', "envelope: a change event of Debezium"),
        ("CloudEvents", f'{{"specversion": "1.0", "source": "/x", "data": {text}}}', "envelope: a CloudEvent"),
    ):
        yield Case(name, odd.encode(), None, (reason,))
    yield Case("nothing", None, None, ("empty",))
    yield Case("a frame with bytes", b"\0\0\0\1\xf4" + text.encode(), None, ("not_json: begins with the frame",))
    for bad in (b"\x00", b"\x01", b"\n", b"\x1f"):
        yield Case("a control character", body.encode() + b', "x": "' + bad + b'"}', None, ("not_json",))
    for size in (1, 7, 300):
        yield Case("noise", b"#" + random.Random(size).randbytes(size), None, ("not_",))
    yield Case("a megabyte of noise", b"#" * 1_000_000, None, ("not_json",))
    yield Case("a megabyte", body.encode() + b', "x": "' + "a\u00e9".encode() * 130_000 + b'"}', right)
    yield Case("UTF-32", text.encode("utf-32"), None, ("not_",))
    for bad in (b"\xff", b"\x80", b"\xc0\xaf", b"\xed\xa0\xbd", b"\xf5\x80\x80\x80"):
        yield Case("no UTF-8", body.encode() + b', "x": "' + bad + b'"}', None, ("not_utf8: the value",))
    yield Case("UTF-16", text.encode("utf-16-le"), None, ("not_",))
    required = tuple(f"missing: {field.name}" for field in contract.fields if field.required)
    yield Case("an empty object", b" { } ", None, required)


def verdict(contract: Contract, text: str, *, arrived: dt.datetime = ARRIVED) -> Verdict:
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


def _tokens(field: ContractField) -> Iterator[str]:
    kind = field.data_type
    yield from ("null", *WRONG)
    if field.item is not None or field.fields:
        return
    if isinstance(kind, StringType):
        yield from TEXTS
        yield from (json.dumps(one) for one in field.allowed[:3])
        for length in (field.min_length, field.max_length):
            yield from (f'"{"é" * size}"' for size in range(max(0, (length or 1) - 1), (length or 1) + 2))
    elif isinstance(kind, TimestampType | DateType):
        yield from map(json.dumps, TIMES if isinstance(kind, TimestampType) else DATES)
        yield from ("1772366400", "1772366400000", "1e300000000", "2026")
    elif isinstance(kind, IntegerType | LongType | DoubleType | DecimalType):
        yield from NUMBERS
        yield from DECIMAL_TEXTS
        for limit in (field.minimum, field.maximum):
            yield from (
                str(Decimal(str(limit or 0)) + Decimal(more)) for more in ("-1", "-0.0001", "0", "0.00004", "1")
            )


def _places(
    fields: Sequence[ContractField], steps: tuple[Any, ...], prefix: str
) -> Iterator[tuple[tuple[Any, ...], str, ContractField]]:
    """How to get to each field of an event, what reasons call it, and what it must be."""
    for field in fields:
        yield from _places_of(field, (*steps, field.name), prefix + field.name)


def _places_of(
    field: ContractField, steps: tuple[Any, ...], path: str
) -> Iterator[tuple[tuple[Any, ...], str, ContractField]]:
    yield steps, path, field
    if field.item is not None:
        yield from _places_of(field.item, (*steps, 0), f"{path}[]")
    else:
        yield from _places(field.fields, steps, f"{path.replace('[]', '')}.")


def _at(value: Any, steps: tuple[Any, ...]) -> Any:
    for step in steps:
        value = value[step]
    return value


def _dumps(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)


def _with(base: Mapping[str, Any], steps: tuple[Any, ...], value: Any) -> str:
    changed = json.loads(_dumps(base))
    _at(changed, steps[:-1])[steps[-1]] = value
    return _dumps(changed)


def _without(base: Mapping[str, Any], steps: tuple[Any, ...]) -> str:
    changed = json.loads(_dumps(base))
    del _at(changed, steps[:-1])[steps[-1]]
    return _dumps(changed)


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
