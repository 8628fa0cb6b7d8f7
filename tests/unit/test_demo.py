"""The demo traffic: both businesses, simulated."""

import datetime as dt
import itertools
import json
from collections import Counter, defaultdict
from decimal import Decimal
from functools import cache
from typing import Any

import pytest

from schemas import load_contracts
from stack.demo import SHARES, TOPICS, Disorder, Incident, Incidents, Kind, Ledger, Message, simulate
from stack.demo.message import Event
from stack.demo.rhythm import rhythm

HOUR = 3600.0
MONDAY = dt.datetime(2026, 3, 2, tzinfo=dt.UTC).timestamp()
# Then it is as busy as on average.
START = MONDAY + 14 * HOUR
RATE = 20
ORDERS, PAYMENTS, CLICKS = "marketplace.orders", "marketplace.payments", "marketplace.clickstream"
BOOKINGS = "travel.bookings"
ORDERLY = Disorder(duplicated=0, late=0, too_late=0, malformed=0)


def until(end: float, **options: Any) -> list[Message]:
    options = {"rate": RATE, "start": START, "seed": 1, "pace": 400, **options}
    return list(itertools.takewhile(lambda message: message.at < end, simulate(**options)))


@cache
def an_hour() -> tuple[Message, ...]:
    return tuple(until(START + HOUR))


@cache
def an_orderly_hour() -> dict[str, list[Event]]:
    ledger = Ledger()
    for message in until(START + HOUR, disorder=ORDERLY):
        ledger.enter(message)
    return ledger.events


@cache
def with_incident(kind: Kind) -> dict[str, list[Event]]:
    """The events of five minutes, after five without it."""
    begin, end = START + 300, START + 600
    ledger = Ledger()
    for message in until(end, disorder=ORDERLY, incidents=Incidents([Incident(kind, begin, end)])):
        if message.at > begin:
            ledger.enter(message)
    return ledger.events


def share(events: list[Event], name: str, value: str) -> float:
    return sum(event.get(name) == value for event in events) / len(events)


def test_every_topic_has_a_contract_and_every_contract_traffic() -> None:
    assert {message.topic for message in an_hour()} == set(TOPICS)
    assert set(TOPICS) == {contract.topic for contract in load_contracts()}


def test_the_same_seed_gives_the_same_traffic() -> None:
    first, again, other = (until(START + 60, seed=seed) for seed in (1, 1, 2))

    assert first == again
    assert first != other


def test_runs_share_no_identity() -> None:
    first, second = ({m.event["event_id"] for m in until(START + 60, seed=None)} for _ in range(2))

    assert not first & second


def test_messages_come_in_the_order_in_which_they_are_sent() -> None:
    times = [message.at for message in an_hour()]

    assert times == sorted(times)


def test_the_rate_holds_once_orders_and_trips_live_their_lives() -> None:
    settled = [message for message in an_hour() if message.at > START + HOUR / 2]

    assert 0.85 < len(settled) / (HOUR / 2) / RATE < 1.15


def test_each_topic_has_its_share() -> None:
    found = Counter(message.topic for message in an_hour() if message.at > START + HOUR / 2)

    for topic in (CLICKS, "travel.searches", ORDERS):
        assert found[topic] / found.total() == pytest.approx(SHARES[topic], rel=0.3)
    assert sum(SHARES.values()) == pytest.approx(1, abs=0.01)


def test_evenings_and_weekends_are_busy() -> None:
    week = [rhythm(MONDAY + hour * HOUR) for hour in range(7 * 24)]

    assert sum(week) / len(week) == pytest.approx(1, abs=0.01)
    assert week[20] > 2 * week[8]
    assert week[5 * 24 + 20] > week[20]


def test_what_must_be_accepted_is_as_its_contract_says() -> None:
    fields = {contract.topic: {field.name: field for field in contract.fields} for contract in load_contracts()}
    for topic, events in an_orderly_hour().items():
        for event in events:
            assert event.keys() <= fields[topic].keys()
            for name, field in fields[topic].items():
                assert name in event or not field.required, (topic, name)
                assert name not in event or not field.allowed or event[name] in field.allowed, (topic, name)


def test_an_order_lives_in_the_right_order() -> None:
    lives: dict[str, list[str]] = defaultdict(list)
    for event in an_orderly_hour()[ORDERS]:
        lives[event["order_id"]].append(event["event_type"])

    whole = ["placed", "paid", "shipped", "delivered", "returned"]
    assert all(life == whole[: len(life)] or life[-1] == "cancelled" for life in lives.values())
    assert {step for life in lives.values() for step in life} == {*whole, "cancelled"}


def test_a_purchase_is_an_order_and_an_order_a_purchase() -> None:
    bought = {event["order_id"] for event in an_orderly_hour()[CLICKS] if event["event_type"] == "purchase"}

    assert bought == {event["order_id"] for event in an_orderly_hour()[ORDERS] if event["event_type"] == "placed"}


def test_what_is_captured_is_what_the_order_costs() -> None:
    def value(order: Event) -> Decimal:
        costs = (line["quantity"] * Decimal(line["unit_price"]) for line in order["lines"])
        return sum(costs, Decimal(0)) - sum(Decimal(line.get("discount", 0)) for line in order["lines"])

    orders = {event["order_id"]: value(event) for event in an_orderly_hour()[ORDERS]}
    captured = [event for event in an_orderly_hour()[PAYMENTS] if event["event_type"] == "captured"]

    assert len(captured) > 100
    assert all(Decimal(event["amount"]) == orders[event["order_id"]] for event in captured)


def test_stock_adds_up() -> None:
    signs = {"reserved": 0, "released": 0, "shipped": -1, "returned": 1, "restocked": 1}
    stock: dict[str, int] = {}
    kinds = Counter[str]()
    for event in an_orderly_hour()["marketplace.inventory"]:
        kinds[event["event_type"]] += 1
        if event["event_type"] != "counted":
            stock[event["product_id"]] += signs[event["event_type"]] * event["quantity"]
        stock.setdefault(event["product_id"], event["stock"])
        assert stock[event["product_id"]] == event["stock"] >= event["reserved"] >= 0
    assert kinds.keys() == {*signs, "counted"}


def test_customers_register_first_and_come_back() -> None:
    known: set[str] = set()
    orders = Counter[str]()
    for message in until(START + HOUR / 2, disorder=ORDERLY):
        person = message.event.get("customer_id")
        if message.event["event_type"] == "registered" and person:
            known.add(person)
        elif person:
            assert person in known
        if message.topic == BOOKINGS:
            orders[message.event["customer_id"]] += message.event["event_type"] == "booked"
    assert max(orders.values()) > 3


def test_disorder_comes_at_its_rates() -> None:
    sent = until(START + HOUR, topics=[CLICKS], disorder=Disorder(0.04, 0.1, 0.02, 0.03))
    fates = Counter(message.fate for message in sent)
    originals = fates["accepted"] + fates["late"] + fates["refused"]
    times = [dt.datetime.fromisoformat(message.event["event_time"]).timestamp() for message in sent]

    assert 0.03 < fates["duplicate"] / originals < 0.05
    assert 0.025 < fates["refused"] / originals < 0.035
    # Some of them come after this hour.
    assert 0.005 < fates["late"] / originals < 0.02
    assert any(
        time < max(times[:index]) - 60 and message.fate == "accepted"
        for index, (time, message) in enumerate(zip(times, sent, strict=True))
        if index > 1
    )


def test_what_is_broken_cannot_be_taken_for_whole() -> None:
    refused = [message for message in an_hour() if message.fate == "refused"]

    assert len(refused) > 100
    for message in refused:
        try:
            assert json.loads(message.value) != message.event
        except ValueError:
            continue


@pytest.mark.parametrize("topic", [CLICKS, BOOKINGS])
def test_a_topic_may_be_wanted_alone(topic: str) -> None:
    assert {message.topic for message in until(START + HOUR / 4, topics=[topic])} == {topic}


def test_in_a_payment_outage_payments_fail() -> None:
    failed = [event for event in with_incident("payment_outage")[PAYMENTS] if event["event_type"] == "failed"]

    assert share(failed, "failure_reason", "provider_unavailable") > 0.8
    assert share(with_incident("payment_outage")[PAYMENTS], "event_type", "failed") > 0.5


def test_a_viral_product_is_looked_at_by_half_of_all() -> None:
    views = [event for event in with_incident("viral_product")[CLICKS] if event["event_type"] == "view"]

    assert Counter(event["product_id"] for event in views).most_common(1)[0][1] / len(views) > 0.4


def test_a_spike_brings_many_visitors() -> None:
    assert len(with_incident("traffic_spike")[CLICKS]) > 3 * len(with_incident("viral_product")[CLICKS])


def test_what_is_out_of_stock_is_not_sold() -> None:
    orders = [event for event in with_incident("stock_out")[ORDERS] if event["event_type"] == "placed"]

    assert orders
    assert share(orders, "vendor_id", "vendor-01") == 0


def test_a_price_mistake_shows_in_orders() -> None:
    def cheapest(kind: Kind) -> Decimal:
        lines = [line for event in with_incident(kind)[ORDERS] for line in event["lines"]]
        return min(Decimal(line["unit_price"]) for line in lines if line["product_id"].startswith("vendor-01"))

    assert cheapest("price_mistake") < cheapest("viral_product") / 10


def test_after_a_data_outage_everything_arrives() -> None:
    begin, end = START + 600, START + 900
    outage = Incidents([Incident("data_outage", begin, end)])

    sent = until(START + 1200, incidents=outage, disorder=ORDERLY)

    assert not [message for message in sent if begin <= message.at < end]
    events = {message.event["event_id"] for message in sent}
    assert events == {message.event["event_id"] for message in until(START + 1200, disorder=ORDERLY)}
