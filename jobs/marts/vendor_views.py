"""What vendors are measured by and paid."""

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F
from pyspark.sql.types import DecimalType, DoubleType, LongType, StringType

from jobs.marts.dimensions import VENDOR_TERMS
from jobs.marts.history import as_of, history
from jobs.marts.marketplace import CURRENCY, order_totals
from jobs.marts.mart import MONEY
from jobs.marts.metric import Metric, ratio
from jobs.marts.snapshot import Attribute
from jobs.marts.view import View

VENDOR = {"vendor_id": "Vendor who sells and ships the order."}


def payouts(orders: DataFrame, vendors: DataFrame) -> DataFrame:
    """What the vendors' orders of each day are worth, and the commission at the rate of when they were placed.

    The commission is a share of what is sold before discounts, and is given back for what does not stay sold.

    Args:
        orders: silver orders.
        vendors: silver vendors.

    Returns:
        day, vendor_id, sold, cancelled, refunds, commission (currency of the marketplace).
    """
    worth = F.col("totals.value") - F.col("totals.discount")
    facts = orders.where(F.col("event_type").isin("placed", "cancelled", "returned")).select(
        F.date_trunc("day", "event_time").alias("day"),
        "vendor_id",
        "event_type",
        F.coalesce("placed_at", "event_time").alias("ordered_at"),
        order_totals().alias("totals"),
    )
    rates = history(vendors, "vendor_id", ["commission_rate"])
    known = as_of(facts.withColumn("worth", worth), rates, "vendor_id", "ordered_at")
    gross = F.expr("if(event_type = 'placed', totals.value, -totals.value) * coalesce(commission_rate, 0)")
    return known.groupBy("day", "vendor_id").agg(
        *(
            F.expr(f"coalesce(sum(worth) filter (where event_type = '{step}'), 0)").alias(name)
            for step, name in (("placed", "sold"), ("cancelled", "cancelled"), ("returned", "refunds"))
        ),
        F.sum(gross).alias("commission"),
    )


def scorecard(orders: DataFrame, reviews: DataFrame, vendors: DataFrame) -> DataFrame:
    """How each vendor did on each day: sales, fulfilment, ratings, goal and rank.

    Args:
        orders: silver orders.
        reviews: silver reviews.
        vendors: silver vendors.

    Returns:
        day, vendor_id, name, category, gross, net, orders, cancelled, returned, delivered, late, reviews, stars,
        monthly_goal, month_to_date (gross sales since the month began), rank_in_category (1 sold most).
    """
    gross = F.expr("if(event_type = 'placed', totals.value, 0)")
    net = F.expr("if(event_type = 'placed', totals.value - totals.discount, 0)")
    sold = orders.select("*", F.date_trunc("day", "event_time").alias("day"), order_totals().alias("totals"))
    steps = {step: F.count_if(F.col("event_type") == step) for step in ("placed", "cancelled", "returned", "delivered")}
    of_orders = sold.groupBy("day", "vendor_id").agg(
        F.sum(gross).alias("gross"),
        F.sum(net).alias("net"),
        *(count.alias(step) for step, count in steps.items()),
        F.expr("count_if(event_type = 'delivered' and event_time > deliver_by)").alias("late"),
    )
    rated = reviews.where("event_type = 'submitted'").groupBy(
        F.date_trunc("day", "event_time").alias("day"), "vendor_id"
    )
    of_reviews = rated.agg(F.count("*").alias("reviews"), F.sum("rating").alias("stars"))
    days = of_orders.join(of_reviews, ["day", "vendor_id"], "full").na.fill(0)
    evening = days.withColumn("evening", F.expr("day + interval 1 day - interval 1 microsecond"))
    known = as_of(evening, history(vendors, "vendor_id", VENDOR_TERMS), "vendor_id", "evening")
    month = Window.partitionBy("vendor_id", F.date_trunc("month", "day")).orderBy("day")
    rivals = Window.partitionBy("day", "category").orderBy(F.col("net").desc())
    return known.select(
        "*", F.sum("gross").over(month).alias("month_to_date"), F.rank().over(rivals).alias("rank_in_category")
    )


PAYOUTS_BY_DAY = View(
    name="marketplace_payouts_by_day",
    description="What each vendor is due, per day of event time, UTC.",
    sources=("marketplace.orders", "marketplace.vendors"),
    time="day",
    keys={"day": "Start of the day, UTC.", **VENDOR},
    attributes=(
        Attribute("sold", "sold", MONEY, CURRENCY, "Value of the orders placed, after discounts."),
        Attribute("cancelled_value", "cancelled", MONEY, CURRENCY, "Value of the orders cancelled, after discounts."),
        Attribute("refunds", "refunds", MONEY, CURRENCY, "What customers get back for the orders returned."),
        Attribute(
            "commission",
            "commission",
            MONEY,
            CURRENCY,
            "What the marketplace keeps, at the rate that held when each order was placed.",
        ),
        Attribute("due", "sold - cancelled - refunds - commission", MONEY, CURRENCY, "What the vendor is paid."),
    ),
    rows=payouts,
    metrics=(
        Metric("total_sold", "SUM(sold)", CURRENCY, "Value of the orders placed, after discounts."),
        Metric("total_refunds", "SUM(refunds)", CURRENCY, "What customers get back for the orders returned."),
        Metric("total_commission", "SUM(commission)", CURRENCY, "What the marketplace keeps."),
        Metric("total_due", "SUM(due)", CURRENCY, "What vendors are paid."),
        ratio("commission_share", "commission", "sold", "share", "Commission as a share of what was sold."),
    ),
)

SCORECARD_BY_DAY = View(
    name="marketplace_scorecards_by_day",
    description="How each vendor did, per day of event time, UTC.",
    sources=("marketplace.orders", "marketplace.reviews", "marketplace.vendors"),
    time="day",
    keys={"day": "Start of the day, UTC.", **VENDOR},
    attributes=(
        Attribute("name", "name", StringType(), "text", "Name of the vendor."),
        Attribute("category", "category", StringType(), "text", "Main category of the vendor."),
        Attribute("net", "net", MONEY, CURRENCY, "Value of the orders placed, after discounts."),
        Attribute("orders", "placed", LongType(), "orders", "Orders placed."),
        Attribute("cancelled", "cancelled", LongType(), "orders", "Orders cancelled."),
        Attribute("returned", "returned", LongType(), "orders", "Orders returned."),
        Attribute("delivered", "delivered", LongType(), "orders", "Orders delivered."),
        Attribute("late", "late", LongType(), "orders", "Orders delivered later than promised."),
        Attribute("reviews", "reviews", LongType(), "reviews", "Reviews written."),
        Attribute("stars", "stars", LongType(), "stars", "Stars of all reviews."),
        Attribute("monthly_goal", "monthly_goal", DecimalType(18, 4), CURRENCY, "Sales to be reached in this month."),
        Attribute("month_to_date", "month_to_date", MONEY, CURRENCY, "Gross sales since the month began."),
        Attribute(
            "goal_attainment",
            "month_to_date / nullif(monthly_goal, 0)",
            DoubleType(),
            "share",
            "How much of the month's goal is reached; empty without a goal.",
        ),
        Attribute(
            "rank_in_category",
            "rank_in_category",
            LongType(),
            "rank",
            "Place among the vendors of the category by the day's net sales; 1 sold most.",
        ),
    ),
    rows=scorecard,
    metrics=(
        Metric("total_net", "SUM(net)", CURRENCY, "Value of the orders placed, after discounts."),
        Metric("best_rank", "MIN(rank_in_category)", "rank", "Best place in the category on any of the days."),
        Metric("goal_reached", "MAX(goal_attainment)", "share", "How much of the month's goal was reached at last."),
        ratio("mean_rating", "stars", "reviews", "stars", "Mean rating, 1 to 5 stars."),
        ratio("late_share", "late", "delivered", "share", "Orders delivered late, of those delivered."),
        ratio("cancellation_rate", "cancelled", "orders", "share", "Orders cancelled per order placed."),
    ),
)

VIEWS = {"marketplace": (PAYOUTS_BY_DAY, SCORECARD_BY_DAY)}
