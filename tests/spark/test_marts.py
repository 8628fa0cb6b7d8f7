import datetime as dt
from decimal import Decimal

import pytest
from chispa import assert_df_equality
from pyspark.sql import DataFrame, SparkSession

from jobs.marts.marketplace import PULSE_BY_SECOND, SALES_BY_MINUTE
from schemas import Contract

NOON = dt.datetime(2026, 3, 1, 12, 0)


def line(category: str, quantity: int, price: str) -> tuple[str, str, int, Decimal]:
    return ("product", category, quantity, Decimal(price))


@pytest.fixture
def events(spark: SparkSession, orders: Contract) -> DataFrame:
    """Two orders placed in one minute, one of them cancelled in the next."""
    book, toys = line("Books", 2, "10.00"), line("Toys", 1, "5.50")

    def step(
        event_type: str, order: str, seconds: int, lines: list[tuple[str, str, int, Decimal]]
    ) -> tuple[object, ...]:
        time = NOON + dt.timedelta(seconds=seconds)
        return (f"{order}-{event_type}", event_type, time, order, None, "vendor-1", "DE", "web", lines)

    rows = [
        step("placed", "o-1", 1, [book, toys, line("Books", 1, "4.00")]),
        step("placed", "o-2", 1, [line("Books", 1, "3.00")]),
        step("paid", "o-1", 5, [book]),
        step("cancelled", "o-2", 61, [line("Books", 1, "3.00")]),
        step("returned", "o-1", 62, [toys]),
    ]
    return spark.createDataFrame(rows, orders.spark_schema)


def test_sales_by_minute(spark: SparkSession, events: DataFrame) -> None:
    next_minute = NOON + dt.timedelta(minutes=1)
    key = ("vendor-1", "Books", "DE", "web")
    toys = ("vendor-1", "Toys", "DE", "web")
    expected = spark.createDataFrame(
        [
            (NOON, *key, 2, 4, Decimal(27), 0, 0, Decimal(3), Decimal(24), Decimal(585)),
            (NOON, *toys, 1, 1, Decimal("5.5"), 0, 0, Decimal("5.5"), Decimal("5.5"), Decimal("30.25")),
            (next_minute, *key, 0, 0, Decimal(0), 1, 0, None, None, Decimal(0)),
            (next_minute, *toys, 0, 0, Decimal(0), 0, 1, None, None, Decimal(0)),
        ],
        SALES_BY_MINUTE.table.schema,
    )

    sales = SALES_BY_MINUTE.measure(events)

    assert_df_equality(sales, expected, ignore_row_order=True, ignore_nullable=True, ignore_metadata=True)


def test_pulse_by_second(spark: SparkSession, events: DataFrame) -> None:
    def second(number: int) -> dt.datetime:
        return NOON + dt.timedelta(seconds=number)

    expected = spark.createDataFrame(
        [
            (second(1), 2, 2, Decimal("32.50")),
            (second(5), 1, 0, Decimal(0)),
            (second(61), 1, 0, Decimal(0)),
            (second(62), 1, 0, Decimal(0)),
        ],
        PULSE_BY_SECOND.table.schema,
    )

    pulse = PULSE_BY_SECOND.measure(events)

    assert_df_equality(pulse, expected, ignore_row_order=True, ignore_nullable=True, ignore_metadata=True)


def test_the_gross_of_both_marts_is_the_same(events: DataFrame) -> None:
    gross = [mart.measure(events).agg({"gross": "sum"}).collect()[0][0] for mart in (SALES_BY_MINUTE, PULSE_BY_SECOND)]

    assert gross[0] == gross[1] == Decimal("32.50")
