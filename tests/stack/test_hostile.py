"""Hostile records among good ones: the stream goes on, every good event enters, every other one has its reason."""

import datetime as dt
import json
import random
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from stack.produce import sender
from tests.scale import scaled
from tests.stack.pipeline import TOPIC, Jobs, Lake, running_broker

RECORDS = scaled(small=6_000, full=252_000)
SHARE_OF_GOOD = 0.2
MEGABYTES = scaled(small=10, full=60)

Hostile = tuple[bytes | None, tuple[str, ...]]
"""A record's value, and how the reasons for which it may be refused begin."""

WRONG_VALUES: tuple[Any, ...] = (7, -1.5, True, [], ["x"], {}, {"a": 1}, [[]])
TEXT_FIELDS = ("event_id", "order_id", "customer_id", "vendor_id", "country")
REQUIRED = ("event_id", "event_type", "event_time", "order_id", "vendor_id", "country", "channel", "lines")
BAD_TIMES: tuple[Any, ...] = (
    *(
        "yesterday",
        "",
        " ",
        "null",
        "12:00",
        "T12:00",
        "01/02/2026",
        "1.3.2026",
        "20260301",
        "2026",
        "2026-03",
        "2026-3-1",
    ),
    *("2026-03-01", "2026-13-01T00:00:00Z", "2026-02-30T00:00:00Z", "2026-03-01T25:00:00Z", "2026-03-01T12:61:00Z"),
    *("2026-03-01T12:00:00+99:00", "2026-03-01T12:00:00Zulu", "1772366400", "Sun, 01 Mar 2026 12:00:00 GMT"),
    *(
        "9999-12-31T23:59:59Z",
        "+12026-03-01T12:00:00Z",
        "2026-03-01T12:00:00Z; DROP TABLE",
        "∞",
        "\uff12\uff10\uff12\uff16-03-01T12:00:00Z",
    ),
    *(1772366400, 1772366400000, 1e300, True, [2026, 3, 1], {"date": "2026-03-01"}),
)
BAD_QUANTITIES = (
    *("-1", "100001", "2147483648", "-2147483649", "1e30", "1" + "0" * 400, "1.5", '"5"', '""', "true", "[]", "{}"),
    *('"NaN"', "9223372036854775808", "0x10", "1_000", "٣"),
)
BAD_PRICES = (
    *(
        "-0.01",
        "1e30",
        "1" + "0" * 400,
        '"a"',
        '""',
        '"1,5"',
        '"NaN"',
        "true",
        "[1]",
        "{}",
        "100000.01",
        '"1E3"',
        '" 1"',
    ),
    # Written out, each has more zeros than there is time or memory for.
    *("1e10000000", "1e300000000", "1e-300000000", "1e2147483647"),
    *("19.99995", "-0.00004", "100000.00004", '"0.00001"'),
)


def good(number: int) -> dict[str, Any]:
    return {
        "event_id": f"event-{number}",
        "event_type": "placed",
        "event_time": dt.datetime.now(dt.UTC).isoformat(),
        "order_id": f"order-{number}",
        "vendor_id": "vendor-1",
        "country": "DE",
        "channel": "web",
        "lines": [{"product_id": "p", "category": "Books", "quantity": 1, "unit_price": "1.50"}],
    }


def encoded(event: dict[str, Any]) -> bytes:
    return json.dumps(event, separators=(",", ":")).encode()


def with_line(number: int, field: str, literal: str) -> bytes:
    """An event whose line has a piece of JSON, right or wrong, as one of its values."""
    event = good(number)
    event["lines"][0][field] = "@"
    return encoded(event).replace(b'"@"', literal.encode())


def truncated(choose: random.Random, number: int) -> Hostile:
    value = encoded(good(number))
    return value[: choose.randrange(1, len(value))], ("not_json",)


def nested(choose: random.Random, number: int) -> Hostile:
    depth = choose.choice((2, 50, 999, 1_001, 20_000))
    return b"[" * depth + b"]" * depth, ("not_an_object", "not_json")


def nested_inside(choose: random.Random, number: int) -> Hostile:
    depth = choose.choice((1, 50, 1_001, 20_000))
    field = choose.choice(TEXT_FIELDS)
    deep = b'{"a":' * depth + b"1" + b"}" * depth
    return encoded(good(number) | {field: "@"}).replace(b'"@"', deep), (f"wrong_type: {field}", "not_json")


def not_utf8(choose: random.Random, number: int) -> Hostile:
    field = choose.choice(TEXT_FIELDS)
    bad = choose.choice((b"\xff\xfe", b"\x80", b"\xc0\xaf", b"\xed\xa0\x80", b"\xf5\x80\x80\x80", b"\xe2\x82"))
    return encoded(good(number) | {field: "a@b"}).replace(b"a@b", b"a" + bad), ("not_json", "not_utf8")


def control_characters(choose: random.Random, number: int) -> Hostile:
    bad = choose.choice((b"\x00", b"\x01", b"\n", b"\x1f"))
    return encoded(good(number) | {choose.choice(TEXT_FIELDS): "a@b"}).replace(b"a@b", b"a" + bad + b"b"), ("not_json",)


def wrong_type(choose: random.Random, number: int) -> Hostile:
    field = choose.choice((*REQUIRED, "customer_id"))
    wrong = choose.choice([value for value in WRONG_VALUES if field != "lines" or not isinstance(value, list)])
    return encoded(good(number) | {field: wrong}), (f"wrong_type: {field}",)


def missing(choose: random.Random, number: int) -> Hostile:
    event = good(number)
    field = choose.choice(REQUIRED)
    if choose.random() < 0.5:
        del event[field]
    else:
        event[field] = None
    return encoded(event), (f"missing: {field}",)


def bad_time(choose: random.Random, number: int) -> Hostile:
    event = good(number) | {"event_time": choose.choice(BAD_TIMES)}
    return encoded(event), ("wrong_type: event_time", "ahead: event_time", "missing: event_time")


def bad_quantity(choose: random.Random, number: int) -> Hostile:
    rules = ("wrong_type", "below_minimum", "above_maximum")
    allowed = (*(f"{rule}: lines.quantity" for rule in rules), "not_json")
    return with_line(number, "quantity", choose.choice(BAD_QUANTITIES)), allowed


def bad_price(choose: random.Random, number: int) -> Hostile:
    rules = ("wrong_type", "too_precise", "below_minimum", "above_maximum")
    allowed = tuple(f"{rule}: lines.unit_price" for rule in rules)
    return with_line(number, "unit_price", choose.choice(BAD_PRICES)), allowed


def inner_text(choose: random.Random, number: int) -> Hostile:
    field = choose.choice(("product_id", "category"))
    return with_line(number, field, choose.choice(("815", "true", '{"a":1}', '["x"]'))), (f"wrong_type: lines.{field}",)


def more_follows(choose: random.Random, number: int) -> Hostile:
    more = choose.choice((b"\n" + encoded(good(number)), b" garbage", b"{", b",", b"}", b',"x":{}'))
    return encoded(good(number)) + more, ("not_json",)


def half_a_character(choose: random.Random, number: int) -> Hostile:
    half = choose.choice((rb"\ud83d", rb"\uDE00", rb"\\\ud83d\ud83d\ude00"))
    return encoded(good(number) | {choose.choice(TEXT_FIELDS): "a@b"}).replace(b"a@b", b"a" + half), ("not_utf8",)


def other_envelope(choose: random.Random, number: int) -> Hostile:
    row = good(number)
    enveloped = choose.choice(
        ({"before": None, "after": row, "op": "c"}, {"schema": {}, "payload": row}, {"specversion": "1.0", "data": row})
    )
    return encoded(enveloped), ("envelope",)


def framed(choose: random.Random, number: int) -> Hostile:
    begin = choose.choice((b"\0\0\0\0\x01", b"\0\0\0\x01\xf4", b"\xef\xbb\xbf"))
    return begin + encoded(good(number)), ("not_json: begins",)


def many_lines(choose: random.Random, number: int) -> Hostile:
    event = good(number)
    event["lines"] *= choose.choice((0, 501, 5_000))
    return encoded(event), ("too_few_items: lines", "too_many_items: lines")


def no_value(choose: random.Random, number: int) -> Hostile:
    return choose.choice((None, b"", b" ", b"\n\t ")), ("empty",)


def no_object(choose: random.Random, number: int) -> Hostile:
    value = choose.choice((b"7", b"-1e9", b'"text"', b"null", b"true", b"[]", b"[{}]", b'[{"event_id":"e"}]'))
    return value, ("not_an_object",)


def noise(choose: random.Random, number: int) -> Hostile:
    # Without what may begin JSON.
    return b"#" + choose.randbytes(choose.randrange(1, 300)), ("not_json", "not_utf8")


def last_key_wins_wrongly(choose: random.Random, number: int) -> Hostile:
    field = choose.choice(TEXT_FIELDS[:1] + TEXT_FIELDS[3:])
    return encoded(good(number)).removesuffix(b"}") + f',"{field}":null}}'.encode(), (f"missing: {field}",)


def other_encoding(choose: random.Random, number: int) -> Hostile:
    encoding = choose.choice(("utf-16", "utf-16-le", "utf-32"))
    return json.dumps(good(number)).encode(encoding), ("not_json", "not_an_object", "not_utf8")


KINDS: tuple[Callable[[random.Random, int], Hostile], ...] = (
    *(truncated, nested, nested_inside, not_utf8, control_characters, wrong_type, missing, bad_time, bad_quantity),
    *(bad_price, many_lines, no_value, no_object, noise, last_key_wins_wrongly, other_encoding),
    *(inner_text, more_follows, half_a_character, other_envelope, framed),
)


def megabyte(choose: random.Random, number: int) -> Hostile:
    """A value of a megabyte: noise, or an event with a field of that length."""
    if choose.random() < 0.3:
        return b"#" + b"x" * 1_000_000, ("not_json",)
    field = choose.choice(TEXT_FIELDS)
    event = good(number) | {field: choose.choice("aé🙂") * 200_000}
    return json.dumps(event, ensure_ascii=False).encode(), (f"too_long: {field}",)


def odd_but_right(choose: random.Random, number: int) -> bytes:
    """An event that is unusual and nevertheless right."""
    event = good(number)
    change = choose.choice(
        ("plain", "unicode", "unknown field", "null", "spaces", "first key loses", "price", "whole", "zone")
    )
    if change == "unicode":
        event |= {"order_id": choose.choice(("🙂", "Ωmega", "a\u0000b", 'quote"', "null", "true", "line\nbreak", "\\"))}
    elif change == "unknown field":
        event |= {"comment": choose.choice(WRONG_VALUES)}
    elif change == "null":
        event |= {"customer_id": None}
    elif change == "spaces":
        return choose.choice((b"\n\t", b"")) + json.dumps(event, indent=3).encode() + choose.choice((b"\r\n ", b""))
    elif change == "first key loses":
        return b'{"channel":7,' + encoded(event).removeprefix(b"{")
    elif change == "price":
        event["lines"][0]["unit_price"] = choose.choice((0, "0.0001", 99.99, "100000", 1e3, "7.50000"))
    elif change == "whole":
        return with_line(number, "quantity", choose.choice(("2.0", "2e0", "20E-1")))
    elif change == "zone":
        zone = dt.timezone(dt.timedelta(hours=choose.choice((-11, 5.5, 14))))
        event["event_time"] = dt.datetime.now(zone).isoformat()
    return encoded(event)


def records(choose: random.Random) -> Iterator[tuple[bytes | None, tuple[str, ...]]]:
    """Values in the order of sending; without reasons for refusal where the event is right."""
    for number in range(RECORDS):
        if choose.random() < SHARE_OF_GOOD:
            yield odd_but_right(choose, number), ()
        elif number % (RECORDS // MEGABYTES) == 0:
            yield megabyte(choose, number)
        else:
            yield choose.choice(KINDS)(choose, number)


def test_hostile_records_are_refused_with_the_right_reason_and_the_rest_enters(tmp_path: Path) -> None:
    choose = random.Random(20260301)
    expected: list[tuple[str, ...]] = []
    right: list[str] = []
    with running_broker(tmp_path, partitions=1) as settings, Jobs(settings, "marketplace") as jobs:
        jobs.start()
        with sender(settings) as kafka:
            for number, (value, reasons) in enumerate(records(choose)):
                # The client refuses to send a record that has neither.
                key = choose.choice((b"", b"k") if value is None else (None, b"", b"k"))
                kafka.send(TOPIC, key=key, value=value)
                expected.append(reasons)
                right += [] if reasons else [f"event-{number}"]
        lake = Lake(settings.lake_url)
        lake.wait_for(len(expected), jobs, seconds=900)
        assert jobs.stop() == 0, jobs.log

    counts = {name: lake.intake(name) for name in ("input", "accepted", "refused", "late", "duplicates")}
    print(f"\n{counts}")
    quarantine = lake.table("quarantine/marketplace_orders", ["offset", "reasons", "value"]).to_pylist()
    assert [row["offset"] for row in quarantine if not row["reasons"]] == []
    refused = {row["offset"]: row["reasons"] for row in quarantine}
    unlike = Counter(
        (expected[offset], tuple(reason[:80] for reason in reasons))
        for offset, reasons in refused.items()
        if not any(reason.startswith(expected[offset] or "?") for reason in reasons)
    )
    assert unlike == Counter()
    entered = [offset for offset, reasons in enumerate(expected) if reasons and offset not in refused]
    assert entered == []
    assert sorted(lake.table("silver/marketplace_orders", ["event_id"])["event_id"].to_pylist()) == sorted(right)
    assert len(quarantine) == len(refused)
    assert counts == {
        "input": len(expected),
        "accepted": len(right),
        "refused": len(refused),
        "late": 0,
        "duplicates": 0,
    }
