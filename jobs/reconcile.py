"""Reconcile: prove that silver is what bronze says, and gold what silver says; correct what is not.

Both are computed once more with the functions of ``live`` and compared row by row and cell by cell, of versions that
hold the same micro-batches, while ``live`` goes on.
"""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc
from deltalake import DeltaTable, write_deltalake
from deltalake.exceptions import CommitFailedError
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import DateType, LongType, StringType, StructType, TimestampType

from jobs.bronze import EVENTS
from jobs.corrections import OvertakenError
from jobs.cut import Finished, finished
from jobs.engine.table import Table, column
from jobs.entity import silver_table
from jobs.gold_proof import MartProof, SnapshotProof
from jobs.judged import ARRIVAL_DATE
from jobs.marts import MARTS, SNAPSHOTS
from jobs.proof import MOST, Proof
from jobs.settings import Settings
from jobs.silver_proof import REFUSED, Arrivals, SilverProof, is_taken
from quality.rules import Rule
from schemas import Contract

PARITY = Table(
    layer="ops",
    name="parity",
    schema=StructType(
        [
            column("compared_at", TimestampType(), "When the comparison began, UTC; the same for all of its rows."),
            column("mart", StringType(), "The table."),
            column("window", TimestampType(), "Start of the window, UTC; of an event or a thing, its event time."),
            column("dimensions", StringType(), "The dimensions of the row, or what tells it, as JSON."),
            column("measure", StringType(), "The measure that differs; of an event, how it differs."),
            column("batch", StringType(), "Its value computed once more; empty where there is none."),
            column("stream", StringType(), "Its value in the table; empty where there is none."),
        ]
    ),
    description="What differs from what it is computed from, one row per comparison and cell.",
)
RECONCILIATIONS = Table(
    layer="ops",
    name="reconciliations",
    schema=StructType(
        [
            column("compared_at", TimestampType(), "When the comparison of the entity began, UTC."),
            column("entity", StringType(), "The topic, <domain>.<entity>."),
            column("table", StringType(), "The table, <layer>.<name>."),
            column("rows", LongType(), "Rows that were compared."),
            column("different", LongType(), "Rows that differed."),
            column("mended", LongType(), "Rows of these that were corrected."),
            column("remaining", LongType(), "Rows that differ still."),
            column("why", StringType(), "Why they do, or why the table could not be compared; else empty."),
            column(
                "proven_until", DateType(), "Day of arrival up to which all is proven; empty where something is not."
            ),
        ]
    ),
    description="What each comparison of a table found, one row per comparison and table.",
)
ROUNDS = 3
"""How often a table is corrected and compared again: it may change meanwhile, or a correction bring up another."""
DAY = dt.timedelta(days=1)
OPTIONS = {"spark.sql.adaptive.enabled": "true"}
"""Of a session for this work, which is large and not quick, other than that of a stream."""
PARTITIONS = "spark.sql.adaptive.coalescePartitions.initialPartitionNum"
RECORDS_PER_PARTITION = 250_000
"""Each task first unpacks the whole plan, which takes longer than a few records do."""


class NoCheckpointError(Exception):
    """Nobody can tell what the stream has taken."""


@dataclass(frozen=True)
class Parity:
    """What was found of one table, ``<layer>.<name>``."""

    table: str
    rows: int = 0
    """Rows that were compared."""
    kinds: Mapping[str, int] = field(default_factory=dict)
    """How many of them differed: what the table had too little of, too much of, or other."""
    mended: int = 0
    left: int = 0
    """Rows that differ still."""
    why: str = ""
    """Why they do, or why the table could not be compared."""

    @property
    def holds(self) -> bool:
        """Whether the table is right now, and was compared."""
        return not self.left and not self.why

    def __str__(self) -> str:
        rows = f"{self.table}: {self.rows:,} rows"
        if not self.kinds:
            return f"{self.table}: {self.why}" if self.why else f"{rows}, all equal"
        kinds = ", ".join(f"{count:,} {kind}" for kind, count in sorted(self.kinds.items()))
        mended = f", {self.mended:,} mended" if self.mended else ""
        left = f", {self.left:,} left" if self.left and (self.mended or self.why) else ""
        why = f": {self.why}" if self.why else ""
        return f"{rows}, {sum(self.kinds.values()):,} differ ({kinds}){mended}{left}{why}"


def reconcile(
    session: SparkSession,
    contract: Contract,
    rules: Sequence[Rule],
    settings: Settings,
    *,
    since: dt.date | None = None,
    until: dt.date | None = None,
    fix: bool = False,
) -> list[Parity]:
    """Compare the silver of one topic with bronze, and its tables of gold with silver.

    What differs is written to ``ops/parity``, and what was found of each table to ``ops/reconciliations``.

    Args:
        session: does the work.
        contract: of the topic.
        rules: those of its suite.
        settings: where the lake is.
        since: day of arrival, UTC, with which to begin; of gold, the windows are compared that the events of these
            days belong to. Default: where the last comparison without it ended with nothing different, less a day.
        until: last day of arrival; default: today.
        fix: put right what differs: events that silver lacks are added, what it has too much is removed, and then
            gold's rows are replaced.

    Returns:
        what was found of silver and of each table of gold; nothing where the stream has taken nothing yet.

    Raises:
        NoCheckpointError: there are events, but no checkpoint.
    """
    bronze, silver = (table.create(settings.lake_url) for table in (EVENTS, silver_table(contract)))
    done = finished(contract, settings)
    if done is None:
        if _rows(silver):
            raise NoCheckpointError("without the stream's checkpoint, nobody can tell what it has taken")
        return []
    compared_at = dt.datetime.now(dt.UTC)
    before = _proven(contract, settings)
    arrivals = _arrivals(bronze, since or _begin(contract, before), until or compared_at.date())
    if PARTITIONS not in settings.spark_conf:
        session.conf.set(PARTITIONS, 2 + _records(bronze, arrivals) // RECORDS_PER_PARTITION)
    proven = _first_day_not_taken(session, contract, settings, arrivals, done)
    of_silver = SilverProof(session, contract, rules, settings, arrivals, done)
    try:
        days, topic = of_silver.days, contract.topic
        proofs: list[Proof] = [
            of_silver,
            *(MartProof(session, contract, mart, settings, days) for mart in MARTS.get(topic, ())),
            *(SnapshotProof(session, contract, snapshot, settings, days) for snapshot in SNAPSHOTS.get(topic, ())),
        ]
        found = [_prove_or_say_why(proof, settings, compared_at, fix=fix) for proof in proofs]
    finally:
        of_silver.release()
    is_gapless = arrivals.are_all or (before is not None and arrivals.first <= before)
    is_proven = is_gapless and all(parity.holds for parity in found)
    _note(found, contract, settings, compared_at, proven if is_proven else None)
    return found


def _prove_or_say_why(proof: Proof, settings: Settings, compared_at: dt.datetime, *, fix: bool) -> Parity:
    """Prove one table; what goes wrong with it is no reason to leave out the others."""
    try:
        return _prove(proof, settings, compared_at, fix=fix)
    except Exception as error:
        reason = str(error).strip().splitlines() or [type(error).__name__]
        return Parity(_name(proof.table), why=f"not compared: {reason[0]}")


def _prove(proof: Proof, settings: Settings, compared_at: dt.datetime, *, fix: bool) -> Parity:
    found = proof.compare()
    rows, kinds, different = found.rows, found.kinds, found.different
    if different:
        _record(proof.cells(found), proof.table, compared_at, settings)
    why = ""
    for _ in range(ROUNDS):
        if not fix or not found.correctable:
            break
        why = f"{MOST:,} rows are corrected at a time" if found.correctable > MOST else "it changes meanwhile"
        try:
            proof.correct(found)
        except (OvertakenError, CommitFailedError) as error:
            why = str(error)
        found.release()
        found = proof.compare()
    found.release()
    left = found.different
    if not left or not fix:
        why = ""
    elif not found.correctable:
        why = REFUSED
    return Parity(_name(proof.table), rows, kinds, max(0, different - left), left, why)


def _arrivals(bronze: DeltaTable, first: dt.date, last: dt.date) -> Arrivals:
    days = pa.table(bronze.get_add_actions(flatten=True)).to_pydict().get(f"partition.{ARRIVAL_DATE}", [])
    oldest = min(days, default=last)
    return Arrivals(max(first, oldest), last, oldest)


def _records(bronze: DeltaTable, arrivals: Arrivals) -> int:
    """How many records of all topics arrived."""
    files = pa.table(bronze.get_add_actions(flatten=True))
    if not files.num_rows:
        return 0
    days = files[f"partition.{ARRIVAL_DATE}"]
    is_compared = pc.and_(pc.greater_equal(days, arrivals.first), pc.less_equal(days, arrivals.last))
    return int(pc.sum(files.filter(is_compared)["num_records"]).as_py() or 0)


def _begin(contract: Contract, proven: dt.date | None) -> dt.date:
    """The day of arrival with which to begin, so that windows which were still open are compared once more."""
    if proven is None:
        return dt.date.min
    widths = [mart.width for mart in MARTS.get(contract.topic, ())]
    return proven - DAY - max(widths, default=dt.timedelta()) - contract.watermark_delay


def _first_day_not_taken(
    session: SparkSession, contract: Contract, settings: Settings, arrivals: Arrivals, done: Finished
) -> dt.date:
    """The first of these days of arrival of which the stream has not taken everything; the last without one."""
    bronze = session.read.format("delta").load(EVENTS.url(settings.lake_url))
    is_here = (F.col("topic") == contract.topic) & (F.col(ARRIVAL_DATE) >= F.lit(arrivals.first))
    first: dt.date | None = bronze.where(is_here & ~is_taken(done)).agg(F.min(ARRIVAL_DATE)).collect()[0][0]
    return min(first or arrivals.last, arrivals.last)


def _record(cells: DataFrame, table: Table, compared_at: dt.datetime, settings: Settings) -> None:
    """Write what differs, as far as it is corrected at a time."""
    parity = PARITY.create(settings.lake_url)
    mart = table.name if table.layer == "gold" else _name(table)
    named = cells.limit(MOST).select(F.lit(compared_at).alias("compared_at"), F.lit(mart).alias("mart"), "*")
    write_deltalake(parity, named.toArrow().cast(pa.schema(parity.schema().to_arrow())), mode="append")


def _note(
    found: Sequence[Parity], contract: Contract, settings: Settings, compared_at: dt.datetime, proven: dt.date | None
) -> None:
    """Write what was found of each table."""
    table = RECONCILIATIONS.create(settings.lake_url)
    rows = [
        {
            "compared_at": compared_at,
            "entity": contract.topic,
            "table": parity.table,
            "rows": parity.rows,
            "different": sum(parity.kinds.values()),
            "mended": parity.mended,
            "remaining": parity.left,
            "why": parity.why,
            "proven_until": proven,
        }
        for parity in found
    ]
    write_deltalake(table, pa.Table.from_pylist(rows, pa.schema(table.schema().to_arrow())), mode="append")


def _proven(contract: Contract, settings: Settings) -> dt.date | None:
    """The day of arrival up to which earlier comparisons have proven everything."""
    url = RECONCILIATIONS.url(settings.lake_url)
    if not DeltaTable.is_deltatable(url):
        return None
    of_entity = pc.field("entity") == contract.topic
    days = DeltaTable(url).to_pyarrow_dataset().to_table(columns=["proven_until"], filter=of_entity)
    day: dt.date | None = pc.max(days["proven_until"]).as_py()
    return day


def _rows(table: DeltaTable) -> int:
    return int(pc.sum(pa.table(table.get_add_actions(flatten=True))["num_records"]).as_py() or 0)


def _name(table: Table) -> str:
    return f"{table.layer}.{table.name}"
