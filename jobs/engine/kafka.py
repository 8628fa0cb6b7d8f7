"""Kafka as a source."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

from pyspark.sql import DataFrame, SparkSession

from jobs.engine.batch import MILLISECOND
from jobs.kafka_security import spark_options
from jobs.settings import Settings

TIMESTAMP_TYPE = "timestampType"
LOG_APPEND_TIME = 1
"""Says of a record that the broker set its timestamp when it came; otherwise its producer did."""
COLUMNS = ("key", "value", "headers", "topic", "partition", "offset", "timestamp", TIMESTAMP_TYPE)


@dataclass(frozen=True)
class Pace:
    """A micro-batch waits for this many records, but not longer than this."""

    records: int
    longest: dt.timedelta


def records(
    session: SparkSession, topics: Sequence[str], settings: Settings, *, most: int, pace: Pace | None = None
) -> DataFrame:
    """A stream of the records of these topics, from their earliest offset, at most ``most`` per micro-batch.

    Columns: ``COLUMNS``. What Kafka deleted before it was read does not end the query, which notes it (``query.py``).
    Records of transactions come once these are committed; those of aborted ones never do.
    """
    options: dict[str, int | str] = {}
    if pace:
        options = {"minOffsetsPerTrigger": pace.records, "maxTriggerDelay": f"{pace.longest // MILLISECOND}ms"}
    return (
        session.readStream.format("kafka")
        .option("kafka.bootstrap.servers", settings.bootstrap_servers)
        .option("subscribe", ",".join(topics))
        .option("startingOffsets", "earliest")
        .option("includeHeaders", "true")
        .option("failOnDataLoss", "false")
        .option("kafka.isolation.level", "read_committed")
        .option("maxOffsetsPerTrigger", most)
        # A micro-batch in one fetch or two per partition instead of dozens.
        .option("kafka.max.partition.fetch.bytes", 8 * 2**20)
        .option("kafka.max.poll.records", 10_000)
        # What a micro-batch reads is there. Its consumers fetch ahead all the same, and the broker, which answers a
        # connection's requests in turn, keeps whatever they ask next waiting for so long (its default is 500 ms).
        .option("kafka.fetch.max.wait.ms", 1)
        .options(**options, **spark_options(settings))
        .load()
        .select(*COLUMNS)
    )
