"""Orders with what was known of their customer, vendor and products when they were placed."""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import LongType

from jobs.marts.dimensions import CUSTOMER_ATTRIBUTES, VENDOR_TERMS
from jobs.marts.history import as_of, history
from jobs.marts.marketplace import CURRENCY
from jobs.marts.mart import MONEY
from jobs.marts.metric import Metric, ratio
from jobs.marts.snapshot import Attribute
from jobs.marts.view import View

GUEST, UNKNOWN = "guest", "unknown"


def enriched(orders: DataFrame, customers: DataFrame, vendors: DataFrame) -> DataFrame:
    """Lines of placed orders with the attributes of customer and vendor as they were valid at event time.

    What a product was and cost at the time, its line says itself.

    Args:
        orders: silver orders.
        customers: silver customers.
        vendors: silver vendors.

    Returns:
        order_id, event_time, country (where it is sent), channel, customer_id, customer_country, customer_segment,
        vendor_id, vendor_name, vendor_country, vendor_category, commission_rate, and of the line: product_id,
        category, quantity, unit_price, discount (currency of the marketplace). A guest has the segment
        ``guest``; what nothing was known of is ``unknown``, and without commission.
    """
    placed = orders.where("event_type = 'placed'").select(
        "order_id", "event_time", "country", "channel", "customer_id", "vendor_id", F.explode("lines").alias("line")
    )
    of_customers = _prefixed(history(customers, "customer_id", CUSTOMER_ATTRIBUTES), "customer", CUSTOMER_ATTRIBUTES)
    of_vendors = history(vendors, "vendor_id", VENDOR_TERMS).drop("monthly_goal")
    of_vendors = _prefixed(of_vendors, "vendor", ("name", "country", "category"))
    known = as_of(as_of(placed, of_customers, "customer_id", "event_time"), of_vendors, "vendor_id", "event_time")
    segment = F.when(F.col("customer_id").isNull(), GUEST).otherwise(F.coalesce("customer_segment", F.lit(UNKNOWN)))
    texts = ("customer_country", "vendor_name", "vendor_country", "vendor_category")
    return known.select(
        *("order_id", "event_time", "country", "channel", "customer_id", "vendor_id"),
        segment.alias("customer_segment"),
        *(F.coalesce(text, F.lit(UNKNOWN)).alias(text) for text in texts),
        F.coalesce("commission_rate", F.lit(0)).alias("commission_rate"),
        *(f"line.{name}" for name in ("product_id", "category", "quantity", "unit_price")),
        F.coalesce("line.discount", F.lit(0)).alias("discount"),
    )


def _prefixed(versions: DataFrame, prefix: str, names: tuple[str, ...]) -> DataFrame:
    return versions.withColumnsRenamed({name: f"{prefix}_{name}" for name in names})


def sales_by_segment(orders: DataFrame, customers: DataFrame, vendors: DataFrame) -> DataFrame:
    """What customers of each segment bought on each day.

    Args:
        orders: silver orders.
        customers: silver customers.
        vendors: silver vendors.

    Returns:
        day, customer_segment, customer_country, category, orders, units, gross, discount, commission (currency).
    """
    value = F.col("quantity") * F.col("unit_price")
    return (
        enriched(orders, customers, vendors)
        .withColumn("day", F.date_trunc("day", "event_time"))
        .groupBy("day", "customer_segment", "customer_country", "category")
        .agg(
            F.count_distinct("order_id").alias("orders"),
            F.sum("quantity").alias("units"),
            F.sum(value).alias("gross"),
            F.sum("discount").alias("discount"),
            F.sum(value * F.col("commission_rate")).alias("commission"),
        )
    )


SALES_BY_SEGMENT = View(
    name="marketplace_sales_by_segment",
    description="What customers of each segment buy, as they were when they ordered, per day of event time, UTC.",
    sources=("marketplace.orders", "marketplace.customers", "marketplace.vendors"),
    time="day",
    keys={
        "day": "Start of the day, UTC.",
        "customer_segment": "Segment of the customer at that time: consumer, business, guest or unknown.",
        "customer_country": "Country of the customer at that time, or unknown.",
        "category": "Category of the products.",
    },
    attributes=(
        Attribute("orders", "orders", LongType(), "orders", "Orders with a product of the category."),
        Attribute("units", "units", LongType(), "units", "Units sold."),
        Attribute("gross", "gross", MONEY, CURRENCY, "Value before discounts."),
        Attribute("discount", "discount", MONEY, CURRENCY, "Discounts."),
        Attribute(
            "commission", "commission", MONEY, CURRENCY, "What the marketplace keeps, by the terms of that time."
        ),
    ),
    rows=sales_by_segment,
    metrics=(
        Metric("total_gross", "SUM(gross)", CURRENCY, "Value before discounts."),
        Metric("total_commission", "SUM(commission)", CURRENCY, "What the marketplace keeps."),
        Metric("total_units", "SUM(units)", "units", "Units sold."),
        ratio("mean_unit_price", "gross", "units", CURRENCY, "Mean price of a unit."),
    ),
)

VIEWS = {"marketplace": (SALES_BY_SEGMENT,)}
