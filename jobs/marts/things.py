"""What is known now of the marketplace's goods and vendors."""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import BooleanType, DecimalType, LongType, StringType

from jobs.marts.metric import Metric
from jobs.marts.snapshot import UPDATED_AT, Attribute, Snapshot


def newest_facts(events: DataFrame) -> DataFrame:
    """Every event, with its time as ``updated_at``.

    Args:
        events: silver inventory or vendors.
    """
    return events.withColumn(UPDATED_AT, F.col("event_time"))


INVENTORY_NOW = Snapshot(
    name="marketplace_inventory_now",
    description="What is in stock now, per product.",
    keys={"product_id": "The product.", "vendor_id": "Vendor who sells it."},
    attributes=(
        Attribute("stock", "stock", LongType(), "units", "Units in stock, those set aside included."),
        Attribute("reserved", "reserved", LongType(), "units", "Units set aside for orders."),
        Attribute("available", "stock - reserved", LongType(), "units", "Units that can be ordered."),
        Attribute("reorder_point", "reorder_point", LongType(), "units", "Units at which the vendor orders more."),
        Attribute(
            "is_low",
            "coalesce(stock - reserved <= reorder_point, false)",
            BooleanType(),
            "yes or no",
            "Whether no more can be ordered than at the reorder point.",
        ),
    ),
    facts=newest_facts,
    metrics=(
        Metric("products", "COUNT(*)", "products", "Products."),
        Metric("units_in_stock", "SUM(stock)", "units", "Units in stock, those set aside included."),
        Metric("units_available", "SUM(available)", "units", "Units that can be ordered."),
        Metric("low_products", "COUNT(*) FILTER (WHERE is_low)", "products", "Products with low stock."),
    ),
)

VENDORS_NOW = Snapshot(
    name="marketplace_vendors_now",
    description="What is known now of each vendor.",
    keys={"vendor_id": "The vendor."},
    attributes=(
        Attribute("name", "name", StringType(), "text", "Name of the vendor."),
        Attribute("country", "country", StringType(), "country code", "Country of the vendor."),
        Attribute("category", "category", StringType(), "text", "Main category of the vendor."),
        Attribute("commission_rate", "commission_rate", DecimalType(5, 4), "share", "What the marketplace keeps."),
        Attribute(
            "monthly_goal",
            "monthly_goal",
            DecimalType(18, 4),
            "currency of the marketplace",
            "Sales that the vendor wants to reach in a month.",
        ),
        Attribute(
            "is_open",
            "event_type not in ('suspended', 'closed')",
            BooleanType(),
            "yes or no",
            "Whether the vendor sells.",
        ),
    ),
    facts=newest_facts,
    metrics=(
        Metric("vendors", "COUNT(*)", "vendors", "Vendors."),
        Metric("open_vendors", "COUNT(*) FILTER (WHERE is_open)", "vendors", "Vendors who sell."),
        Metric(
            "mean_commission_rate",
            "AVG(CAST(commission_rate AS DOUBLE))",
            "share",
            "Mean of what the marketplace keeps.",
        ),
        Metric("total_monthly_goal", "SUM(monthly_goal)", "currency of the marketplace", "Goals of all vendors."),
    ),
)

SNAPSHOTS = {"marketplace.inventory": (INVENTORY_NOW,), "marketplace.vendors": (VENDORS_NOW,)}
