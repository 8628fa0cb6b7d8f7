"""What accidents of Kafka, checkpoints and tables did to the queries: the table ``ops/accidents``."""

import datetime as dt
import logging
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import pyarrow as pa
from deltalake import DeltaTable, write_deltalake
from deltalake.exceptions import TableNotFoundError
from pyspark.sql.types import IntegerType, LongType, StringType, StructType, TimestampType

from jobs.engine.races import beside_others
from jobs.engine.table import Table, column

Kind = Literal["expired", "made anew", "cut off", "rebuilt", "read again"]

SENTENCES: dict[Kind, str] = {
    "expired": "{query} lost {records} of {topic}: Kafka deleted them before they were read.",
    "made anew": "{topic} was made anew: {query} reads it from its beginning; what the old one held that had not been "
    "read is lost.",
    "cut off": "Kafka lost {records} of {topic} after {query} had read them; what comes in their place is read.",
    "rebuilt": "The checkpoint of {query} was lost, or did not fit its tables: it was rebuilt, nothing was lost.",
    "read again": "The positions of {query} were lost, or older than its tables: it reads Kafka again, and leaves out "
    "what its tables have.",
}

ACCIDENTS = Table(
    layer="ops",
    name="accidents",
    schema=StructType(
        [
            column("noticed_at", TimestampType(), "When it was noticed, UTC."),
            column("query", StringType(), "The query: bronze, or live-<domain>."),
            column("kind", StringType(), f"What happened: {', '.join(SENTENCES)}."),
            column("batch", LongType(), "The micro-batch at which it was noticed."),
            column("topic", StringType(), "The topic; empty for what befell a checkpoint."),
            column("partition", IntegerType(), "Its partition."),
            column("from_offset", LongType(), "The first offset that was lost."),
            column("to_offset", LongType(), "The offset after the last that was lost; empty where nobody knows."),
        ]
    ),
    description="What accidents took from the queries, or what they went on from: nothing is lost without a row here.",
)
KEY = ("query", "kind", "batch", "topic", "partition", "from_offset", "to_offset")

LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Accident:
    """One row of the table, but for its time."""

    query: str
    kind: Kind
    batch: int
    topic: str | None = None
    partition: int | None = None
    from_offset: int | None = None
    to_offset: int | None = None


def note(accidents: Sequence[Accident], lake: str) -> None:
    """Say what happened, and add it to the table; what the table has already is left out."""
    if not accidents:
        return
    now = dt.datetime.now(dt.UTC)
    for sentence in sentences({**asdict(accident), "noticed_at": now} for accident in accidents):
        LOG.warning(sentence)
    _append(accidents, now, lake)


@beside_others
def _append(accidents: Sequence[Accident], now: dt.datetime, lake: str) -> None:
    table = ACCIDENTS.create(lake)
    known = {tuple(row.values()) for row in table.to_pyarrow_table(columns=list(KEY)).to_pylist()}
    rows = [row for accident in accidents if tuple((row := asdict(accident))[name] for name in KEY) not in known]
    schema = pa.schema(table.schema().to_arrow())
    write_deltalake(table, pa.Table.from_pylist([{**row, "noticed_at": now} for row in rows], schema), mode="append")


def recent(lake: str, *, since: dt.datetime) -> list[dict[str, Any]]:
    """The rows of the table since then, the newest first."""
    try:
        table = DeltaTable(ACCIDENTS.url(lake))
    except TableNotFoundError:
        return []
    rows = table.to_pyarrow_table(filters=[("noticed_at", ">=", since)]).to_pylist()
    return sorted(rows, key=lambda row: row["noticed_at"], reverse=True)


def sentences(rows: Iterable[dict[str, Any]]) -> list[str]:
    """Rows of the table in words: one sentence for each time, query, kind and topic, in the rows' order."""
    groups: dict[tuple[dt.datetime, str, Kind, str | None], list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault((row["noticed_at"], row["query"], row["kind"], row["topic"]), []).append(row)
    return [_sentence(at, query, kind, topic, of) for (at, query, kind, topic), of in groups.items()]


def _sentence(at: dt.datetime, query: str, kind: Kind, topic: str | None, rows: Sequence[dict[str, Any]]) -> str:
    offsets = sum((row["to_offset"] or 0) - (row["from_offset"] or 0) for row in rows)
    records = f"{offsets:,} offset{'' if offsets == 1 else 's'}"
    return f"{at:%Y-%m-%d %H:%M} UTC: " + SENTENCES[kind].format(query=query, topic=topic, records=records)
