import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from pyspark.sql import DataFrame

from jobs.judge import Judge
from schemas import Contract
from tests.spark.conftest import Event

Records = Callable[..., DataFrame]
LINE = {"product_id": "p-1", "category": "Books", "quantity": 2, "unit_price": "19.99"}


@pytest.fixture(scope="module")
def judge(orders: Contract) -> Judge:
    return Judge(orders, (), key=b"key")


@pytest.fixture
def reasons_for(arrived: Records, judge: Judge) -> Callable[..., list[list[str]]]:
    def reasons(*values: Any) -> list[list[str]]:
        records = arrived(*values)
        found = [row["reasons"] for row in judge.judge(records).orderBy("offset").collect()]
        at_first_sight = [row["reasons"] for row in judge.screen(records).orderBy("offset").collect()]
        assert all(seen is None or seen == thorough == [] for seen, thorough in zip(at_first_sight, found, strict=True))
        return found

    return reasons


def test_a_right_event_is_accepted(reasons_for: Callable[..., list[list[str]]], event: Event) -> None:
    guest = event()
    del guest["customer_id"]
    priced_as_number = event(lines=[{**LINE, "unit_price": 19.99}])
    free_of_charge = event(lines=[{**LINE, "unit_price": 0}])
    unknown_field = event(note="hello")
    with_offset = event(event_time="2026-03-01T13:00:05+01:00")

    verdicts = reasons_for(event(), guest, priced_as_number, free_of_charge, unknown_field, with_offset)

    assert verdicts == [[]] * 6


def test_what_is_not_an_object_is_refused(reasons_for: Callable[..., list[list[str]]]) -> None:
    verdicts = reasons_for(None, b"", b"  ", b"hello", b'{"event_id": "e', b"\xff\xfe", b"[1]", b"7", b"null", b'"x"')

    empty, no_json = ["empty: the record has no value"], ["not_json: the value is not JSON"]
    no_text = ["not_utf8: the value is not UTF-8"]
    no_object = ["not_an_object: the value is JSON but no object"]
    assert verdicts == [empty] * 3 + [no_json] * 2 + [no_text] + [no_object] * 4


@pytest.mark.parametrize(
    "field", ["event_id", "event_type", "event_time", "order_id", "vendor_id", "country", "channel", "lines"]
)
def test_a_missing_required_field_is_refused(
    reasons_for: Callable[..., list[list[str]]], event: Event, field: str
) -> None:
    absent = event()
    del absent[field]

    assert reasons_for(absent, event(**{field: None})) == [[f"missing: {field}"]] * 2


def test_a_wrong_type_is_refused(reasons_for: Callable[..., list[list[str]]], event: Event) -> None:
    cases: list[tuple[dict[str, Any], str]] = [
        ({"event_id": 7}, "wrong_type: event_id (7)"),
        ({"event_time": "2026"}, "wrong_type: event_time (2026)"),
        (
            {"event_time": "2026-03-01T12:00:05 Europe/Paris"},
            "wrong_type: event_time (2026-03-01T12:00:05 Europe/Paris)",
        ),
        ({"lines": [{**LINE, "unit_price": "1,5"}]}, "wrong_type: lines.unit_price (1,5)"),
        ({"lines": [{**LINE, "unit_price": "1,000.00"}]}, "wrong_type: lines.unit_price (1,000.00)"),
        ({"customer_id": True}, "wrong_type: customer_id (true)"),
        ({"vendor_id": {"name": "x"}}, 'wrong_type: vendor_id ({"name":"x"})'),
        ({"event_time": "yesterday"}, "wrong_type: event_time (yesterday)"),
        ({"event_time": 12345}, "wrong_type: event_time (12345)"),
        ({"lines": "none"}, "wrong_type: lines (none)"),
        ({"lines": [{**LINE, "quantity": "two"}]}, "wrong_type: lines.quantity (two)"),
        ({"lines": [{**LINE, "quantity": 1.5}]}, "wrong_type: lines.quantity (1.5)"),
        ({"lines": [{**LINE, "quantity": 10**12}]}, "wrong_type: lines.quantity (1000000000000)"),
        ({"lines": [LINE, {**LINE, "unit_price": "free"}]}, "wrong_type: lines.unit_price (free)"),
    ]

    assert reasons_for(*(event(**changes) for changes, _ in cases)) == [[reason] for _, reason in cases]


def test_digits_in_a_string_are_no_wrong_type(reasons_for: Callable[..., list[list[str]]], event: Event) -> None:
    nested = event(vendor_id="7", note={"vendor_id": 7, "event_time": 2026})

    assert reasons_for(event(event_id="7", order_id="-1", vendor_id="true", country="{}"), nested) == [[], []]


def test_a_wrong_type_beside_a_right_one_of_the_same_name_is_refused(
    reasons_for: Callable[..., list[list[str]]], event: Event
) -> None:
    nested = event(vendor_id=5, note={"vendor_id": "a"})
    time = event(event_time="2026", note={"event_time": event()["event_time"]})
    text = json.dumps(event(vendor_id=5))
    escaped = text.replace("vendor_id", "vendor\\u005fid").replace("{", '{"note": {"vendor_id": "a"}, ', 1)
    twice = text.replace("{", '{"vendor_id": "a", ', 1)

    verdicts = reasons_for(nested, time, escaped.encode(), twice.encode())

    number = ["wrong_type: vendor_id (5)"]
    assert verdicts == [number, ["wrong_type: event_time (2026)"], number, number]


def test_nearly_json_is_refused(reasons_for: Callable[..., list[list[str]]], event: Event) -> None:
    text = json.dumps(event())
    single_quoted = text.replace('"vendor_id"', "'vendor_id'")
    no_number = json.dumps(event(lines=[{**LINE, "quantity": float("nan")}]))

    verdicts = reasons_for(single_quoted.encode(), no_number.encode(), text.replace(":", "=").encode())

    assert verdicts == [["not_json: the value is not JSON"]] * 3


def test_a_right_event_is_not_in_doubt(arrived: Records, judge: Judge, event: Event) -> None:
    # Otherwise every event is judged twice, and nothing but the time it takes would show it.
    digits = event(event_id="7f4ac1b6", order_id="1", vendor_id="-", customer_id="0")

    screened = judge.screen(arrived(event(), digits, event(note="hello"))).collect()

    assert [row["reasons"] for row in screened] == [[]] * 3


def test_a_broken_rule_is_refused_with_field_and_value(
    reasons_for: Callable[..., list[list[str]]], event: Event
) -> None:
    cases: list[tuple[dict[str, Any], str]] = [
        ({"event_type": "teleported"}, "not_allowed: event_type (teleported)"),
        ({"channel": "fax"}, "not_allowed: channel (fax)"),
        ({"order_id": ""}, "too_short: order_id ()"),
        ({"lines": []}, "too_few_items: lines ([])"),
        ({"lines": [LINE, {**LINE, "quantity": -1}]}, "below_minimum: lines.quantity (-1)"),
        ({"lines": [{**LINE, "unit_price": "-0.01"}]}, "below_minimum: lines.unit_price (-0.01)"),
        ({"lines": [{**LINE, "unit_price": 100000.01}]}, "above_maximum: lines.unit_price (100000.01)"),
        ({"event_time": "2026-03-01T13:00:11Z"}, "ahead: event_time (2026-03-01T13:00:11Z)"),
    ]

    assert reasons_for(*(event(**changes) for changes, _ in cases)) == [[reason] for _, reason in cases]


def test_huge_exponents_are_refused_at_once(judge: Judge, arrived: Records, event: Event) -> None:
    text = json.dumps(event(lines=[{**LINE, "unit_price": "@"}]))
    bombs = [text.replace('"@"', bomb).encode() for bomb in ("1e10000000", "1e300000000", "1e-300000000") * 300]
    records = arrived(*bombs)
    judge.judge(arrived(event(channel="fax"))).collect()

    began = time.monotonic()
    reasons = [row["reasons"] for row in judge.judge(records).collect()]

    # One of them alone took 50 seconds when it was written out.
    assert time.monotonic() - began < 60
    assert {reason.partition(" (")[0] for found in reasons for reason in found} == {"wrong_type: lines.unit_price"}
    assert len(reasons) == len(bombs)


def test_an_event_an_hour_ahead_is_still_accepted(reasons_for: Callable[..., list[list[str]]], event: Event) -> None:
    assert reasons_for(event(event_time="2026-03-01T13:00:10Z")) == [[]]


def test_all_reasons_are_given(reasons_for: Callable[..., list[list[str]]], event: Event) -> None:
    bad = event(event_type="x", order_id=None, lines=[{**LINE, "quantity": -1}, {**LINE, "category": None}])

    assert reasons_for(bad) == [
        [
            "not_allowed: event_type (x)",
            "missing: order_id",
            "below_minimum: lines.quantity (-1)",
            "missing: lines.category",
        ]
    ]


def test_a_refused_record_keeps_its_bytes_and_gives_no_field(arrived: Records, orders: Contract, event: Event) -> None:
    judged = Judge(orders, (), key=b"key").judge(arrived(event(vendor_id=None), event()))

    refused, accepted = judged.orderBy("offset").collect()

    assert refused["value"].startswith(b'{"event_id": "event-1"')
    assert refused["event_id"] is None
    assert refused["event_time"] is None
    assert accepted["value"] is None
    assert accepted["event_id"] == "event-1"
