"""Send events to Kafka: demo traffic, or the rows of a file."""

import time
from collections.abc import Collection, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeAlias

import orjson
import pyarrow as pa
import pyarrow.csv
import pyarrow.json
import pyarrow.parquet
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.errors import KafkaError

from jobs.kafka_security import python_options
from jobs.settings import Settings
from schemas import Contract
from stack import broker
from stack.demo import SHARES, Incident, Incidents, Kind, Message, simulate
from stack.exceptions import StackError

UNANSWERED = 1_000
"""Messages on their way at the same time."""
LONGEST_ANSWER = 180.0
"""Seconds; the client itself gives a message up after 120."""
LOOK_EVERY = 1.0
"""Seconds between two looks at the incidents that were asked for."""

Headers: TypeAlias = Iterable[tuple[str, bytes]]


class Sender:
    """Sends messages, and waits for Kafka to have taken them: else a queue without end would hide that it does not.

    Args:
        kafka: sends them.
    """

    def __init__(self, kafka: KafkaProducer) -> None:
        self._kafka = kafka
        self._unanswered: list[Any] = []

    def send(
        self,
        topic: str,
        *,
        key: bytes | None,
        value: bytes | None,
        headers: Headers = (),
        at: float | None = None,
    ) -> None:
        """Send a message.

        Args:
            topic: where to.
            key: of the message.
            value: of the message.
            headers: of the message.
            at: its timestamp, seconds since 1970, where the topic lets producers set it; default: now.

        Raises:
            StackError: it is too large, or Kafka did not take one of the last messages.
        """
        try:
            timestamp = None if at is None else int(at * 1000)
            answer = self._kafka.send(topic, key=key, value=value, headers=list(headers), timestamp_ms=timestamp)
        except KafkaError as error:
            raise StackError(f"This message cannot be sent to {topic}: {error}") from error
        self._unanswered.append(answer)
        if len(self._unanswered) >= UNANSWERED:
            self.settle()

    def settle(self) -> None:
        """Wait for what has been sent.

        Raises:
            StackError: Kafka did not take one of the messages.
        """
        try:
            for answer in self._unanswered:
                answer.get(timeout=LONGEST_ANSWER)
        except KafkaError as error:
            raise StackError(f"Kafka did not take a message: {error}") from error
        finally:
            self._unanswered.clear()


@contextmanager
def sender(settings: Settings) -> Iterator[Sender]:
    """A sender that keeps order and loses nothing; everything is settled at the end."""
    with producer(settings) as kafka:
        sending = Sender(kafka)
        yield sending
        sending.settle()


def producer(settings: Settings) -> KafkaProducer:
    """A producer that keeps order and loses nothing."""
    return KafkaProducer(
        bootstrap_servers=settings.bootstrap_servers,
        acks="all",
        linger_ms=20,
        batch_size=256 * 1024,
        enable_idempotence=True,
        **python_options(settings),
    )


def produce_traffic(
    topics: Collection[str],
    settings: Settings,
    *,
    rate: float,
    duration: float | None = None,
    history: float = 0,
    seed: int | None = None,
    pace: float = 1,
) -> int:
    """Send demo traffic as it happens, with the incidents that ``request_incident`` asks for.

    Args:
        topics: some of those that are simulated.
        settings: where Kafka is.
        rate: events of these topics together per second, on average over a week.
        duration: seconds; without it, until interrupted.
        history: seconds before now, whose traffic is sent at once first if the topics are still empty.
        seed: makes the traffic repeatable.
        pace: how many times faster than in life orders and trips live.

    Returns:
        the number of messages sent.

    Raises:
        StackError: Kafka did not take a message.
    """
    begin = time.time()
    start = begin - history if history and _are_empty(topics, settings) else begin
    end = begin + duration if duration is not None else float("inf")
    incidents = Incidents()
    of_all = rate / sum(SHARES[topic] for topic in topics)
    traffic = simulate(rate=of_all, start=start, topics=topics, seed=seed, pace=pace, incidents=incidents)
    sent, looked = 0, 0.0
    with sender(settings) as kafka, ExitStack() as past:
        if is_past := start < begin:
            past.enter_context(dated_by_producers(topics, settings))
        for message in _in_real_time(traffic):
            if message.at > end:
                break
            if is_past and message.at >= begin:
                kafka.settle()
                past.close()
                is_past = False
            kafka.send(message.topic, key=message.key, value=message.value, at=message.at)
            sent += 1
            if time.monotonic() > looked + LOOK_EVERY:
                looked = time.monotonic()
                incidents.all = requested_incidents(settings)
    return sent


@contextmanager
def dated_by_producers(topics: Collection[str], settings: Settings) -> Iterator[None]:
    """Let producers set the timestamps of records, for traffic of the past: by the broker's clock, all of it is late.

    Raises:
        StackError: Kafka does not allow it.
    """
    security = python_options(settings)
    broker.set_timestamps(settings.bootstrap_servers, topics, "CreateTime", security=security)
    try:
        yield
    finally:
        broker.set_timestamps(settings.bootstrap_servers, topics, "LogAppendTime", security=security)


def request_incident(kind: Kind, settings: Settings, *, seconds: float) -> Incident:
    """Let the demo traffic of an installation have an incident from now on."""
    now = time.time()
    incident = Incident(kind, now, now + seconds)
    going_on = [vars(other) for other in requested_incidents(settings) if other.end > now and other.kind != kind]
    draft = _incidents_file(settings).with_suffix(".draft")
    draft.write_bytes(orjson.dumps([*going_on, vars(incident)]))
    draft.replace(_incidents_file(settings))
    return incident


def requested_incidents(settings: Settings) -> list[Incident]:
    """The incidents that were asked for."""
    try:
        return [Incident(**incident) for incident in orjson.loads(_incidents_file(settings).read_bytes())]
    except FileNotFoundError:
        return []


def _incidents_file(settings: Settings) -> Path:
    return settings.home / "incidents.json"


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
        StackError: the file's format is not known, it lacks a required field, or Kafka did not take a row.
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
    with sender(settings) as kafka:
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


def _are_empty(topics: Collection[str], settings: Settings) -> bool:
    consumer = KafkaConsumer(bootstrap_servers=settings.bootstrap_servers, **python_options(settings))
    try:
        partitions = [TopicPartition(t, number) for t in topics for number in consumer.partitions_for_topic(t) or ()]
        return not any(consumer.end_offsets(partitions).values())
    finally:
        consumer.close()
