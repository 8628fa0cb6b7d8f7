"""The judged records of one topic in a micro-batch: in memory while they are few, else held by Spark."""

import datetime as dt
from collections import Counter
from collections.abc import Callable, Sequence
from functools import cached_property, partial
from typing import Protocol

import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import ArrayType, StringType, StructType

from jobs.bronze import RECORD
from jobs.engine import data_file
from jobs.engine.commit import Rows, collect_if_few
from jobs.engine.deduplicate import ORIGIN, Arrivals, Sifted
from jobs.engine.identities import Flags
from jobs.engine.measures import Gold, Measures
from jobs.engine.prepared import Prepared
from jobs.engine.table import column
from jobs.engine.weight import IN_MEMORY_BYTES
from jobs.judge import ENVELOPE, Judge
from quality.judgement import rule_column, rule_of
from schemas import Contract

ARRIVAL_DATE = "arrival_date"
OUTCOMES = {"reasons": "refused", "marks": "marked", "noted": "noted"}
"""What becomes of a record that breaks a rule, by the column that says so."""

Broken = dict[str, Counter[str]]
"""How many records break each rule, by rule and field, for each of ``OUTCOMES``."""


class Judged(Protocol):
    """What became of the records of a micro-batch so far.

    Its columns are the contract's fields, null where the event is refused; ``reasons``, empty where it is accepted;
    ``marks`` and ``noted``, the warnings and notes on an accepted event, null where there are none; the record's
    ``ORIGIN``; the rest of its ``ENVELOPE``, null where the event is accepted; and ``bytes``, the size of its value.
    """

    @property
    def size(self) -> int:
        """Bytes of all values."""

    def arrivals(self) -> Arrivals:
        """What deduplication looks at."""

    def measures(self, sifted: Sifted) -> dict[str, Callable[[], Rows]]:
        """The measures of the new events, at least one, by the name of the table that they belong to."""

    def silver(self, sifted: Sifted) -> Rows:
        """The new events, to be appended."""

    def late(self, sifted: Sifted) -> Rows:
        """The late events, with the columns of silver."""

    def quarantine(self, sifted: Sifted) -> Rows:
        """The refused records, with the columns of quarantine."""

    def broken_rules(self) -> Broken:
        """How many records break each rule."""

    def release(self) -> None:
        """Give the memory back."""


class Plans:
    """How the records of one topic are judged and measured; what small batches need is planned once.

    Args:
        session: does it.
        judge: of the topic.
        golds: the marts and snapshots that are computed from its events.
        few: how many rows may be collected.
    """

    def __init__(self, session: SparkSession, judge: Judge, golds: Sequence[Gold], *, few: int) -> None:
        self.contract = judge.contract
        self.judge = judge
        self.golds = golds
        self.few = few
        self._session = session
        self._screen = Prepared(session, StructType(RECORD), judge.screen)

    def judged(self, records: pa.Table) -> pa.Table:
        """Judge records, with the columns of ``ENVELOPE``; gives those of ``Judged``."""
        screened = self._screen.compute(records)
        doubtful = screened.filter(pc.is_null(screened["reasons"]))
        if not doubtful:
            return screened
        judged = self._thorough.compute(doubtful.select(ENVELOPE)).cast(screened.schema)
        return pa.concat_tables([screened.filter(pc.is_valid(screened["reasons"])), judged])

    def attempt(self, records: pa.Table) -> bool:
        """Judge and measure records and see whether they can be written, as a micro-batch would; writes nothing.

        Returns:
            whether there were events among them.
        """
        rows = self.judged(records)
        is_accepted = pc.equal(pc.list_value_length(rows["reasons"]), 0)
        events = rows.filter(is_accepted).select(silver_columns(self.contract))
        refused = rows.filter(pc.invert(is_accepted)).select(ENVELOPE)
        data_file.statistics(refused)
        return bool(events.num_rows) and self.attempt_events(events)

    def attempt_events(self, events: pa.Table) -> bool:
        """The same for events, with the columns of silver."""
        for written in (events, *self.measured(events).values()):
            data_file.statistics(written)
        return bool(events.num_rows)

    def measured(self, events: pa.Table) -> dict[str, pa.Table]:
        """The measures of events, with the columns of silver, by the name of the table that they belong to."""
        return self._measures.compute(events) if self.golds else {}

    @cached_property
    def _thorough(self) -> Prepared:
        # Not before a record is in doubt: to plan this takes seconds, which would delay the first event.
        return Prepared(self._session, StructType(RECORD), self.judge.judge)

    @cached_property
    def _measures(self) -> Measures:
        return Measures(self._session, self.golds, silver_schema(self.contract))


class JudgedInMemory:
    """A small batch: one Spark job, planned once, judges it, and Arrow takes it apart."""

    def __init__(self, records: pa.Table, plans: Plans) -> None:
        self._contract = plans.contract
        self._plans = plans
        self._rows = plans.judged(records)
        self._is_accepted = pc.equal(pc.list_value_length(self._rows["reasons"]), 0)

    @property
    def size(self) -> int:
        """Bytes of all values."""
        return int(pc.sum(self._rows["bytes"]).as_py() or 0)

    def arrivals(self) -> Arrivals:
        """What deduplication looks at."""
        rows = self._rows.append_column("is_accepted", self._is_accepted)
        return Arrivals.of(rows, key=self._contract.key, event_time=self._contract.event_time)

    def measures(self, sifted: Sifted) -> dict[str, Callable[[], Rows]]:
        """The measures of the new events, at least one, by the name of the table that they belong to."""

        def constant(rows: pa.Table) -> Callable[[], Rows]:
            return lambda: rows

        return {name: constant(rows) for name, rows in self._plans.measured(self.silver(sifted)).items()}

    def silver(self, sifted: Sifted) -> pa.Table:
        """The new events, to be appended."""
        return self._rows.select(silver_columns(self._contract)).filter(pa.array(sifted.is_new))

    def late(self, sifted: Sifted) -> pa.Table:
        """The late events, with the columns of silver."""
        return self._rows.select(silver_columns(self._contract)).filter(pa.array(sifted.is_late))

    def quarantine(self, sifted: Sifted) -> pa.Table:
        """The refused records, with the columns of quarantine."""
        refused = self._rows.filter(pc.invert(self._is_accepted))
        return refused_rows(refused.select(ENVELOPE), refused["reasons"])

    def broken_rules(self) -> Broken:
        """How many records break each rule."""
        return {
            outcome: Counter(map(rule_of, pc.list_flatten(self._rows[name]).to_pylist()))
            for name, outcome in OUTCOMES.items()
        }

    def release(self) -> None:
        """Nothing to do."""


class JudgedBySpark:
    """A large batch, cached by Spark; what fits into memory is collected part by part."""

    def __init__(self, records: DataFrame, plans: Plans) -> None:
        judge = plans.judge
        screened = judge.screen(records)
        self._screened = screened.persist()
        self._judged = judge.judge(screened.where("reasons IS NULL").select(*ENVELOPE)).persist()
        self._rows = screened.where("reasons IS NOT NULL").unionByName(self._judged)
        self._contract = plans.contract
        self._golds = plans.golds
        self._few = plans.few
        self._sizes: dict[bool, int] = {}

    @property
    def size(self) -> int:
        """Bytes of all values."""
        return sum(self._of_size().values())

    def arrivals(self) -> Arrivals:
        """What deduplication looks at."""
        key, event_time = self._contract.key, self._contract.event_time
        is_accepted = (F.size("reasons") == 0).alias("is_accepted")
        return Arrivals.of(
            self._rows.select(key, event_time, *ORIGIN, is_accepted).toArrow(),
            key=key,
            event_time=event_time,
        )

    def measures(self, sifted: Sifted) -> dict[str, Callable[[], Rows]]:
        """The measures of the new events, at least one, by the name of the table that they belong to."""
        events = self._kept(sifted, sifted.is_new)

        def measured(gold: Gold) -> Rows:
            measures = gold.measure(events)
            # Measures of few events are few; those of many may be few too, and are counted.
            count = sifted.accepted if sifted.accepted <= self._few else measures.count()
            return collect_if_few(measures, count=count, few=self._few)

        return {gold.name: partial(measured, gold) for gold in self._golds}

    def silver(self, sifted: Sifted) -> Rows:
        """The new events, to be appended."""
        return self._events(sifted, sifted.is_new, count=sifted.accepted)

    def late(self, sifted: Sifted) -> Rows:
        """The late events, with the columns of silver."""
        return self._events(sifted, sifted.is_late, count=sifted.late)

    def quarantine(self, sifted: Sifted) -> Rows:
        """The refused records, with the columns of quarantine."""
        refused = self._rows.where(F.size("reasons") > 0).select(*ENVELOPE, "reasons")
        rows = refused.withColumn(ARRIVAL_DATE, F.lit(dt.datetime.now(dt.UTC).date()))
        return collect_if_few(rows, count=sifted.refused, few=self._most(is_accepted=False))

    def broken_rules(self) -> Broken:
        """How many records break each rule."""
        reasons = F.explode(F.create_map(*(part for name in OUTCOMES for part in (F.lit(name), F.col(name)))))
        found = self._rows.select(reasons.alias("name", "reasons")).select("name", F.explode("reasons").alias("reason"))
        broken: Broken = {outcome: Counter() for outcome in OUTCOMES.values()}
        for row in found.groupBy("name", rule_column(F.col("reason")).alias("rule")).count().collect():
            broken[OUTCOMES[row["name"]]][row["rule"]] = row["count"]
        return broken

    def _events(self, sifted: Sifted, which: Flags, *, count: int) -> Rows:
        return collect_if_few(self._kept(sifted, which), count=count, few=self._most(is_accepted=True))

    def _kept(self, sifted: Sifted, which: Flags) -> DataFrame:
        rows = silver_rows(sifted.keep(self._rows, which), self._contract)
        return rows.coalesce(1) if len(sifted.arrivals) <= self._few else rows

    def _most(self, *, is_accepted: bool) -> int:
        """How many records may be collected: none where they are few but large."""
        return self._few if self._of_size().get(is_accepted, 0) <= IN_MEMORY_BYTES else -1

    def _of_size(self) -> dict[bool, int]:
        """Bytes of the values of accepted and of refused records."""
        if not self._sizes:
            is_accepted = (F.size("reasons") == 0).alias("is_accepted")
            sizes = self._rows.groupBy(is_accepted).agg(F.coalesce(F.sum("bytes"), F.lit(0)).alias("size")).collect()
            self._sizes = {row["is_accepted"]: row["size"] for row in sizes}
        return self._sizes

    def release(self) -> None:
        """Give the memory back."""
        self._judged.unpersist()
        self._screened.unpersist()


def refused_rows(records: pa.Table, reasons: Sequence[str] | pa.ChunkedArray) -> pa.Table:
    """Rows of quarantine: records, the reasons of each, or the one of each, and today, when they came."""
    if not isinstance(reasons, pa.ChunkedArray):
        reasons = pa.array([[reason] for reason in reasons], pa.list_(pa.string()))
    today = pa.array([dt.datetime.now(dt.UTC).date()] * records.num_rows, pa.date32())
    return records.append_column("reasons", reasons).append_column(ARRIVAL_DATE, today)


def silver_rows(judged: DataFrame, contract: Contract) -> DataFrame:
    """The accepted events of judged records, with the columns of silver."""
    return judged.where(F.size("reasons") == 0).select(silver_columns(contract))


def silver_columns(contract: Contract) -> list[str]:
    """The columns of silver."""
    return silver_schema(contract).names


def silver_schema(contract: Contract) -> StructType:
    """The schema of silver: the contract's fields, where the event comes from, and the warnings on it."""
    origin = [field for field in RECORD if field.name in ORIGIN]
    marks = column("marks", ArrayType(StringType()), "Warnings: rule: fields (values). Empty where there are none.")
    return StructType([*contract.spark_schema, *origin, marks])
