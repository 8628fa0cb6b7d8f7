"""The list of the forgotten, by pseudonym: whose events must not come back by a replay, a correction or a backup."""

import datetime as dt
from collections.abc import Mapping
from functools import reduce
from operator import or_
from typing import TypeVar

import pyarrow as pa
import pyarrow.compute as pc
from deltalake import DeltaTable, write_deltalake
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import StringType, StructType, TimestampType

from jobs.engine.table import Table, column
from jobs.settings import Settings
from schemas import Contract

FORGOTTEN = Table(
    layer="ops",
    name="forgotten",
    schema=StructType(
        [
            column("forgotten_at", TimestampType(), "When, UTC."),
            column("pseudonym", StringType(), "What stands for the person in silver and gold; never their own id."),
        ]
    ),
    description="Who was forgotten: what happened to them before does not come back.",
)
SINCE = pa.timestamp("us", "UTC")

RowsT = TypeVar("RowsT", pa.Table, DataFrame)

_known: dict[str, tuple[DeltaTable, int, Mapping[str, dt.datetime]]] = {}
"""By the list's URL: the table, the version that was read, and what it said."""


def note_forgotten(pseudonym: str, settings: Settings) -> None:
    """Put a person on the list, as forgotten now."""
    table = FORGOTTEN.create(settings.lake_url)
    row = {"forgotten_at": dt.datetime.now(dt.UTC), "pseudonym": pseudonym}
    write_deltalake(table, pa.Table.from_pylist([row], schema=pa.schema(table.schema().to_arrow())), mode="append")


def forgotten(settings: Settings) -> Mapping[str, dt.datetime]:
    """Who was forgotten, and when for the last time (UTC), by pseudonym.

    Read again when the table has another version, so that it may be called for every micro-batch.
    """
    url = FORGOTTEN.url(settings.lake_url)
    if url not in _known:
        if not DeltaTable.is_deltatable(url):
            return {}
        _known[url] = DeltaTable(url), -1, {}
    table, version, known = _known[url]
    table.update_incremental()
    if table.version() != version:
        rows = table.to_pyarrow_table().sort_by("forgotten_at")
        known = dict(zip(rows["pseudonym"].to_pylist(), rows["forgotten_at"].to_pylist(), strict=True))
        _known[url] = table, table.version(), known
    return known


def without_forgotten(rows: RowsT, contract: Contract, settings: Settings) -> RowsT:
    """Leave out what happened to somebody before they were forgotten.

    For whatever brings events in anew: a replay, the late lane, a correction. What happened afterwards stays: who comes
    back after they were forgotten is a new customer.

    Args:
        rows: of silver, or with at least its hashed columns and the event time.
        contract: of the rows.
        settings: where the list is.
    """
    known = forgotten(settings)
    hashed = [field.name for field in contract.fields if field.protection == "hash"]
    if not known or not hashed:
        return rows
    leave_out = _without_in_memory if isinstance(rows, pa.Table) else _without_by_spark
    left: RowsT = leave_out(rows, hashed, contract.event_time, known)
    return left


def _without_in_memory(
    rows: pa.Table, hashed: list[str], event_time: str, known: Mapping[str, dt.datetime]
) -> pa.Table:
    people, since = pa.array(known.keys(), pa.string()), pa.array(known.values(), SINCE)
    happened = rows[event_time].cast(SINCE)
    is_forgotten = [
        pc.fill_null(pc.less_equal(happened, since.take(pc.index_in(rows[name], people))), False) for name in hashed
    ]
    return rows.filter(pc.invert(reduce(pc.or_, is_forgotten)))


def _without_by_spark(
    rows: DataFrame, hashed: list[str], event_time: str, known: Mapping[str, dt.datetime]
) -> DataFrame:
    listed = pa.table({"_person": pa.array(known.keys(), pa.string()), "_since": pa.array(known.values(), SINCE)})
    people = F.broadcast(rows.sparkSession.createDataFrame(listed))
    is_about = reduce(or_, (F.col(name) == F.col("_person") for name in hashed))
    return rows.join(people, is_about & (F.col(event_time) <= F.col("_since")), "left_anti")
