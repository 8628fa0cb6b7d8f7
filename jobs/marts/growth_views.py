"""Where the marketplace is heading: growth against earlier times, what to expect next, and what moves most."""

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F
from pyspark.sql.types import DoubleType, LongType, StringType

from jobs.marts.marketplace import CURRENCY, order_totals
from jobs.marts.mart import MONEY
from jobs.marts.metric import Metric
from jobs.marts.snapshot import Attribute
from jobs.marts.view import View

ORDERS = ("marketplace.orders",)
HOURS_BACK = 7 * 24
HOURS_AHEAD = 24
PERIODS = "map('last hour', 1, 'last 24 hours', 24)"
EARLIER = "map('same time yesterday', 24, 'same time last week', 7 * 24)"
"""Hours by name."""
SPANS = "array(24, 1, 0.25)"
"""Hours over which movers are compared, the longest first."""


def _placed(orders: DataFrame) -> DataFrame:
    net = F.col("totals.value") - F.col("totals.discount")
    placed = orders.where("event_type = 'placed'").withColumn("totals", order_totals())
    return placed.select("event_time", "vendor_id", "country", "lines", net.alias("net"))


def _history(placed: DataFrame) -> DataFrame:
    """One row: the first and the newest event time."""
    return placed.agg(F.min("event_time").alias("first"), F.max("event_time").alias("now")).where("now is not null")


def growth(orders: DataFrame) -> DataFrame:
    """Sales until the newest order, and those of an equally long time that ended a day or a week before.

    Args:
        orders: silver orders.

    Returns:
        period, compared_with, net, net_before (currency of the marketplace), orders, orders_before, note; what was
        before is null, and the note says why, where history does not reach back that far.
    """
    placed = _placed(orders)
    spans = (
        _history(placed)
        .select("*", F.expr(f"explode({PERIODS}) as (period, length)"))
        .select("*", F.expr(f"explode({EARLIER}) as (compared_with, shift)"))
        .withColumn("began", F.expr("now - make_interval(0, 0, 0, 0, length + shift)"))
    )
    ago = (F.unix_micros("now") - F.unix_micros("event_time")) / 3_600_000_000
    sold = placed.join(F.broadcast(spans), F.expr("event_time > began")).withColumn("ago", ago)
    is_now, is_before = "ago < length", "ago >= shift and ago < shift + length"
    return sold.groupBy("period", "compared_with").agg(
        F.expr(f"sum(net) filter (where {is_now})").alias("net"),
        F.expr(f"sum(net) filter (where {is_before} and first <= began)").alias("net_before"),
        F.expr(f"count_if({is_now})").alias("orders"),
        F.expr(f"if(first(first <= began), count_if({is_before}), null)").alias("orders_before"),
        F.expr(
            "if(first(first <= began), '', concat('history is too short: it begins ',"
            " date_format(first(first), 'yyyy-MM-dd HH:mm'), ' UTC'))"
        ).alias("note"),
    )


def outlook(orders: DataFrame) -> DataFrame:
    """Sales of each hour, beside those of a day and a week before; and what to expect of the hours to come.

    The expectation is the seasonal naive forecast, the yardstick of all others: the same hour a week ago; with less
    history a day ago; with less than a day, the mean of all there is.

    Args:
        orders: silver orders.

    Returns:
        hour, net, net_day_before, net_week_before, expected (currency of the marketplace), method. An hour that has
        not begun has no sales, one that is over is not expected; null is also what history does not reach.
    """
    placed = _placed(orders)
    span = _history(placed).select(
        F.date_trunc("hour", "first").alias("first_hour"),
        F.date_trunc("hour", "now").alias("this_hour"),
        ((F.unix_micros("now") - F.unix_micros("first")) / 3_600_000_000).alias("hours"),
    )
    hour = F.expr("explode(sequence(first_hour, this_hour + interval 23 hours, interval 1 hour))")
    sold = placed.groupBy(F.date_trunc("hour", "event_time").alias("sold_in")).agg(F.sum("net").alias("net"))
    mean = sold.agg(F.sum("net").alias("all"))
    hours = span.select("*", hour.alias("hour")).join(sold, F.expr("hour = sold_in"), "left")
    # An hour without an order is worth 0; the first one is only partly known.
    known = hours.withColumn("net", F.expr("if(hour <= this_hour, coalesce(net, 0), null)")).drop("sold_in")
    whole = known.where("hour > first_hour and hour < this_hour").select("hour", "net")
    for name, days in (("net_day_before", 1), ("net_week_before", 7)):
        before = whole.select(F.expr(f"hour + interval {days} days").alias("_hour"), F.col("net").alias(name))
        known = known.join(before, F.expr("hour = _hour"), "left").drop("_hour")
    # Of a business that is younger than an hour, nobody knows more than its hour so far.
    rate = F.expr("`all` / greatest(1, hours)")
    expected = F.coalesce("net_week_before", "net_day_before", rate)
    method = F.expr(
        "case when net_week_before is not null then 'as a week ago'"
        " when net_day_before is not null then 'as a day ago, for history is shorter than a week'"
        " else 'mean of all hours, for history is shorter than a day' end"
    )
    is_ahead = F.col("hour") >= F.col("this_hour")
    recent = known.where(f"hour > this_hour - interval {HOURS_BACK} hours").join(F.broadcast(mean))
    return recent.select(
        *("hour", "net", "net_day_before", "net_week_before"),
        F.when(is_ahead, expected).alias("expected"),
        F.when(is_ahead, method).alias("method"),
    )


def movers(orders: DataFrame) -> DataFrame:
    """What each category, country, product and vendor sold lately, and in the equally long time before.

    That is 24 hours, or what is the longest of ``SPANS`` of which history has two.

    Args:
        orders: silver orders.

    Returns:
        kind, name, compared, net, net_before (currency of the marketplace), place (1 changed most among its kind).
    """
    placed = _placed(orders)
    age = (F.unix_micros("now") - F.unix_micros("first")) / 3_600_000_000
    fits = F.filter(F.expr(SPANS), lambda span: span * 2 <= age)
    length = F.coalesce(F.get(fits, F.lit(0)), age / 2).cast("double")
    span = _history(placed).select("now", length.alias("length"))
    ago = (F.unix_micros("now") - F.unix_micros("event_time")) / 3_600_000_000
    recent = placed.join(F.broadcast(span)).withColumn("ago", ago).where("ago < 2 * length")
    lines = recent.select("ago", "length", "vendor_id", "country", F.inline("lines"))
    worth = F.expr("cast(quantity * unit_price - coalesce(discount, 0) as decimal(18, 4))")
    things = "stack(4, 'category', category, 'country', country, 'product', product_id, 'vendor', vendor_id)"
    sold = lines.select("ago", "length", worth.alias("net"), F.expr(things).alias("kind", "name"))
    label = F.when(F.first("length") >= 1, F.format_string("%.0f h", F.first("length"))).otherwise(
        F.format_string("%.0f min", F.first("length") * 60)
    )
    moved = (
        sold.where("name is not null")
        .groupBy("kind", "name")
        .agg(
            F.concat(F.lit("last "), label, F.lit(" with the "), label, F.lit(" before")).alias("compared"),
            F.expr("coalesce(sum(net) filter (where ago < length), 0)").alias("net"),
            F.expr("coalesce(sum(net) filter (where ago >= length), 0)").alias("net_before"),
        )
    )
    order = Window.partitionBy("kind").orderBy(F.abs(F.col("net") - F.col("net_before")).desc(), "name")
    return moved.withColumn("place", F.row_number().over(order))


NET = "Value of the orders placed, after discounts"
GROWTH = "(net - net_before) / nullif(net_before, 0)"

GROWTH_NOW = View(
    name="marketplace_growth_now",
    description="Sales of the last hour and day, against the same time yesterday and last week.",
    sources=ORDERS,
    keys={"period": "What is compared.", "compared_with": "With what it is compared."},
    attributes=(
        Attribute("net", "coalesce(net, 0)", MONEY, CURRENCY, f"{NET}, in the period."),
        Attribute("net_before", "net_before", MONEY, CURRENCY, f"{NET}, earlier; empty if history is too short."),
        Attribute("net_growth", GROWTH, DoubleType(), "share", "How much more is sold than earlier."),
        Attribute("orders", "orders", LongType(), "orders", "Orders placed in the period."),
        Attribute("orders_before", "orders_before", LongType(), "orders", "Orders placed earlier."),
        Attribute(
            "orders_growth",
            "(orders - orders_before) / nullif(orders_before, 0)",
            DoubleType(),
            "share",
            "How many more orders are placed than earlier.",
        ),
        Attribute("note", "note", StringType(), "text", "Why there is no comparison, where there is none."),
    ),
    rows=growth,
    metrics=(
        Metric("total_net", "SUM(net)", CURRENCY, f"{NET}; of one period and comparison."),
        Metric("growth", "MAX(net_growth)", "share", "How much more is sold than earlier; of one comparison."),
    ),
)

OUTLOOK_BY_HOUR = View(
    name="marketplace_outlook_by_hour",
    description="Sales of each hour of 7 days beside those of a day and a week before, and what the next 24 may bring.",
    sources=ORDERS,
    time="hour",
    keys={"hour": "Start of the hour, UTC."},
    attributes=(
        Attribute("net", "net", MONEY, CURRENCY, f"{NET}; empty in hours to come."),
        Attribute("net_day_before", "net_day_before", MONEY, CURRENCY, f"{NET}, in the same hour of the day before."),
        Attribute("net_week_before", "net_week_before", MONEY, CURRENCY, f"{NET}, in the same hour a week before."),
        Attribute("expected", "expected", MONEY, CURRENCY, "Forecast of the net sales; empty in hours that are over."),
        Attribute("method", "method", StringType(), "text", "How the forecast was made; empty in hours that are over."),
    ),
    rows=outlook,
    metrics=(
        Metric("total_net", "SUM(net)", CURRENCY, f"{NET}."),
        Metric("total_day_before", "SUM(net_day_before)", CURRENCY, f"{NET}, of the same hours a day before."),
        Metric("total_week_before", "SUM(net_week_before)", CURRENCY, f"{NET}, of the same hours a week before."),
        Metric("total_expected", "SUM(expected)", CURRENCY, "Forecast of the net sales."),
    ),
)

MOVERS_NOW = View(
    name="marketplace_movers_now",
    description="Which categories, countries, products and vendors sell more, or less, than just before.",
    sources=ORDERS,
    keys={"kind": "category, country, product or vendor.", "name": "Which one."},
    attributes=(
        Attribute("compared", "compared", StringType(), "text", "Which times: a day, or as history allows."),
        Attribute("net", "net", MONEY, CURRENCY, f"{NET}, lately."),
        Attribute("net_before", "net_before", MONEY, CURRENCY, f"{NET}, in the time before."),
        Attribute("change", "net - net_before", MONEY, CURRENCY, "How much more was sold than before."),
        Attribute("growth", GROWTH, DoubleType(), "share", "The change as a share of what was sold before."),
        Attribute("place", "place", LongType(), "rank", "Place in its kind by the size of the change; 1 is largest."),
    ),
    rows=movers,
    metrics=(
        Metric("total_net", "SUM(net)", CURRENCY, f"{NET}, lately."),
        Metric("total_change", "SUM(net) - SUM(net_before)", CURRENCY, "How much more was sold than before."),
        Metric(
            "total_growth",
            "CAST(SUM(net) - SUM(net_before) AS DOUBLE) / NULLIF(SUM(net_before), 0)",
            "share",
            "The change as a share of what was sold before.",
        ),
        Metric("distance", "ABS(SUM(net) - SUM(net_before))", CURRENCY, "Size of the change, up or down."),
    ),
)

VIEWS = {"marketplace": (GROWTH_NOW, OUTLOOK_BY_HOUR, MOVERS_NOW)}
