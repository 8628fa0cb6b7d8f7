"""Each mart, from a few events to its rows."""

import datetime as dt
from collections.abc import Callable
from decimal import Decimal
from itertools import chain
from typing import Any

import pytest
from chispa import assert_df_equality
from pyspark.sql import SparkSession
from pyspark.sql.types import LongType, StructField, StructType

from jobs.marts import MARTS, SNAPSHOTS, Mart, Snapshot
from jobs.marts.marketplace import (
    FULFILMENT_BY_MINUTE,
    PRODUCTS_BY_DAY,
    PULSE_BY_5_SECONDS,
    PULSE_BY_SECOND,
    SALES_BY_MINUTE,
    VENDORS_BY_DAY,
)
from jobs.marts.payments import MARKETPLACE_PAYMENTS_BY_MINUTE, TRAVEL_PAYMENTS_BY_MINUTE
from jobs.marts.things import INVENTORY_NOW, VENDORS_NOW
from jobs.marts.travel import BOOKINGS_BY_MINUTE, SEARCHES_BY_MINUTE
from jobs.marts.visits import FUNNEL_BY_MINUTE, RATINGS_BY_DAY
from schemas import load_contracts

DAY = dt.datetime(2026, 3, 1)
NOON = DAY + dt.timedelta(hours=12)
NEXT_MINUTE = NOON + dt.timedelta(minutes=1)
CONTRACTS = {contract.topic: contract for contract in load_contracts()}

Row = dict[str, Any]
Holds = Callable[..., None]


@pytest.fixture
def holds(spark: SparkSession) -> Holds:
    """Compares what a mart makes of events with rows; what is left out there is 0, or null for extremes."""

    def compare(mart: Mart, events: list[Row], *rows: Row) -> None:
        (topic,) = (topic for topic, marts in MARTS.items() if mart in marts)
        found = mart.measure(spark.createDataFrame(events, CONTRACTS[topic].spark_schema))
        empty = {m.name: 0 if m.merge == "sum" else None for m in mart.measures}
        expected = spark.createDataFrame([_exact(mart, empty | row) for row in rows], mart.table.schema)
        assert_df_equality(found, expected, ignore_row_order=True, ignore_nullable=True, ignore_metadata=True)

    return compare


def _exact(mart: Mart, row: Row) -> Row:
    """A row whose decimals are decimals."""
    decimals = [m.name for m in mart.measures if m.data_type.typeName() == "decimal"]
    return row | {name: Decimal(row[name]) for name in decimals if row[name] is not None}


def at(seconds: float) -> dt.datetime:
    return NOON + dt.timedelta(seconds=seconds)


def line(category: str, quantity: int, price: str, discount: str | None = None) -> Row:
    return {
        "product_id": f"a-{category.lower()}",
        "category": category,
        "quantity": quantity,
        "unit_price": Decimal(price),
        "discount": None if discount is None else Decimal(discount),
    }


def order(event_type: str, seconds: float, *lines: Row, **changes: Any) -> Row:
    fields = {"vendor_id": "vendor-1", "country": "DE", "channel": "web"}
    return {"event_type": event_type, "event_time": at(seconds), "lines": list(lines), **fields, **changes}


BOOKS, TOYS = line("Books", 2, "10.00", "1.50"), line("Toys", 1, "5.50")
# Two orders placed in one minute, one of them cancelled in the next, and the toys of the other returned.
ORDERS = [
    order("placed", 1, BOOKS, TOYS, line("Books", 1, "4.00")),
    order("placed", 1.5, line("Books", 1, "3.00")),
    order("paid", 6, BOOKS),
    order("cancelled", 61, line("Books", 1, "3.00")),
    order("returned", 62, line("Toys", 1, "5.50", "0.50")),
]


def test_sales_by_minute(holds: Holds) -> None:
    books = {"vendor_id": "vendor-1", "category": "Books", "country": "DE", "channel": "web"}
    toys = books | {"category": "Toys"}
    book_sales = {"orders": 2, "units": 4, "gross": 27, "discount": "1.5", "net": "25.5"}
    toy_sales = {"orders": 1, "units": 1, "gross": "5.5", "net": "5.5"}

    holds(
        SALES_BY_MINUTE,
        ORDERS,
        books
        | book_sales
        | {"minute": NOON, "order_value_min": 3, "order_value_max": 24, "order_value_sum_of_squares": 585},
        toys
        | toy_sales
        | {
            "minute": NOON,
            "order_value_min": "5.5",
            "order_value_max": "5.5",
            "order_value_sum_of_squares": "30.25",
        },
        books | {"minute": NEXT_MINUTE, "cancelled": 1},
        toys | {"minute": NEXT_MINUTE, "returned": 1, "refunds": 5},
    )


def test_pulse_by_second(holds: Holds) -> None:
    holds(
        PULSE_BY_SECOND,
        ORDERS,
        {"second": at(1), "events": 2, "orders": 2, "gross": "32.5"},
        {"second": at(6), "events": 1},
        {"second": at(61), "events": 1},
        {"second": at(62), "events": 1},
    )


def test_pulse_by_5_seconds(holds: Holds) -> None:
    holds(
        PULSE_BY_5_SECONDS,
        ORDERS,
        {"five_seconds": at(0), "events": 2, "orders": 2, "gross": "32.5"},
        {"five_seconds": at(5), "events": 1},
        {"five_seconds": at(60), "events": 2},
    )


def test_vendors_by_day(holds: Holds) -> None:
    delivered = [order("delivered", 90, TOYS, deliver_by=at(seconds)) for seconds in (89, 90)]
    sold = {"orders": 2, "units": 5, "gross": "32.5", "discount": "1.5", "net": 31}
    undone = {"cancelled": 1, "returned": 1, "refunds": 5}

    holds(
        VENDORS_BY_DAY,
        [*ORDERS, *delivered, order("delivered", 90, TOYS), order("shipped", 91, TOYS, vendor_id="vendor-2")],
        {"day": DAY, "vendor_id": "vendor-1", **sold, **undone, "delivered": 3, "late": 1},
        {"day": DAY, "vendor_id": "vendor-2", "shipped": 1},
    )


def test_products_by_day(holds: Holds) -> None:
    product = {"day": DAY, "vendor_id": "vendor-1"}

    holds(
        PRODUCTS_BY_DAY,
        ORDERS,
        product
        | {"category": "Books", "product_id": "a-books", "orders": 3, "units": 4, "gross": 27, "discount": "1.5"},
        product
        | {
            "category": "Toys",
            "product_id": "a-toys",
            "orders": 1,
            "units": 1,
            "gross": "5.5",
            "returned_units": 1,
            "refunds": 5,
        },
    )


def test_fulfilment_by_minute(holds: Holds) -> None:
    steps = [
        order("shipped", 1, placed_at=at(-1.25)),
        order("shipped", 2, placed_at=at(-10)),
        order("shipped", 3),
        order("delivered", 61, placed_at=at(1), deliver_by=at(60)),
        order("delivered", 62, placed_at=at(0), deliver_by=at(63)),
        order("placed", 62),
    ]

    holds(
        FULFILMENT_BY_MINUTE,
        steps,
        {"minute": NOON, "vendor_id": "vendor-1", "shipped": 3, "ship_seconds": "14.25", "ship_seconds_max": 12},
        {
            "minute": NEXT_MINUTE,
            "vendor_id": "vendor-1",
            "delivered": 2,
            "promised": 2,
            "late": 1,
            "deliver_seconds": 122,
            "deliver_seconds_max": 62,
        },
    )


def test_funnel_by_minute(holds: Holds) -> None:
    def click(event_type: str, seconds: int, device: str = "mobile") -> Row:
        return {"event_type": event_type, "event_time": at(seconds), "channel": "app", "device": device}

    clicks = [click("search", 1), click("view", 2), click("view", 3), click("cart", 4), click("view", 5, "tablet")]
    mobile = {"channel": "app", "device": "mobile"}

    holds(
        FUNNEL_BY_MINUTE,
        [*clicks, click("checkout", 60), click("purchase", 61)],
        mobile | {"minute": NOON, "searches": 1, "views": 2, "carts": 1},
        mobile | {"minute": NOON, "device": "tablet", "views": 1},
        mobile | {"minute": NEXT_MINUTE, "checkouts": 1, "purchases": 1},
    )


def test_ratings_by_day(holds: Holds) -> None:
    def review(rating: int, event_type: str = "submitted", product: str = "p-1") -> Row:
        fields = {"event_type": event_type, "event_time": at(0), "vendor_id": "vendor-1", "product_id": product}
        return {**fields, "rating": rating}

    product = {"day": DAY, "vendor_id": "vendor-1"}

    holds(
        RATINGS_BY_DAY,
        [review(5), review(5), review(1), review(3, product="p-2"), review(4, "edited")],
        product | {"product_id": "p-1", "reviews": 3, "stars": 11, "stars_5": 2, "stars_1": 1},
        product | {"product_id": "p-2", "reviews": 1, "stars": 3, "stars_3": 1},
    )


@pytest.mark.parametrize("mart", [MARKETPLACE_PAYMENTS_BY_MINUTE, TRAVEL_PAYMENTS_BY_MINUTE])
def test_payments_by_minute(holds: Holds, mart: Mart) -> None:
    def payment(event_type: str, amount: str, reason: str | None = None) -> Row:
        fields = {"event_time": at(1), "method": "card", "failure_reason": reason}
        return {"event_type": event_type, "amount": Decimal(amount), **fields}

    card = {"minute": NOON, "method": "card"}

    holds(
        mart,
        [
            payment("authorized", "10"),
            payment("captured", "10"),
            payment("captured", "5.5"),
            payment("refunded", "5.5"),
            payment("charged_back", "2"),
            payment("failed", "7", "declined"),
        ],
        card
        | {"failure_reason": "none", "authorized": 1, "captured": 2, "refunded": 1, "charged_back": 1}
        | {"authorized_amount": 10, "captured_amount": "15.5", "refunded_amount": "5.5", "charged_back_amount": 2},
        card | {"failure_reason": "declined", "failed": 1, "failed_amount": 7},
    )


TRIP = {"destination": "Rome", "trip_type": "flight", "channel": "web"}


def test_bookings_by_minute(holds: Holds) -> None:
    def booking(event_type: str, seconds: int, amount: str, **changes: Any) -> Row:
        fields = {"event_time": at(seconds), "amount": Decimal(amount), "travellers": 2, **TRIP}
        return {"event_type": event_type, **fields, **changes}

    holds(
        BOOKINGS_BY_MINUTE,
        [
            booking("booked", 1, "100"),
            booking("booked", 2, "50.50", travellers=1),
            booking("booked", 2, "80", destination="Lisbon"),
            booking("confirmed", 3, "100"),
            booking("changed", 61, "100"),
            booking("cancelled", 62, "50.50"),
            booking("completed", 63, "100"),
        ],
        TRIP | {"minute": NOON, "bookings": 2, "travellers": 3, "revenue": "150.5", "confirmed": 1},
        TRIP | {"minute": NOON, "destination": "Lisbon", "bookings": 1, "travellers": 2, "revenue": 80},
        TRIP | {"minute": NEXT_MINUTE, "changed": 1, "cancelled": 1, "cancelled_revenue": "50.5", "completed": 1},
    )


def test_searches_by_minute(holds: Holds) -> None:
    def search(event_type: str, booking: str | None = None) -> Row:
        fields = {"event_time": at(1), "device": "mobile", "booking_id": booking, **TRIP}
        return {"event_type": event_type, **fields}

    holds(
        SEARCHES_BY_MINUTE,
        [search("searched"), search("searched"), search("viewed"), search("selected"), search("selected", "b-1")],
        TRIP | {"minute": NOON, "device": "mobile", "searches": 2, "views": 1, "selections": 2, "booked": 1},
    )


def test_inventory_now(spark: SparkSession) -> None:
    def move(product: str, seconds: float, stock: int, reserved: int, point: int | None = 10) -> Row:
        fields = {"product_id": product, "vendor_id": "vendor-1", "event_type": "reserved", "quantity": 1}
        return {**fields, "event_time": at(seconds), "stock": stock, "reserved": reserved, "reorder_point": point}

    moves = [move("p-1", 2, 20, 10), move("p-1", 1, 20, 2), move("p-2", 2, 9, 0, None), move("p-1", 2, 20, 9)]

    assert newest(spark, INVENTORY_NOW, "marketplace.inventory", moves) == {
        "p-1": ("vendor-1", 20, 9, 11, 10, False, at(2)),
        "p-2": ("vendor-1", 9, 0, 9, None, False, at(2)),
    }
    assert newest(spark, INVENTORY_NOW, "marketplace.inventory", moves[:1])["p-1"][5] is True


def test_vendors_now(spark: SparkSession) -> None:
    def vendor(event_type: str, seconds: float, rate: str) -> Row:
        fields = {"vendor_id": "v", "name": "Elm", "country": "DE", "category": "Books", "monthly_goal": None}
        return {**fields, "event_type": event_type, "event_time": at(seconds), "commission_rate": Decimal(rate)}

    events = [vendor("registered", 1, "0.1"), vendor("updated", 2, "0.2")]

    known = newest(spark, VENDORS_NOW, "marketplace.vendors", events)
    assert known == {"v": ("Elm", "DE", "Books", Decimal("0.2"), None, True, at(2))}
    closed = newest(spark, VENDORS_NOW, "marketplace.vendors", [*events, vendor("closed", 3, "0.2")])
    assert closed["v"][5] is False


def newest(spark: SparkSession, snapshot: Snapshot, topic: str, events: list[Row]) -> dict[str, tuple[Any, ...]]:
    """The rows of a snapshot by their first key, for events that come in this order."""
    origin = StructType([StructField("offset", LongType())])
    schema = StructType([*CONTRACTS[topic].spark_schema, *origin])
    rows = [event | {"offset": offset} for offset, event in enumerate(events)]
    frame = snapshot.measure(spark.createDataFrame(rows, schema))
    assert frame.columns == snapshot.table.schema.names
    return {row[0]: tuple(row)[1:] for row in frame.collect()}


def test_marts_that_show_the_same_thing_have_the_same_totals(spark: SparkSession) -> None:
    events = spark.createDataFrame(ORDERS, CONTRACTS["marketplace.orders"].spark_schema)
    marts = (SALES_BY_MINUTE, PULSE_BY_SECOND, PULSE_BY_5_SECONDS, VENDORS_BY_DAY, PRODUCTS_BY_DAY)

    gross = {mart.name: mart.measure(events).agg({"gross": "sum"}).collect()[0][0] for mart in marts}

    assert set(gross.values()) == {Decimal("32.50")}


def test_every_mart_is_tested_here() -> None:
    declared = chain.from_iterable([*MARTS.values(), *SNAPSHOTS.values()])
    names = {mart.name.partition("_")[2] for mart in declared}

    assert names <= {name.removeprefix("test_") for name in globals()}
