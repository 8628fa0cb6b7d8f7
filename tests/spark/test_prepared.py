"""What is planned once computes every batch anew."""

import datetime as dt
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from chispa import assert_df_equality
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import StructType

from jobs.engine.measures import Measures
from jobs.engine.prepared import Prepared
from jobs.engine.weight import IN_MEMORY_BYTES
from jobs.marts import MARTS
from jobs.marts.marketplace import SALES_BY_MINUTE
from schemas import Contract

PRICES = StructType().add("vendor", "string").add("price", "long")


def totals(prices: DataFrame) -> DataFrame:
    return prices.groupBy("vendor").agg(F.sum("price").alias("total"))


def prices(*rows: tuple[str | None, int | None]) -> pa.Table:
    vendors, amounts = zip(*rows, strict=True) if rows else ((), ())
    return pa.table({"vendor": pa.array(vendors, pa.string()), "price": pa.array(amounts, pa.int64())})


@pytest.mark.parametrize(
    ("batches", "expected"),
    [
        ([prices(("a", 1), ("a", 2)), prices(("b", 5))], [{"a": 3}, {"b": 5}]),
        ([prices(), prices(("a", 1)), prices()], [{}, {"a": 1}, {}]),
        ([prices((None, 1), ("a", None)), prices(("a", 7))], [{None: 1, "a": None}, {"a": 7}]),
    ],
)
def test_each_batch_has_the_totals_of_its_own_rows(
    spark: SparkSession, batches: Sequence[pa.Table], expected: Sequence[dict[str, int]]
) -> None:
    prepared = Prepared(spark, PRICES, totals)

    found = [prepared.compute(batch).to_pydict() for batch in batches]

    assert [dict(zip(one["vendor"], one["total"], strict=True)) for one in found] == expected


def test_a_batch_may_weigh_as_much_as_fits_into_memory(spark: SparkSession) -> None:
    # One row may have a megabyte, and is a whole micro-batch with others like it.
    heavy = prices(*((str(number) * (IN_MEMORY_BYTES // 2), number) for number in (1, 2)))

    found = Prepared(spark, PRICES, totals).compute(heavy)

    assert sorted(found["total"].to_pylist()) == [1, 2]


def test_plans_do_not_see_one_another_s_rows(spark: SparkSession) -> None:
    some, others = Prepared(spark, PRICES, totals), Prepared(spark, PRICES, totals)
    some.compute(prices(("a", 1)))
    others.compute(prices(("b", 2)))

    assert some.compute(prices(("c", 3))).to_pydict() == {"vendor": ["c"], "total": [3]}


def test_marts_in_one_plan_have_the_rows_that_each_has_alone(spark: SparkSession, orders: Contract) -> None:
    noon = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)
    line = {"product_id": "p", "category": "Books", "quantity": 2, "unit_price": Decimal("19.99")}
    fields: dict[str, Any] = {"customer_id": "c", "vendor_id": "v", "country": "DE", "channel": "web", "lines": [line]}
    marts = MARTS[orders.topic]
    placed = [
        fields | {"event_id": f"e{number}", "order_id": f"o{number}", "event_type": "placed", "event_time": noon}
        for number in range(3)
    ]
    events = spark.createDataFrame(placed, orders.spark_schema)

    found = Measures(spark, marts, orders.spark_schema).compute(events.toArrow())

    assert found[SALES_BY_MINUTE.name]["orders"].to_pylist() == [3]
    for mart in marts:
        expected = mart.measure(events)
        same = spark.createDataFrame(found[mart.name], expected.schema)
        assert_df_equality(same, expected, ignore_row_order=True, ignore_nullable=True, ignore_metadata=True)
