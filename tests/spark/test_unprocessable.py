"""A record that makes a micro-batch fail goes to quarantine; the others arrive, and the stream goes on."""

import datetime as dt
import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from pyspark.errors import StreamingQueryException
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import LongType

from jobs.bronze import bronze
from jobs.engine import data_file
from jobs.engine.isolate import MOST
from jobs.marts import MARTS, Mart, Measure
from jobs.settings import Settings
from schemas import Contract
from stack.produce import producer
from tests.spark.conftest import Event, review, run_live
from tests.stack.pipeline import Lake, running_broker

RIGHT = ("a", "b", "c", "d", "e")


def minutes(events: DataFrame) -> DataFrame:
    return events.withColumn("minute", F.date_trunc("minute", "event_time"))


def mart_that_fails(condition: str) -> Mart:
    """A mart with a formula that raises, as none that ships does."""
    formula = f"sum(if({condition}, cast(raise_error('no such order') as bigint), 1))"
    return Mart(
        name="fragile",
        description="Fails at some orders.",
        window="minute",
        width=dt.timedelta(minutes=1),
        dimensions={"order_id": "The order."},
        measures=(Measure("orders", formula, LongType(), "orders", "Orders."),),
        facts=minutes,
    )


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    with running_broker(tmp_path_factory.mktemp("unprocessable")) as settings:
        yield settings


@pytest.fixture
def shop(broker: Settings, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A lake of its own; what is sent to the topic in one test, the next one finds there, too."""
    return broker.model_copy(update={"lake": str(tmp_path_factory.mktemp("lake"))})


def send(contract: Contract, settings: Settings, event: Event, *names: str) -> None:
    now = dt.datetime.now(dt.UTC).isoformat()
    with producer(settings) as kafka:
        for name in names:
            kafka.send(contract.topic, json.dumps(event(event_id=name, order_id=name, event_time=now)).encode())


def values(lake: Lake, table: str, column: str) -> list[Any]:
    return sorted(lake.table(table, [column])[column].to_pylist())


@pytest.mark.parametrize("few", [100_000, 0], ids=["in memory", "by Spark"])
def test_what_a_measure_fails_at_is_refused(
    spark: SparkSession, shop: Settings, orders: Contract, event: Event, monkeypatch: pytest.MonkeyPatch, few: int
) -> None:
    monkeypatch.setitem(MARTS, orders.topic, (mart_that_fails("order_id like 'harmful%'"),))
    settings = shop.model_copy(update={"in_memory_records": few})
    if few:
        send(orders, shop, event, "harmful-1", *RIGHT[:3], "harmful-2", *RIGHT[3:])
        with producer(shop) as kafka:
            for _ in range(3):
                kafka.send(orders.topic, b"no JSON")

    run_live(spark, settings, orders)

    lake = Lake(shop.lake_url)
    assert values(lake, "silver/marketplace_orders", "event_id") == list(RIGHT)
    assert values(lake, "gold/fragile", "order_id") == list(RIGHT)
    quarantine = lake.table("quarantine/marketplace_orders").to_pylist()
    # What is refused anyway keeps its reason.
    assert [row["reasons"][0][:8] for row in quarantine if row["value"] == b"no JSON"] == ["not_json"] * 3
    refused = [row for row in quarantine if row["value"] != b"no JSON"]
    assert sorted(json.loads(row["value"])["event_id"] for row in refused) == ["harmful-1", "harmful-2"]
    for row in refused:
        (reason,) = row["reasons"]
        assert reason.startswith("unprocessable: the record (")
    assert (lake.intake("accepted"), lake.intake("refused")) == (5, 5)
    quality = lake.table("ops/quality_by_minute", ["rule", "refused"]).to_pylist()
    assert sum(row["refused"] for row in quality if row["rule"] == "unprocessable: the record") == 2


def test_what_cannot_be_written_is_refused(
    spark: SparkSession, shop: Settings, orders: Contract, event: Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A failure when some tables have the micro-batch already."""
    statistics = data_file.statistics

    def fragile(rows: Any) -> dict[str, Any]:
        if "order_id" in rows.column_names and "harmful-1" in rows["order_id"].to_pylist():
            raise OverflowError("date value out of range")
        return statistics(rows)

    monkeypatch.setattr(data_file, "statistics", fragile)

    run_live(spark, shop, orders)

    lake = Lake(shop.lake_url)
    assert values(lake, "silver/marketplace_orders", "event_id") == [*RIGHT, "harmful-2"]
    (row,) = (row for row in lake.table("quarantine/marketplace_orders").to_pylist() if row["value"] != b"no JSON")
    assert row["reasons"] == ["unprocessable: the record (OverflowError: date value out of range)"]


def test_a_formula_that_always_fails_is_no_records_fault(
    spark: SparkSession, shop: Settings, orders: Contract, event: Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(MARTS, orders.topic, (mart_that_fails("true"),))
    send(orders, shop, event, *(f"event-{number}" for number in range(MOST)))

    with pytest.raises(StreamingQueryException, match="no such order"):
        run_live(spark, shop, orders)

    assert Lake(shop.lake_url).count("quarantine/marketplace_orders") == 0


def test_a_late_event_that_a_measure_fails_at_keeps_no_other_from_following(
    spark: SparkSession, shop: Settings, reviews: Contract, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of late events, measures are computed beside the stream."""
    condition = "review_id = 'review-2'"
    monkeypatch.setitem(MARTS, reviews.topic, (replace(mart_that_fails(condition), dimensions={"review_id": "It."}),))
    ago = (dt.datetime.now(dt.UTC) - dt.timedelta(days=2)).isoformat()
    late = [json.dumps(review(number, event_time=ago)).encode() for number in range(5)]
    with producer(shop) as kafka:
        for value in late:
            kafka.send(reviews.topic, value)
    query = bronze(spark, [reviews], shop, {"availableNow": True}).start()
    assert query.stream.awaitTermination(120)
    query.stop()

    run_live(spark, shop, reviews)

    lake = Lake(shop.lake_url)
    others = [f"review-{number}" for number in (0, 1, 3, 4)]
    assert (
        values(lake, "silver/marketplace_reviews", "review_id") == values(lake, "gold/fragile", "review_id") == others
    )
    (row,) = lake.table("quarantine/marketplace_reviews").to_pylist()
    assert row["value"] == late[2]
    assert row["reasons"][0].startswith("unprocessable: the record (")
    assert lake.count("late/marketplace_reviews") == 0
    assert (lake.intake("late_accepted"), lake.intake("late_refused")) == (4, 1)
