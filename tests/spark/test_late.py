"""What comes late is in silver and gold a moment later, once, whatever happens in between."""

import datetime as dt
import json
from collections.abc import Iterator
from functools import cache
from typing import Any

import pyarrow as pa
import pytest
from deltalake import DeltaTable
from pyspark.sql import SparkSession

from jobs.engine.commit import Appender
from jobs.engine.query import Query
from jobs.engine.table import Table
from jobs.engine.upsert import MartWriter, merge
from jobs.entity import late_table, silver_table
from jobs.intake import INTAKE_BY_MINUTE
from jobs.late import LateLane
from jobs.marts import SNAPSHOTS
from jobs.marts.marketplace import SALES_BY_MINUTE
from jobs.settings import Settings
from schemas import Contract, load_contracts
from stack.produce import producer
from tests.spark.conftest import Event, start_live
from tests.stack.pipeline import eventually, running_broker

AGO = {"minutes": dt.timedelta(minutes=15), "days": dt.timedelta(days=3), "months": dt.timedelta(days=60)}


@cache
def now() -> dt.datetime:
    """When the first of these tests began, for all of them."""
    return dt.datetime.now(dt.UTC)


@pytest.fixture(scope="module")
def vendors() -> Contract:
    (contract,) = (c for c in load_contracts() if c.topic == "marketplace.vendors")
    return contract


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    with running_broker(tmp_path_factory.mktemp("late"), partitions=2) as settings:
        yield settings


@pytest.fixture
def shop(broker: Settings, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A lake of its own; events of earlier tests are in Kafka, too."""
    return broker.model_copy(update={"lake": str(tmp_path_factory.mktemp("lake"))})


def send(contract: Contract, settings: Settings, *events: dict[str, Any]) -> None:
    with producer(settings) as kafka:
        for event in events:
            kafka.send(contract.topic, json.dumps(event).encode())


def order(event: Event, name: str, *, ago: dt.timedelta = dt.timedelta()) -> dict[str, Any]:
    return event(event_id=name, order_id=name, event_time=(now() - ago).isoformat())


def run_until_the_end(spark: SparkSession, settings: Settings, *contracts: Contract) -> Query:
    """``live`` over what Kafka has, without the late lane."""
    with pytest.MonkeyPatch.context() as resting:
        resting.setattr(LateLane, "start", lambda _: None)
        query = start_live(spark, settings, *contracts)
    assert query.stream.awaitTermination(120)
    query.stop()
    return query


def no_space(*_: object) -> None:
    raise OSError("no space left on device")


def lane_of(query: Query) -> LateLane:
    assert isinstance(query.lane, LateLane)
    return query.lane


def rows_of(table: Table, settings: Settings) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = DeltaTable(table.url(settings.lake_url)).to_pyarrow_table().to_pylist()
    return rows


def orders_by_time(settings: Settings) -> dict[dt.datetime, int]:
    """Orders of the mart by minute, of today's orders as well."""
    rows = DeltaTable(SALES_BY_MINUTE.table.url(settings.lake_url)).to_pyarrow_table()
    merged = merge(SALES_BY_MINUTE, rows.schema.empty_table(), rows)
    return {row["minute"]: row["orders"] for row in merged.to_pylist()}


def ids(table: Table, settings: Settings) -> list[str]:
    return sorted(row["event_id"] for row in rows_of(table, settings))


def test_late_events_follow_and_count_once(
    spark: SparkSession, shop: Settings, orders: Contract, event: Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    late = [order(event, f"late-{name}", ago=ago) for name, ago in AGO.items()]
    send(orders, shop, order(event, "punctual"), *late, *late)
    query = run_until_the_end(spark, shop, orders)
    waiting = ids(late_table(orders), shop)
    before = ids(silver_table(orders), shop)

    # The driver dies when silver has them, and some marts.
    with monkeypatch.context() as broken:
        broken.setattr(MartWriter, "upsert", no_space)
        with pytest.raises(OSError, match="no space"):
            lane_of(query).take()
    # More comes before the next driver goes on.
    send(orders, shop, order(event, "late-too", ago=AGO["days"]), late[0])
    query = run_until_the_end(spark, shop, orders)

    lane_of(query).take()

    names = sorted({one["event_id"] for one in late})
    assert (before, waiting) == (["punctual"], sorted([*names, *names]))
    assert ids(silver_table(orders), shop) == sorted([*names, "late-too", "punctual"])
    assert rows_of(late_table(orders), shop) == []
    by_time = orders_by_time(shop)
    assert {ago: by_time[(now() - ago).replace(second=0, microsecond=0)] for ago in AGO.values()} == {
        AGO["minutes"]: 1,
        AGO["days"]: 2,
        AGO["months"]: 1,
    }
    intake = DeltaTable(INTAKE_BY_MINUTE.table.url(shop.lake_url)).to_pyarrow_table()
    sums = {name: pa.compute.sum(intake[name]).as_py() for name in ("late", "late_accepted", "late_duplicates")}
    assert sums == {"late": 8, "late_accepted": 4, "late_duplicates": 4}

    # In time the first time, late the second.
    send(orders, shop, *late)
    query = run_until_the_end(spark, shop, orders)
    lane_of(query).take()
    assert ids(silver_table(orders), shop) == sorted([*names, "late-too", "punctual"])


def test_a_topic_without_a_mart_has_a_snapshot_that_follows(
    spark: SparkSession, shop: Settings, vendors: Contract
) -> None:
    """Of a vendor the newest event counts, however late it came; an older one does not."""

    def vendor(change: str, ago: dt.timedelta) -> dict[str, Any]:
        return {
            "event_id": change,
            "event_type": change,
            "event_time": (now() - ago).isoformat(),
            "vendor_id": "v-1",
            "name": "Vendor",
            "country": "DE",
            "category": "Books",
            "commission_rate": "0.1",
            "monthly_goal": 1000,
        }

    (snapshot,) = SNAPSHOTS[vendors.topic]
    hour, long = dt.timedelta(hours=2), dt.timedelta(days=2)
    send(vendors, shop, vendor("updated", long), vendor("suspended", hour), vendor("registered", 2 * long))
    query = run_until_the_end(spark, shop, vendors)

    lane_of(query).take()

    assert {row["vendor_id"]: row["is_open"] for row in rows_of(snapshot.table, shop)} == {"v-1": False}
    assert len(ids(silver_table(vendors), shop)) == 3


def test_what_came_after_an_interrupted_turn_follows_by_itself(
    spark: SparkSession, shop: Settings, orders: Contract, event: Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though the turn takes no more than was written down, and nothing late comes any more."""
    monkeypatch.setattr("jobs.late.LONGEST_REST", 0.1)
    send(orders, shop, order(event, "interrupted", ago=AGO["days"]))
    query = run_until_the_end(spark, shop, orders)
    with monkeypatch.context() as broken:
        broken.setattr(Appender, "append", no_space)
        with pytest.raises(OSError, match="no space"):
            lane_of(query).take()
    send(orders, shop, order(event, "after", ago=AGO["months"]))
    run_until_the_end(spark, shop, orders)

    query = start_live(spark, shop, orders)

    eventually(lambda: not rows_of(late_table(orders), shop), what="nothing is late", seconds=60)
    query.stop()
    assert {"interrupted", "after"} <= set(ids(silver_table(orders), shop))


def test_late_events_are_taken_beside_the_stream(
    spark: SparkSession, shop: Settings, orders: Contract, event: Event
) -> None:
    """The lane's own thread, which begins when no micro-batch is half written."""
    send(orders, shop, order(event, "beside", ago=AGO["days"]))
    query = start_live(spark, shop, orders)
    assert query.stream.awaitTermination(120)

    def is_taken() -> bool:
        return "beside" in ids(silver_table(orders), shop) and not rows_of(late_table(orders), shop)

    eventually(is_taken, what="it is taken", seconds=60)
    query.stop()

    assert (now() - AGO["days"]).replace(second=0, microsecond=0) in orders_by_time(shop)
