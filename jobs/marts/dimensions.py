"""Dimensions: what was known of vendors, customers and products, and from when to when (type 2)."""

from functools import partial

from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import DecimalType, LongType, StringType, TimestampType

from jobs.marts.history import history
from jobs.marts.marketplace import CURRENCY
from jobs.marts.snapshot import Attribute
from jobs.marts.view import View

VENDOR_TERMS = ("name", "country", "category", "commission_rate", "monthly_goal")
CUSTOMER_ATTRIBUTES = ("country", "segment")
PRODUCT_ATTRIBUTES = ("vendor_id", "category", "unit_price")
VALIDITY = (
    Attribute("valid_from", "valid_from", TimestampType(), "time", "Since when; empty: since ever."),
    Attribute("valid_to", "valid_to", TimestampType(), "time", "Until before when; empty: until now."),
)


def vendors_history(vendors: DataFrame) -> DataFrame:
    """Every version of every vendor's terms.

    Args:
        vendors: silver vendors.
    """
    return history(vendors, "vendor_id", VENDOR_TERMS)


def customers_history(customers: DataFrame) -> DataFrame:
    """Every version of what is known of every customer.

    Args:
        customers: silver customers.
    """
    return history(customers, "customer_id", CUSTOMER_ATTRIBUTES)


def products_history(orders: DataFrame) -> DataFrame:
    """Every version of every product, by what orders say of it: no event is about products alone.

    Args:
        orders: silver orders.
    """
    lines = orders.where("event_type = 'placed'").select(
        "vendor_id", "event_time", "offset", F.explode("lines").alias("line")
    )
    return history(lines.select("*", "line.*"), "product_id", PRODUCT_ATTRIBUTES)


_dimension = partial(View, layer="silver", key_types={"version": LongType()})

VENDORS_HISTORY = _dimension(
    name="marketplace_vendors_history",
    description="What was agreed with each vendor, and from when to when (slowly changing dimension, type 2).",
    sources=("marketplace.vendors",),
    keys={"vendor_id": "The vendor.", "version": "Counts the vendor's versions from 1."},
    attributes=(
        Attribute("name", "name", StringType(), "text", "Name of the vendor."),
        Attribute("country", "country", StringType(), "country code", "Country of the vendor."),
        Attribute("category", "category", StringType(), "text", "Main category of the vendor."),
        Attribute("commission_rate", "commission_rate", DecimalType(5, 4), "share", "What the marketplace keeps."),
        Attribute("monthly_goal", "monthly_goal", DecimalType(18, 4), CURRENCY, "Sales to be reached in a month."),
        *VALIDITY,
    ),
    rows=vendors_history,
)

CUSTOMERS_HISTORY = _dimension(
    name="marketplace_customers_history",
    description="What was known of each customer, and from when to when (slowly changing dimension, type 2).",
    sources=("marketplace.customers",),
    keys={"customer_id": "Pseudonym of the customer.", "version": "Counts the customer's versions from 1."},
    attributes=(
        Attribute("country", "country", StringType(), "country code", "Country of the customer."),
        Attribute("segment", "segment", StringType(), "text", "Segment of the customer: consumer or business."),
        *VALIDITY,
    ),
    rows=customers_history,
)

PRODUCTS_HISTORY = _dimension(
    name="marketplace_products_history",
    description="What each product was sold as, and from when to when (slowly changing dimension, type 2).",
    sources=("marketplace.orders",),
    keys={"product_id": "The product.", "version": "Counts the product's versions from 1."},
    attributes=(
        Attribute("vendor_id", "vendor_id", StringType(), "text", "Vendor who sells it."),
        Attribute("category", "category", StringType(), "text", "Category that it is offered in."),
        Attribute("unit_price", "unit_price", DecimalType(18, 4), CURRENCY, "Price of one, before discounts."),
        *VALIDITY,
    ),
    rows=products_history,
)

VIEWS = {"marketplace": (VENDORS_HISTORY, CUSTOMERS_HISTORY, PRODUCTS_HISTORY)}
