"""Bronze: every record of every topic, exactly as it came, for audit and replay."""

from collections.abc import Sequence

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import (
    ArrayType,
    BinaryType,
    DateType,
    IntegerType,
    LongType,
    StringType,
    StructField,
    StructType,
    TimestampType,
)

from jobs.engine.batch import Batch
from jobs.engine.commit import Appender
from jobs.engine.kafka import TIMESTAMP_TYPE, records
from jobs.engine.offsets import Offsets, first_offsets, gathered
from jobs.engine.query import Plan, Trigger
from jobs.engine.replay import unseen
from jobs.engine.resume import Written
from jobs.engine.table import Table
from jobs.engine.weight import Weight
from jobs.settings import Settings
from schemas import Contract

HEADERS = ArrayType(StructType([StructField("key", StringType()), StructField("value", BinaryType())]))
RECORD = [
    StructField("key", BinaryType()),
    StructField("value", BinaryType()),
    StructField("headers", HEADERS),
    StructField("topic", StringType()),
    StructField("partition", IntegerType()),
    StructField("offset", LongType()),
    StructField("timestamp", TimestampType(), metadata={"comment": "When Kafka received the record, UTC."}),
]
EVENTS = Table(
    layer="bronze",
    name="events",
    schema=StructType([*RECORD, StructField("arrival_date", DateType())]),
    description="Every record of every topic, exactly as it came.",
    partition_by=("arrival_date",),
)
# Nobody waits for bronze: larger and fewer commits leave the processor to what is live.
INTERVAL = "5 seconds"


def bronze(session: SparkSession, contracts: Sequence[Contract], settings: Settings, trigger: Trigger) -> Plan:
    """Plan the query that writes the topics of all contracts to ``bronze/events``."""
    events = Appender(EVENTS, settings.lake_url)
    weight = Weight()

    def write(frame: DataFrame, batch: Batch) -> Offsets:
        count, received = batch.records, Offsets()
        if batch.is_replay or not weight.fits(count):
            count, size, received = measured(frame)
            weight.learn(count, size)
        # One task, so that there is a processor for live all the time.
        rows = (unseen(frame, EVENTS, settings.lake_url) if batch.is_replay else frame).coalesce(1)
        if not weight.fits(count):
            events.append(rows, batch)
            return received
        collected = rows.toArrow()
        weight.learn(collected.num_rows, collected.nbytes)
        events.append(collected, batch)
        return received or first_offsets([collected])

    # Records need no work, so many batches that fit into memory are the quickest way through a backlog.
    topics = [contract.topic for contract in contracts]
    # The day on which it comes, whatever time a producer gave it: retention counts from then.
    came = records(session, topics, settings, most=settings.in_memory_records)
    arrived = came.drop(TIMESTAMP_TYPE).withColumn("arrival_date", F.current_date())
    written = Written(counted=EVENTS, events=[EVENTS])
    return Plan(arrived, "bronze", write, settings, {"processingTime": INTERVAL, **trigger}, topics, written)


def measured(frame: DataFrame) -> tuple[int, int, Offsets]:
    """How many records there are, how large their values are in bytes, and the first offset of each partition."""
    size = F.coalesce(F.sum(F.octet_length("value")), F.lit(0))
    found = frame.groupBy("topic", "partition").agg(F.count("*"), size, F.min("offset")).collect()
    first = gathered((row[0], row[1], row[4]) for row in found)
    return sum(row[2] for row in found), sum(row[3] for row in found), first
