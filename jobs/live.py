"""Live: from Kafka to silver, quarantine and gold in one pass, one query for all topics of a domain.

decode ▸ judge against the contract ▸ set aside what is late ▸ dedupe ▸ write silver, quarantine and every mart
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import ExitStack, contextmanager

import pyarrow as pa
import pyarrow.compute as pc
from deltalake.exceptions import CommitFailedError
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from jobs.definitions import Definitions
from jobs.engine.batch import MILLISECOND, Batch
from jobs.engine.commit import Rows
from jobs.engine.kafka import LOG_APPEND_TIME, TIMESTAMP_TYPE, Pace, records
from jobs.engine.offsets import Offsets, first_offsets
from jobs.engine.query import POOL, Plan, Trigger
from jobs.engine.resume import Written
from jobs.engine.weight import IN_MEMORY_BYTES, Weight
from jobs.entity import Entity, Taken, Write, query_name, silver_table
from jobs.intake import INTAKE_BY_MINUTE, FirstArrivals, IntakeWriter
from jobs.late import LateLane, Turns
from jobs.settings import Settings

# A batch costs some tenths of a second however few events it has: a busy stream goes on at once, a quiet one waits for
# a fifth of the time that its most urgent contract allows from event to gold, and looks ten times as often.
BUSY_RECORDS = 2_000
WAITS_PER_FRESHNESS = 5
LOOKS_PER_WAIT = 10
ENTITIES_AT_A_TIME = 3
WRITES_AT_A_TIME = 4


def live(
    session: SparkSession,
    domain: str,
    definitions: Definitions,
    settings: Settings,
    trigger: Trigger,
    intake: IntakeWriter,
) -> Plan:
    """Plan the query that turns the events of a domain into silver, quarantine and gold.

    Args:
        session: runs it.
        domain: whose topics it reads.
        definitions: its contracts and rules, and maybe those of others.
        settings: where Kafka and the lake are.
        trigger: when micro-batches start.
        intake: counts for all queries of the application.
    """
    own = definitions.of_domain(domain)
    entities = [Entity(session, contract, own.rules[contract.topic], settings) for contract in own.contracts]
    turns = [Turns(entity, intake, settings) for entity in entities]
    lane = LateLane(query_name(domain), turns, settings.lake_url)
    write = LiveWriter(session, query_name(domain), entities, settings, intake, lane)
    longest = min(contract.freshness for contract in own.contracts) / WAITS_PER_FRESHNESS
    most = settings.max_offsets_per_trigger
    pace = None if trigger.get("availableNow") else Pace(records=min(BUSY_RECORDS, most), longest=longest)
    topics = [contract.topic for contract in own.contracts]
    arrived = records(session, topics, settings, most=most, pace=pace)
    looks = f"{longest / LOOKS_PER_WAIT // MILLISECOND} milliseconds"
    watermarks = {f"live-{entity.contract.topic}": entity.watermark for entity in entities}
    written = Written(counted=INTAKE_BY_MINUTE.table, events=[silver_table(contract) for contract in own.contracts])
    moments: Trigger = {"processingTime": looks, **trigger}
    return Plan(arrived, query_name(domain), write, settings, moments, topics, written, watermarks, lane)


class LiveWriter:
    """Writes each micro-batch of a query to the tables of its entities, and counts what became of it."""

    def __init__(
        self,
        session: SparkSession,
        query: str,
        entities: Sequence[Entity],
        settings: Settings,
        intake: IntakeWriter,
        lane: LateLane,
    ) -> None:
        self._entities = {entity.contract.topic: entity for entity in entities}
        self._intake = intake
        self._lane = lane
        self._few = settings.in_memory_records
        self._weight = Weight()
        # Those of entities wait for those of writes, so they are apart.
        self._threads, self._writing = (
            ThreadPoolExecutor(
                max_workers=count,
                thread_name_prefix=query,
                initializer=session.sparkContext.setLocalProperty,
                initargs=(POOL, query),
            )
            for count in (ENTITIES_AT_A_TIME, WRITES_AT_A_TIME)
        )

    def __call__(self, frame: DataFrame, batch: Batch) -> Offsets:
        """Commit a batch to each table that does not have it yet; returns the first offset of each partition."""
        with self._by_topic(frame, batch) as (parts, first_arrivals), ExitStack() as held:
            for topic in parts:
                held.enter_context(self._entities[topic].deduplication.lock)
            # All are judged before one is written: a rule may ask to stop.
            taken = list(self._threads.map(lambda topic: self._entities[topic].take(parts[topic], batch), parts))
            if batch.records <= self._few and sum(one.judged.size for one in taken) <= IN_MEMORY_BYTES:
                taken = list(self._threads.map(lambda one: self._write(one, parts, together=True), taken))
            else:
                # Large writes go one after the other: each fills the processors and much of the memory by itself.
                taken = [self._write(one, parts) for one in taken]
            rules = {topic: entity.rules for topic, entity in self._entities.items()}
            self._intake.count(taken, batch, rules=rules, first_arrivals=first_arrivals)
            for one in taken:
                self._entities[one.contract.topic].remember(one)
            first = first_offsets(parts.values())
        self._lane.notice(sum(one.sifted.late for one in taken))
        return first

    def _write(self, taken: Taken, parts: dict[str, Rows], *, together: bool = False) -> Taken:
        """Write what became of an entity's records; gives what was written in the end."""
        entity = self._entities[taken.contract.topic]
        try:
            self._write_all(entity.writes(taken), together=together)
        except (CommitFailedError, OSError):
            # No record's fault.
            raise
        except Exception as error:
            taken = entity.take_apart(parts[taken.contract.topic], taken.batch, error)
            self._write_all(entity.writes(taken), together=together)
        return taken

    def _write_all(self, writes: Sequence[Write], *, together: bool) -> None:
        if together:
            writing = [self._writing.submit(write) for write in writes]
            # All end before one fails: after that they are done again.
            wait(writing)
            for written in writing:
                written.result()
        else:
            for write in writes:
                write()

    @contextmanager
    def _by_topic(self, frame: DataFrame, batch: Batch) -> Iterator[tuple[dict[str, Rows], FirstArrivals]]:
        """The records of each topic that has any, in memory where they are few, else held by Spark; and their first
        arrivals."""
        if batch.records <= self._few and self._weight.fits(batch.records):
            collected = frame.toArrow()
            self._weight.learn(collected.num_rows, collected.nbytes)
            by_broker = pc.equal(collected[TIMESTAMP_TYPE], LOG_APPEND_TIME)
            oldest = collected.filter(by_broker).group_by("topic").aggregate([("timestamp", "min")])
            moments = oldest["timestamp_min"].cast(pa.int64()).to_pylist()
            first_arrivals = dict(zip(oldest["topic"].to_pylist(), moments, strict=True))
            collected = collected.drop_columns(TIMESTAMP_TYPE)
            in_memory: dict[str, Rows] = {
                topic: collected.filter(pc.equal(collected["topic"], topic))
                for topic in pc.unique(collected["topic"]).to_pylist()
            }
            yield in_memory, first_arrivals
            return
        held = frame.persist()
        try:
            size = F.sum(F.coalesce(F.octet_length("value"), F.lit(0))).alias("size")
            by_broker = F.when(F.col(TIMESTAMP_TYPE) == LOG_APPEND_TIME, F.unix_micros("timestamp"))
            first = F.min(by_broker).alias("first")
            found = held.groupBy("topic").agg(F.count("*").alias("records"), size, first).collect()
            self._weight.learn(sum(row["records"] for row in found), sum(row["size"] for row in found))
            parts: dict[str, Rows] = {}
            for row in found:
                rows = held.where(F.col("topic") == row["topic"]).drop(TIMESTAMP_TYPE)
                is_small = row["records"] <= self._few and row["size"] <= IN_MEMORY_BYTES
                parts[row["topic"]] = rows.toArrow() if is_small else rows
            yield parts, {row["topic"]: row["first"] for row in found if row["first"] is not None}
        finally:
            held.unpersist()
