"""Keep the newest row of each thing, at a cost that grows with the number of things, not of events."""

import threading

import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.sql import DataFrame

from jobs.engine import data_file
from jobs.engine.batch import Batch
from jobs.engine.commit import Rows
from jobs.engine.log import Log
from jobs.engine.races import beside_others
from jobs.marts.snapshot import UPDATED_AT, Snapshot


class SnapshotWriter:
    """Brings a snapshot up to date with micro-batches; all of it is in memory, and in one file."""

    def __init__(self, snapshot: Snapshot, lake: str) -> None:
        self.mart = snapshot
        self._log = Log(snapshot.table, lake)
        self._storage = data_file.storage(snapshot.table.url(lake))
        self._schema = self._log.schema
        self._held: tuple[int, list[str], pa.Table] | None = None
        self._writing = threading.Lock()

    @beside_others
    def upsert(self, partial: Rows, batch: Batch) -> None:
        """Take over what a batch says, unless the snapshot has the batch already, or knows something newer.

        Args:
            partial: one row per thing, with the snapshot's columns.
            batch: the micro-batch that they are computed from.

        Raises:
            CommitFailedError: twenty times in a row, another application committed first.
        """
        with self._writing:
            if not self._log.has(batch):
                self._upsert(partial.toArrow() if isinstance(partial, DataFrame) else partial, batch)

    def _upsert(self, found: pa.Table, batch: Batch) -> None:
        if not found.num_rows:
            return
        files, rows = self._hold()
        merged = newest(self.mart, pa.concat_tables([rows, found.select(self._schema.names).cast(self._schema)]))
        added = data_file.write(merged, self._storage)
        version = self._log.commit([*map(data_file.remove, files), added], batch)
        self._held = (version, [added.path], merged)

    def _hold(self) -> tuple[list[str], pa.Table]:
        """The files of the table and their rows."""
        if self._held is None or self._held[0] != self._log.version:
            files = pa.table(self._log.snapshot().get_add_actions(flatten=True))["path"].to_pylist()
            parts = [pq.read_table(path, filesystem=self._storage, schema=self._schema) for path in files]
            self._held = (self._log.version, files, pa.concat_tables([self._schema.empty_table(), *parts]))
        return self._held[1], self._held[2]


def newest(snapshot: Snapshot, rows: pa.Table) -> pa.Table:
    """The newest row of each thing; of two of the same time, the one that comes later."""
    # Sorting keeps the order of equals.
    ordered = rows.sort_by(UPDATED_AT)
    numbered = ordered.select(list(snapshot.keys)).append_column("row", pa.array(range(ordered.num_rows), pa.int64()))
    last = numbered.group_by(list(snapshot.keys), use_threads=False).aggregate([("row", "max")])
    return ordered.take(last["row_max"])
