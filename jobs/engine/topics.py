"""What Kafka says of topics: who they are, what they hold, and who sets the time of their records."""

from collections.abc import Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Any

from kafka import KafkaAdminClient, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType, OffsetSpec
from kafka.errors import KafkaError, UnknownTopicOrPartitionError

from jobs.engine.exceptions import MissingTopicError
from jobs.engine.offsets import Offsets, each, gathered
from jobs.kafka_security import python_options
from jobs.settings import Settings

TIMESTAMP_TYPE = "message.timestamp.type"


@dataclass(frozen=True)
class Kept:
    """What Kafka has of topics at one moment.

    ``ids`` are those of the topics, empty for brokers older than 2.8; ``beginnings`` and ``ends`` the offsets of the
    first record that is kept and of the next one that comes.
    """

    ids: dict[str, str]
    beginnings: Offsets
    ends: Offsets


class Topics:
    """Asks Kafka about topics; for several threads.

    Args:
        settings: where Kafka is.
        names: of the topics.
    """

    def __init__(self, settings: Settings, names: Sequence[str]) -> None:
        self._names = list(names)
        self._lock = Lock()
        self._admin = KafkaAdminClient(
            bootstrap_servers=settings.bootstrap_servers.split(","), **python_options(settings)
        )

    def kept(self) -> Kept:
        """What Kafka has now.

        Raises:
            MissingTopicError: a topic does not exist.
        """
        topics = self._described()
        partitions = [TopicPartition(t["name"], p["partition_index"]) for t in topics for p in t["partitions"]]
        first, last = (self._offsets(partitions, spec) for spec in (OffsetSpec.EARLIEST, OffsetSpec.LATEST))
        return Kept(_ids(topics), first, last)

    def ids(self) -> dict[str, str]:
        """The topics' identifiers, which those that are made anew do not share.

        Raises:
            MissingTopicError: a topic does not exist.
        """
        return _ids(self._described())

    def beginnings(self, partitions: Offsets) -> Offsets:
        """The offset of the first record that Kafka keeps, of each partition that is named."""
        return self._offsets(
            [TopicPartition(topic, int(part)) for topic, part, _ in each(partitions)], OffsetSpec.EARLIEST
        )

    def timed_by_producers(self) -> list[str]:
        """The topics whose records have the time that their producer says, not that at which they came."""
        asked = [ConfigResource(ConfigResourceType.TOPIC, name, {TIMESTAMP_TYPE: None}) for name in self._names]
        try:
            with self._lock:
                found = self._admin.describe_configs(asked, config_filter="all")["topic"]
        except KafkaError:
            # Who may read a topic may not always see its configuration.
            return []
        return sorted(name for name, entries in found.items() if entries[TIMESTAMP_TYPE]["value"] == "CreateTime")

    def close(self) -> None:
        """Close the connections."""
        with self._lock:
            self._admin.close()

    def _described(self) -> list[dict[str, Any]]:
        with self._lock:
            topics: list[dict[str, Any]] = self._admin.describe_topics(self._names)
        missing = [t["name"] for t in topics if t["error_code"] == UnknownTopicOrPartitionError.errno]
        if missing:
            raise MissingTopicError(f"Kafka has no topic {', '.join(missing)}. `sluice topics` makes what is missing.")
        return topics

    def _offsets(self, partitions: Sequence[TopicPartition], spec: OffsetSpec) -> Offsets:
        if not partitions:
            return {}
        with self._lock:
            found = self._admin.list_partition_offsets(dict.fromkeys(partitions, spec))
        return gathered((of.topic, of.partition, at.offset) for of, at in found.items())


def _ids(topics: Sequence[dict[str, Any]]) -> dict[str, str]:
    return {topic["name"]: str(topic["topic_id"]) for topic in topics if topic["topic_id"]}
