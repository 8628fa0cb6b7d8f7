"""Maintain the lake beside running jobs: drop what is past its retention, compact small files, delete old ones."""

import datetime as dt
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from deltalake import DeltaTable
from deltalake.exceptions import DeltaError

from jobs.engine.compact import compact_appended, compact_closed
from jobs.engine.races import beside_others
from jobs.engine.table import Table
from jobs.engine.vacuum import REPLACED_HOURS, UNCOMMITTED_HOURS, delete_old_files
from jobs.judged import ARRIVAL_DATE
from jobs.marts import Mart
from jobs.settings import Settings
from jobs.tables import marts, snapshots, tables
from schemas import Contract

AFTER_THE_WATERMARK = dt.timedelta(minutes=10)
"""Windows close when events come whose time is later; a busy stream has them at once."""


@dataclass(frozen=True)
class Maintained:
    """What became of one table, ``<layer>.<name>``."""

    table: str
    files_before: int
    files_after: int
    deleted: int
    """Files of earlier versions, from the store."""
    error: str = ""
    """Why it stayed as it was, in part or as a whole."""


def maintain(contracts: Collection[Contract], settings: Settings) -> Iterator[Maintained]:
    """Maintain every table there is, one after the other, whatever becomes of the one before."""
    by_table = {f"{mart.layer}.{mart.name}": mart for mart in marts()}
    replaced = {*by_table, *(f"{snapshot.layer}.{snapshot.name}" for snapshot in snapshots())}
    closed = dt.datetime.now(dt.UTC) - max(c.watermark_delay for c in contracts) - AFTER_THE_WATERMARK
    for name, table in tables(tuple(contracts)).items():
        url = table.url(settings.lake_url)
        if not DeltaTable.is_deltatable(url):
            continue
        before, deleted, error = _files(url), 0, ""
        try:
            _compact(table, by_table.get(name), closed, settings)
            deleted = delete_old_files(url, REPLACED_HOURS if name in replaced else UNCOMMITTED_HOURS)
        except (DeltaError, OSError) as reason:
            error = str(reason)
        yield Maintained(name, before, _files(url), deleted, error)


def _compact(table: Table, mart: Mart | None, closed: dt.datetime, settings: Settings) -> None:
    """Drop what is past its retention, and put small files together."""
    if ARRIVAL_DATE in table.partition_by and settings.retention_days:
        today = dt.datetime.now(dt.UTC).date()
        _drop_before(today - dt.timedelta(days=settings.retention_days), table.url(settings.lake_url))
    if mart:
        compact_closed(mart, closed, settings.lake_url)
    # The late lane takes whole files, and soon.
    elif table.layer != "late":
        compact_appended(table, settings.lake_url)


@beside_others
def _drop_before(date: dt.date, url: str) -> None:
    """Drop whole days."""
    DeltaTable(url).delete(f"{ARRIVAL_DATE} < '{date.isoformat()}'")


def _files(url: str) -> int:
    return len(DeltaTable(url).file_uris())
