"""Kafka, checkpoints and tables have accidents: bronze and silver have each record once, and what is lost is noted."""

import datetime as dt
import json
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from deltalake import DeltaTable
from kafka import KafkaAdminClient, KafkaProducer, TopicPartition
from pyspark.sql import SparkSession

from jobs.bronze import EVENTS, bronze
from jobs.engine import accidents
from jobs.engine.accidents import ACCIDENTS
from jobs.engine.exceptions import OlderTablesError
from jobs.engine.progress import report
from jobs.engine.query import Query
from jobs.marts.visits import RATINGS_BY_DAY
from jobs.rewind import rewind
from jobs.settings import Settings
from jobs.status import remarks
from schemas import load_contracts
from stack.broker import set_timestamps
from tests.spark.conftest import review, start_live
from tests.stack.pipeline import Lake, eventually, running_broker

REVIEWS, SEARCHES = "marketplace.reviews", "travel.searches"
SILVER, QUARANTINE = "silver/marketplace_reviews", "quarantine/marketplace_reviews"
CONTRACTS = {contract.topic: contract for contract in load_contracts()}


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    with running_broker(tmp_path_factory.mktemp("accidents"), partitions=1) as settings:
        yield settings


@dataclass
class World:
    """A broker with fresh topics, and a lake that bronze and live fill from them."""

    spark: SparkSession
    settings: Settings
    kafka: KafkaProducer
    admin: KafkaAdminClient
    sent: int = 0

    @property
    def lake(self) -> Lake:
        return Lake(self.settings.lake_url)

    def send(self, count: int, topic: str = REVIEWS) -> None:
        """Send reviews that nobody has seen, or anything to another topic."""
        sent = [
            self.kafka.send(topic, json.dumps(review(number, event_id=f"{topic}-{number}-{time.time()}")).encode())
            for number in range(self.sent, self.sent + count)
        ]
        self.sent += count
        for one in sent:
            one.get(30)

    def make_anew(self, *topics: str, timestamps: str = "LogAppendTime") -> None:
        """Delete topics, make others of the same names, and wait until the broker knows which are meant."""
        self.admin.delete_topics(topics)
        eventually(lambda: not any(self.ids(*topics)), what="topics are gone", seconds=60)
        options = {"num_partitions": 1, "replication_factor": 1, "configs": {"message.timestamp.type": timestamps}}
        self.admin.create_topics(dict.fromkeys(topics, options))
        eventually(lambda: all(self.ids(*topics)), what="topics are made", seconds=60)

    def ids(self, *topics: str) -> list[str | None]:
        return [topic["topic_id"] for topic in self.admin.describe_topics(list(topics))]

    def delete_before(self, offset: int, topic: str = REVIEWS) -> None:
        self.admin.delete_records({TopicPartition(topic, 0): offset})

    def bronze(self, *topics: str) -> None:
        contracts = [CONTRACTS[topic] for topic in topics or (REVIEWS,)]
        finish(bronze(self.spark, contracts, self.settings, {"availableNow": True}).start(), self.settings)

    def live(self) -> None:
        finish(start_live(self.spark, self.settings, CONTRACTS[REVIEWS]), self.settings)

    def take(self, count: int) -> None:
        """Send so many reviews, and let both queries take them."""
        self.send(count)
        self.bronze()
        self.live()

    def places(self, topic: str = REVIEWS) -> list[int]:
        """The offsets in bronze."""
        rows = self.lake.table("bronze/events", ["topic", "offset"]).to_pylist()
        return sorted(row["offset"] for row in rows if row["topic"] == topic)

    def noted(self, query: str = "bronze") -> list[tuple[Any, ...]]:
        """The accidents, by kind, topic and offsets."""
        if not DeltaTable.is_deltatable(ACCIDENTS.url(self.settings.lake_url)):
            return []
        rows = sorted(self.lake.table("ops/accidents").to_pylist(), key=lambda row: row["noticed_at"])
        return [(r["kind"], r["topic"], r["from_offset"], r["to_offset"]) for r in rows if r["query"] == query]


def finish(query: Query, settings: Settings) -> None:
    """Wait until a query has taken what Kafka has, and let it report; fails as it does."""
    try:
        assert query.stream.awaitTermination(240)
        report(query, settings)
    finally:
        query.stop()


@pytest.fixture
def world(spark: SparkSession, broker: Settings, tmp_path: Path) -> Iterator[World]:
    settings = Settings(home=tmp_path, lake="", kafka=broker.bootstrap_servers)
    admin = KafkaAdminClient(bootstrap_servers=settings.bootstrap_servers)
    kafka = KafkaProducer(bootstrap_servers=settings.bootstrap_servers)
    made = World(spark, settings, kafka, admin)
    made.make_anew(REVIEWS, SEARCHES)
    yield made
    kafka.close()
    admin.close()


def test_a_checkpoint_that_was_lost_is_rebuilt(world: World) -> None:
    world.take(10)
    world.take(5)
    shutil.rmtree(Path(world.settings.lake_url, "_checkpoints"))
    world.take(3)

    assert world.places() == list(range(18))
    assert world.lake.count(SILVER) == 18
    assert world.lake.intake("input") == 18
    assert [kind for kind, *_ in world.noted()] == ["rebuilt"]
    assert [kind for kind, *_ in world.noted("live-marketplace")] == ["rebuilt"]


def test_a_checkpoint_of_an_hour_ago_does_not_count(world: World) -> None:
    checkpoints, backup = Path(world.settings.lake_url, "_checkpoints"), world.settings.home / "backup"
    world.take(10)
    shutil.copytree(checkpoints, backup)
    for _ in range(3):
        world.take(5)
    shutil.rmtree(checkpoints)
    shutil.copytree(backup, checkpoints)
    world.take(2)

    assert world.places() == list(range(27))
    assert world.lake.count(SILVER) == 27
    assert world.lake.intake("input") == 27


def test_without_checkpoint_and_positions_tables_leave_out_what_they_have(world: World) -> None:
    def refused() -> None:
        world.kafka.send(REVIEWS, b"no JSON").get(30)

    refused()
    world.take(10)
    for folder in ("_checkpoints", "_positions"):
        shutil.rmtree(Path(world.settings.lake_url, folder))
    refused()
    world.take(4)
    world.take(2)

    assert world.places() == list(range(18))
    assert (world.lake.count(SILVER), world.lake.count(QUARANTINE)) == (16, 2)
    assert sum(world.lake.mart(RATINGS_BY_DAY)["reviews"].to_pylist()) == 16
    assert world.noted() == [("read again", None, None, None)]


def test_tables_that_are_newer_than_checkpoint_and_positions_skip_nothing(world: World) -> None:
    lake, backup = Path(world.settings.lake_url), world.settings.home / "backup"
    world.send(10)
    world.bronze()
    for folder in ("_checkpoints", "_positions"):
        shutil.copytree(lake / folder, backup / folder)
    for _ in range(3):
        world.send(5)
        world.bronze()
    for folder in ("_checkpoints", "_positions"):
        shutil.rmtree(lake / folder)
        shutil.copytree(backup / folder, lake / folder)
    for _ in range(4):
        world.send(2)
        world.bronze()

    assert world.places() == list(range(33))


def test_tables_that_are_older_than_their_query_stop_it_until_it_is_rewound(world: World) -> None:
    events, backup = Path(EVENTS.url(world.settings.lake_url)), world.settings.home / "backup"
    world.send(10)
    world.bronze()
    shutil.copytree(events, backup)
    for _ in range(3):
        world.send(5)
        world.bronze()
    shutil.rmtree(events)
    shutil.copytree(backup, events)

    with pytest.raises(OlderTablesError, match="`sluice rewind bronze`"):
        world.bronze()
    assert rewind("bronze", world.settings) == 0
    world.send(2)
    world.bronze()

    assert world.places() == list(range(27))


def test_what_kafka_deleted_before_a_new_contract_is_no_loss(world: World) -> None:
    world.send(3)
    world.bronze()
    world.send(10, SEARCHES)
    world.delete_before(4, SEARCHES)
    world.bronze(REVIEWS, SEARCHES)

    assert world.places() == [0, 1, 2]
    assert world.places(SEARCHES) == list(range(4, 10))
    assert world.noted() == []


def test_what_kafka_deleted_before_it_was_read_is_noted(world: World) -> None:
    world.send(10)
    world.bronze()
    world.send(20)
    world.delete_before(17)
    world.bronze()

    assert world.places() == [*range(10), *range(17, 30)]
    assert world.noted() == [("expired", REVIEWS, 10, 17)]
    (sentence,) = accidents.sentences(world.lake.table("ops/accidents").to_pylist())
    assert sentence.endswith(
        "UTC: bronze lost 7 offsets of marketplace.reviews: Kafka deleted them before they were read."
    )


def test_what_kafka_deletes_while_a_query_runs_is_noted(world: World) -> None:
    world.send(10)
    query = bronze(world.spark, [CONTRACTS[REVIEWS]], world.settings, {"processingTime": "1 second"}).start()
    try:
        eventually(lambda: world.lake.count("bronze/events") == 10, what="bronze has ten", seconds=60)
        with query._writing.lock:
            world.send(20)
            world.delete_before(25)
        eventually(lambda: world.lake.count("bronze/events") == 15, what="bronze has what is left", seconds=60)

        def lost() -> int:
            return sum(until - since for _, _, since, until in world.noted())

        eventually(lambda: lost() == 15, what="the loss is noted", seconds=10)
    finally:
        query.stop()

    assert {kind for kind, *_ in world.noted()} == {"expired"}


def test_a_retired_contract_that_is_put_back_goes_on_where_it_was(world: World) -> None:
    world.send(3)
    world.send(10, SEARCHES)
    world.bronze(REVIEWS, SEARCHES)
    world.send(3)
    world.send(5, SEARCHES)
    world.bronze(REVIEWS)
    world.send(2)
    world.bronze(REVIEWS)
    world.delete_before(12, SEARCHES)
    world.bronze(REVIEWS, SEARCHES)

    assert world.places() == list(range(8))
    assert world.places(SEARCHES) == [*range(10), *range(12, 15)]
    assert world.noted() == [("expired", SEARCHES, 10, 12)]


@pytest.mark.parametrize("new", [4, 30])
def test_a_topic_that_was_made_anew_is_read_from_its_beginning(world: World, new: int) -> None:
    world.send(10)
    world.bronze()
    world.make_anew(REVIEWS)
    world.send(new)
    world.bronze()

    assert world.places() == sorted([*range(10), *range(new)])
    assert world.noted() == [("made anew", REVIEWS, 10, None)]


def test_a_topic_that_is_made_anew_under_a_running_query_is_read_from_its_beginning(world: World) -> None:
    world.send(10)
    query = bronze(world.spark, [CONTRACTS[REVIEWS]], world.settings, {"processingTime": "1 second"}).start()
    try:
        eventually(lambda: world.lake.count("bronze/events") == 10, what="bronze has ten", seconds=60)
        with query._writing.lock:
            world.make_anew(REVIEWS)
            world.send(25)
        # The query takes the new topic for the old one, or has noticed.
        eventually(
            lambda: world.lake.count("bronze/events") > 10 or not query.stream.isActive, what="it read", seconds=60
        )
        with pytest.raises(Exception, match="made anew"):
            query.look_at_topics()
    finally:
        query.stop()
    world.bronze()

    assert world.places() == sorted([*range(10), *range(25)])


def test_a_topic_with_fewer_records_than_were_read_ends_the_query_before_it_writes(world: World) -> None:
    world.send(10)
    query = bronze(world.spark, [CONTRACTS[REVIEWS]], world.settings, {"processingTime": "1 second"}).start()
    try:
        eventually(lambda: world.lake.count("bronze/events") == 10, what="bronze has ten", seconds=60)
        with query._writing.lock:
            world.make_anew(REVIEWS)
            world.send(4)
        eventually(lambda: not query.stream.isActive, what="the query ends", seconds=90)
    finally:
        query.stop()
    world.bronze()

    assert world.places() == sorted([*range(10), *range(4)])


def test_records_of_aborted_transactions_never_come(world: World) -> None:
    transactions = KafkaProducer(bootstrap_servers=world.settings.bootstrap_servers, transactional_id="accidents")
    transactions.init_transactions()

    def send(*numbers: int, end: Callable[[], None]) -> None:
        transactions.begin_transaction()
        for number in numbers:
            transactions.send(REVIEWS, json.dumps(review(number)).encode())
        transactions.flush()
        end()

    send(1, 2, 3, end=transactions.abort_transaction)
    send(4, 5, end=transactions.commit_transaction)
    world.send(2)
    # The last records of the topic are markers.
    send(6, 7, end=transactions.abort_transaction)
    world.bronze()
    world.live()
    world.bronze()

    assert world.places() == [4, 5, 7, 8]
    assert world.lake.count(SILVER) == 4
    assert world.noted() == world.noted("live-marketplace") == []
    assert behind(world, "bronze") == behind(world, "live-marketplace.reviews") == 0

    # An open transaction holds back what comes after it, in its partition alone.
    transactions.begin_transaction()
    transactions.send(REVIEWS, json.dumps(review(8)).encode())
    transactions.flush()
    world.send(1)
    world.send(3, SEARCHES)
    world.bronze(REVIEWS, SEARCHES)
    assert (len(world.places()), len(world.places(SEARCHES))) == (4, 3)
    transactions.commit_transaction()
    world.bronze(REVIEWS, SEARCHES)
    assert (len(world.places()), len(world.places(SEARCHES))) == (6, 3)
    transactions.close()


def behind(world: World, job: str) -> int:
    offsets: int = json.loads((world.settings.home / "progress" / f"{job}.json").read_text())["offsets_behind"]
    return offsets


def test_a_producers_clock_does_not_decide_when_a_record_came(world: World) -> None:
    world.make_anew(SEARCHES, timestamps="CreateTime")
    # Seconds where milliseconds are meant: January 1970.
    world.kafka.send(SEARCHES, b"{}", timestamp_ms=1_772_366_400)
    world.kafka.flush()
    query = bronze(
        world.spark, [CONTRACTS[REVIEWS], CONTRACTS[SEARCHES]], world.settings, {"availableNow": True}
    ).start()
    finish(query, world.settings)

    (row,) = world.lake.table("bronze/events", ["timestamp", "arrival_date"]).to_pylist()
    assert row["timestamp"].year == 1970
    assert dt.datetime.now(dt.UTC).date() - row["arrival_date"] <= dt.timedelta(days=1)
    (remark,) = remarks(world.settings)
    assert remark.startswith("Producers set the time of records in travel.searches, however")


def test_who_sets_the_time_of_records_is_looked_at_again(world: World) -> None:
    world.make_anew(REVIEWS, timestamps="CreateTime")
    query = bronze(world.spark, [CONTRACTS[REVIEWS]], world.settings, {"availableNow": True}).start()
    assert query.timed_by_producers == [REVIEWS]

    set_timestamps(world.settings.bootstrap_servers, [REVIEWS], "LogAppendTime")
    query.look_at_topics()
    finish(query, world.settings)

    assert remarks(world.settings) == []


@pytest.mark.parametrize("few", [pytest.param(100_000, id="in memory"), pytest.param(1, id="by Spark")])
def test_how_long_records_took_is_said_where_the_broker_noted_when_they_came(world: World, few: int) -> None:
    world.settings = world.settings.model_copy(update={"in_memory_records": few})
    world.make_anew(REVIEWS, timestamps="CreateTime")
    hours_ago = int((time.time() - 7200) * 1000)
    for number in range(2):
        world.kafka.send(REVIEWS, json.dumps(review(number)).encode(), timestamp_ms=hours_ago)
    world.kafka.flush()
    world.live()
    assert slowest(world) == {None}

    set_timestamps(world.settings.bootstrap_servers, [REVIEWS], "LogAppendTime")
    world.send(2)
    world.live()
    known = slowest(world) - {None}
    assert known
    assert all(0 < seconds < 600 for seconds in known)


def slowest(world: World) -> set[float | None]:
    return set(world.lake.table("ops/live_by_minute", ["slowest_seconds"])["slowest_seconds"].to_pylist())
