"""Commit to the log of a Delta table again and again, at a cost that does not grow with the log.

delta-rs lists and replays the log before and after each commit. Who commits to a table once a second knows what the log
says, as long as nobody else commits: then the next version is one more, and to create its file fails where somebody
else has (docs/decisions/0057). The transaction protocol is Delta's own: https://github.com/delta-io/delta/blob/master/PROTOCOL.md.
"""

import time
from collections.abc import Sequence
from typing import Any, TypeAlias

import obstore
import orjson
import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, PostCommitHookProperties, Transaction
from deltalake.exceptions import CommitFailedError
from deltalake.transaction import AddAction, RemoveAction
from obstore.exceptions import AlreadyExistsError

from jobs.engine.batch import Batch
from jobs.engine.clock import boot_time
from jobs.engine.store import store
from jobs.engine.table import Table

CLEAN_UP_EVERY = 500
"""Batches between two clean-ups of a table's log, each of which lists the whole of it."""
LOOK_EVERY = 60.0
"""Seconds after which the log is looked at again, so that no version is created anew that somebody else has cleaned up.

Much less than the shortest history of a table. Whoever stood still between the look and the commit looks afterwards.
"""
PLAIN_READER, PLAIN_WRITER = 1, 2
"""Versions of the protocol up to which a commit is what is written here; later ones may ask for more."""

Action: TypeAlias = AddAction | RemoveAction


class Log:
    """The log of one table, and what it said when it was last looked at; for one thread at a time.

    Args:
        table: is created where it does not exist.
        lake: root of the lake.
    """

    def __init__(self, table: Table, lake: str) -> None:
        self._name = table.name
        self._checkpoint_every = table.checkpoint_every
        self._delta = table.create(lake)
        self._store = store(table.url(lake))
        self._batches: dict[str, int] = {}
        self._looked: float | None = None
        self.version = 0
        """The newest version that is known of."""

    @property
    def url(self) -> str:
        """Of the table."""
        return self._delta.table_uri

    @property
    def schema(self) -> pa.Schema:
        """The columns of the table."""
        return pa.schema(self._delta.schema().to_arrow())

    def has(self, batch: Batch) -> bool:
        """Whether the table has a batch, or a later one of its query, already."""
        return not self.missing([batch])

    def missing(self, batches: Sequence[Batch]) -> list[Batch]:
        """The batches that the table does not have; of all of them, the same version says so."""
        if self._looked is None or boot_time() - self._looked > LOOK_EVERY:
            self._look()
        return [batch for batch in batches if self._last(batch.application(self._name)) < batch.id]

    def snapshot(self) -> DeltaTable:
        """The table at the version that is known.

        Raises:
            CommitFailedError: somebody else has committed since; who tries again finds what they committed.
        """
        if self._delta.version() != self.version:
            self._delta.update_incremental()
        if self._delta.version() != self.version:
            raise self._overtaken()
        return self._delta

    def commit(self, actions: Sequence[Action], *batches: Batch) -> int:
        """Add and remove files in the version after the one that is known, and note the batches; returns that version.

        It is followed by a checkpoint as often as the table says, and by the log's clean-up every ``CLEAN_UP_EVERY``
        batches.

        Raises:
            CommitFailedError: somebody else has committed since; who tries again finds what they committed.
        """
        version = self.version + 1
        protocol = self._delta.protocol()
        is_plain = protocol.min_reader_version <= PLAIN_READER and protocol.min_writer_version <= PLAIN_WRITER
        clean_up = any(batch.id % CLEAN_UP_EVERY == 0 for batch in batches)
        if not is_plain:
            self._commit_by_delta_rs(actions, batches, clean_up=clean_up)
            return version
        file = f"_delta_log/{version:020}.json"
        try:
            obstore.put(self._store, file, self._entry(actions, batches), mode="create")
        except AlreadyExistsError as error:
            raise self._overtaken() from error
        if self._may_be_cleaned_up() and not self._is_read(batches):
            obstore.delete(self._store, file)
            raise self._overtaken()
        self.version = version
        self._batches |= {batch.application(self._name): batch.id for batch in batches}
        if version % self._checkpoint_every == 0:
            self._look()
            self._delta.create_checkpoint()
        if clean_up:
            self._look()
            self._delta.cleanup_metadata()
        return version

    def forget(self) -> None:
        """Forget what the log said: somebody else has committed."""
        self._looked = None

    def _last(self, application: str) -> int:
        """The last batch of a query that the table has, or -1."""
        if application not in self._batches:
            self._batches[application] = _last_of(self._delta, application)
        return self._batches[application]

    def _may_be_cleaned_up(self) -> bool:
        """Whether so much time has passed since the look that others may have cleaned up the version after it."""
        return self._looked is None or boot_time() - self._looked > 2 * LOOK_EVERY

    def _is_read(self, batches: Sequence[Batch]) -> bool:
        """Whether who reads the table now finds the batches in it."""
        table = DeltaTable(self.url)
        return all(_last_of(table, b.application(self._name)) >= b.id for b in batches)

    def _overtaken(self) -> CommitFailedError:
        self.forget()
        return CommitFailedError(f"somebody else has committed to {self.url} after version {self.version}")

    def _look(self) -> None:
        self._looked = boot_time()
        self._delta.update_incremental()
        self.version = self._delta.version()
        self._batches.clear()

    def _entry(self, actions: Sequence[Action], batches: Sequence[Batch]) -> bytes:
        """The file of a version: a line for each action."""
        now = time.time_ns() // 1_000_000
        information = {"operation": "WRITE", "operationParameters": {"mode": "Append"}, "engineInfo": "sluice"}
        lines: list[dict[str, Any]] = [{"commitInfo": {"timestamp": now, **information}}]
        for batch in batches:
            application = batch.application(self._name)
            lines.append({"txn": {"appId": application, "version": batch.id, "lastUpdated": now}})
        return b"\n".join(map(orjson.dumps, [*lines, *map(_line, actions)]))

    def _commit_by_delta_rs(self, actions: Sequence[Action], batches: Sequence[Batch], *, clean_up: bool) -> None:
        """Commit as a later version of the protocol asks for, or be told that delta-rs does not know it either.

        It fails, too, where somebody else has committed since.
        """
        transactions = [Transaction(batch.application(self._name), batch.id) for batch in batches]
        self.forget()
        self._delta.create_write_transaction(
            list(actions),
            mode="append",
            schema=self._delta.schema(),
            partition_by=self._delta.metadata().partition_columns,
            commit_properties=CommitProperties(app_transactions=transactions, max_commit_retries=0),
            post_commithook_properties=PostCommitHookProperties(cleanup_expired_logs=clean_up),
        )


def _last_of(table: DeltaTable, application: str) -> int:
    """The last batch of a query that a table has, or -1."""
    version = table.transaction_version(application)
    return -1 if version is None else version


def _line(action: Action) -> dict[str, Any]:
    if isinstance(action, RemoveAction):
        removed = {"deletionTimestamp": action.deletion_timestamp, "dataChange": action.data_change}
        return {"remove": {"path": action.path, **removed}}
    added = {"path": action.path, "partitionValues": dict(action.partition_values), "size": action.size}
    times = {"modificationTime": action.modification_time, "dataChange": action.data_change}
    return {"add": {**added, **times, "stats": action.stats}}
