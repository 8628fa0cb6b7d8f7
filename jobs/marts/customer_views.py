"""Who the customers of both businesses are, and how they come and go."""

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F
from pyspark.sql.types import BooleanType, DoubleType, LongType, StringType, TimestampType

from jobs.marts.marketplace import CURRENCY, order_totals
from jobs.marts.mart import MONEY
from jobs.marts.metric import Metric, ratio
from jobs.marts.snapshot import Attribute
from jobs.marts.travel import CURRENCY as TRAVEL_CURRENCY
from jobs.marts.view import View

CUSTOMER = {"customer_id": "Pseudonym of the customer."}
FIFTHS = 5
RECENCY, FREQUENCY, MONETARY = "recency_score", "frequency_score", "monetary_score"
SEGMENT = f"""
    case when {RECENCY} >= 4 and {FREQUENCY} >= 4 then 'champion'
         when {FREQUENCY} >= 4 then if({RECENCY} <= 2, 'at risk', 'loyal')
         when {RECENCY} >= 4 then 'new or returning'
         when {RECENCY} <= 2 then 'lapsed'
         else 'regular' end
"""


def scored(profiles: DataFrame) -> DataFrame:
    """Profiles with scores of recency, frequency and monetary value, 1 to 5: the fifth of all customers that one is in.

    Who is alike scores alike, so that a fifth may be empty.

    Args:
        profiles: customer_id, last_order, orders, lifetime_value.
    """

    def score(of: Column) -> Column:
        place = F.percent_rank().over(Window.orderBy(of))
        return F.least(F.lit(FIFTHS), 1 + F.floor(place * FIFTHS)).cast("long")

    return profiles.select(
        "*",
        score(F.col("last_order")).alias(RECENCY),
        score(F.col("orders")).alias(FREQUENCY),
        score(F.col("lifetime_value")).alias(MONETARY),
    )


def newest(events: DataFrame, *attributes: str) -> DataFrame:
    """What the newest event of each customer says.

    Args:
        events: silver customers.
        attributes: what is wanted of it.
    """
    said = F.max_by(F.struct(*attributes), F.struct("event_time", "offset")).alias("said")
    return events.groupBy("customer_id").agg(said).select("customer_id", "said.*")


def marketplace_profiles(orders: DataFrame, customers: DataFrame) -> DataFrame:
    """One row per customer who ever ordered.

    Args:
        orders: silver orders; guests have no customer_id and no row.
        customers: silver customers.

    Returns:
        customer_id, country, segment (null where unknown), first_order, last_order, orders, lifetime_value (currency of
        the marketplace), and the scores of ``scored``.
    """
    worth = order_totals().getField("value") - order_totals().getField("discount")
    known = orders.where("customer_id is not null").select(
        "customer_id", "event_type", "event_time", worth.alias("worth")
    )
    placed = F.col("event_type") == "placed"
    spent = F.expr(
        "case event_type when 'placed' then worth when 'cancelled' then -worth when 'returned' then -worth end"
    )
    profiles = known.groupBy("customer_id").agg(
        F.min(F.when(placed, F.col("event_time"))).alias("first_order"),
        F.max(F.when(placed, F.col("event_time"))).alias("last_order"),
        F.count_if(placed).alias("orders"),
        F.sum(spent).alias("lifetime_value"),
    )
    bought = profiles.where("orders > 0")
    return scored(bought).join(newest(customers, "country", "segment"), "customer_id", "left")


def travel_profiles(bookings: DataFrame, customers: DataFrame) -> DataFrame:
    """One row per customer who ever booked.

    Args:
        bookings: silver bookings.
        customers: silver customers of the travel business.

    Returns:
        customer_id, country, loyalty_tier (null where unknown), first_order, last_order, orders, lifetime_value
        (currency of the travel business), and the scores of ``scored``.
    """
    booked_at = F.when(F.col("event_type") == "booked", F.col("event_time"))
    # Each event has the whole booking, and its price may change.
    price = F.max_by("amount", F.struct("event_time", "offset"))
    trips = bookings.groupBy("customer_id", "booking_id").agg(
        F.min(booked_at).alias("booked_at"),
        F.when(F.max(F.col("event_type") == "cancelled"), 0).otherwise(price).alias("worth"),
    )
    profiles = trips.groupBy("customer_id").agg(
        F.min("booked_at").alias("first_order"),
        F.max("booked_at").alias("last_order"),
        F.count("booked_at").alias("orders"),
        F.sum("worth").alias("lifetime_value"),
    )
    return scored(profiles.where("orders > 0")).join(
        newest(customers, "country", "loyalty_tier"), "customer_id", "left"
    )


def customers_of_days(orders: DataFrame) -> DataFrame:
    """How many customers ordered on each day, and how many of them for the first time.

    Args:
        orders: silver orders.

    Returns:
        day, customers, new_customers.
    """
    placed = orders.where("event_type = 'placed' and customer_id is not null")
    days = placed.select("customer_id", F.date_trunc("day", "event_time").alias("day")).distinct()
    first = F.min("day").over(Window.partitionBy("customer_id"))
    return (
        days.withColumn("is_new", F.col("day") == first)
        .groupBy("day")
        .agg(F.count("*").alias("customers"), F.count_if("is_new").alias("new_customers"))
    )


def sessions(clicks: DataFrame) -> DataFrame:
    """Visits per hour in which they began, channel and device.

    Args:
        clicks: silver clickstream.

    Returns:
        hour, channel, device, visits, bounced (of one click), with_cart, with_checkout, with_purchase, seconds (s, of
        all visits from the first click to the last).
    """
    steps = {"with_cart": "cart", "with_checkout": "checkout", "with_purchase": "purchase"}
    visits = clicks.groupBy("session_id").agg(
        F.date_trunc("hour", F.min("event_time")).alias("hour"),
        F.min_by("channel", "event_time").alias("channel"),
        F.min_by("device", "event_time").alias("device"),
        (F.count("*") == 1).alias("bounced"),
        *(F.max(F.col("event_type") == step).alias(name) for name, step in steps.items()),
        (F.unix_millis(F.max("event_time")) - F.unix_millis(F.min("event_time"))).alias("milliseconds"),
    )
    return visits.groupBy("hour", "channel", "device").agg(
        F.count("*").alias("visits"),
        *(F.count_if(name).alias(name) for name in ("bounced", *steps)),
        (F.sum("milliseconds") / 1000).alias("seconds"),
    )


def _profile(thing: str, currency: str) -> tuple[Attribute, ...]:
    scores = {RECENCY: "how lately", FREQUENCY: "how often", MONETARY: "for how much"}
    return (
        Attribute("country", "country", StringType(), "country code", "Country of the customer."),
        Attribute("first_order", "first_order", TimestampType(), "time", f"When the first {thing} was placed."),
        Attribute("last_order", "last_order", TimestampType(), "time", f"When the last {thing} was placed."),
        Attribute("orders", "orders", LongType(), f"{thing}s", f"{thing.capitalize()}s placed."),
        Attribute("lifetime_value", "lifetime_value", MONEY, currency, f"Value of all {thing}s that were kept."),
        *(
            Attribute(name, name, LongType(), "1 to 5", f"The fifth of all customers by {how} they {thing}; 5 is best.")
            for name, how in scores.items()
        ),
        Attribute("value_segment", SEGMENT, StringType(), "text", "What the scores say of the customer."),
        Attribute("is_repeated", "orders > 1", BooleanType(), "yes or no", f"Whether there is a second {thing}."),
    )


def _profile_metrics(currency: str) -> tuple[Metric, ...]:
    return (
        Metric("customers", "COUNT(*)", "customers", "Customers."),
        Metric("total_value", "SUM(lifetime_value)", currency, "Lifetime value of all customers."),
        Metric("mean_value", "AVG(CAST(lifetime_value AS DOUBLE))", currency, "Mean lifetime value of a customer."),
        Metric("mean_orders", "AVG(orders)", "orders", "Mean number of orders of a customer."),
        Metric(
            "repeat_rate",
            "CAST(COUNT(*) FILTER (WHERE is_repeated) AS DOUBLE) / NULLIF(COUNT(*), 0)",
            "share",
            "Customers with more than one order.",
        ),
    )


MARKETPLACE_CUSTOMERS = View(
    name="marketplace_customers_now",
    description="What each customer of the marketplace is worth, and the segment by recency, frequency and value.",
    sources=("marketplace.orders", "marketplace.customers"),
    keys=CUSTOMER,
    attributes=(
        Attribute("segment", "segment", StringType(), "text", "Segment in which the customer registered."),
        *_profile("order", CURRENCY),
    ),
    rows=marketplace_profiles,
    metrics=_profile_metrics(CURRENCY),
)

TRAVEL_CUSTOMERS = View(
    name="travel_customers_now",
    description="What each customer of the travel business is worth, and the segment by recency, frequency and value.",
    sources=("travel.bookings", "travel.customers"),
    keys=CUSTOMER,
    attributes=(
        Attribute("loyalty_tier", "loyalty_tier", StringType(), "text", "Loyalty tier of the customer."),
        *_profile("trip", TRAVEL_CURRENCY),
    ),
    rows=travel_profiles,
    metrics=_profile_metrics(TRAVEL_CURRENCY),
)

CUSTOMERS_BY_DAY = View(
    name="marketplace_customers_by_day",
    description="How many customers order, per day of event time, UTC; guests are not known.",
    sources=("marketplace.orders",),
    time="day",
    keys={"day": "Start of the day, UTC."},
    attributes=(
        Attribute("customers", "customers", LongType(), "customers", "Customers who ordered, each once."),
        Attribute(
            "new_customers", "new_customers", LongType(), "customers", "Customers who ordered for the first time."
        ),
    ),
    rows=customers_of_days,
    metrics=(
        Metric("most_customers", "MAX(customers)", "customers", "Customers on the day that had most."),
        Metric("total_new_customers", "SUM(new_customers)", "customers", "Customers who ordered for the first time."),
    ),
)

SESSIONS_BY_HOUR = View(
    name="marketplace_sessions_by_hour",
    description="Visits per hour of their first click (UTC), channel and device.",
    sources=("marketplace.clickstream",),
    time="hour",
    keys={
        "hour": "Start of the hour, UTC.",
        "channel": "Where the visitor is: web, app or partner.",
        "device": "desktop, mobile or tablet.",
    },
    attributes=(
        Attribute("visits", "visits", LongType(), "visits", "Visits."),
        Attribute("bounced", "bounced", LongType(), "visits", "Visits of a single click."),
        Attribute("with_cart", "with_cart", LongType(), "visits", "Visits with a product in the cart."),
        Attribute("with_checkout", "with_checkout", LongType(), "visits", "Visits that went to the checkout."),
        Attribute("with_purchase", "with_purchase", LongType(), "visits", "Visits that ended with an order."),
        Attribute("seconds", "seconds", DoubleType(), "s", "Length of all visits, from the first click to the last."),
    ),
    rows=sessions,
    metrics=(
        Metric("total_visits", "SUM(visits)", "visits", "Visits."),
        ratio("bounce_rate", "bounced", "visits", "share", "Visits of a single click."),
        ratio("cart_share", "with_cart", "visits", "share", "Visits with a product in the cart."),
        ratio("purchase_share", "with_purchase", "visits", "share", "Visits that ended with an order."),
        ratio("mean_seconds", "seconds", "visits", "s", "Mean length of a visit."),
    ),
)

VIEWS = {
    "marketplace": (MARKETPLACE_CUSTOMERS, CUSTOMERS_BY_DAY, SESSIONS_BY_HOUR),
    "travel": (TRAVEL_CUSTOMERS,),
}
