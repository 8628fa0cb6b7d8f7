"""What was refused, and why: a look into the quarantine tables, and what was released from them.

A record waits until it is released; what is refused again after its release waits as a record of its own.
"""

import datetime as dt
import heapq
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
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
AT_ONCE = 1_000
"""Records that are read at a time: each may be as large as Kafka lets it."""

Offsets: TypeAlias = npt.NDArray[np.int64]


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
    summary = Summary(contract.topic, released=sum(map(len, _released(contract, lake).values())))
    for rows in waiting(contract, lake, ["timestamp", "reasons"]):
        arrivals = pc.min_max(rows["timestamp"]).as_py()
        summary.records += rows.num_rows
        summary.oldest = min(filter(None, (summary.oldest, arrivals["min"])))
        summary.newest = max(filter(None, (summary.newest, arrivals["max"])))
        for reason in rows["reasons"].flatten().value_counts().to_pylist():
            summary.rules[rule_of(reason["values"])] += reason["counts"]
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
        1 to ``AT_ONCE`` rows at a time, with at least these columns.
    """
    url = quarantine_table(contract).url(lake)
    if not DeltaTable.is_deltatable(url):
        return
    released = _released(contract, lake)
    needed = dict.fromkeys([*columns, "partition", "offset", "reasons"])
    records = DeltaTable(url).to_pyarrow_dataset()
    few_ahead = {"batch_readahead": 1, "fragment_readahead": 1}
    for batch in records.to_batches(columns=list(needed), batch_size=AT_ONCE, **few_ahead):
        waits = ~_is_released(batch, released)
        if rule is not None:
            waits &= _has_reason(batch["reasons"], rule)
        rows = batch.filter(pa.array(waits))
        if rows.num_rows:
            yield rows


def _is_released(rows: pa.RecordBatch, released: Mapping[int, Offsets]) -> npt.NDArray[np.bool_]:
    partitions, offsets = rows["partition"].to_numpy(), rows["offset"].to_numpy()
    found = np.zeros(rows.num_rows, bool)
    for partition in np.unique(partitions):
        known, of_partition = released.get(int(partition)), partitions == partition
        if known is not None:
            at = np.searchsorted(known, offsets[of_partition]).clip(max=len(known) - 1)
            found[of_partition] = known[at] == offsets[of_partition]
    return found


def _has_reason(reasons: pa.Array, beginning: str) -> npt.NDArray[np.bool_]:
    found = np.zeros(len(reasons), bool)
    begins = pc.starts_with(reasons.flatten(), beginning)
    found[pc.filter(pc.list_parent_indices(reasons), begins).to_numpy()] = True
    return found


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


def _released(contract: Contract, lake: str) -> dict[int, Offsets]:
    """Sorted offsets of the records that have been released, by partition."""
    url = RELEASES.url(lake)
    if not DeltaTable.is_deltatable(url):
        return {}
    of_entity = pc.field("entity") == contract.topic
    rows = DeltaTable(url).to_pyarrow_dataset().to_table(columns=["partition", "offset"], filter=of_entity)
    partitions, offsets = rows["partition"].to_numpy(), rows["offset"].to_numpy()
    return {int(partition): np.unique(offsets[partitions == partition]) for partition in np.unique(partitions)}
