"""Refused events are released: they go through ``live`` once more, as late as they are by then, and count once."""

import datetime as dt
import json
import shutil
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from deltalake import DeltaTable
from kafka import KafkaConsumer
from pyspark.sql import SparkSession

from jobs.engine.batch import Batch
from jobs.engine.commit import Appender
from jobs.entity import quarantine_table, silver_table
from jobs.intake import INTAKE_BY_MINUTE
from jobs.marts.marketplace import SALES_BY_MINUTE
from jobs.quarantine import RELEASES, newest_records, summarize
from jobs.settings import Settings
from quality.rules import rules
from schemas import Contract
from stack.exceptions import StackError
from stack.produce import producer
from stack.release import RELEASED, release
from tests.spark.conftest import Event, run_live
from tests.stack.pipeline import running_broker

ONLY_HOME = rules(
    [
        {
            "type": "expect_column_values_to_be_in_set",
            "severity": "critical",
            "description": "We sell at home.",
            "kwargs": {"column": "country", "value_set": ["DE"]},
        }
    ]
)
HOURS_AGO = dt.timedelta(hours=3)


@pytest.fixture
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    with running_broker(tmp_path_factory.mktemp("release"), partitions=1) as settings:
        yield settings


def send(contract: Contract, settings: Settings, *events: dict[str, Any]) -> None:
    with producer(settings) as kafka:
        for event in events:
            kafka.send(contract.topic, json.dumps(event).encode(), headers=[("sender", b"test")])


def sum_of(column: str, url: str) -> int:
    return int(pc.sum(DeltaTable(url).to_pyarrow_table(columns=[column])[column]).as_py())


def headers(contract: Contract, lake: str, offset: int) -> dict[str, bytes]:
    """Those of a record in quarantine."""
    records = DeltaTable(quarantine_table(contract).url(lake)).to_pyarrow_table().to_pylist()
    (found,) = (record["headers"] for record in records if record["offset"] == offset)
    return {header["key"]: header["value"] for header in found}


def test_released_events_count_once_however_late(
    spark: SparkSession, shop: Settings, orders: Contract, event: Event
) -> None:
    def order(number: int, at: dt.datetime, **changes: Any) -> dict[str, Any]:
        return event(event_id=f"event-{number}", order_id=f"order-{number}", event_time=at.isoformat(), **changes)

    now = dt.datetime.now(dt.UTC)
    lake = shop.lake_url
    sales, intake = SALES_BY_MINUTE.table.url(lake), INTAKE_BY_MINUTE.table.url(lake)
    long_ago = now - HOURS_AGO
    send(orders, shop, order(1, long_ago), order(2, long_ago, country="FR"), order(1, long_ago, country="FR"))
    run_live(spark, shop, orders, rules=ONLY_HOME)
    send(orders, shop, order(3, now), order(4, now, channel="pigeon"))
    run_live(spark, shop, orders, rules=ONLY_HOME)
    # Nothing is late for good.
    send(orders, shop, order(5, long_ago))
    run_live(spark, shop, orders, rules=ONLY_HOME)
    assert sum_of("orders", sales) == 3
    assert summarize(orders, lake).rules == Counter({"values_to_be_in_set: country": 2, "not_allowed: channel": 1})

    # The rule is gone.
    assert release(orders, shop, rule="values_to_be_in_set: country") == 2
    run_live(spark, shop, orders)

    kept = DeltaTable(silver_table(orders).url(lake)).to_pyarrow_table(columns=["event_id"])["event_id"].to_pylist()
    assert sorted(kept) == ["event-1", "event-2", "event-3", "event-5"]
    assert sum_of("orders", sales) == 4
    counts = ("refused", "late", "late_accepted", "late_duplicates", "duplicates")
    assert [sum_of(name, intake) for name in counts] == [3, 4, 3, 1, 0]
    waiting = summarize(orders, lake)
    assert (waiting.records, waiting.released) == (1, 2)
    assert [row["reasons"] for row in newest_records(orders, lake, count=9)] == [["not_allowed: channel (pigeon)"]]
    assert release(orders, shop, rule="values_to_be_in_set: country") == 0

    # What is still wrong comes back, and tells where it was.
    assert release(orders, shop) == 1
    run_live(spark, shop, orders)
    (row,) = newest_records(orders, lake, count=9)
    assert headers(orders, lake, row["offset"]) == {"sender": b"test", RELEASED: b"0:4"}

    # As if the process had died before it noted what it sent.
    shutil.rmtree(RELEASES.url(lake))
    assert release(orders, shop, rule="values_to_be_in_set") == 2
    run_live(spark, shop, orders)
    assert sum_of("orders", sales) == 4
    assert sum_of("late_duplicates", intake) == 3


def refused(offset: int, **changes: Any) -> dict[str, Any]:
    now = dt.datetime.now(dt.UTC)
    record = {"key": b"k", "value": b"{%d}" % offset, "headers": None, "topic": "marketplace.orders", "partition": 0}
    return record | {"offset": offset, "timestamp": now, "reasons": ["not_json"], "arrival_date": now.date()} | changes


def released_places(settings: Settings, contract: Contract) -> list[str]:
    """Where the records of a topic were refused, as their headers say."""
    consumer = KafkaConsumer(
        contract.topic,
        bootstrap_servers=settings.bootstrap_servers,
        auto_offset_reset="earliest",
        consumer_timeout_ms=3_000,
    )
    return [dict(record.headers)[RELEASED].decode() for record in consumer]


def test_a_record_that_cannot_be_sent_keeps_no_other_from_it(shop: Settings, orders: Contract) -> None:
    rows = [
        refused(1, headers=[{"key": "sender", "value": b"test"}]),
        refused(2, value=b"x" * 2 * 2**20),
        refused(3, headers=[{"key": "trace", "value": None}]),
        refused(4, headers=[{"key": None, "value": b"x"}]),
        refused(5, key=None, value=None),
        refused(5, partition=1),
    ]
    batch = Batch("query", 0, rows[0]["timestamp"])
    Appender(quarantine_table(orders), shop.lake_url).append(pa.Table.from_pylist(rows), batch)

    for _ in range(2):
        with pytest.raises(StackError, match=r"did not take 1 of the records .* partition 0, offset 2"):
            release(orders, shop)

    assert sorted(released_places(shop, orders)) == ["0:1", "0:3", "0:4", "0:5", "1:5"]
    assert [(row["partition"], row["offset"]) for row in newest_records(orders, shop.lake_url, count=9)] == [(0, 2)]
