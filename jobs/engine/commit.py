"""Commit a micro-batch to a Delta table exactly once, by delta-rs when it is small and by Spark when it is large.

Every commit carries a ``txn`` action with the batch's id, so that a batch that runs again skips the tables that have it
already. Both writers follow the same protocol and recognise each other's commits.
"""

from typing import TypeAlias

import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, Transaction, write_deltalake
from pyspark.sql import DataFrame

from jobs.engine.batch import Batch
from jobs.engine.table import Table

Rows: TypeAlias = pa.Table | DataFrame
"""Rows of a micro-batch: in memory when they are few, else distributed."""


def collect_if_few(frame: DataFrame, *, count: int, few: int) -> Rows:
    """Collect a frame of ``count`` rows into memory unless they are more than ``few``."""
    return frame.toArrow() if count <= few else frame


def has_batch(table: DeltaTable, application: str, batch: Batch) -> bool:
    """Whether the table has the batch, or a later one, from this application already."""
    version = table.transaction_version(application)
    return version is not None and version >= batch.id


def transaction(application: str, batch: Batch) -> CommitProperties:
    """The properties that mark a delta-rs commit as this batch's."""
    return CommitProperties(app_transactions=[Transaction(application, batch.id)])


class Appender:
    """Appends micro-batches to one table."""

    def __init__(self, table: Table, lake: str) -> None:
        self._name = table.name
        self._delta = table.create(lake)

    def append(self, rows: Rows, batch: Batch) -> None:
        """Append rows, whose columns are the table's, unless the table has the batch already."""
        application = batch.application(self._name)
        self._delta.update_incremental()
        if has_batch(self._delta, application, batch):
            return
        if isinstance(rows, pa.Table):
            write_deltalake(self._delta, rows, mode="append", commit_properties=transaction(application, batch))
        else:
            writer = rows.write.format("delta").mode("append")
            writer.option("txnAppId", application).option("txnVersion", batch.id).save(self._delta.table_uri)
