"""What became of the records that ``live`` took in: the marts ``ops/live_by_minute`` and ``ops/quality_by_minute``."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import replace
from itertools import chain

import pyarrow as pa
from pyspark.sql.types import DoubleType, LongType

from jobs.engine.batch import Batch
from jobs.engine.deduplicate import Sifted
from jobs.engine.upsert import GroupCommit, MartWriter
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
        _counted("late", "Valid events dropped because they came later than the watermark."),
        _counted("duplicates", "Valid events dropped because an event of the same identity came before."),
        _slowest("slowest_seconds", "The longest time from a record's arrival in Kafka until its batch was counted."),
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


def intake(entity: str, sifted: Sifted, *, at: dt.datetime, promised: dt.timedelta) -> pa.Table:
    """The row of one micro-batch, with the mart's columns."""
    row = {
        "minute": at.replace(second=0, microsecond=0),
        "entity": entity,
        "input": len(sifted.arrivals),
        "accepted": sifted.accepted,
        "refused": sifted.refused,
        "late": sifted.late,
        "duplicates": sifted.duplicates,
        # A batch without records has no oldest one.
        "slowest_seconds": max(0.0, at.timestamp() - sifted.arrivals.oldest / 1_000_000),
        "promised_seconds": promised.total_seconds(),
    }
    return pa.Table.from_pylist([row])


class IntakeWriter:
    """Writes both marts for every query of an application.

    Each query has batches of its own, so each commits once.
    """

    def __init__(self, lake: str) -> None:
        self._intake = GroupCommit(MartWriter(INTAKE_BY_MINUTE, lake))
        self._quality = GroupCommit(MartWriter(QUALITY_BY_MINUTE, lake))

    def count_records(self, entity: str, sifted: Sifted, batch: Batch, *, promised: dt.timedelta) -> None:
        """Add what became of a micro-batch; ``promised`` is the freshness of the entity's contract."""
        row = intake(entity, sifted, at=dt.datetime.now(dt.UTC), promised=promised)
        self._intake.upsert(row, _closed_two_minutes_ago(batch))

    def count_rules(self, entity: str, counts: pa.Table, batch: Batch) -> None:
        """Add what every rule said of a micro-batch; ``counts`` as ``quality`` gives them."""
        minute = dt.datetime.now(dt.UTC).replace(second=0, microsecond=0)
        rows = counts.add_column(0, "entity", pa.array([entity] * counts.num_rows))
        rows = rows.add_column(0, "minute", pa.array([minute] * counts.num_rows))
        self._quality.upsert(rows, _closed_two_minutes_ago(batch))


def _closed_two_minutes_ago(batch: Batch) -> Batch:
    """The batch with a watermark of processing time, since the windows of these marts are of that."""
    return replace(batch, watermark=dt.datetime.now(dt.UTC) - dt.timedelta(minutes=2))
