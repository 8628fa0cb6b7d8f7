"""Values that hurt, of every field of any contract at every depth, and what must become of each."""

import datetime as dt
import json
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from typing import Any, TypeAlias

import yaml
from pyspark.sql.types import (
    DateType,
    DecimalType,
    DoubleType,
    IntegerType,
    LongType,
    StringType,
    TimestampType,
)

from schemas import Contract, ContractField
from tests.verdict import Verdict, verdict

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
Judge: TypeAlias = Callable[[str], Verdict]


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
    for name, odd in _odd_records(base, text).items():
        yield Case(name, odd.encode(), right)
    for name, wrong, reason in _wrong_records(text):
        yield Case(name, wrong if isinstance(wrong, bytes) else wrong.encode(), None, (reason,))
    required = tuple(f"missing: {field.name}" for field in contract.fields if field.required)
    yield Case("an empty object", b" { } ", None, required)
    yield Case("nothing", None, None, ("empty",))


def _odd_records(base: Mapping[str, Any], text: str) -> dict[str, str]:
    """Records that are unusual and nevertheless right, by their names."""
    body = text.removesuffix("}")
    return {
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
        "a megabyte": body + ', "x": "' + "aé" * 320_000 + '"}',
    }


def _wrong_records(text: str) -> Sequence[tuple[str, str | bytes, str]]:
    """Records that are no event: the name, the record, and how the reason begins."""
    body = text.removesuffix("}")
    return (
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
        *(("a control character", body + f', "x": "{bad}"}}', "not_json") for bad in ("\0", "\1", "\n", "\x1f")),
        *(("noise", b"#" + random.Random(size).randbytes(size), "not_") for size in (1, 7, 300)),
        ("a megabyte of noise", "#" * 1_000_000, "not_json"),
        ("a frame with bytes", b"\0\0\0\1\xf4" + text.encode(), "not_json: begins with the frame"),
        *(
            ("no UTF-8", body.encode() + b', "x": "' + bad + b'"}', "not_utf8: the value")
            for bad in (b"\xff", b"\x80", b"\xc0\xaf", b"\xed\xa0\xbd", b"\xf5\x80\x80\x80")
        ),
        *((encoding, text.encode(encoding), "not_") for encoding in ("utf-16", "utf-16-le", "utf-32")),
    )


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
