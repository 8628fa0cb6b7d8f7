"""Live: from Kafka to silver, quarantine and gold in one pass.

decode ▸ judge against the contract ▸ dedupe within the watermark ▸ write silver, quarantine and every mart
"""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.types import ArrayType, DateType, StringType, StructField, StructType

from jobs.bronze import RECORD
from jobs.engine.batch import MILLISECOND, Batch, current_batch
from jobs.engine.commit import Appender, collect_if_few
from jobs.engine.deduplicate import ORIGIN, Deduplication
from jobs.engine.evolve import evolve
from jobs.engine.exceptions import StoppedByRuleError
from jobs.engine.kafka import Pace, records
from jobs.engine.newest import SnapshotWriter
from jobs.engine.query import POOL, Plan, Trigger
from jobs.engine.table import Table, column
from jobs.engine.turns import Turns
from jobs.engine.upsert import MartWriter
from jobs.engine.weight import IN_MEMORY_BYTES, Weight
from jobs.intake import IntakeWriter, quality
from jobs.judge import Judge
from jobs.judged import ARRIVAL_DATE, Broken, Judged, JudgedBySpark, JudgedInMemory
from jobs.marts import MARTS, SNAPSHOTS, Mart, Snapshot
from jobs.pseudonyms import pseudonym_key
from jobs.settings import Settings
from quality.judgement import rule_names
from quality.rules import Rule
from schemas import Contract

# Above so many records, Spark is quicker at taking a batch apart than Arrow in one thread (docs/decisions/0010).
IN_MEMORY_RECORDS = 20_000
# A batch costs much of a second however few events it has: a busy stream goes on at once, a quiet one waits for a fifth
# of the time that its contract allows from event to gold, and looks ten times as often.
BUSY_RECORDS = 2_000
WAITS_PER_FRESHNESS = 5
LOOKS_PER_WAIT = 10


def silver_table(contract: Contract) -> Table:
    """The table of an entity's valid events, each once."""
    origin = [field for field in RECORD if field.name in ORIGIN]
    marks = column("marks", ArrayType(StringType()), "Warnings: rule: fields (values). Empty where there are none.")
    schema = StructType([*contract.spark_schema, *origin, marks])
    return Table("silver", contract.name, schema, f"Valid events of {contract.topic}, each once.")


def quarantine_table(contract: Contract) -> Table:
    """The table of what was refused from a topic: the record as it came, and why."""
    extra = [StructField("reasons", ArrayType(StringType())), StructField(ARRIVAL_DATE, DateType())]
    return Table(
        layer="quarantine",
        name=contract.name,
        schema=StructType([*RECORD, *extra]),
        description=f"Records of {contract.topic} that were refused, as they came, with the reasons.",
        partition_by=(ARRIVAL_DATE,),
    )


def query_name(contract: Contract) -> str:
    """The name of an entity's query."""
    return f"live-{contract.topic}"


def live(
    session: SparkSession,
    contract: Contract,
    rules: Sequence[Rule],
    settings: Settings,
    trigger: Trigger,
    intake: IntakeWriter,
    turns: Turns | None = None,
) -> Plan:
    """Plan the query that turns the events of one topic into silver, quarantine and gold.

    Args:
        session: runs it.
        contract: of the topic.
        rules: what every event is judged with beside the contract.
        settings: where Kafka and the lake are.
        trigger: when micro-batches start.
        intake: counts for all queries of the application.
        turns: lets them share the processors; without it, batches follow one another at once.
    """
    judge = Judge(contract, rules, key=pseudonym_key(settings))
    write = LiveWriter(session, judge, rules, settings, intake, turns)
    wait = contract.freshness / WAITS_PER_FRESHNESS
    pace = None if trigger.get("availableNow") else Pace(records=busy_records(settings), longest=wait)
    arrived = records(session, [contract.topic], settings, most=settings.max_offsets_per_trigger, pace=pace)
    # A record that may be refused has no event time here, so it does not move the watermark.
    delay = f"{int(contract.watermark_delay.total_seconds())} seconds"
    events = judge.screen(arrived).withWatermark(contract.event_time, delay)
    looks = f"{wait / LOOKS_PER_WAIT // MILLISECOND} milliseconds"
    return Plan(events, query_name(contract), write, settings, {"processingTime": looks, **trigger})


def busy_records(settings: Settings) -> int:
    """So many records that have come are a batch at once."""
    return min(BUSY_RECORDS, settings.max_offsets_per_trigger)


class LiveWriter:
    """Deduplicates micro-batches of screened records and writes them to every table of their entity."""

    def __init__(
        self,
        session: SparkSession,
        judge: Judge,
        rules: Sequence[Rule],
        settings: Settings,
        intake: IntakeWriter,
        turns: Turns | None,
    ) -> None:
        lake, contract = settings.lake_url, judge.contract
        marts, snapshots = MARTS.get(contract.topic, ()), SNAPSHOTS.get(contract.topic, ())
        self._session = session
        self._judge = judge
        self._contract = contract
        self._rules = tuple(rule_names(contract, rules))
        self._stopping = {rule.name for rule in rules if rule.stops}
        self._few = settings.spark_writer_rows
        self._weight = Weight()
        declared: tuple[Mart | Snapshot, ...] = (*marts, *snapshots)
        for table in (silver_table(contract), *(gold.table for gold in declared)):
            evolve(session, table, lake)
        self._silver = Appender(silver_table(contract), lake)
        self._quarantine = Appender(quarantine_table(contract), lake)
        self._gold: list[MartWriter | SnapshotWriter] = [
            *(MartWriter(mart, lake) for mart in marts),
            *(SnapshotWriter(snapshot, lake) for snapshot in snapshots),
        ]
        self._intake = intake
        self._turns = turns
        self._busy = busy_records(settings)
        self._deduplication = Deduplication(
            silver_table(contract).create(lake),
            key=contract.key,
            event_time=contract.event_time,
            delay=contract.watermark_delay,
        )
        self._threads = ThreadPoolExecutor(
            max_workers=4,
            thread_name_prefix="commit",
            initializer=session.sparkContext.setLocalProperty,
            initargs=(POOL, query_name(contract)),
        )

    def __call__(self, frame: DataFrame, batch_id: int) -> None:
        """Commit a batch to each table that does not have it yet."""
        began = time.monotonic()
        batch = current_batch(self._session, batch_id)
        judged = self._hold(frame, batch)
        broken = judged.broken_rules()
        self._stop_at(broken)
        sifted = self._deduplication.sift(judged.arrivals(), batch)
        counts = quality(self._rules, broken, judged=len(sifted.arrivals))
        # What is looked at live goes first.
        writes: list[Callable[[], None]] = []
        if sifted.accepted:
            events = judged.events(sifted)
            writes += [partial(self._upsert, mart, events, batch, sifted.accepted) for mart in self._gold]
            writes += [lambda: self._silver.append(judged.silver(sifted), batch)]
        if sifted.refused:
            writes += [lambda: self._quarantine.append(judged.quarantine(sifted), batch)]
        writes += [
            partial(self._intake.count_records, self._contract.topic, sifted, batch, promised=self._contract.freshness)
        ]
        if len(sifted.arrivals):
            writes += [partial(self._intake.count_rules, self._contract.topic, counts, batch)]
        self._run(writes, together=len(sifted.arrivals) <= self._few and judged.size <= IN_MEMORY_BYTES)
        self._deduplication.remember(sifted)
        self._weight.learn(len(sifted.arrivals), judged.size)
        judged.release()
        if self._turns and batch.records < self._busy:
            self._turns.rest(query_name(self._contract), began, most=self._contract.freshness.total_seconds() / 2)

    def _stop_at(self, broken: Broken) -> None:
        """Stop before anything of the batch is written, where a rule asks for it."""
        for rule, count in sum(broken.values(), Counter[str]()).items():
            if rule in self._stopping:
                raise StoppedByRuleError(
                    f"{count} records of {self._contract.topic} break the rule '{rule}', which asks to stop the job. "
                    f"Mend the events' source or the rule in quality/silver/{self._contract.name}.yaml and start anew."
                )

    def _hold(self, frame: DataFrame, batch: Batch) -> Judged:
        are_few = batch.records <= IN_MEMORY_RECORDS
        if are_few and self._weight.fits(batch.records):
            return JudgedInMemory(frame, self._judge)
        held = JudgedBySpark(frame, self._judge, self._few)
        return held.collect() if are_few and held.size <= IN_MEMORY_BYTES else held

    def _run(self, writes: Sequence[Callable[[], None]], *, together: bool) -> None:
        # Large writes go one after the other: each fills the processors and much of the memory by itself.
        if together:
            for done in [self._threads.submit(write) for write in writes]:
                done.result()
        else:
            for write in writes:
                write()

    def _upsert(self, mart: MartWriter | SnapshotWriter, events: DataFrame, batch: Batch, count: int) -> None:
        measures = mart.mart.measure(events)
        # Measures of few events are few; those of many may be few too, and are counted.
        rows = count if count <= self._few else measures.count()
        mart.upsert(collect_if_few(measures, count=rows, few=self._few), batch)
