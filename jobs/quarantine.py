"""What was refused, and why: a look into the quarantine tables."""

import datetime as dt
import heapq
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow.compute as pc
from deltalake import DeltaTable

from jobs.live import quarantine_table
from quality.judgement import rule_of
from schemas import Contract


@dataclass
class Summary:
    """What the quarantine of one entity holds.

    ``rules`` counts reasons by rule and field, such as ``missing: vendor_id``, without the value; a record may have
    several.
    """

    topic: str
    records: int = 0
    oldest: dt.datetime | None = None
    newest: dt.datetime | None = None
    rules: Counter[str] = field(default_factory=Counter)


def summarize(contract: Contract, lake: str) -> Summary:
    """Count what was refused of an entity."""
    summary = Summary(contract.topic)
    for rows in _batches(contract, lake, ["timestamp", "reasons"]):
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
    for rows in _batches(contract, lake, columns):
        chosen = (
            (row["timestamp"], row["partition"], row["offset"], row)
            for row in rows.to_pylist()
            if rule is None or any(reason.startswith(rule) for reason in row["reasons"])
        )
        found = heapq.nlargest(count, [*found, *chosen], key=lambda entry: entry[:3])
    return [row for *_, row in found]


def _batches(contract: Contract, lake: str, columns: Sequence[str]) -> Iterator[Any]:
    url = quarantine_table(contract).url(lake)
    if DeltaTable.is_deltatable(url):
        for batch in DeltaTable(url).to_pyarrow_dataset().to_batches(columns=list(columns)):
            if batch.num_rows:
                yield batch
