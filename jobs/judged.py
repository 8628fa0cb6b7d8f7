"""A micro-batch of judged records: in memory while it is small, else held by Spark. Both give the same rows."""

from collections import Counter
from typing import Protocol

import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.engine.commit import Rows, collect_if_few
from jobs.engine.deduplicate import ORIGIN, Arrivals, Sifted
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
    ``ORIGIN``; the rest of its ``ENVELOPE``, null where the event is accepted; ``is_released``, whether an operator
    sent it again from quarantine; and ``bytes``, the size of its value. Both take screened records, and judge those
    that are in doubt.
    """

    @property
    def size(self) -> int:
        """Bytes of all values."""

    def arrivals(self) -> Arrivals:
        """What deduplication looks at."""

    def events(self, sifted: Sifted) -> DataFrame:
        """The new events, at least one, with the columns of silver."""

    def silver(self, sifted: Sifted) -> Rows:
        """The new events, to be appended."""

    def quarantine(self, sifted: Sifted) -> Rows:
        """The refused records, with the columns of quarantine."""

    def broken_rules(self) -> Broken:
        """How many records break each rule."""

    def release(self) -> None:
        """Give the memory back."""


class JudgedInMemory:
    """A small batch: one Spark job collects it, and Arrow takes it apart; each further job would cost as much again."""

    def __init__(self, screened: DataFrame, judge: Judge) -> None:
        self._contract = judge.contract
        self._session = screened.sparkSession
        self._rows = self._settled(screened.toArrow(), judge)
        self._is_accepted = pc.equal(pc.list_value_length(self._rows["reasons"]), 0)

    def _settled(self, screened: pa.Table, judge: Judge) -> pa.Table:
        doubtful = screened.filter(pc.is_null(screened["reasons"]))
        if not doubtful:
            return screened
        records = self._session.createDataFrame(doubtful.select(ENVELOPE)).coalesce(1)
        settled = screened.filter(pc.is_valid(screened["reasons"]))
        return pa.concat_tables([settled, judge.judge(records).toArrow().cast(screened.schema)])

    @property
    def size(self) -> int:
        """Bytes of all values."""
        return int(pc.sum(self._rows["bytes"]).as_py() or 0)

    def arrivals(self) -> Arrivals:
        """What deduplication looks at."""
        rows = self._rows.append_column("is_accepted", self._is_accepted)
        return Arrivals.of(rows, key=self._contract.key, event_time=self._contract.event_time)

    def events(self, sifted: Sifted) -> DataFrame:
        """The new events, at least one, with the columns of silver."""
        # One task: a shuffle of so few rows costs more than the second processor gives.
        return self._session.createDataFrame(self.silver(sifted)).coalesce(1)

    def silver(self, sifted: Sifted) -> pa.Table:
        """The new events, to be appended."""
        return self._rows.select(silver_columns(self._contract)).filter(pa.array(sifted.is_new))

    def quarantine(self, sifted: Sifted) -> pa.Table:
        """The refused records, with the columns of quarantine."""
        refused = self._rows.filter(pc.invert(self._is_accepted)).select([*ENVELOPE, "reasons"])
        return refused.append_column(ARRIVAL_DATE, refused["timestamp"].cast(pa.date32()))

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

    def __init__(self, screened: DataFrame, judge: Judge, few: int) -> None:
        self._screened = screened.persist()
        self._judged = judge.judge(screened.where("reasons IS NULL").select(*ENVELOPE)).persist()
        self._rows = screened.where("reasons IS NOT NULL").unionByName(self._judged)
        self._judge = judge
        self._contract = judge.contract
        self._few = few
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
            self._rows.select(key, event_time, *ORIGIN, is_accepted, "is_released").toArrow(),
            key=key,
            event_time=event_time,
        )

    def events(self, sifted: Sifted) -> DataFrame:
        """The new events, at least one, with the columns of silver."""
        rows = silver_rows(sifted.keep(self._rows), self._contract)
        return rows.coalesce(1) if len(sifted.arrivals) <= self._few else rows

    def silver(self, sifted: Sifted) -> Rows:
        """The new events, to be appended."""
        return collect_if_few(self.events(sifted), count=sifted.accepted, few=self._most(is_accepted=True))

    def quarantine(self, sifted: Sifted) -> Rows:
        """The refused records, with the columns of quarantine."""
        refused = self._rows.where(F.size("reasons") > 0).select(*ENVELOPE, "reasons")
        rows = refused.withColumn(ARRIVAL_DATE, F.to_date("timestamp"))
        return collect_if_few(rows, count=sifted.refused, few=self._most(is_accepted=False))

    def broken_rules(self) -> Broken:
        """How many records break each rule."""
        reasons = F.explode(F.create_map(*(part for name in OUTCOMES for part in (F.lit(name), F.col(name)))))
        found = self._rows.select(reasons.alias("name", "reasons")).select("name", F.explode("reasons").alias("reason"))
        broken: Broken = {outcome: Counter() for outcome in OUTCOMES.values()}
        for row in found.groupBy("name", rule_column(F.col("reason")).alias("rule")).count().collect():
            broken[OUTCOMES[row["name"]]][row["rule"]] = row["count"]
        return broken

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

    def collect(self) -> JudgedInMemory:
        """The same in memory; this one is released."""
        collected = JudgedInMemory(self._rows, self._judge)
        self.release()
        return collected

    def release(self) -> None:
        """Give the memory back."""
        self._judged.unpersist()
        self._screened.unpersist()


def silver_rows(judged: DataFrame, contract: Contract) -> DataFrame:
    """The accepted events of judged records, with the columns of silver."""
    return judged.where(F.size("reasons") == 0).select(silver_columns(contract))


def silver_columns(contract: Contract) -> list[str]:
    """The columns of silver: the contract's fields, where the event comes from, and the warnings on it."""
    return [*(field.name for field in contract.fields), *ORIGIN, "marks"]
