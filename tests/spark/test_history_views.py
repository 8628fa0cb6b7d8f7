"""Dimensions with their history, and facts with what was known at their time."""

from decimal import Decimal

from chispa import assert_df_equality
from pyspark.sql import SparkSession

from jobs.marts.dimensions import CUSTOMERS_HISTORY, PRODUCTS_HISTORY, VENDORS_HISTORY
from jobs.marts.enrichment import SALES_BY_SEGMENT
from jobs.marts.history import as_of, history
from tests.spark.view_rows import at, customer, figures, line, order, silver, vendor


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
