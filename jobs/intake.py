"""What became of the records that ``live`` took in: the marts ``ops/live_by_minute`` and ``ops/quality_by_minute``."""

import datetime as dt
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import chain

import pyarrow as pa
from pyspark.sql.types import DoubleType, LongType

from jobs.engine.batch import Batch
from jobs.engine.isolate import REASON
from jobs.engine.upsert import GroupCommit, MartWriter
from jobs.entity import Taken
from jobs.judged import OUTCOMES, Broken
from jobs.marts import Mart, Measure


def _counted(name: str, description: str) -> Measure:
    return Measure(name, f"sum({name})", LongType(), "records", description)


def _slowest(name: str, description: str) -> Measure:
    return Measure(name, f"max({name})", DoubleType(), "s", description, merge="max")


INTAKE_BY_MINUTE = Mart(
    name="live_by_minute",
    layer="ops",
    description="What became of the records that `live` took in, per minute of processing and entity.",
    window="minute",
    width=dt.timedelta(minutes=1),
    dimensions={"entity": "The topic, <domain>.<entity>."},
    measures=(
        _counted("input", "Records read from Kafka."),
        _counted("accepted", "Valid events, written to silver."),
        _counted("refused", "Records written to quarantine."),
        _counted("late", "Valid events that came later than the contract's delay; they follow within a minute."),
        _counted("duplicates", "Valid events in time, dropped because an event of the same identity came before."),
        _counted("late_accepted", "Late events that followed: they are in silver and gold."),
        _counted("late_refused", "Late events in quarantine, for a measure fails at them."),
        _counted("late_duplicates", "Late events dropped: they came before, or are of a forgotten person."),
        _slowest(
            "slowest_seconds",
            "The longest time from a record's arrival in Kafka until its batch was counted; null where no broker "
            "noted an arrival.",
        ),
        _slowest("promised_seconds", "The freshness that the contract promises."),
    ),
    facts=lambda records: records,
)


QUALITY_BY_MINUTE = Mart(
    name="quality_by_minute",
    layer="ops",
    description="What each rule said of the records that `live` took in, per minute of processing and entity.",
    window="minute",
    width=dt.timedelta(minutes=1),
    dimensions={
        "entity": "The topic, <domain>.<entity>.",
        "rule": "The rule and the field, such as missing: order_id.",
    },
    measures=(
        _counted("refused", "Records that broke the rule and were refused; a record may break several."),
        _counted("marked", "Records that broke the rule and entered with a mark."),
        _counted("noted", "Records that broke the rule, which only counts them."),
        _counted("passed", "Records that did not break the rule."),
        _counted("judged", "Records that were held against the rule."),
    ),
    facts=lambda records: records,
)


FirstArrivals = Mapping[str, int]
"""When the first record of each topic came to Kafka, as the broker noted, in microseconds since the epoch."""
STILL_OPEN = dt.timedelta(minutes=2)
"""Since when windows may still change: those of these marts are of processing time."""


def quality(rules: Sequence[str], broken: Broken, *, judged: int) -> pa.Table:
    """What every rule said of the records of one micro-batch.

    Args:
        rules: all rules of the entity.
        broken: what the records break; it may name further rules.
        judged: how many records there are.

    Returns:
        a row per rule: ``rule``, and the measures of the mart.
    """
    rows = []
    for rule in dict.fromkeys([*rules, *chain.from_iterable(broken.values())]):
        counts = {outcome: broken[outcome][rule] for outcome in OUTCOMES.values()}
        rows.append({"rule": rule, **counts, "passed": judged - sum(counts.values()), "judged": judged})
    return pa.Table.from_pylist(rows)


def intake(taken: Taken, at: dt.datetime, first_arrival: int | None) -> pa.Table:
    """The row of one micro-batch, with the mart's columns."""
    sifted = taken.sifted
    row = {
        "minute": at.replace(second=0, microsecond=0),
        "entity": taken.contract.topic,
        "input": taken.input,
        "accepted": sifted.accepted,
        "refused": taken.refused,
        "late": sifted.late,
        "duplicates": sifted.duplicates,
        "late_accepted": 0,
        "late_refused": 0,
        "late_duplicates": 0,
        "slowest_seconds": None if first_arrival is None else max(0.0, at.timestamp() - first_arrival / 1e6),
        "promised_seconds": taken.contract.freshness.total_seconds(),
    }
    return pa.Table.from_pylist([row])


class IntakeWriter:
    """Writes both marts for every query of an application."""

    def __init__(self, lake: str) -> None:
        self._intake = GroupCommit(MartWriter(INTAKE_BY_MINUTE, lake))
        self._quality = GroupCommit(MartWriter(QUALITY_BY_MINUTE, lake))

    def count(
        self, taken: Sequence[Taken], batch: Batch, *, rules: Mapping[str, Sequence[str]], first_arrivals: FirstArrivals
    ) -> None:
        """Add what became of the records of a micro-batch, and what every rule said of them.

        Args:
            taken: of each entity that has records in it.
            batch: the micro-batch.
            rules: all rules of each topic.
            first_arrivals: of each topic, as far as the broker noted them.
        """
        if not taken:
            return
        now = dt.datetime.now(dt.UTC)
        closed = replace(batch, watermark=now - STILL_OPEN)
        rows = [intake(one, now, first_arrivals.get(one.contract.topic)) for one in taken]
        self._intake.upsert(pa.concat_tables(rows, promote_options="default"), closed)
        self.count_rules([_judged(one, rules[one.contract.topic], now) for one in taken], closed)

    def count_late(self, entity: str, batch: Batch, *, accepted: int, refused: int, duplicates: int) -> None:
        """Add what became of late events, whose records were counted when they came."""
        now = dt.datetime.now(dt.UTC)
        counts = {measure.name: 0 for measure in INTAKE_BY_MINUTE.measures if measure.merge == "sum"}
        counts |= {"late_accepted": accepted, "late_refused": refused, "late_duplicates": duplicates}
        row = {"minute": now.replace(second=0, microsecond=0), "entity": entity, **counts}
        names = [INTAKE_BY_MINUTE.window, *INTAKE_BY_MINUTE.dimensions, *(m.name for m in INTAKE_BY_MINUTE.measures)]
        rows = pa.Table.from_pylist([dict.fromkeys(names) | row])
        closed = replace(batch, watermark=now - STILL_OPEN)
        self._intake.upsert(rows, closed)
        if refused:
            broken: Broken = {outcome: Counter() for outcome in OUTCOMES.values()} | {
                "refused": Counter({REASON: refused})
            }
            self.count_rules([_at(quality((), broken, judged=refused), entity, now)], closed)

    def count_rules(self, counts: Sequence[pa.Table], batch: Batch) -> None:
        """Add what every rule said."""
        self._quality.upsert(pa.concat_tables(counts), batch)


def _judged(taken: Taken, rules: Sequence[str], at: dt.datetime) -> pa.Table:
    """The rows of one entity in a micro-batch, with the mart's columns."""
    return _at(quality(rules, taken.broken, judged=taken.input), taken.contract.topic, at)


def _at(counts: pa.Table, entity: str, at: dt.datetime) -> pa.Table:
    minute = at.replace(second=0, microsecond=0)
    rows = counts.add_column(0, "entity", pa.array([entity] * counts.num_rows))
    return rows.add_column(0, "minute", pa.array([minute] * counts.num_rows))
