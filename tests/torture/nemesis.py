"""The faults. Each is done under traffic, and ends with the world as it was; its docstring says what it is."""

import os
import random
import shutil
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path

from kafka import KafkaProducer, TopicPartition

from jobs.engine.accidents import recent
from jobs.engine.batch import EPOCH
from stack.demo import TOPICS
from stack.demo.message import Message
from tests.hostile_values import cases
from tests.stack.order_ledger import maintained
from tests.stack.pipeline import Jobs, eventually, sluice
from tests.stack.whole_truth import CONTRACTS
from tests.torture.world import ENDS_WITHIN, LONGEST, World, partitions

QUERIES = ("bronze", "live-marketplace", "live-travel")
MOST_PARTITIONS = 6
FEW = 200
"""Records; a micro-batch of more is written by Spark, where that is asked for."""
AWAY = 600.0
"""Seconds."""
COMMITTED_TOGETHER = (
    "gold/marketplace_pulse_by_second",
    "gold/marketplace_sales_by_minute",
    "silver/marketplace_orders",
)

Fault = Callable[[World, random.Random], None]


def killed(world: World, chance: random.Random) -> None:
    """the driver is killed"""
    time.sleep(chance.uniform(0, 5))
    world.jobs.kill()
    world.jobs.start()


def killed_while_it_starts(world: World, chance: random.Random) -> None:
    """the driver is killed, and again while it starts"""
    world.jobs.kill()
    world.jobs.start()
    time.sleep(chance.uniform(3, 25))
    world.jobs.kill()
    world.jobs.start()


def killed_between_commits(world: World, chance: random.Random) -> None:
    """the driver is killed when one table has a micro-batch that others lack"""
    logs = [Path(world.lake.root, table, "_delta_log") for table in COMMITTED_TOGETHER]
    for _ in range(20):
        lengths = [commits(log) for log in logs]
        # No pause between looks: the commits lie a few milliseconds apart.
        while not any(commits(log) > length for log, length in zip(logs, lengths, strict=True)):
            assert world.jobs.is_alive, f"the jobs ended:\n{world.jobs.log}"
        world.jobs.kill()
        is_hit = len(set(world.lake.batches(COMMITTED_TOGETHER).values())) > 1
        world.jobs.start()
        world.lake.wait_for_more(world.jobs)
        if is_hit:
            return
    raise AssertionError("never killed between two commits")


def killed_in_the_spark_writer(world: World, chance: random.Random) -> None:
    """the driver is killed while Spark has written files of a large micro-batch, and not committed them"""
    # Half of all events.
    silver = Path(world.lake.root, "silver/marketplace_clickstream")
    world.jobs.kill()
    sent, before = world.traffic.taken, {path.name for path in silver.glob("*.parquet")}
    eventually(lambda: world.traffic.taken > sent + 2 * FEW, what="a backlog", seconds=LONGEST)
    world.jobs.start(SLUICE_IN_MEMORY_RECORDS=str(FEW))

    def has_written() -> bool:
        assert world.jobs.is_alive, f"the jobs ended:\n{world.jobs.log}"
        return any(path.name not in before for path in silver.glob("*.snappy.parquet"))

    eventually(has_written, what="Spark writes", seconds=LONGEST)
    world.jobs.kill()
    world.jobs.start()


def commits(log: Path) -> int:
    """How many files a table's log has."""
    return sum(1 for _ in os.scandir(log))


def restarted(world: World, chance: random.Random) -> None:
    """the driver is stopped and started, as an upgrade does"""
    assert world.jobs.stop() == 0, world.jobs.log
    world.jobs.start()


def frozen(world: World, chance: random.Random) -> None:
    """the driver stands still for up to half a minute"""
    with world.jobs.frozen():
        time.sleep(chance.uniform(5, 30))


def two_drivers(world: World, chance: random.Random) -> None:
    """a second driver starts beside the first"""
    with Jobs(world.settings) as second:
        second.start()
        ended = [world.jobs, second]
        eventually(lambda: not all(jobs.is_alive for jobs in ended), what="one of two drivers ends", seconds=240)
        # Spark notices some of it by itself.
        assert any(words in world.jobs.log for words in ("another driver works", "Multiple streaming jobs detected"))
        for jobs in ended:
            if jobs.is_alive:
                jobs.kill()
    world.jobs.start()


def checkpoint_lost(world: World, chance: random.Random) -> None:
    """a checkpoint is lost"""
    world.jobs.kill()
    shutil.rmtree(Path(world.settings.lake_url, "_checkpoints", chance.choice(QUERIES)))
    world.jobs.start()


def checkpoint_older(world: World, chance: random.Random) -> None:
    """an older checkpoint comes back from a backup"""
    checkpoint = Path(world.settings.lake_url, "_checkpoints", chance.choice(QUERIES))
    backup = world.settings.home / "backup"
    world.jobs.kill()
    shutil.copytree(checkpoint, backup)
    world.jobs.start()
    world.lake.wait_for_more(world.jobs)
    time.sleep(chance.uniform(0, 10))
    world.jobs.kill()
    shutil.rmtree(checkpoint)
    shutil.move(backup, checkpoint)
    world.jobs.start()


def tables_older(world: World, chance: random.Random) -> None:
    """older tables come back from a backup, and the queries are rewound as the message says"""
    lake, backup = Path(world.settings.lake_url), world.settings.home / "backup"
    world.jobs.kill()
    shutil.copytree(lake, backup, ignore=shutil.ignore_patterns("_checkpoints", "_positions"))
    world.jobs.start()
    world.lake.wait_for_more(world.jobs)
    time.sleep(chance.uniform(0, 10))
    world.jobs.kill()
    for layer in backup.iterdir():
        shutil.rmtree(lake / layer.name)
        shutil.move(layer, lake / layer.name)
    backup.rmdir()
    world.jobs.start()
    eventually(lambda: not world.jobs.is_alive, what="the jobs refuse older tables", seconds=ENDS_WITHIN)
    assert "sluice rewind" in world.jobs.log
    for query in QUERIES:
        assert sluice(world.settings, "rewind", query) == 0
    world.jobs.start()


def disk_full(world: World, chance: random.Random) -> None:
    """the disk of the tables is full, until the jobs have ended and for a while"""
    assert world.disk
    with world.disk.full():
        eventually(lambda: not world.jobs.is_alive, what="the jobs find no room", seconds=ENDS_WITHIN)
        assert "No space left on device" in world.jobs.log
        time.sleep(chance.uniform(0, 20))
    world.jobs.start()


def topic_made_anew(world: World, chance: random.Random) -> None:
    """a topic is deleted and made anew"""
    topic = chance.choice(TOPICS)
    with world.at_rest():
        world.make_anew(topic)
        world.restart_once_ended()

    def is_told() -> bool:
        accidents = recent(world.settings.lake_url, since=EPOCH)
        return any((accident["kind"], accident["topic"]) == ("made anew", topic) for accident in accidents)

    eventually(is_told, what="it is told", seconds=LONGEST)


def killed_while_maintained(world: World, chance: random.Random) -> None:
    """the driver is killed while maintenance compacts and deletes without a pause"""
    with maintained(world.settings):
        world.lake.wait_for_more(world.jobs)
        time.sleep(chance.uniform(0, 6))
        world.jobs.kill()
        world.jobs.start()
        world.lake.wait_for_more(world.jobs)


def broker_killed(world: World, chance: random.Random) -> None:
    """the broker is killed, and is away for up to half a minute"""
    world.broker.kill()
    time.sleep(chance.uniform(1, 30))
    world.broker.start()


def broker_away(world: World, chance: random.Random) -> None:
    """the broker is away for ten minutes"""
    with world.at_rest():
        world.broker.kill()
        back = time.monotonic() + AWAY
        world.jobs.supervise(lambda: time.monotonic() > back, what="the broker is away", seconds=2 * AWAY)
        world.broker.start()
    before = world.lake.intake("input")
    world.jobs.supervise(lambda: world.lake.intake("input") > before, what="they go on", seconds=LONGEST)


def broker_frozen(world: World, chance: random.Random) -> None:
    """the broker stands still for up to 20 seconds"""
    with world.broker.frozen():
        time.sleep(chance.uniform(2, 20))


def both_killed(world: World, chance: random.Random) -> None:
    """the broker and the driver are killed at once"""
    world.jobs.kill()
    world.broker.kill()
    world.broker.start()
    world.jobs.start()


def expired(world: World, chance: random.Random) -> None:
    """the driver is away for longer than Kafka keeps the records of a topic"""
    world.jobs.kill()
    time.sleep(chance.uniform(3, 10))
    topic = chance.choice(TOPICS)
    with world.admin() as admin:
        places = [TopicPartition(topic, partition) for partition in partitions(admin, topic)]
        # -1: all that there is.
        admin.delete_records(dict.fromkeys(places, -1))
    world.jobs.start()


def partitions_added(world: World, chance: random.Random) -> None:
    """a topic gets one more partition"""
    with world.admin() as admin:
        if small := [topic for topic in TOPICS if len(partitions(admin, topic)) < MOST_PARTITIONS]:
            topic = chance.choice(small)
            admin.create_partitions({topic: len(partitions(admin, topic)) + 1})


def hostile(world: World, chance: random.Random) -> None:
    """a thousand hostile records come at once"""
    with KafkaProducer(bootstrap_servers=world.settings.bootstrap_servers, acks="all") as kafka:
        for _ in range(1000):
            topic = chance.choice(TOPICS)
            value = chance.choice(hostile_values(topic))
            world.traffic.send(kafka, Message(time.time(), topic, b"hostile", value, "refused", {}))
        kafka.flush()


def aborted(world: World, chance: random.Random) -> None:
    """transactions stay open for a while, and are aborted"""
    kafka = KafkaProducer(
        bootstrap_servers=world.settings.bootstrap_servers, transactional_id=f"torture-{chance.random()}"
    )
    kafka.init_transactions()
    for _ in range(2):
        kafka.begin_transaction()
        for topic in TOPICS:
            kafka.send(topic, value=b"never")
        kafka.flush()
        time.sleep(chance.uniform(0, 5))
        kafka.abort_transaction()
    kafka.close()


@cache
def hostile_values(topic: str) -> list[bytes]:
    """Values that a topic's contract refuses, whenever they come."""
    refused = (case for case in cases(CONTRACTS[topic]) if case.kept is None)
    # What is ahead of its arrival today will be right one day.
    lasting = (case for case in refused if not any(reason.startswith("ahead") for reason in case.reasons))
    return [case.value for case in lasting if case.value is not None]


FAULTS: tuple[Fault, ...] = (
    *(killed, killed_while_it_starts, killed_between_commits, killed_in_the_spark_writer, restarted, frozen),
    *(two_drivers, checkpoint_lost, checkpoint_older, broker_killed, broker_away, broker_frozen, both_killed),
    *(expired, partitions_added, hostile, aborted, killed_while_maintained, tables_older, topic_made_anew, disk_full),
)
