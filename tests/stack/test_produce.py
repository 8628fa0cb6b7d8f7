"""Demo traffic comes as it happens, and messages that Kafka does not take are told, not lost."""

import datetime as dt
import json
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaConsumer, KafkaProducer

from jobs.engine.kafka import LOG_APPEND_TIME
from schemas import load_contracts
from stack.exceptions import StackError
from stack.produce import Sender, produce_file, produce_traffic
from tests.stack.pipeline import TOPIC, running_broker

CLICKS = "marketplace.clickstream"


def test_a_message_that_cannot_be_sent_is_an_error(tmp_path: Path) -> None:
    (orders,) = (contract for contract in load_contracts() if contract.topic == TOPIC)
    required = {field.name: "x" for field in orders.fields if field.required}
    rows = tmp_path / "orders.csv"
    rows.write_text(f"{','.join(required)}\n{','.join(required.values())}{'x' * 2**20}\n")

    with running_broker(tmp_path) as settings, pytest.raises(StackError, match=f"cannot be sent to {TOPIC}"):
        produce_file(rows, orders, settings)


def test_a_broker_that_is_gone_is_an_error(tmp_path: Path) -> None:
    with running_broker(tmp_path) as settings:
        # Gives up sooner than ours does.
        kafka = KafkaProducer(
            bootstrap_servers=settings.bootstrap_servers, request_timeout_ms=1_000, delivery_timeout_ms=2_000
        )
        sender = Sender(kafka)
        sender.send(TOPIC, key=None, value=b"before")
        sender.settle()

    sender.send(TOPIC, key=None, value=b"after")

    with pytest.raises(StackError, match="did not take"):
        sender.settle()
    kafka.close(timeout=0)


def test_the_past_brings_its_own_time_and_the_present_keeps_up(tmp_path: Path) -> None:
    with running_broker(tmp_path, partitions=1) as settings:
        began = dt.datetime.now(dt.UTC)
        produce_traffic([CLICKS], settings, rate=1_000, duration=8, history=20, seed=1)
        consumer = KafkaConsumer(
            CLICKS,
            bootstrap_servers=settings.bootstrap_servers,
            auto_offset_reset="earliest",
            consumer_timeout_ms=5_000,
        )
        records = list(consumer)
        consumer.close()

    types = [record.timestamp_type for record in records]
    assert types == sorted(types), "the past comes first"
    past = records[: types.index(LOG_APPEND_TIME)]
    # Of the past, each record came when it says.
    assert len(past) > 200
    assert past[0].timestamp / 1000 < began.timestamp() - 15
    assert min(lateness(record) for record in records[-100:]) < dt.timedelta(seconds=1)


def lateness(record: Any) -> dt.timedelta:
    """How long before its arrival an event happened; a broken one says nothing."""
    try:
        happened = dt.datetime.fromisoformat(json.loads(record.value)["event_time"])
    except (ValueError, TypeError):
        return dt.timedelta.max
    return dt.datetime.fromtimestamp(record.timestamp / 1000, dt.UTC) - happened
