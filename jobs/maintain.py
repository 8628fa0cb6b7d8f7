"""Maintain the lake beside running jobs: drop what is past its retention, compact small files, delete old ones."""

import datetime as dt
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from deltalake import DeltaTable

from jobs.engine.commit import UNCOMMITTED_HOURS, beside_others
from jobs.engine.compact import compact_appended, compact_closed
from jobs.judged import ARRIVAL_DATE
from jobs.settings import Settings
from jobs.tables import marts, tables
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


def maintain(contracts: Collection[Contract], settings: Settings) -> Iterator[Maintained]:
    """Maintain every table there is, one after the other.

    Raises:
        CommitFailedError: twenty times in a row, another application committed to a table first.
    """
    windows = {mart.table.name: mart.window for mart in marts()}
    closed = dt.datetime.now(dt.UTC) - max(c.watermark_delay for c in contracts) - AFTER_THE_WATERMARK
    for name, table in tables(tuple(contracts)).items():
        url = table.url(settings.lake_url)
        if not DeltaTable.is_deltatable(url):
            continue
        before = _files(url)
        if ARRIVAL_DATE in table.partition_by and settings.retention_days:
            _drop_before(dt.datetime.now(dt.UTC).date() - dt.timedelta(days=settings.retention_days), url)
        if table.name in windows:
            compact_closed(table, windows[table.name], closed, settings.lake_url)
        else:
            compact_appended(table, settings.lake_url)
        deleted = DeltaTable(url).vacuum(
            retention_hours=UNCOMMITTED_HOURS, enforce_retention_duration=False, dry_run=False, full=True
        )
        yield Maintained(name, before, _files(url), len(deleted))


@beside_others
def _drop_before(date: dt.date, url: str) -> None:
    """Drop whole days."""
    DeltaTable(url).delete(f"{ARRIVAL_DATE} < '{date.isoformat()}'")


def _files(url: str) -> int:
    return len(DeltaTable(url).file_uris())
