"""Commit a micro-batch to a Delta table exactly once, from memory when it is small and by Spark when it is large.

Every commit carries a ``txn`` action with the batch's id, so that a batch that runs again skips the tables that have it
already. Both writers follow the same protocol and recognise each other's commits.
"""

import threading
from collections.abc import Iterator, Sequence
from functools import reduce
from typing import TypeAlias

import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame

from jobs.engine import data_file
from jobs.engine.batch import Batch
from jobs.engine.log import Action, Log
from jobs.engine.races import beside_others
from jobs.engine.table import Table

Rows: TypeAlias = pa.Table | DataFrame
"""Rows of a micro-batch: in memory when they are few, else distributed."""


def collect_if_few(frame: DataFrame, *, count: int, few: int) -> Rows:
    """Collect a frame of ``count`` rows into memory unless they are more than ``few``."""
    return frame.toArrow() if count <= few else frame


def append_by_spark(rows: DataFrame, table: str, batch: Batch, *, url: str) -> None:
    """Append rows to a table by Spark's tasks, exactly once."""
    writer = rows.write.format("delta").mode("append")
    writer.option("txnAppId", batch.application(table)).option("txnVersion", batch.id).save(url)


class Appender:
    """Appends micro-batches to one table."""

    def __init__(self, table: Table, lake: str) -> None:
        self._table = table
        self._log = Log(table, lake)
        self._files = data_file.storage(table.url(lake))
        self._schema = self._log.schema
        self._writing = threading.Lock()

    def has(self, batch: Batch) -> bool:
        """Whether the table has a batch already."""
        with self._writing:
            return self._log.has(batch)

    def append(self, rows: Rows, batch: Batch) -> None:
        """Append rows unless the table has the batch already; columns that they lack are null."""
        with self._writing:
            if not self._log.has(batch):
                self._append(rows, batch)

    def take_out(self, paths: Sequence[str], batch: Batch) -> None:
        """Take files out of the table, unless that has been done already."""
        with self._writing:
            self._commit([data_file.remove(path) for path in paths], batch)

    def _append(self, rows: Rows, batch: Batch) -> None:
        if isinstance(rows, pa.Table):
            added = [data_file.write(part, self._files, values) for values, part in self._partitions(rows)]
            self._commit(added, batch)
        else:
            append_by_spark(rows, self._table.name, batch, url=self._log.url)
            self._log.forget()

    @beside_others
    def _commit(self, added: Sequence[Action], batch: Batch) -> None:
        """Commit files, which do not depend on what others commit."""
        if not self._log.has(batch):
            self._log.commit(added, batch)

    def _partitions(self, rows: pa.Table) -> Iterator[tuple[dict[str, str], pa.Table]]:
        """The rows of each partition, without the partition columns, which Delta keeps in the log."""
        for field in self._schema:
            if field.name not in rows.column_names:
                rows = rows.append_column(field, pa.nulls(rows.num_rows, field.type))
        typed = rows.select(self._schema.names).cast(self._schema)
        names = list(self._table.partition_by)
        if not names:
            yield {}, typed
            return
        for values in typed.group_by(names).aggregate([]).to_pylist():
            is_inside = reduce(pc.and_, (pc.equal(typed[name], value) for name, value in values.items()))
            yield {name: str(value) for name, value in values.items()}, typed.filter(is_inside).drop_columns(names)
