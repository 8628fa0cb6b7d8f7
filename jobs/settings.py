"""Every setting of Sluice: environment variables with the prefix ``SLUICE_``."""

from functools import cache
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

CHECKOUT = Path(__file__).resolve().parents[1]


class Settings(BaseSettings):
    """Settings of one installation, read from the environment once."""

    model_config = SettingsConfigDict(env_prefix="SLUICE_", frozen=True)

    home: Path = Field(CHECKOUT / ".sluice", description="Everything that a run makes.")
    cache: Path = Field(CHECKOUT / ".sluice" / "cache", description="What can be made again: environments, jars.")
    lake: str = Field("", description="Path of the lake, or `s3://bucket/folder`; default `SLUICE_HOME/lake`.")
    kafka: str = Field("", description="Bootstrap servers; default `127.0.0.1:SLUICE_KAFKA_PORT`.")

    kafka_security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        "PLAINTEXT", description="How to talk to Kafka."
    )
    kafka_sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = Field(
        "SCRAM-SHA-512", description="How to log in to Kafka, where the protocol is SASL's."
    )
    kafka_username: str = Field("", description="User at Kafka.")
    kafka_password: str = Field("", description="Password at Kafka.", repr=False)
    kafka_ca_file: str = Field("", description="PEM file of the brokers' certificate authority; default: the system's.")
    listen: str = Field("127.0.0.1", description="Address that servers listen on.")
    metrics_port: int = Field(0, description="Port on which `sluice run` serves metrics to Prometheus; 0: none.")
    kafka_port: int = Field(9092, description="Port of the local broker; the next one is its controller's.")
    kafka_nodes: str = Field(
        "127.0.0.1",
        description="Host names of all brokers of a quorum, of which this machine has one, by comma.",
    )
    kafka_node: int = Field(0, description="Which of them this machine's broker is, counted from 0.")
    topic_partitions: int = Field(2, description="Partitions of a topic that is created.")
    topic_replicas: int = Field(-1, description="Copies of a topic that is created; -1: as the broker has it.")
    topic_retention_hours: int = Field(72, description="Hours that Kafka keeps a record of a topic that is created.")
    postgres_port: int = Field(5433, description="Port of Superset's metadata database.")
    redis_port: int = Field(6380, description="Port of Superset's cache and Celery queue.")
    mail_port: int = Field(8025, description="Port of the local mail sink.")
    superset_port: int = Field(8088, description="Port of Superset.")
    portals: str = Field(
        "http://127.0.0.1:8090", description="Origins whose pages may embed dashboards, separated by spaces."
    )

    demo_rate: float = Field(50, description="Demo events per second that `sluice up` produces; 0 for none.")
    demo_history: float = Field(3600, description="Seconds of demo traffic before the first `sluice up`.")
    pseudonym_key_file: str = Field(
        "", description="File with the key of pseudonyms, made when missing; default `SLUICE_HOME/pseudonym.key`."
    )
    refresh_minutes: float = Field(10, description="How often `sluice up` computes views anew, minutes; 0: never.")
    validate_minutes: float = Field(60, description="How often `sluice up` validates every table, minutes; 0: never.")
    maintain_minutes: float = Field(30, description="How often `sluice up` maintains the lake, minutes; 0: never.")
    reconcile_at: str = Field(
        "02:00",
        pattern=r"^(([01]\d|2[0-3]):[0-5]\d)?$",
        description="When, UTC, `sluice up` reconciles every night; empty: never.",
    )
    retention_days: int = Field(
        90, description="Days that bronze and quarantine keep records as they came; 0: for ever."
    )
    driver_memory: str = Field("3g", description="Heap of the Spark driver.")
    spark_master: str = Field("local[2]", description="Spark master; empty: that of spark-submit.")
    spark_conf: dict[str, str] = Field({}, description="Further Spark properties, as JSON; they win over ours.")
    in_memory_records: int = Field(
        100_000,
        description="A micro-batch of more records than this is judged and written by Spark's tasks, a smaller one in "
        "the driver's memory (Arrow).",
    )
    max_offsets_per_trigger: int = Field(
        50_000,
        description="Most Kafka records that one micro-batch takes. More than `SLUICE_IN_MEMORY_RECORDS` lets Spark's "
        "tasks work through a backlog, which pays with executors or many cores.",
    )

    @field_validator("home", "cache")
    @classmethod
    def _absolute(cls, path: Path) -> Path:
        return path.absolute()

    @property
    def lake_url(self) -> str:
        """Root of the lake: a local path or an object store URL, without a trailing slash."""
        return (self.lake or str(self.home / "lake")).rstrip("/")

    @property
    def is_in_object_store(self) -> bool:
        """Whether the lake is in an S3-compatible store; its keys and address are in variables ``AWS_…``."""
        return self.lake_url.startswith("s3://")

    @property
    def bootstrap_servers(self) -> str:
        """Kafka bootstrap servers, ``host:port[,host:port…]``."""
        return self.kafka or f"127.0.0.1:{self.kafka_port}"


@cache
def settings() -> Settings:
    """The settings of this process."""
    return Settings()
