"""What the views of vendors and stock compute, on few rows; and how all are refreshed."""

from pathlib import Path
from typing import Any

from pyspark.sql import SparkSession

from jobs.entity import silver_table
from jobs.marts.stock_views import STOCK_COVER
from jobs.marts.vendor_views import PAYOUTS_BY_DAY, SCORECARD_BY_DAY
from jobs.refresh import refresh
from jobs.settings import Settings
from jobs.tables import views
from tests.spark.view_rows import CONTRACTS, DAY, at, figures, line, order, silver, vendor


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
