"""The marts of the marketplace."""

import datetime as dt
from functools import cache

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import DecimalType, LongType

from jobs.marts.mart import Mart, Measure

MONEY = DecimalType(38, 4)


# Columns are made once: to parse them for every micro-batch takes as long as to compute them.


@cache
def order_value() -> Column:
    """The value of an order's lines."""
    return F.expr(
        "aggregate(lines, cast(0 as decimal(18,4)), (sum, line) -> "
        "cast(sum + line.quantity * line.unit_price as decimal(18,4)))"
    )


@cache
def lines_by_category() -> Column:
    """Array of structs, one per category of an order's lines: category, units, value."""
    # Most orders have one line; the general way costs several times as much.
    return F.expr(
        """
        if(size(lines) = 1,
        array(named_struct(
            'category', lines[0].category,
            'units', cast(lines[0].quantity as bigint),
            'value', cast(lines[0].quantity * lines[0].unit_price as decimal(18,4)))),
        transform(array_distinct(lines.category), category -> aggregate(
            filter(lines, line -> line.category = category),
            named_struct('category', category, 'units', 0L, 'value', cast(0 as decimal(18,4))),
            (sum, line) -> named_struct(
                'category', category,
                'units', sum.units + line.quantity,
                'value', cast(sum.value + line.quantity * line.unit_price as decimal(18,4))))))
        """
    )


def order_facts(events: DataFrame) -> DataFrame:
    """One row per order event, with the value of its lines.

    Args:
        events: silver orders.

    Returns:
        second, event_type, value (currency of the marketplace).
    """
    second = F.date_trunc("second", "event_time")
    return events.select(second.alias("second"), "event_type", order_value().alias("value"))


def category_facts(events: DataFrame) -> DataFrame:
    """One row per category of each order placed, cancelled or returned, with units and value of the lines in it.

    Args:
        events: silver orders.

    Returns:
        minute, vendor_id, category, country, channel, event_type, units, value (currency of the marketplace).
    """
    counted = events.where(F.col("event_type").isin("placed", "cancelled", "returned"))
    return counted.select(
        F.date_trunc("minute", "event_time").alias("minute"),
        "vendor_id",
        "country",
        "channel",
        "event_type",
        F.inline(lines_by_category()),
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
        Measure("orders", "count_if(event_type = 'placed')", LongType(), "orders", "Orders placed."),
        Measure(
            "units",
            "coalesce(sum(units) filter (where event_type = 'placed'), 0)",
            LongType(),
            "units",
            "Units ordered.",
        ),
        Measure(
            "gross",
            "coalesce(sum(value) filter (where event_type = 'placed'), 0)",
            MONEY,
            "currency of the marketplace",
            "Value of the orders placed, before cancellations and returns.",
        ),
        Measure("cancelled", "count_if(event_type = 'cancelled')", LongType(), "orders", "Orders cancelled."),
        Measure("returned", "count_if(event_type = 'returned')", LongType(), "orders", "Orders returned."),
        Measure(
            "order_value_min",
            "min(value) filter (where event_type = 'placed')",
            MONEY,
            "currency of the marketplace",
            "Lowest value of an order placed; empty without orders.",
            merge="min",
        ),
        Measure(
            "order_value_max",
            "max(value) filter (where event_type = 'placed')",
            MONEY,
            "currency of the marketplace",
            "Highest value of an order placed; empty without orders.",
            merge="max",
        ),
        Measure(
            "order_value_sum_of_squares",
            "coalesce(sum(value * value) filter (where event_type = 'placed'), 0)",
            DecimalType(38, 8),
            "squared currency of the marketplace",
            "Sum of the squared values of the orders placed, for their standard deviation.",
        ),
    ),
    facts=category_facts,
)

PULSE_BY_SECOND = Mart(
    name="marketplace_pulse_by_second",
    description="The pulse of the marketplace per second of event time.",
    window="second",
    width=dt.timedelta(seconds=1),
    dimensions={},
    measures=(
        Measure("events", "count(*)", LongType(), "events", "Order events of every kind."),
        Measure("orders", "count_if(event_type = 'placed')", LongType(), "orders", "Orders placed."),
        Measure(
            "gross",
            "coalesce(sum(value) filter (where event_type = 'placed'), 0)",
            MONEY,
            "currency of the marketplace",
            "Value of the orders placed.",
        ),
    ),
    facts=order_facts,
)

MARTS = {"marketplace.orders": (PULSE_BY_SECOND, SALES_BY_MINUTE)}
