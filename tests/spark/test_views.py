"""What views compute, on few rows."""

import datetime as dt
from decimal import Decimal
from pathlib import Path
from typing import Any

from chispa import assert_df_equality
from pyspark.sql import DataFrame, SparkSession

from jobs.entity import silver_table
from jobs.marts.customer_views import CUSTOMERS_BY_DAY, MARKETPLACE_CUSTOMERS, SESSIONS_BY_HOUR, TRAVEL_CUSTOMERS
from jobs.marts.dimensions import CUSTOMERS_HISTORY, PRODUCTS_HISTORY, VENDORS_HISTORY
from jobs.marts.enrichment import SALES_BY_SEGMENT
from jobs.marts.growth_views import GROWTH_NOW, MOVERS_NOW, OUTLOOK_BY_HOUR
from jobs.marts.history import as_of, history
from jobs.marts.stock_views import STOCK_COVER
from jobs.marts.vendor_views import PAYOUTS_BY_DAY, SCORECARD_BY_DAY
from jobs.marts.view import View
from jobs.refresh import refresh
from jobs.settings import Settings
from jobs.tables import views
from schemas import load_contracts

CONTRACTS = {contract.topic: contract for contract in load_contracts()}
DAY = dt.datetime(2026, 3, 1, tzinfo=dt.UTC)


def at(hours: float) -> dt.datetime:
    return DAY + dt.timedelta(hours=hours)


def silver(spark: SparkSession, topic: str, *events: dict[str, Any]) -> DataFrame:
    """A silver table; what an event leaves out is null, offsets count the events."""
    fields = CONTRACTS[topic].spark_schema
    rows = [{**event, "offset": offset} for offset, event in enumerate(events)]
    schema = ", ".join(f"`{field.name}` {field.dataType.simpleString()}" for field in fields) + ", offset long"
    return spark.createDataFrame([(*(row.get(f.name) for f in fields), row["offset"]) for row in rows], schema)


def line(price: str, discount: str = "0") -> dict[str, Any]:
    known = {"product_id": "p", "category": "Books", "quantity": 2}
    return {**known, "unit_price": Decimal(price), "discount": Decimal(discount)}


def order(customer: str | None, hours: float, price: str, step: str = "placed", **changes: Any) -> dict[str, Any]:
    known = {"customer_id": customer, "event_time": at(hours), "event_type": step, "vendor_id": "v"}
    return {**known, "lines": [line(price)], **changes}


def vendor(hours: float, rate: str, **changes: Any) -> dict[str, Any]:
    terms = {"name": "V", "country": "DE", "category": "Books", "monthly_goal": Decimal(100)}
    return {"vendor_id": "v", "event_time": at(hours), "commission_rate": Decimal(rate), **terms, **changes}


def customer(hours: float, segment: str) -> dict[str, Any]:
    return {"customer_id": "a", "event_time": at(hours), "country": "DE", "segment": segment}


def figures(view: View, *tables: DataFrame) -> list[dict[str, Any]]:
    found = view.compute(*tables)
    assert found.dtypes == [(field.name, field.dataType.simpleString()) for field in view.table.schema]
    return sorted((row.asDict() for row in found.collect()), key=lambda row: tuple(str(row[key]) for key in view.keys))


def test_a_version_holds_from_its_event_to_the_next(spark: SparkSession) -> None:
    vendors = silver(
        spark,
        "marketplace.vendors",
        vendor(5, "0.2"),
        vendor(0, "0.1"),
        vendor(5, "0.3"),
        vendor(1, "0.4", vendor_id="w"),
    )

    expected = spark.createDataFrame(
        [
            ("v", 1, Decimal("0.1"), None, at(5)),
            ("v", 2, Decimal("0.3"), at(5), None),
            ("w", 1, Decimal("0.4"), None, None),
        ],
        "vendor_id string, version long, commission_rate decimal(5,4), valid_from timestamp, valid_to timestamp",
    )
    found = history(vendors, "vendor_id", ["commission_rate"])
    assert_df_equality(found, expected, ignore_row_order=True, ignore_nullable=True)


def test_facts_get_what_was_known_at_their_time(spark: SparkSession) -> None:
    vendors = silver(spark, "marketplace.vendors", vendor(1, "0.1"), vendor(5, "0.3"))
    facts = spark.createDataFrame(
        [("v", at(0)), ("v", at(4.9)), ("v", at(5)), ("unknown", at(5))], "vendor_id string, moment timestamp"
    )

    found = as_of(facts, history(vendors, "vendor_id", ["commission_rate"]), "vendor_id", "moment")

    rates = {(row["vendor_id"], row["moment"]): row["commission_rate"] for row in found.collect()}
    assert sorted(map(str, rates.values())) == ["0.1000", "0.1000", "0.3000", "None"]


def test_the_versions_of_a_vendor_are_counted(spark: SparkSession) -> None:
    vendors = silver(spark, "marketplace.vendors", vendor(0, "0.1"), vendor(5, "0.2", name="W"))

    first, second = figures(VENDORS_HISTORY, vendors)

    assert (first["version"], first["name"], first["valid_from"]) == (1, "V", None)
    assert (second["version"], second["name"], second["valid_to"]) == (2, "W", None)


def test_a_version_begins_where_something_changes(spark: SparkSession) -> None:
    customers = silver(
        spark,
        "marketplace.customers",
        customer(0, "consumer"),
        customer(1, "consumer"),
        customer(2, "business"),
        customer(3, "consumer"),
    )

    found = figures(CUSTOMERS_HISTORY, customers)

    assert [(row["version"], row["segment"]) for row in found] == [(1, "consumer"), (2, "business"), (3, "consumer")]
    assert [row["valid_to"] for row in found] == [at(2).replace(tzinfo=None), at(3).replace(tzinfo=None), None]


def test_products_are_what_orders_say_of_them(spark: SparkSession) -> None:
    orders = silver(
        spark,
        "marketplace.orders",
        order("a", 0, "50"),
        order("b", 1, "50"),
        order("a", 2, "60", "cancelled"),
        order("b", 3, "70"),
    )

    found = figures(PRODUCTS_HISTORY, orders)

    assert [(row["version"], row["category"], row["unit_price"]) for row in found] == [
        (1, "Books", 50),
        (2, "Books", 70),
    ]


def test_sales_are_of_the_segment_that_the_customer_had(spark: SparkSession) -> None:
    orders = silver(
        spark,
        "marketplace.orders",
        order("a", 1, "50", order_id="1"),
        order("a", 6, "10", order_id="2", lines=[line("10"), line("5", discount="1")]),
        order(None, 6, "20", order_id="3"),
        order("stranger", 6, "30", order_id="4"),
        order("a", 7, "50", "returned", order_id="1"),
    )
    customers = silver(spark, "marketplace.customers", customer(0, "consumer"), customer(5, "business"))
    vendors = silver(spark, "marketplace.vendors", vendor(0, "0.1"), vendor(5, "0.5"))

    found = {row["customer_segment"]: row for row in figures(SALES_BY_SEGMENT, orders, customers, vendors)}

    assert found.keys() == {"consumer", "business", "guest", "unknown"}
    assert (found["consumer"]["gross"], found["consumer"]["commission"]) == (100, 10)
    business = found["business"]
    assert [business[name] for name in ("orders", "units", "gross", "discount", "commission")] == [1, 4, 30, 1, 15]
    assert business["customer_country"] == "DE"
    assert found["guest"]["customer_country"] == "unknown"


def test_commission_is_that_of_when_the_order_was_placed(spark: SparkSession) -> None:
    vendors = silver(spark, "marketplace.vendors", vendor(0, "0.1"), vendor(5, "0.5"))
    orders = silver(
        spark,
        "marketplace.orders",
        order("a", 1, "50", lines=[line("50", discount="10")]),
        order("b", 6, "10"),
        order("a", 7, "50", "returned", placed_at=at(1)),
        order("b", 25, "10", "cancelled", placed_at=at(6)),
    )

    first, second = figures(PAYOUTS_BY_DAY, orders, vendors)

    assert first == {
        "day": DAY.replace(tzinfo=None),
        "vendor_id": "v",
        "sold": 110,
        "cancelled_value": 0,
        "refunds": 100,
        "commission": 10 + 10 - 10,
        "due": 110 - 100 - 10,
    }
    assert (second["cancelled_value"], second["commission"], second["due"]) == (20, -10, -10)


def test_a_vendor_without_terms_pays_no_commission(spark: SparkSession) -> None:
    vendors = silver(spark, "marketplace.vendors", vendor(0, "0.1", vendor_id="other"))

    (row,) = figures(PAYOUTS_BY_DAY, silver(spark, "marketplace.orders", order("a", 1, "50")), vendors)

    assert (row["sold"], row["commission"], row["due"]) == (100, 0, 100)


def test_a_scorecard_has_goal_and_rank(spark: SparkSession) -> None:
    vendors = silver(spark, "marketplace.vendors", vendor(0, "0.1"), vendor(0, "0.1", vendor_id="w"))
    orders = silver(
        spark,
        "marketplace.orders",
        order("a", 1, "10"),
        order("a", 2, "10", "delivered", deliver_by=at(1)),
        order("a", 1, "40", vendor_id="w"),
        order("a", 25, "15"),
    )
    reviews = silver(
        spark,
        "marketplace.reviews",
        {"vendor_id": "v", "event_type": "submitted", "event_time": at(3), "rating": 4},
        {"vendor_id": "v", "event_type": "removed", "event_time": at(4), "rating": 4},
    )

    first, rival, second = figures(SCORECARD_BY_DAY, orders, reviews, vendors)

    assert (first["net"], first["orders"], first["delivered"], first["late"]) == (20, 1, 1, 1)
    assert (first["reviews"], first["stars"], first["goal_attainment"], first["rank_in_category"]) == (1, 4, 0.2, 2)
    assert (rival["vendor_id"], rival["rank_in_category"], rival["reviews"]) == ("w", 1, 0)
    assert (second["month_to_date"], second["goal_attainment"], second["rank_in_category"]) == (50, 0.5, 1)


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


def test_stock_lasts_as_long_as_it_sold(spark: SparkSession) -> None:
    def moved(product: str, stock: int, reserved: int) -> dict[str, Any]:
        known = {"product_id": product, "vendor_id": "v", "event_time": at(0)}
        return {**known, "stock": stock, "reserved": reserved}

    inventory = silver(spark, "marketplace.inventory", moved("p", 9, 0), moved("p", 12, 2), moved("q", 5, 0))
    orders = silver(spark, "marketplace.orders", order("a", 0, "1"), order("a", 24, "1"))

    sold, unsold = figures(STOCK_COVER, inventory, orders)

    assert (sold["available"], sold["units_per_day"], sold["days_of_cover"]) == (10, 4.0, 2.5)
    assert (unsold["product_id"], unsold["units_per_day"], unsold["days_of_cover"]) == ("q", 0.0, None)


def test_a_refresh_replaces_every_view(spark: SparkSession, tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    table = silver_table(CONTRACTS["marketplace.vendors"])
    table.create(settings.lake_url)
    vendors = silver(spark, "marketplace.vendors", vendor(0, "0.1"), vendor(5, "0.2"))
    vendors.write.format("delta").mode("append").save(table.url(settings.lake_url))

    for _ in range(2):
        done = list(refresh(spark, views(), tuple(CONTRACTS.values()), settings))

    rows = {found.view: found.rows for found in done}
    assert list(rows) == [f"{view.layer}.{view.name}" for view in views()]
    assert {view for view, count in rows.items() if count} == {"silver.marketplace_vendors_history"}
    assert rows["silver.marketplace_vendors_history"] == 2


def test_growth_says_when_history_is_too_short(spark: SparkSession) -> None:
    # A day before, 25 hours of history; the last order is the moment that counts as now.
    orders = silver(
        spark,
        "marketplace.orders",
        *(order("a", hours, price) for hours, price in ((0, "5"), (6, "10"), (29.5, "30"), (30, "10"))),
    )

    found = {(row["period"], row["compared_with"]): row for row in figures(GROWTH_NOW, orders)}

    hour = found["last hour", "same time yesterday"]
    assert (hour["net"], hour["net_before"], hour["net_growth"]) == (80, 20, 3)
    assert (hour["orders"], hour["orders_before"], hour["orders_growth"], hour["note"]) == (2, 1, 1, "")
    day = found["last 24 hours", "same time yesterday"]
    assert (day["net"], day["net_before"], day["orders_before"]) == (80, None, None)
    assert day["note"] == "history is too short: it begins 2026-03-01 00:00 UTC"
    assert len(found) == 4


def test_what_is_expected_is_what_was_sold_at_that_hour(spark: SparkSession) -> None:
    orders = silver(
        spark,
        "marketplace.orders",
        *(order("a", hours, price) for hours, price in ((0.5, "5"), (2.5, "10"), (25.5, "30"), (26.2, "20"))),
    )

    found = {row["hour"].replace(tzinfo=dt.UTC): row for row in figures(OUTLOOK_BY_HOUR, orders)}

    assert sorted(found) == [at(hour) for hour in range(50)]
    assert (found[at(25)]["net"], found[at(25)]["net_day_before"], found[at(25)]["expected"]) == (60, 0, None)
    # The first hour is partly known, so it is no measure of its like.
    assert found[at(24)]["net_day_before"] is None
    now = found[at(26)]
    assert (now["net"], now["net_day_before"], now["expected"]) == (40, 20, 20)
    assert now["method"] == "as a day ago, for history is shorter than a week"
    assert (found[at(49)]["net"], found[at(49)]["expected"]) == (None, 60)


def test_without_a_day_of_history_the_mean_is_expected(spark: SparkSession) -> None:
    orders = silver(spark, "marketplace.orders", order("a", 0.5, "10"), order("a", 2.5, "10"))

    _, over, now, *_ = figures(OUTLOOK_BY_HOUR, orders)

    assert (over["net"], over["expected"], over["method"]) == (0, None, None)
    assert (now["net"], now["expected"], now["net_day_before"]) == (20, 20, None)
    assert now["method"] == "mean of all hours, for history is shorter than a day"


def test_movers_are_compared_over_as_long_as_history_allows(spark: SparkSession) -> None:
    orders = silver(
        spark,
        "marketplace.orders",
        order("a", 0, "50", country="DE"),
        order("a", 1.5, "10", country="DE"),
        order("a", 2.9, "30", country="FR"),
        order("a", 3, "10", country="DE", lines=[line("10", discount="5")]),
    )

    found = {(row["kind"], row["name"]): row for row in figures(MOVERS_NOW, orders)}

    assert {row["compared"] for row in found.values()} == {"last 1 h with the 1 h before"}
    germany, france = found["country", "DE"], found["country", "FR"]
    assert (germany["net"], germany["net_before"], germany["change"], germany["growth"]) == (15, 20, -5, -0.25)
    assert (france["net"], france["net_before"], france["change"], france["growth"]) == (60, 0, 60, None)
    assert (france["place"], germany["place"]) == (1, 2)
    assert found["category", "Books"]["change"] == 55
    assert {kind for kind, _ in found} == {"category", "country", "product", "vendor"}
