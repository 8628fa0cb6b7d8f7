"""Reconcile: compute gold once more, in batch from bronze with the functions of ``live``, and compare cell by cell."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from operator import and_, or_

from deltalake import DeltaTable
from pyspark.sql import Column, DataFrame, SparkSession, Window
from pyspark.sql import functions as F
from pyspark.sql.types import StringType, StructType, TimestampType

from jobs.bronze import EVENTS
from jobs.engine.batch import Batch
from jobs.engine.commit import Appender
from jobs.engine.table import Table, column
from jobs.engine.upsert import MartWriter
from jobs.engine.watermark import newest_event_time
from jobs.entity import silver_table
from jobs.judge import Judge
from jobs.judged import silver_rows
from jobs.marts import MARTS, Mart
from jobs.pseudonyms import pseudonym_key
from jobs.settings import Settings
from quality.rules import Rule
from schemas import Contract

PARITY = Table(
    layer="ops",
    name="parity",
    schema=StructType(
        [
            column("compared_at", TimestampType(), "When the comparison began, UTC; the same for all of its rows."),
            column("mart", StringType(), "The mart."),
            column("window", TimestampType(), "Start of the window, UTC."),
            column("dimensions", StringType(), "The dimensions of the row, as JSON."),
            column("measure", StringType(), "The measure that differs."),
            column("batch", StringType(), "Its value computed from bronze; empty where there is none."),
            column("stream", StringType(), "Its value in gold; empty where there is none."),
        ]
    ),
    description="Cells of gold that differ from what bronze says, one row per comparison and cell.",
)
APPLICATION = "reconcile"
"""The application under which corrections are committed, with a number for each."""
BATCH, STREAM = "batch_", "stream_"


@dataclass(frozen=True)
class Parity:
    """What was found of one mart."""

    mart: str
    rows: int
    measures: int
    different: int
    """Rows with a measure that differs."""
    mended: bool


def reconcile(
    session: SparkSession,
    contract: Contract,
    rules: Sequence[Rule],
    settings: Settings,
    *,
    since: dt.datetime,
    until: dt.datetime,
    fix: bool = False,
) -> list[Parity]:
    """Compare the marts of one topic with bronze, and write what differs to ``ops/parity``.

    Args:
        session: does the work.
        contract: of the topic.
        rules: those of its suite.
        settings: where the lake is.
        since: windows that start before are left out.
        until: windows that end later are left out, and those that the stream may still change.
        fix: bring into silver and gold what the stream dropped as late. Where gold has more than bronze, because
            bronze forgot a person or is past its retention, it is left as it is.

    Returns:
        a summary per mart; none where the stream has closed no window yet.
    """
    marts = MARTS.get(contract.topic, ())
    watermark = committed_watermark(contract, settings)
    if not marts or watermark is None or not DeltaTable.is_deltatable(EVENTS.url(settings.lake_url)):
        return []
    until = min(until, watermark)
    compared_at = dt.datetime.now(dt.UTC)
    events = _events(session, contract, rules, settings, since).persist()
    found = []
    for mart in marts:
        cells = _compare(session, mart, events, settings, since, until).persist()
        count, different = cells.agg(F.count("*"), F.count_if(_differs(mart))).collect()[0]
        if different:
            _record(cells, mart, compared_at, settings)
            if fix:
                _correct(cells, mart, settings, until)
        found.append(Parity(mart.name, count, len(mart.measures), different, fix and different > 0))
        cells.unpersist()
    if fix:
        _append_missing(events, contract, settings, since, until)
    events.unpersist()
    return found


def committed_watermark(contract: Contract, settings: Settings) -> dt.datetime | None:
    """Up to when windows are closed: a delay before the newest arrival in silver."""
    silver = DeltaTable(silver_table(contract).url(settings.lake_url))
    newest = newest_event_time(silver, contract.event_time)
    return None if newest is None else newest - contract.watermark_delay


def _events(
    session: SparkSession, contract: Contract, rules: Sequence[Rule], settings: Settings, since: dt.datetime
) -> DataFrame:
    """Every valid event of a topic once, as in silver, whether it came in time or not."""
    # An event may come ahead of its time, but not by more than the contract says.
    first_day = (since - contract.ahead_tolerance).date()
    records = session.read.format("delta").load(EVENTS.url(settings.lake_url))
    records = records.where((F.col("topic") == contract.topic) & (F.col("arrival_date") >= F.lit(first_day)))
    judged = Judge(contract, rules, key=pseudonym_key(settings)).judge(records)
    first = Window.partitionBy(contract.key).orderBy("offset", "partition")
    accepted = silver_rows(judged, contract)
    return accepted.withColumn("_place", F.row_number().over(first)).where("_place = 1").drop("_place")


def _compare(
    session: SparkSession,
    mart: Mart,
    events: DataFrame,
    settings: Settings,
    since: dt.datetime,
    until: dt.datetime,
) -> DataFrame:
    """Both values of every cell between two times: the keys, and each measure as ``batch_…`` and ``stream_…``."""
    keys = [mart.window, *mart.dimensions]
    is_between = (F.col(mart.window) >= F.lit(since)) & (F.col(mart.window) <= F.lit(until - mart.width))
    stream = session.read.format("delta").load(mart.table.url(settings.lake_url)).where(is_between)
    batch = mart.measure(events).where(is_between)

    def named(frame: DataFrame, prefix: str) -> DataFrame:
        measures = [F.col(measure.name).alias(prefix + measure.name) for measure in mart.measures]
        return frame.select(*keys, *measures, F.lit(True).alias(f"{prefix}exists"))

    return named(batch, BATCH).join(named(stream, STREAM), keys, "full_outer")


def _differs(mart: Mart) -> Column:
    return ~reduce(and_, (_is_equal(measure.name) for measure in mart.measures))


def _is_equal(measure: str) -> Column:
    return F.col(BATCH + measure).eqNullSafe(F.col(STREAM + measure))


def _record(cells: DataFrame, mart: Mart, compared_at: dt.datetime, settings: Settings) -> None:
    """Write each measure that differs as a row of its own."""
    pairs = F.explode(
        F.array(
            *(
                F.struct(
                    F.lit(measure.name).alias("measure"),
                    F.col(BATCH + measure.name).cast("string").alias("batch"),
                    F.col(STREAM + measure.name).cast("string").alias("stream"),
                )
                for measure in mart.measures
            )
        )
    )
    dimensions = F.to_json(F.struct(*mart.dimensions)) if mart.dimensions else F.lit("{}")
    rows = cells.where(_differs(mart)).select(
        F.lit(compared_at).alias("compared_at"),
        F.lit(mart.name).alias("mart"),
        F.col(mart.window).alias("window"),
        dimensions.alias("dimensions"),
        pairs.alias("pair"),
    )
    different = rows.select("compared_at", "mart", "window", "dimensions", "pair.*").where("NOT batch <=> stream")
    PARITY.create(settings.lake_url)
    different.write.format("delta").mode("append").save(PARITY.url(settings.lake_url))


def _correct(cells: DataFrame, mart: Mart, settings: Settings, until: dt.datetime) -> None:
    """Add to gold what it lacks: sums commute with what ``live`` adds at the same time, and so do extremes."""
    sums = [measure.name for measure in mart.measures if measure.merge == "sum"]
    has_less = reduce(or_, (F.col(BATCH + name) < F.col(STREAM + name) for name in sums))
    lacking = cells.where(_differs(mart) & F.col(f"{BATCH}exists") & ~F.coalesce(has_less, F.lit(False)))
    corrections = [
        F.expr(f"cast({_correction(m.name, m.merge)} as {m.data_type.simpleString()})").alias(m.name)
        for m in mart.measures
    ]
    rows = lacking.select(mart.window, *mart.dimensions, *corrections).toArrow()
    if rows.num_rows:
        number = _next_number(mart.table, settings)
        MartWriter(mart, settings.lake_url).upsert(rows, Batch(APPLICATION, number, until))


def _correction(measure: str, merge: str) -> str:
    if merge == "sum":
        return f"coalesce({BATCH}{measure}, 0) - coalesce({STREAM}{measure}, 0)"
    return f"{BATCH}{measure}"


def _append_missing(
    events: DataFrame, contract: Contract, settings: Settings, since: dt.datetime, until: dt.datetime
) -> None:
    """Append to silver the events that it lacks."""
    silver = silver_table(contract)
    known = events.sparkSession.read.format("delta").load(silver.url(settings.lake_url)).select(contract.key)
    event_time = F.col(contract.event_time)
    between = events.where((event_time >= F.lit(since)) & (event_time < F.lit(until)))
    missing = between.join(known, contract.key, "left_anti").toArrow()
    if missing.num_rows:
        number = _next_number(silver, settings)
        Appender(silver, settings.lake_url).append(missing, Batch(APPLICATION, number, until))


def _next_number(table: Table, settings: Settings) -> int:
    """The number of a table's next correction; of two at the same time, the table takes one."""
    last = DeltaTable(table.url(settings.lake_url)).transaction_version(f"{APPLICATION}/{table.name}")
    return 0 if last is None else last + 1
