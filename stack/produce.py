"""Send events to Kafka: demo traffic, or the rows of a file."""

import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.csv
import pyarrow.json
import pyarrow.parquet
from kafka import KafkaConsumer, KafkaProducer, TopicPartition

from jobs.settings import Settings
from schemas import Contract
from stack.exceptions import StackError
from stack.traffic import Message, order_messages

TRAFFIC = {"marketplace.orders": order_messages}
"""The simulation of each topic."""


def producer(settings: Settings) -> KafkaProducer:
    """A producer that keeps order and loses nothing."""
    return KafkaProducer(
        bootstrap_servers=settings.bootstrap_servers,
        acks="all",
        linger_ms=20,
        batch_size=256 * 1024,
        enable_idempotence=True,
    )


def produce_traffic(
    topic: str,
    settings: Settings,
    *,
    rate: float,
    duration: float | None = None,
    history: float = 0,
    seed: int | None = None,
) -> int:
    """Send demo traffic as it happens.

    Args:
        topic: one of ``TRAFFIC``.
        settings: where Kafka is.
        rate: events per second.
        duration: seconds; without it, until interrupted.
        history: seconds before now, whose traffic is sent at once first if the topic is still empty.
        seed: makes the traffic repeatable.

    Returns:
        the number of messages sent.
    """
    begin = time.time()
    start = begin - history if history and _is_empty(topic, settings) else begin
    end = begin + duration if duration is not None else float("inf")
    sent = 0
    with producer(settings) as kafka:
        for message in _in_real_time(TRAFFIC[topic](rate=rate, start=start, seed=seed)):
            if message.at > end:
                break
            kafka.send(topic, key=message.key, value=message.value)
            sent += 1
    return sent


def produce_file(path: Path, contract: Contract, settings: Settings, *, rate: float | None = None) -> int:
    """Send the rows of a Parquet, CSV or JSON Lines file whose columns are the contract's fields.

    Args:
        path: the file; its suffix tells the format.
        contract: what the rows are, and which field is the key of the message.
        settings: where Kafka is.
        rate: rows per second; without it, as fast as Kafka takes them.

    Returns:
        the number of messages sent.

    Raises:
        StackError: the file's format is not known, or it lacks a required field.
    """
    rows = _read(path)
    missing = [field.name for field in contract.fields if field.required and field.name not in rows.column_names]
    if missing:
        raise StackError(
            f"{path} has no column {', '.join(missing)}; its columns must be the fields of {contract.path.name}"
        )
    names = [field.name for field in contract.fields if field.name in rows.column_names]
    begin = time.time()
    sent = 0
    with producer(settings) as kafka:
        for batch in rows.select(names).to_batches(max_chunksize=1_000):
            for row in batch.to_pylist():
                if rate:
                    time.sleep(max(0.0, begin + sent / rate - time.time()))
                value = {name: cell for name, cell in row.items() if cell is not None}
                kafka.send(contract.topic, key=_key(row, contract), value=orjson.dumps(value, default=_text))
                sent += 1
    return sent


def _text(value: Any) -> str:
    """What JSON has no type for; a decimal without an exponent."""
    return f"{value:f}" if isinstance(value, Decimal) else str(value)


def _key(row: dict[str, Any], contract: Contract) -> bytes | None:
    key = row.get(contract.message_key)
    return None if key is None else str(key).encode()


def _read(path: Path) -> pa.Table:
    suffix = path.suffix.lower()
    if suffix == ".parquet":
        return pyarrow.parquet.read_table(path)
    if suffix == ".csv":
        return pyarrow.csv.read_csv(path)
    if suffix in (".jsonl", ".ndjson", ".json"):
        return pyarrow.json.read_json(path)
    raise StackError(f"{path} is neither .parquet nor .csv nor .jsonl")


def _in_real_time(messages: Iterator[Message]) -> Iterator[Message]:
    for message in messages:
        ahead = message.at - time.time()
        if ahead > 0:
            time.sleep(ahead)
        yield message


def _is_empty(topic: str, settings: Settings) -> bool:
    consumer = KafkaConsumer(bootstrap_servers=settings.bootstrap_servers)
    try:
        partitions = [TopicPartition(topic, number) for number in consumer.partitions_for_topic(topic) or ()]
        return not any(consumer.end_offsets(partitions).values())
    finally:
        consumer.close()
