"""What was refused, and why: a look into the quarantine tables, and what was released from them.

A record waits until it is released; what is refused again after its release waits as a record of its own.
"""

import datetime as dt
import heapq
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from deltalake import DeltaTable, write_deltalake
from pyspark.sql.types import IntegerType, LongType, StringType, StructType, TimestampType

from jobs.engine.table import Table, column
from jobs.entity import quarantine_table
from quality.judgement import rule_of
from schemas import Contract

RELEASES = Table(
    layer="ops",
    name="releases",
    schema=StructType(
        [
            column("released_at", TimestampType(), "When the record was sent to Kafka again, UTC."),
            column("entity", StringType(), "The topic, <domain>.<entity>."),
            column("partition", IntegerType(), "Partition of the record that was refused."),
            column("offset", LongType(), "Offset of the record that was refused."),
        ]
    ),
    description="Records that an operator has released from quarantine.",
)


@dataclass
class Summary:
    """What waits in the quarantine of one entity.

    ``released`` counts the records that do not wait any more. ``rules`` counts reasons by rule and field, such as
    ``missing: vendor_id``, without the value; a record may have several.
    """

    topic: str
    records: int = 0
    released: int = 0
    oldest: dt.datetime | None = None
    newest: dt.datetime | None = None
    rules: Counter[str] = field(default_factory=Counter)


def summarize(contract: Contract, lake: str) -> Summary:
    """Count what was refused of an entity."""
    summary = Summary(contract.topic, released=len(_released(contract, lake)))
    for rows in waiting(contract, lake, ["timestamp", "reasons"]):
        arrivals = pc.min_max(rows["timestamp"]).as_py()
        summary.records += rows.num_rows
        summary.oldest = min(filter(None, (summary.oldest, arrivals["min"])))
        summary.newest = max(filter(None, (summary.newest, arrivals["max"])))
        summary.rules.update(rule_of(reason) for reason in rows["reasons"].flatten().to_pylist())
    return summary


def newest_records(contract: Contract, lake: str, *, count: int, rule: str | None = None) -> list[dict[str, Any]]:
    """Records that were refused, the newest first.

    Args:
        contract: of the entity.
        lake: root of the lake.
        count: how many at most.
        rule: only those with a reason that begins like this, such as ``missing`` or ``missing: vendor_id``.

    Returns:
        dictionaries with ``timestamp``, ``partition``, ``offset``, ``reasons`` and ``value``, the original bytes.
    """
    columns = ["timestamp", "partition", "offset", "reasons", "value"]
    found: list[tuple[dt.datetime, int, int, dict[str, Any]]] = []
    for rows in waiting(contract, lake, columns, rule=rule):
        chosen = ((row["timestamp"], row["partition"], row["offset"], row) for row in rows.to_pylist())
        found = heapq.nlargest(count, [*found, *chosen], key=lambda entry: entry[:3])
    return [row for *_, row in found]


def waiting(
    contract: Contract, lake: str, columns: Sequence[str], *, rule: str | None = None
) -> Iterator[pa.RecordBatch]:
    """The refused records of an entity that have not been released, by and by.

    Args:
        contract: of the entity.
        lake: root of the lake.
        columns: of the quarantine table.
        rule: only records with a reason that begins like this.

    Yields:
        at least one row at a time, with at least these columns.
    """
    url = quarantine_table(contract).url(lake)
    if not DeltaTable.is_deltatable(url):
        return
    released = _released(contract, lake)
    needed = dict.fromkeys([*columns, "partition", "offset", "reasons"])
    for batch in DeltaTable(url).to_pyarrow_dataset().to_batches(columns=list(needed)):
        places = zip(batch["partition"].to_pylist(), batch["offset"].to_pylist(), strict=True)
        waits = pa.array([place not in released for place in places], pa.bool_())
        if rule is not None:
            reasons = batch["reasons"].to_pylist()
            has_rule = [any(reason.startswith(rule) for reason in found) for found in reasons]
            waits = pc.and_(waits, pa.array(has_rule, pa.bool_()))
        rows = batch.filter(waits)
        if rows.num_rows:
            yield rows


def note_release(contract: Contract, rows: pa.RecordBatch, lake: str) -> None:
    """Note that refused records, with ``partition`` and ``offset``, have been sent to Kafka again."""
    table = RELEASES.create(lake)
    now = dt.datetime.now(dt.UTC)
    noted = {
        "released_at": [now] * rows.num_rows,
        "entity": [contract.topic] * rows.num_rows,
        "partition": rows["partition"],
        "offset": rows["offset"],
    }
    schema = pa.schema(table.schema().to_arrow())
    write_deltalake(table, pa.table(noted).cast(schema), mode="append")


def _released(contract: Contract, lake: str) -> set[tuple[int, int]]:
    """Partition and offset of the records that have been released."""
    url = RELEASES.url(lake)
    if not DeltaTable.is_deltatable(url):
        return set()
    of_entity = pc.field("entity") == contract.topic
    rows = DeltaTable(url).to_pyarrow_dataset().to_table(columns=["partition", "offset"], filter=of_entity)
    return set(zip(rows["partition"].to_pylist(), rows["offset"].to_pylist(), strict=True))
