"""Commit a micro-batch to a Delta table exactly once, by delta-rs when it is small and by Spark when it is large.

Every commit carries a ``txn`` action with the batch's id, so that a batch that runs again skips the tables that have it
already. Both writers follow the same protocol and recognise each other's commits.
"""

from collections.abc import Iterator
from functools import reduce
from typing import TypeAlias

import pyarrow as pa
import pyarrow.compute as pc
from deltalake import CommitProperties, DeltaTable, PostCommitHookProperties, Transaction
from deltalake.exceptions import CommitFailedError
from pyspark.sql import DataFrame
from tenacity import retry, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from jobs.engine import data_file
from jobs.engine.batch import Batch
from jobs.engine.table import Table

CLEAN_UP_EVERY = 500
"""Batches between two clean-ups of a table's log, each of which lists the whole of it."""

beside_others = retry(
    retry=retry_if_exception_type(CommitFailedError),
    wait=wait_random_exponential(multiplier=0.02, max=1),
    stop=stop_after_attempt(20),
    reraise=True,
)
"""Tries again what lost a race against the commit of another application, twenty times."""

Rows: TypeAlias = pa.Table | DataFrame
"""Rows of a micro-batch: in memory when they are few, else distributed."""


def collect_if_few(frame: DataFrame, *, count: int, few: int) -> Rows:
    """Collect a frame of ``count`` rows into memory unless they are more than ``few``."""
    return frame.toArrow() if count <= few else frame


def has_batch(table: DeltaTable, name: str, batch: Batch) -> bool:
    """Whether the table of this name has the batch, or a later one of its query, already."""
    version = table.transaction_version(batch.application(name))
    return version is not None and version >= batch.id


def transaction(table: str, *batches: Batch) -> CommitProperties:
    """The properties that mark a delta-rs commit to a table as that of these batches."""
    return CommitProperties(app_transactions=[Transaction(batch.application(table), batch.id) for batch in batches])


def housekeeping(*batches: Batch) -> PostCommitHookProperties:
    """What a delta-rs commit does beside: a checkpoint when one is due, and now and then the log's clean-up."""
    return PostCommitHookProperties(cleanup_expired_logs=any(batch.id % CLEAN_UP_EVERY == 0 for batch in batches))


class Appender:
    """Appends micro-batches to one table."""

    def __init__(self, table: Table, lake: str) -> None:
        self._table = table
        self._delta = table.create(lake)
        self._files = data_file.storage(table.url(lake))
        self._schema = pa.schema(self._delta.schema().to_arrow())

    def append(self, rows: Rows, batch: Batch) -> None:
        """Append rows unless the table has the batch already; columns that they lack are null."""
        self._delta.update_incremental()
        if has_batch(self._delta, self._table.name, batch):
            return
        if isinstance(rows, pa.Table):
            self._delta.create_write_transaction(
                [data_file.write(part, self._files, values) for values, part in self._partitions(rows)],
                mode="append",
                schema=self._delta.schema(),
                partition_by=list(self._table.partition_by),
                commit_properties=transaction(self._table.name, batch),
                post_commithook_properties=housekeeping(batch),
            )
        else:
            writer = rows.write.format("delta").mode("append")
            writer = writer.option("txnAppId", batch.application(self._table.name)).option("txnVersion", batch.id)
            writer.save(self._delta.table_uri)

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
