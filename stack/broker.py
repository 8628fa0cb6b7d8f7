"""A Kafka broker that is its own controller (KRaft, one node)."""

import base64
import contextlib
import subprocess
import uuid
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Literal

from kafka import KafkaAdminClient
from kafka.admin import ConfigResource, ConfigResourceType
from kafka.errors import KafkaError, TopicAlreadyExistsError

from jobs.settings import Settings
from stack import jars, java
from stack.credentials import write_private
from stack.exceptions import StackError
from stack.programs import Program

NAME = "broker"
NO_SECURITY: Mapping[str, str] = {}

Timestamps = Literal["CreateTime", "LogAppendTime"]
"""Who sets a record's timestamp: its producer, or the broker."""


def program(settings: Settings) -> Program:
    """The broker as a supervised program."""
    heap = ["-Xms256m", "-Xmx512m", "-XX:+ExitOnOutOfMemoryError"]
    command = [*_java(settings, *heap, "-Dlog4j2.level=INFO"), "kafka.Kafka", str(_properties_file(settings))]
    return Program(name=NAME, command=command, priority=10, start_seconds=2, stop_seconds=60)


def prepare(settings: Settings) -> None:
    """Write the broker's configuration and format its storage, once."""
    write_private(_properties_file(settings), render(settings))
    if (_log_directory(settings) / "meta.properties").exists():
        return
    options = ["format", "--cluster-id", _cluster_id(settings), "--config", str(_properties_file(settings))]
    command = [*_java(settings, "-Dlog4j2.level=WARN"), "kafka.tools.StorageTool", *options]
    finished = subprocess.run(command, capture_output=True, text=True)
    if finished.returncode != 0:
        raise StackError(f"Kafka cannot format its storage:\n{(finished.stdout + finished.stderr).strip()}")


def render(settings: Settings) -> str:
    """The broker's properties."""
    broker, controller = settings.kafka_port, settings.kafka_port + 1
    nodes, replicas = settings.kafka_nodes.split(","), min(3, len(settings.kafka_nodes.split(",")))
    voters = [f"{number}@{node}:{controller}" for number, node in enumerate(nodes, start=1)]
    properties = {
        "process.roles": "broker,controller",
        "node.id": settings.kafka_node + 1,
        "controller.quorum.voters": ",".join(voters),
        "listeners": f"BROKER://{settings.listen}:{broker},CONTROLLER://{settings.listen}:{controller}",
        "advertised.listeners": f"BROKER://{nodes[settings.kafka_node]}:{broker}",
        "listener.security.protocol.map": "BROKER:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "inter.broker.listener.name": "BROKER",
        "controller.listener.names": "CONTROLLER",
        "log.dirs": _log_directory(settings),
        "log.message.timestamp.type": "LogAppendTime",
        # Bronze keeps every event for good; the broker only bridges the time that the jobs are down.
        "log.retention.hours": settings.topic_retention_hours,
        "log.segment.bytes": 256 * 2**20,
        "auto.create.topics.enable": "false",
        "num.partitions": settings.topic_partitions,
        "default.replication.factor": replicas,
        "min.insync.replicas": max(1, replicas - 1),
        "offsets.topic.replication.factor": replicas,
        "offsets.topic.num.partitions": 4,
        "transaction.state.log.replication.factor": replicas,
        "transaction.state.log.min.isr": max(1, replicas - 1),
        "transaction.state.log.num.partitions": 4,
        "share.coordinator.state.topic.replication.factor": replicas,
        "share.coordinator.state.topic.min.isr": max(1, replicas - 1),
        "group.initial.rebalance.delay.ms": 0,
    }
    return "".join(f"{name}={value}\n" for name, value in properties.items())


def is_ready(bootstrap_servers: str, security: Mapping[str, str] = NO_SECURITY) -> bool:
    """Whether the broker answers; ``security`` as `python_options` has it."""
    try:
        admin = _admin(bootstrap_servers, security)
    except KafkaError:
        return False
    admin.close()
    return True


def create_topics(
    bootstrap_servers: str,
    topics: Iterable[str],
    *,
    partitions: int = 2,
    replicas: int = -1,
    retention_hours: int = 72,
    security: Mapping[str, str] = NO_SECURITY,
) -> list[str]:
    """Create those of the topics that do not exist; returns them. ``replicas`` -1: as the broker has it.

    Raises:
        StackError: Kafka cannot.
    """
    options = {
        "num_partitions": partitions,
        "replication_factor": replicas,
        "configs": {
            "retention.ms": str(retention_hours * 3_600_000),
            # An event time that is ahead is judged against the record's timestamp.
            "message.timestamp.type": "LogAppendTime",
        },
    }
    try:
        admin = _admin(bootstrap_servers, security)
    except KafkaError as error:
        raise StackError(f"Kafka at {bootstrap_servers} does not let us in: {error}") from error
    try:
        missing = sorted(set(topics) - set(admin.list_topics()))
        if missing:
            # Somebody else may create them at the same time.
            with contextlib.suppress(TopicAlreadyExistsError):
                admin.create_topics(dict.fromkeys(missing, options), wait_for_metadata=True)
    except KafkaError as error:
        raise StackError(f"Kafka at {bootstrap_servers} cannot create topics: {error}") from error
    finally:
        admin.close()
    return missing


def set_timestamps(
    bootstrap_servers: str,
    topics: Iterable[str],
    timestamps: Timestamps,
    *,
    security: Mapping[str, str] = NO_SECURITY,
) -> None:
    """Say who sets the timestamps of records that come from now on: the broker, or their producer.

    Raises:
        StackError: Kafka cannot.
    """
    change = {"message.timestamp.type": timestamps, "message.timestamp.before.max.ms": str(2**63 - 1)}
    try:
        admin = _admin(bootstrap_servers, security)
    except KafkaError as error:
        raise StackError(f"Kafka at {bootstrap_servers} does not let us in: {error}") from error
    try:
        admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, change) for topic in topics])
    except KafkaError as error:
        raise StackError(f"Kafka at {bootstrap_servers} cannot change topics: {error}") from error
    finally:
        admin.close()


def _admin(bootstrap_servers: str, security: Mapping[str, str]) -> KafkaAdminClient:
    # The defaults back off for up to 30 s, far longer than a broker needs to start.
    patience = {"bootstrap_timeout_ms": 3_000, "reconnect_backoff_max_ms": 250}
    return KafkaAdminClient(bootstrap_servers=bootstrap_servers.split(","), **patience, **security)


def _java(settings: Settings, *options: str) -> list[str]:
    classpath = jars.directory(settings.cache) / "kafka" / "*"
    return [java.executable(), *options, "-cp", str(classpath)]


def _properties_file(settings: Settings) -> Path:
    return settings.home / "run" / "broker.properties"


def _log_directory(settings: Settings) -> Path:
    return settings.home / "kafka"


def _cluster_id(settings: Settings) -> str:
    # All nodes of a quorum must have the same; one that is alone has one of its own.
    nodes = settings.kafka_nodes
    chosen = uuid.uuid5(uuid.NAMESPACE_DNS, nodes) if "," in nodes else uuid.uuid4()
    # Kafka's identifiers are URL-safe base64 of a UUID; a leading dash would read as an option.
    candidate = base64.urlsafe_b64encode(chosen.bytes).decode().rstrip("=")
    return candidate.replace("-", "s", 1) if candidate.startswith("-") else candidate
