"""The system that is tortured: a broker, the jobs, and the traffic of both businesses."""

import threading
import time
from bisect import bisect
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from kafka import KafkaAdminClient, KafkaProducer
from kafka.errors import KafkaError

from jobs.engine.accidents import recent
from jobs.engine.batch import EPOCH
from jobs.settings import Settings
from stack import broker
from stack.demo import TOPICS, Disorder, simulate
from stack.demo.message import Message
from stack.produce import producer
from tests.stack.pipeline import Broker, Jobs, Lake, eventually
from tests.torture.disk import Disk

DISORDER = Disorder(duplicated=0.02, late=0.05, too_late=0.004, malformed=0.005)
HISTORY = 2700.0
"""Seconds before the beginning whose traffic comes first; of its events, some come too late all the while."""
LONGEST_ANSWER = 150.0
"""Seconds until Kafka has taken a message, also when it was away."""
LONGEST = 300.0
"""Seconds until the jobs have caught up."""
LIVE = ("live-marketplace", "live-travel")

ENDS_WITHIN = 120.0
"""Seconds until jobs of which a query fails have ended."""

Lost = dict[tuple[str, int, int], list[tuple[int, int]]]
"""Per topic, how often it had been made anew, and partition: spans of offsets."""


@dataclass(frozen=True, slots=True)
class Sent:
    """A message that Kafka has taken."""

    message: Message
    partition: int
    offset: int
    arrived: float
    """When, by its timestamp; seconds since 1970."""


class Traffic:
    """Sends both businesses' events as they happen, and knows where each lies in Kafka."""

    def __init__(self, settings: Settings, *, rate: float, seed: int) -> None:
        self.sent: list[Sent] = []
        self._settings = settings
        self._rate = rate
        self._seed = seed
        self._count = 0
        self._is_present = False
        self._counting = threading.Lock()
        self._errors: list[BaseException] = []
        self._flows = threading.Event()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True, name="traffic")

    def start(self) -> None:
        """Send the past, and go on."""
        self._flows.set()
        self._thread.start()
        eventually(lambda: self._is_present or bool(self._errors), what="Kafka has the past", seconds=LONGEST)

    @contextmanager
    def at_rest(self) -> Iterator[None]:
        """Nothing is sent meanwhile; what happens then comes together afterwards."""
        self._flows.clear()
        try:
            eventually(lambda: self.taken == self._count, what="Kafka has all messages", seconds=LONGEST_ANSWER)
            yield
        finally:
            self._flows.set()

    def stop(self) -> None:
        """End."""
        self._stopped.set()
        self._flows.set()
        self._thread.join()

    @property
    def taken(self) -> int:
        """Messages that Kafka has.

        Raises:
            Exception: it did not take one, or traffic has ended for another reason.
        """
        if self._errors:
            raise self._errors[0]
        return len(self.sent)

    def _run(self) -> None:
        try:
            self._flow()
        except BaseException as error:
            self._errors.append(error)

    def _flow(self) -> None:
        begin, settings = time.time(), self._settings
        messages = simulate(rate=self._rate, start=begin - HISTORY, seed=self._seed, pace=200, disorder=DISORDER)
        broker.set_timestamps(settings.bootstrap_servers, TOPICS, "CreateTime")
        with producer(settings) as kafka:
            for message in messages:
                if not self._is_present and message.at >= begin:
                    eventually(lambda: self.taken == self._count, what="Kafka has the past", seconds=LONGEST_ANSWER)
                    broker.set_timestamps(settings.bootstrap_servers, TOPICS, "LogAppendTime")
                    self._is_present = True
                if self._stopped.wait(max(0.0, message.at - time.time())):
                    break
                self._flows.wait()
                self.send(kafka, message)
            kafka.flush()

    def send(self, kafka: KafkaProducer, message: Message) -> None:
        """Send a message of anybody."""
        with self._counting:
            self._count += 1
        try:
            answer = kafka.send(
                message.topic, key=message.key, value=message.value, timestamp_ms=int(message.at * 1000)
            )
        except KafkaError as error:
            self._errors.append(error)
            return
        answer.add_errback(self._errors.append)
        answer.add_callback(
            lambda known: self.sent.append(Sent(message, known.partition, known.offset, known.timestamp / 1000))
        )


@dataclass
class World:
    """Everything a fault can reach."""

    settings: Settings
    broker: Broker
    jobs: Jobs
    traffic: Traffic
    disk: Disk | None = None
    """That of the tables, if it can be made full."""
    _made_anew: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    """When each topic was, in seconds since 1970."""

    @property
    def lake(self) -> Lake:
        """What the jobs have written."""
        return Lake(self.settings.lake_url)

    @contextmanager
    def admin(self) -> Iterator[KafkaAdminClient]:
        """Changes topics."""
        admin = KafkaAdminClient(bootstrap_servers=self.settings.bootstrap_servers)
        try:
            yield admin
        finally:
            admin.close()

    @contextmanager
    def at_rest(self) -> Iterator[None]:
        """Nothing is sent meanwhile, and everything is in the tables."""
        with self.traffic.at_rest():
            eventually(self.is_settled, what="everything is taken in", seconds=LONGEST)
            yield

    def make_anew(self, topic: str) -> None:
        """Delete a topic, and make another of its name."""
        with self.admin() as admin:
            count = len(partitions(admin, topic))
            admin.delete_topics([topic])
            eventually(lambda: not partitions(admin, topic), what=f"{topic} is gone", seconds=LONGEST_ANSWER)
            self._made_anew[topic].append(time.time())
            broker.create_topics(self.settings.bootstrap_servers, [topic], partitions=count)
            eventually(lambda: bool(partitions(admin, topic)), what=f"{topic} is there", seconds=LONGEST_ANSWER)

    def restart_once_ended(self) -> None:
        """Do what a supervisor does with jobs of which a query has failed."""
        eventually(lambda: not self.jobs.is_alive, what="the jobs end", seconds=ENDS_WITHIN)
        self.jobs.start()

    def lost(self, query: str) -> Lost:
        """What a query has lost, as ``ops/accidents`` says."""
        spans: Lost = {}
        for accident in recent(self.settings.lake_url, since=EPOCH):
            if accident["query"] == query and accident["kind"] == "expired":
                place = self._place(accident["topic"], accident["noticed_at"].timestamp(), accident["partition"])
                spans.setdefault(place, []).append((accident["from_offset"], accident["to_offset"]))
        return spans

    def is_lost(self, spans: Lost, sent: Sent) -> bool:
        """Whether a message is among what was lost."""
        of_partition = spans.get(self._place(sent.message.topic, sent.arrived, sent.partition), ())
        return any(start <= sent.offset < end for start, end in of_partition)

    def _place(self, topic: str, at: float, partition: int) -> tuple[str, int, int]:
        return topic, bisect(self._made_anew[topic], at), partition

    def is_settled(self) -> bool:
        """Whether every record that Kafka has taken is in the tables, and what came late too.

        Raises:
            AssertionError: the jobs have ended.
        """
        return self.is_taken_in(self.traffic.taken) and self.lake.count("bronze/events") >= self.in_bronze()

    def is_taken_in(self, sent: int) -> bool:
        """Whether so many records are in silver and gold, and what came late too.

        Raises:
            AssertionError: the jobs have ended.
        """
        assert self.jobs.is_alive, f"the jobs ended:\n{self.jobs.log}"
        return self.lake.has_taken_in(sent - self._lost_by(LIVE))

    def in_bronze(self) -> int:
        """How many records bronze must have."""
        return self.traffic.taken - self._lost_by(["bronze"])

    def _lost_by(self, queries: Sequence[str]) -> int:
        """How many messages these queries have lost."""
        lost = [self.lost(query) for query in queries]
        return sum(self.is_lost(spans, sent) for spans in lost if spans for sent in self.traffic.sent)


def partitions(admin: KafkaAdminClient, topic: str) -> list[int]:
    """Those that a topic has; none where there is no topic."""
    (description,) = admin.describe_topics([topic])
    return [partition["partition_index"] for partition in description["partitions"]]
