"""What customers of both businesses are worth, and their visits, on few rows."""

from decimal import Decimal
from typing import Any

from pyspark.sql import SparkSession

from jobs.marts.customer_views import CUSTOMERS_BY_DAY, MARKETPLACE_CUSTOMERS, SESSIONS_BY_HOUR, TRAVEL_CUSTOMERS
from tests.spark.view_rows import DAY, at, figures, order, silver


def test_a_customer_is_worth_what_was_kept(spark: SparkSession) -> None:
    orders = silver(
        spark,
        "marketplace.orders",
        order("a", 0, "50"),
        order("a", 9, "10"),
        order("a", 10, "10", "returned"),
        order("b", 1, "5"),
        order(None, 2, "1"),
    )
    customers = silver(
        spark,
        "marketplace.customers",
        {"customer_id": "a", "event_time": at(0), "country": "DE", "segment": "business"},
        {"customer_id": "a", "event_time": at(1), "country": "FR", "segment": "business"},
    )

    first, second = figures(MARKETPLACE_CUSTOMERS, orders, customers)

    assert (first["customer_id"], first["country"], first["segment"]) == ("a", "FR", "business")
    assert (first["orders"], first["lifetime_value"], first["is_repeated"]) == (2, 100, True)
    assert (first["last_order"], first["recency_score"]) == (at(9).replace(tzinfo=None), 5)
    assert (second["customer_id"], second["country"], second["orders"], second["recency_score"]) == ("b", None, 1, 1)


def test_segments_follow_from_scores(spark: SparkSession) -> None:
    # The more orders, the later the last of them.
    events = [order(f"c{n}", n + again / 100, "1") for n in range(10) for again in range(n + 1)]
    customers = silver(spark, "marketplace.customers", {"customer_id": "none", "event_time": at(0)})

    found = figures(MARKETPLACE_CUSTOMERS, silver(spark, "marketplace.orders", *events), customers)

    assert [row["value_segment"] for row in found] == ["lapsed"] * 4 + ["regular"] * 2 + ["champion"] * 4


def test_a_traveller_is_worth_what_was_not_cancelled(spark: SparkSession) -> None:
    def booking(trip: str, step: str, hours: float, amount: int) -> dict[str, Any]:
        known = {"customer_id": "t", "event_type": step, "event_time": at(hours), "amount": Decimal(amount)}
        return {**known, "booking_id": trip}

    cancelled = (booking("a", "booked", 0, 900), booking("a", "changed", 1, 950), booking("a", "cancelled", 3, 950))
    kept = (booking("b", "booked", 5, 60), booking("b", "changed", 6, 70))
    bookings = silver(spark, "travel.bookings", *cancelled, *kept)
    customers = silver(spark, "travel.customers", {"customer_id": "t", "event_time": at(0), "loyalty_tier": "gold"})

    (row,) = figures(TRAVEL_CUSTOMERS, bookings, customers)

    assert (row["loyalty_tier"], row["orders"], row["lifetime_value"]) == ("gold", 2, 70)


def test_a_customer_counts_once_a_day_and_is_new_once(spark: SparkSession) -> None:
    orders = silver(
        spark, "marketplace.orders", order("a", 1, "1"), order("a", 2, "1"), order("a", 25, "1"), order("b", 26, "1")
    )

    first, second = figures(CUSTOMERS_BY_DAY, orders)

    assert (first["customers"], first["new_customers"]) == (1, 1)
    assert (second["customers"], second["new_customers"]) == (2, 1)


def test_a_visit_belongs_to_the_hour_of_its_first_click(spark: SparkSession) -> None:
    def click(session: str, step: str, hours: float) -> dict[str, Any]:
        known = {"session_id": session, "event_type": step, "event_time": at(hours)}
        return {**known, "channel": "web", "device": "mobile"}

    clicks = silver(
        spark,
        "marketplace.clickstream",
        click("s", "view", 0.9),
        click("s", "cart", 1.0),
        click("s", "purchase", 1.1),
        click("t", "view", 0.5),
    )

    (row,) = figures(SESSIONS_BY_HOUR, clicks)

    assert row == {
        "hour": DAY.replace(tzinfo=None),
        "channel": "web",
        "device": "mobile",
        "visits": 2,
        "bounced": 1,
        "with_cart": 1,
        "with_checkout": 0,
        "with_purchase": 1,
        "seconds": 720.0,
    }
