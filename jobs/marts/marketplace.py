"""The marts of the marketplace's orders."""

import datetime as dt
from functools import cache

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import DecimalType, LongType

from jobs.marts.mart import Mart, counted, highest, lowest, summed
from jobs.marts.metric import Metric, ratio

CURRENCY = "currency of the marketplace"
SECONDS = DecimalType(38, 3)
PLACED, CANCELLED, RETURNED = (f"event_type = '{step}'" for step in ("placed", "cancelled", "returned"))


# Columns are made once: to parse them for every micro-batch takes as long as to compute them.


@cache
def order_totals() -> Column:
    """Struct: units, value before discounts, and discounts of all of an order's lines."""
    return F.expr(
        """
        aggregate(lines,
            named_struct('units', 0L, 'value', cast(0 as decimal(18,4)), 'discount', cast(0 as decimal(18,4))),
            (sum, line) -> named_struct(
                'units', sum.units + line.quantity,
                'value', cast(sum.value + line.quantity * line.unit_price as decimal(18,4)),
                'discount', cast(sum.discount + coalesce(line.discount, 0) as decimal(18,4))))
        """
    )


@cache
def lines_by_category() -> Column:
    """Array of structs, one per category of an order's lines: category, units, value, discount."""
    # Most orders have one line; the general way costs several times as much.
    return F.expr(
        """
        if(size(lines) = 1,
        array(named_struct(
            'category', lines[0].category,
            'units', cast(lines[0].quantity as bigint),
            'value', cast(lines[0].quantity * lines[0].unit_price as decimal(18,4)),
            'discount', cast(coalesce(lines[0].discount, 0) as decimal(18,4)))),
        transform(array_distinct(lines.category), category -> aggregate(
            filter(lines, line -> line.category = category),
            named_struct('category', category, 'units', 0L,
                'value', cast(0 as decimal(18,4)), 'discount', cast(0 as decimal(18,4))),
            (sum, line) -> named_struct(
                'category', category,
                'units', sum.units + line.quantity,
                'value', cast(sum.value + line.quantity * line.unit_price as decimal(18,4)),
                'discount', cast(sum.discount + coalesce(line.discount, 0) as decimal(18,4))))))
        """
    )


@cache
def five_seconds() -> Column:
    """The start of the window of five seconds."""
    return F.expr("timestamp_seconds(unix_seconds(event_time) - pmod(unix_seconds(event_time), 5))")


@cache
def since_placed() -> Column:
    """Seconds since the order was placed."""
    return F.expr(
        "cast(cast(unix_millis(event_time) - unix_millis(placed_at) as decimal(18,3)) / 1000 as decimal(18,3))"
    )


def order_facts(events: DataFrame) -> DataFrame:
    """One row per order event, with what its lines are worth.

    Args:
        events: silver orders.

    Returns:
        second, five_seconds, day, vendor_id, event_type, units, value, discount (currency of the marketplace).
    """
    return events.select(
        F.date_trunc("second", "event_time").alias("second"),
        five_seconds().alias("five_seconds"),
        F.date_trunc("day", "event_time").alias("day"),
        "vendor_id",
        "event_type",
        order_totals().alias("totals"),
        F.expr("event_type = 'delivered' and event_time > deliver_by").alias("is_late"),
    ).select("*", "totals.*")


def category_facts(events: DataFrame) -> DataFrame:
    """One row per category of each order placed, cancelled or returned, with what the lines in it are worth.

    Args:
        events: silver orders.

    Returns:
        minute, vendor_id, category, country, channel, event_type, units, value, discount (currency of the marketplace).
    """
    found = events.where(F.col("event_type").isin("placed", "cancelled", "returned"))
    return found.select(
        F.date_trunc("minute", "event_time").alias("minute"),
        "vendor_id",
        "country",
        "channel",
        "event_type",
        F.inline(lines_by_category()),
    )


def product_facts(events: DataFrame) -> DataFrame:
    """One row per line of each order placed or returned.

    Args:
        events: silver orders.

    Returns:
        day, vendor_id, category, product_id, event_type, units, value, discount (currency of the marketplace).
    """
    found = events.where(F.col("event_type").isin("placed", "returned"))
    lines = found.select(F.date_trunc("day", "event_time").alias("day"), "vendor_id", "event_type", F.inline("lines"))
    return lines.select(
        "day",
        "vendor_id",
        "category",
        "product_id",
        "event_type",
        F.col("quantity").alias("units"),
        (F.col("quantity") * F.col("unit_price")).alias("value"),
        F.coalesce("discount", F.lit(0)).alias("discount"),
    )


def fulfilment_facts(events: DataFrame) -> DataFrame:
    """One row per order shipped or delivered.

    Args:
        events: silver orders.

    Returns:
        minute, vendor_id, event_type, seconds (s since the order was placed; null where unknown), is_promised, is_late.
    """
    found = events.where(F.col("event_type").isin("shipped", "delivered"))
    return found.select(
        F.date_trunc("minute", "event_time").alias("minute"),
        "vendor_id",
        "event_type",
        since_placed().alias("seconds"),
        F.col("deliver_by").isNotNull().alias("is_promised"),
        (F.col("event_time") > F.col("deliver_by")).alias("is_late"),
    )


MEAN_ORDER = ratio("average_order_value", "gross", "orders", CURRENCY, "Gross sales per order placed.")


def _pulse(name: str, window: str, width: dt.timedelta, every: str) -> Mart:
    return Mart(
        name=name,
        description=f"The pulse of the marketplace per {every} of event time.",
        window=window,
        width=width,
        dimensions={},
        measures=(
            counted("events", "true", "events", "Order events of every kind."),
            counted("orders", PLACED, "orders", "Orders placed."),
            summed("gross", "value", PLACED, CURRENCY, "Value of the orders placed, before discounts."),
        ),
        facts=order_facts,
        metrics=(
            MEAN_ORDER,
            Metric(
                "events_per_second",
                f"AVG(events) / {width.total_seconds():.0f}",
                "events/s",
                "Mean over the windows that had any event.",
            ),
        ),
    )


PULSE_BY_SECOND = _pulse("marketplace_pulse_by_second", "second", dt.timedelta(seconds=1), "second")
PULSE_BY_5_SECONDS = _pulse("marketplace_pulse_by_5_seconds", "five_seconds", dt.timedelta(seconds=5), "five seconds")

SOLD = (
    counted("orders", PLACED, "orders", "Orders placed."),
    summed("units", "units", PLACED, "units", "Units ordered.", data_type=LongType()),
    summed("gross", "value", PLACED, CURRENCY, "Value of the orders placed, before discounts and returns."),
    summed("discount", "discount", PLACED, CURRENCY, "Discounts on the orders placed."),
    summed("net", "value - discount", PLACED, CURRENCY, "What customers pay for the orders placed."),
    counted("cancelled", CANCELLED, "orders", "Orders cancelled."),
    counted("returned", RETURNED, "orders", "Orders returned."),
    summed("refunds", "value - discount", RETURNED, CURRENCY, "What customers get back for the orders returned."),
)

SALES_METRICS = (
    MEAN_ORDER,
    ratio("cancellation_rate", "cancelled", "orders", "share", "Orders cancelled per order placed in the same period."),
    ratio("return_rate", "returned", "orders", "share", "Orders returned per order placed in the same period."),
    ratio("discount_rate", "discount", "gross", "share", "Discounts as a share of gross sales."),
)

SALES_BY_MINUTE = Mart(
    name="marketplace_sales_by_minute",
    description="Sales of the marketplace per minute of event time, vendor, category, country and channel.",
    window="minute",
    width=dt.timedelta(minutes=1),
    dimensions={
        "vendor_id": "Vendor who sells and ships the order.",
        "category": "Category of the products; an order with lines in two categories counts in each.",
        "country": "Country that the order ships to.",
        "channel": "Where the customer ordered: web, app or partner.",
    },
    measures=(
        *SOLD,
        lowest(
            "order_value_min",
            "value",
            PLACED,
            CURRENCY,
            "Lowest value of an order placed; empty without orders.",
        ),
        highest(
            "order_value_max",
            "value",
            PLACED,
            CURRENCY,
            "Highest value of an order placed; empty without orders.",
        ),
        summed(
            "order_value_sum_of_squares",
            "value * value",
            PLACED,
            f"squared {CURRENCY}",
            "Sum of the squared values of the orders placed, for their standard deviation.",
            data_type=DecimalType(38, 8),
        ),
    ),
    facts=category_facts,
    metrics=(
        *SALES_METRICS,
        Metric(
            "order_value_stddev",
            "SQRT(GREATEST(0, CAST(SUM(order_value_sum_of_squares) AS DOUBLE) / NULLIF(SUM(orders), 0) "
            "- POWER(CAST(SUM(gross) AS DOUBLE) / NULLIF(SUM(orders), 0), 2)))",
            CURRENCY,
            "Standard deviation of the values of the orders placed.",
        ),
    ),
)

VENDORS_BY_DAY = Mart(
    name="marketplace_vendors_by_day",
    description="What each vendor sold and delivered per day of event time, UTC.",
    window="day",
    width=dt.timedelta(days=1),
    dimensions={"vendor_id": "Vendor who sells and ships the order."},
    measures=(
        *SOLD,
        counted("shipped", "event_type = 'shipped'", "orders", "Orders handed to the carrier."),
        counted("delivered", "event_type = 'delivered'", "orders", "Orders delivered."),
        counted("late", "is_late", "orders", "Orders delivered later than promised."),
    ),
    facts=order_facts,
    metrics=(
        *SALES_METRICS,
        ratio("late_share", "late", "delivered", "share", "Orders delivered late, of those delivered."),
    ),
)

PRODUCTS_BY_DAY = Mart(
    name="marketplace_products_by_day",
    description="What each product sold per day of event time, UTC.",
    window="day",
    width=dt.timedelta(days=1),
    dimensions={
        "vendor_id": "Vendor who sells the product.",
        "category": "Category of the product.",
        "product_id": "The product.",
    },
    measures=(
        counted("orders", PLACED, "order lines", "Order lines of the product."),
        summed("units", "units", PLACED, "units", "Units ordered.", data_type=LongType()),
        summed("gross", "value", PLACED, CURRENCY, "Value of the units ordered, before discounts."),
        summed("discount", "discount", PLACED, CURRENCY, "Discounts on the units ordered."),
        summed("returned_units", "units", RETURNED, "units", "Units returned.", data_type=LongType()),
        summed("refunds", "value - discount", RETURNED, CURRENCY, "What customers get back for the units returned."),
    ),
    facts=product_facts,
    metrics=(
        ratio("average_price", "gross", "units", CURRENCY, "Mean price of a unit, before discounts."),
        ratio("return_rate", "returned_units", "units", "share", "Units returned per unit ordered in the same period."),
    ),
)

FULFILMENT_BY_MINUTE = Mart(
    name="marketplace_fulfilment_by_minute",
    description="How long vendors take to ship and deliver, per minute of the shipment or delivery.",
    window="minute",
    width=dt.timedelta(minutes=1),
    dimensions={"vendor_id": "Vendor who sells and ships the order."},
    measures=(
        counted("shipped", "event_type = 'shipped'", "orders", "Orders handed to the carrier."),
        counted("delivered", "event_type = 'delivered'", "orders", "Orders delivered."),
        counted("promised", "event_type = 'delivered' and is_promised", "orders", "Delivered orders with a promise."),
        counted("late", "event_type = 'delivered' and is_late", "orders", "Orders delivered later than promised."),
        summed(
            "ship_seconds",
            "seconds",
            "event_type = 'shipped'",
            "s",
            "Time from order to shipment, summed over the orders shipped.",
            data_type=SECONDS,
        ),
        summed(
            "deliver_seconds",
            "seconds",
            "event_type = 'delivered'",
            "s",
            "Time from order to delivery, summed over the orders delivered.",
            data_type=SECONDS,
        ),
        highest(
            "ship_seconds_max",
            "seconds",
            "event_type = 'shipped'",
            "s",
            "Longest time from order to shipment; empty without shipments.",
            data_type=SECONDS,
        ),
        highest(
            "deliver_seconds_max",
            "seconds",
            "event_type = 'delivered'",
            "s",
            "Longest time from order to delivery; empty without deliveries.",
            data_type=SECONDS,
        ),
    ),
    facts=fulfilment_facts,
    metrics=(
        ratio("mean_ship_seconds", "ship_seconds", "shipped", "s", "Mean time from order to shipment."),
        ratio("mean_deliver_seconds", "deliver_seconds", "delivered", "s", "Mean time from order to delivery."),
        ratio("late_share", "late", "promised", "share", "Orders delivered late, of those with a promise."),
    ),
)

MARTS = {
    "marketplace.orders": (
        PULSE_BY_SECOND,
        PULSE_BY_5_SECONDS,
        SALES_BY_MINUTE,
        FULFILMENT_BY_MINUTE,
        VENDORS_BY_DAY,
        PRODUCTS_BY_DAY,
    )
}
