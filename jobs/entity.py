"""One entity in ``live``: its records of a micro-batch become silver, quarantine and gold.

judge against the contract ▸ set aside what is late ▸ dedupe against silver ▸ write every mart, silver, quarantine
"""

import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import pyarrow as pa
from pyspark.sql import SparkSession
from pyspark.sql.types import ArrayType, DateType, StringType, StructField, StructType

from jobs import corrections
from jobs.bronze import RECORD
from jobs.engine.batch import Batch
from jobs.engine.commit import Appender, Rows
from jobs.engine.deduplicate import Deduplication, Sifted
from jobs.engine.evolve import evolve
from jobs.engine.exceptions import StoppedByRuleError
from jobs.engine.isolate import REASON, Isolation
from jobs.engine.measures import Gold
from jobs.engine.newest import SnapshotWriter
from jobs.engine.replay import unseen
from jobs.engine.table import Table
from jobs.engine.upsert import MartWriter
from jobs.engine.watermark import Watermark, newest_event_time
from jobs.judge import ENVELOPE, Judge
from jobs.judged import (
    ARRIVAL_DATE,
    Broken,
    Judged,
    JudgedBySpark,
    JudgedInMemory,
    Plans,
    refused_rows,
    silver_schema,
)
from jobs.marts import MARTS, SNAPSHOTS, Mart
from jobs.pseudonyms import pseudonym_key
from jobs.settings import Settings
from quality.judgement import rule_names
from quality.rules import Rule
from schemas import Contract

Write = Callable[[], None]

logger = logging.getLogger(__name__)


def query_name(domain: str) -> str:
    """The name of the query of ``live`` that writes a domain's entities."""
    return f"live-{domain}"


def silver_table(contract: Contract) -> Table:
    """The table of an entity's valid events, each once."""
    return Table("silver", contract.name, silver_schema(contract), f"Valid events of {contract.topic}, each once.")


def late_table(contract: Contract) -> Table:
    """The table of an entity's late events, until the late lane has taken them."""
    description = f"Valid events of {contract.topic} that came late, until they are in silver and gold."
    return Table("late", contract.name, silver_schema(contract), description)


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


@dataclass(frozen=True)
class Taken:
    """What became of an entity's records in a micro-batch."""

    contract: Contract
    judged: Judged
    sifted: Sifted
    broken: Broken
    batch: Batch
    """With the watermark of the entity."""
    measures: Mapping[str, Callable[[], Rows]]
    """Of the new events, by the name of the table that they belong to."""
    unprocessable: pa.Table | None = None
    """Rows of quarantine, of records that could not even be judged."""

    @property
    def input(self) -> int:
        """All records."""
        return len(self.sifted.arrivals) + self._unprocessable

    @property
    def refused(self) -> int:
        """Records in quarantine."""
        return self.sifted.refused + self._unprocessable

    @property
    def _unprocessable(self) -> int:
        return 0 if self.unprocessable is None else int(self.unprocessable.num_rows)


class Entity:
    """Judges and deduplicates the records of one topic, and writes them to every table of their entity.

    Args:
        session: does the work.
        contract: of the topic.
        rules: what every event is judged with beside the contract.
        settings: where the lake is.
    """

    def __init__(self, session: SparkSession, contract: Contract, rules: Sequence[Rule], settings: Settings) -> None:
        self._session = session
        self._lake = lake = settings.lake_url
        self.contract = contract
        self.rules = tuple(rule_names(contract, rules))
        self._stopping = {rule.name for rule in rules if rule.stops}
        golds: list[Gold] = [*MARTS.get(contract.topic, ()), *SNAPSHOTS.get(contract.topic, ())]
        for table in (silver_table(contract), late_table(contract), *(gold.table for gold in golds)):
            evolve(session, table, lake)
        self.writers: dict[str, MartWriter | SnapshotWriter] = {
            gold.name: MartWriter(gold, lake) if isinstance(gold, Mart) else SnapshotWriter(gold, lake)
            for gold in golds
        }
        self.silver = Appender(silver_table(contract), lake)
        self.late = Appender(late_table(contract), lake)
        self.quarantine = Appender(quarantine_table(contract), lake)
        silver, event_time = silver_table(contract).create(lake), contract.event_time
        self.watermark = Watermark(contract.watermark_delay, newest_event_time(silver, event_time))
        self.deduplication = Deduplication(silver, contract.key, event_time, contract.watermark_delay)
        self._corrections = corrections.next_number(silver, silver_table(contract))
        judge = Judge(contract, rules, key=pseudonym_key(settings))
        self.plans = Plans(session, judge, golds, few=settings.in_memory_records)

    def take(self, records: Rows, batch: Batch) -> Taken:
        """Judge, deduplicate and measure records, under the lock of deduplication; writes nothing.

        Raises:
            StoppedByRuleError: one of them breaks a rule that asks to stop the job.
        """
        try:
            return self._take(records, batch)
        except StoppedByRuleError:
            raise
        except Exception as error:
            return self.take_apart(records, batch, error)

    def take_apart(self, records: Rows, batch: Batch, error: Exception) -> Taken:
        """Take records among which are some that make a micro-batch fail: those are refused as unprocessable.

        Raises:
            Exception: the error, where it is no record's fault.
        """
        isolation = Isolation(self.plans.attempt)
        try:
            isolation.search(records)
        except Exception as other:
            raise error from other
        if not isolation.found:
            raise error
        for reason in isolation.reasons:
            logger.error("A record of %s goes to quarantine: %s", self.contract.topic, reason)
        taken = self._take(isolation.without(records), batch)
        taken.broken["refused"][REASON] += len(isolation.found)
        found = pa.concat_tables(isolation.found).select(ENVELOPE)
        return replace(taken, unprocessable=refused_rows(found, isolation.reasons))

    def _take(self, records: Rows, batch: Batch) -> Taken:
        in_memory = isinstance(records, pa.Table)
        judged: Judged = JudgedInMemory(records, self.plans) if in_memory else JudgedBySpark(records, self.plans)
        broken = judged.broken_rules()
        self._stop_at(broken)
        arrivals = judged.arrivals()
        self._look_for_corrections()
        own = replace(batch, watermark=self.watermark.before(arrivals))
        sifted = self.deduplication.sift(arrivals, is_in_silver=self.silver.has(own))
        measures = judged.measures(sifted) if sifted.accepted else {}
        return Taken(self.contract, judged, sifted, broken, own, measures)

    def _look_for_corrections(self) -> None:
        """Look at silver anew where rows of it have been corrected: an event that was added may come once more.

        That is noticed with the next commit, or within a minute.
        """
        known = self._corrections
        while self.silver.has(Batch(corrections.APPLICATION, self._corrections)):
            self._corrections += 1
        if self._corrections > known:
            self.deduplication.forget()

    def writes(self, taken: Taken) -> list[Write]:
        """What is to be written, each into a table of its own; what is looked at live comes first."""
        judged, sifted, batch = taken.judged, taken.sifted, taken.batch
        writes: list[Write] = []
        if sifted.accepted:
            writes += [partial(self._upsert, name, rows, batch) for name, rows in taken.measures.items()]
            writes += [lambda: self.silver.append(judged.silver(sifted), batch)]
        if sifted.late:
            writes += [lambda: self.late.append(judged.late(sifted), batch)]
        if sifted.refused:
            writes += [lambda: self._refuse(judged.quarantine(sifted), batch)]
        if (unprocessable := taken.unprocessable) is not None:
            # Quarantine may have the rest of the batch already, from before it failed.
            apart = replace(batch, query_id=f"{batch.query_id}-unprocessable")
            writes += [lambda: self._refuse(unprocessable, apart)]
        return writes

    def _refuse(self, refused: Rows, batch: Batch) -> None:
        """Add refused records to quarantine, without those that it has where Kafka is read again."""
        if batch.is_replay:
            table, in_memory = quarantine_table(self.contract), isinstance(refused, pa.Table)
            frame = self._session.createDataFrame(refused, table.schema) if in_memory else refused
            found = unseen(frame, table, self._lake)
            refused = found.toArrow() if in_memory else found
        self.quarantine.append(refused, batch)

    def _upsert(self, name: str, rows: Callable[[], Rows], batch: Batch) -> None:
        self.writers[name].upsert(rows(), batch)

    def remember(self, taken: Taken) -> None:
        """Take note that every table has a batch."""
        self.deduplication.remember(taken.sifted.arrivals, taken.sifted.is_new)
        self.watermark.advance(taken.sifted)
        taken.judged.release()

    def _stop_at(self, broken: Broken) -> None:
        for rule, count in sum(broken.values(), Counter[str]()).items():
            if rule in self._stopping:
                raise StoppedByRuleError(
                    f"{count} records of {self.contract.topic} break the rule '{rule}', which asks to stop the job. "
                    f"Mend the events' source or the rule in quality/silver/{self.contract.name}.yaml and start anew."
                )
