"""Upsert windowed measures, at a cost that does not grow with the table.

A mart has one row per window and dimensions. A micro-batch brings partial measures, nearly all for windows that are
still open, that is, whose end lies after the watermark. The rows of open windows are kept in memory and, in the table,
in files of their own; an upsert merges the batch into them and replaces those files in one commit. Rows of closed
windows move to files that no later upsert touches. What comes to a closed window nevertheless, because it is late,
becomes a further row of it: measures merge, so readers sum them up, and compaction makes one row of them
(docs/decisions/0060). Thus an upsert costs what follows from the batch and the open windows, whatever the table holds.
A MERGE would rewrite ever larger files instead, for it puts the rows of old and new windows together.
"""

import datetime as dt
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from queue import SimpleQueue
from typing import TypeAlias

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyspark.sql import DataFrame

from jobs.engine import data_file
from jobs.engine.batch import Batch
from jobs.engine.commit import Rows, append_by_spark
from jobs.engine.log import Log
from jobs.engine.races import beside_others
from jobs.marts.mart import Mart

CLOSED_AT_LEAST = 1_000
"""Closed rows stay with the open ones until they are this many: else each batch adds a file."""


Part: TypeAlias = tuple[pa.Table, Batch]
"""Partial measures, in memory, and the batch that they are computed from."""


@dataclass
class OpenWindows:
    """All rows of the table whose window starts at ``since`` or later, and the files of the table that hold them.

    Among them are some of earlier windows, which other files may have rows of, too.
    """

    version: int
    since: dt.datetime
    files: list[str]
    rows: pa.Table


class MartWriter:
    """Upserts micro-batches into one mart; others may rewrite its files between, or write to it at the same time."""

    def __init__(self, mart: Mart, lake: str) -> None:
        self.mart = mart
        self._log = Log(mart.table, lake)
        self._storage = data_file.storage(mart.table.url(lake))
        self._schema = self._log.schema
        self._open: OpenWindows | None = None
        self._writing = threading.Lock()

    @beside_others
    def upsert(self, partial: Rows, batch: Batch) -> None:
        """Merge a batch's measures into the mart, unless the mart has the batch already.

        Args:
            partial: one row per window and dimensions, with the mart's columns.
            batch: the micro-batch that they are computed from.

        Raises:
            CommitFailedError: twenty times in a row, another application committed first.
        """
        with self._writing:
            if self._log.has(batch):
                return
            if isinstance(partial, DataFrame):
                self._append_by_spark(partial, batch)
            else:
                self._merge_in_memory([(partial, batch)])

    @beside_others
    def upsert_together(self, parts: Sequence[Part]) -> None:
        """Merge batches of several queries into the mart in one commit, without those that the mart has already.

        Args:
            parts: the measures of each batch, as ``upsert`` takes them, and the batch; one of each query.

        Raises:
            CommitFailedError: twenty times in a row, another application committed first.
        """
        with self._writing:
            missing = self._log.missing([batch for _, batch in parts])
            self._merge_in_memory([(rows, batch) for rows, batch in parts if batch in missing])

    def _merge_in_memory(self, parts: Sequence[Part]) -> None:
        tables = [rows.select(self._schema.names).cast(self._schema) for rows, _ in parts]
        partial = pa.concat_tables([self._schema.empty_table(), *tables])
        if not partial.num_rows:
            return
        batches = [batch for _, batch in parts]
        # Windows at or before this start are closed: they end before the watermark.
        closed_until = min(batch.watermark for batch in batches) - self.mart.width
        held = self._hold(closed_until)
        rows = merge(self.mart, held.rows, partial)
        open_rows, closed_rows = self._split(rows, closed_until)
        added = [data_file.write(part, self._storage) for part in (open_rows, closed_rows) if part.num_rows]
        version = self._log.commit([*map(data_file.remove, held.files), *added], *batches)
        since = max(held.since, closed_until + dt.timedelta(microseconds=1)) if closed_rows.num_rows else held.since
        files = [added[0].path] if open_rows.num_rows else []
        self._open = OpenWindows(version, since, files, open_rows)

    def _append_by_spark(self, partial: DataFrame, batch: Batch) -> None:
        """Add the rows of a batch that is too large for the driver as they are."""
        append_by_spark(partial, self.mart.table.name, batch, url=self._log.url)
        self._log.forget()

    def _hold(self, since: dt.datetime) -> OpenWindows:
        """The rows from a window on; read from the table where they are not at hand, or somebody else has committed.

        Rows of earlier windows are not read, wherever they are: what comes to those is added to the table as it is.
        """
        if self._open is None or self._open.version != self._log.version:
            self._open = self._read(since if self._open is None else max(since, self._open.since))
        return self._open

    def _read(self, since: dt.datetime) -> OpenWindows:
        actions = pa.table(self._log.snapshot().get_add_actions(flatten=True))
        files = actions["path"].to_pylist()
        latest = f"max.{self.mart.window}"
        if latest in actions.column_names:
            last_windows = actions[latest].to_pylist()
            files = [path for path, last in zip(files, last_windows, strict=True) if last is None or last >= since]
        parts = [pq.read_table(path, filesystem=self._storage, schema=self._schema) for path in files]
        return OpenWindows(self._log.version, since, files, pa.concat_tables([self._schema.empty_table(), *parts]))

    def _split(self, rows: pa.Table, closed_until: dt.datetime) -> tuple[pa.Table, pa.Table]:
        is_open = pc.greater(rows[self.mart.window], pa.scalar(closed_until, pa.timestamp("us", "UTC")))
        open_rows = rows.filter(is_open)
        closed = rows.num_rows - open_rows.num_rows
        if closed < CLOSED_AT_LEAST:
            return rows, rows.schema.empty_table()
        return open_rows, rows.filter(pc.invert(is_open)).sort_by(self.mart.window)


class GroupCommit:
    """Lets several queries upsert into one mart: what comes while a commit is under way shares the next one."""

    def __init__(self, writer: MartWriter) -> None:
        self._writer = writer
        self._waiting: SimpleQueue[tuple[Part, Future[None]]] = SimpleQueue()
        self._committing = threading.Lock()

    def upsert(self, partial: pa.Table, batch: Batch) -> None:
        """Merge a batch's measures into the mart, as ``MartWriter.upsert`` does; returns when they are committed."""
        committed: Future[None] = Future()
        self._waiting.put(((partial, batch), committed))
        with self._committing:
            if not committed.done():
                self._commit([self._waiting.get() for _ in range(self._waiting.qsize())])
        committed.result()

    def _commit(self, group: Sequence[tuple[Part, Future[None]]]) -> None:
        try:
            self._writer.upsert_together([part for part, _ in group])
        except Exception as error:
            for _, committed in group:
                committed.set_exception(error)
        else:
            for _, committed in group:
                committed.set_result(None)


def merge(mart: Mart, rows: pa.Table, partial: pa.Table) -> pa.Table:
    """The rows of a mart with partial measures merged into them: one row per window and dimensions.

    Args:
        mart: says how each measure merges.
        rows: rows of the mart.
        partial: further rows with the same columns.
    """
    keys = [mart.window, *mart.dimensions]
    groups = pa.concat_tables([rows, partial]).group_by(keys, use_threads=False)
    merged = groups.aggregate([(measure.name, measure.merge) for measure in mart.measures])
    named = merged.rename_columns([*keys, *(measure.name for measure in mart.measures)])
    # A table that was made by an earlier version has its columns in another order.
    return named.select(rows.column_names).cast(rows.schema)
