"""How long the stock lasts."""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import DoubleType, LongType

from jobs.marts.metric import Metric
from jobs.marts.snapshot import Attribute
from jobs.marts.view import View

PRODUCT = {"product_id": "The product.", "vendor_id": "Vendor who sells it."}
DAYS = 7
"""Days back from the newest event over which sales are averaged."""


def stock_cover(inventory: DataFrame, orders: DataFrame) -> DataFrame:
    """What is left of each product, and how fast it sells.

    Args:
        inventory: silver inventory.
        orders: silver orders.

    Returns:
        product_id, vendor_id, available (units), units_per_day (mean over ``DAYS``, or as long as there are orders).
    """
    newest = F.max_by(F.col("stock") - F.col("reserved"), F.struct("event_time", "offset"))
    left = inventory.groupBy(*PRODUCT).agg(newest.alias("available"))
    placed = orders.where("event_type = 'placed'")
    span = placed.agg(F.max("event_time").alias("now"), F.min("event_time").alias("first")).select(
        (F.col("now") - F.expr(f"interval {DAYS} days")).alias("since"),
        F.expr(f"least({DAYS}, greatest(1 / 24, (unix_seconds(now) - unix_seconds(first)) / 86400))").alias("days"),
    )
    recent = placed.join(F.broadcast(span)).where(F.col("event_time") >= F.col("since"))
    lines = recent.select("days", "vendor_id", F.inline("lines"))
    sold = lines.groupBy(*PRODUCT).agg((F.sum("quantity") / F.first("days")).alias("units_per_day"))
    return left.join(sold, [*PRODUCT], "left").na.fill(0, ["units_per_day"])


STOCK_COVER = View(
    name="marketplace_stock_cover_now",
    description="How many days the stock of each product lasts, as it sold over the last 7 days.",
    sources=("marketplace.inventory", "marketplace.orders"),
    keys=PRODUCT,
    attributes=(
        Attribute("available", "available", LongType(), "units", "Units that can be ordered."),
        Attribute("units_per_day", "units_per_day", DoubleType(), "units/day", "Units sold per day."),
        Attribute(
            "days_of_cover",
            "available / nullif(units_per_day, 0)",
            DoubleType(),
            "days",
            "How long the stock lasts; empty where nothing sells.",
        ),
    ),
    rows=stock_cover,
    metrics=(
        Metric("least_days_of_cover", "MIN(days_of_cover)", "days", "Days that the scarcest product lasts."),
        Metric("mean_days_of_cover", "AVG(days_of_cover)", "days", "Days that a product lasts, on average."),
    ),
)

VIEWS = {"marketplace": (STOCK_COVER,)}
