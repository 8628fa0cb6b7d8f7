"""The history of a Delta table: when each version became visible and how many events it holds."""

import json
import os
import shutil
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import unquote

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from deltalake import DeltaTable

from bench.freshness import Commits, Floats
from jobs.late import application

Batch: TypeAlias = tuple[str, int]
"""Of which query or late lane, and its number."""

ARRIVED = "timestamp"
"""When Kafka got an event, by silver: demo traffic sends some long after they happened."""
KEEP_EVERY = 30.0
"""Seconds; far less than a table's log remembers."""


def keep(table: Path, log: Path, since: float = 0.0) -> None:
    """Copy the commits of a local table that the folder ``log`` lacks, dated when they became visible.

    Args:
        table: its folder.
        log: where they go.
        since: commits that became visible before (epoch seconds) are left out.
    """
    log.mkdir(exist_ok=True)
    for commit in sorted((table / "_delta_log").glob("*.json")):
        kept = log / commit.name
        # A commit is visible when its file gets its name, and that sets the change time.
        visible = commit.stat()
        if not kept.exists() and visible.st_ctime >= since:
            shutil.copyfile(commit, kept)
            os.utime(kept, ns=(visible.st_ctime_ns, visible.st_ctime_ns))


@contextmanager
def keeping(table: Path, log: Path, since: float = 0.0) -> Iterator[None]:
    """Keep the log, or what is not older, while the table forgets; a look every ``KEEP_EVERY`` seconds."""
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(KEEP_EVERY):
            keep(table, log, since)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        keep(table, log, since)


def history(table: Path, log: Path, measure: str) -> Commits:
    """Follow a local table from its first version to its last, by what ``keep`` has kept of its log.

    Per version the sum of a measure is kept up from the files that the version adds and removes, so that
    each file is read once. The table must not have been vacuumed.

    Raises:
        ValueError: a version is missing from the log.
    """
    files: dict[str, int] = {}
    times: list[float] = []
    totals: list[int] = []
    for version, commit in enumerate(sorted(log.glob("*.json"))):
        if int(commit.stem) != version:
            raise ValueError(f"{table}: version {version} is missing from the log")
        for line in commit.read_text().splitlines():
            _apply(json.loads(line), files, table, measure)
        times.append(commit.stat().st_mtime)
        totals.append(sum(files.values()))
    return Commits(np.array(times, dtype=np.float64), np.array(totals, dtype=np.int64))


def batches(log: Path) -> dict[Batch, float]:
    """When each micro-batch became visible in a table (epoch seconds), by what ``keep`` has kept of its log."""
    return {batch: commit.stat().st_mtime for commit, actions in _commits(log) for batch in _batches(actions)}


def added(table: Path, log: Path, time: str, *, late: bool = False) -> dict[Batch, Floats]:
    """The times of a column (epoch seconds) that each micro-batch appended to a table, from the files of its commits.

    Args:
        table: its folder.
        log: what ``keep`` has kept of its log.
        time: the column.
        late: of the turns of the late lane, in place of the stream's micro-batches.
    """
    found: dict[Batch, Floats] = {}
    for _, actions in _commits(log):
        paths = [table / unquote(action["add"]["path"]) for action in actions if "add" in action]
        for batch in _batches(actions):
            if batch[0].startswith(application("")) is not late:
                continue
            times = [_epoch(pq.read_table(path, columns=[time], partitioning=None)[time]) for path in paths]
            found[batch] = np.concatenate(times) if times else np.empty(0)
    return found


def _commits(log: Path) -> Iterator[tuple[Path, list[dict[str, Any]]]]:
    """Each file of a log, and its actions."""
    for commit in sorted(log.glob("*.json")):
        yield commit, [json.loads(line) for line in commit.read_text().splitlines()]


def _batches(actions: Sequence[Mapping[str, Any]]) -> list[Batch]:
    """The micro-batches of a commit."""
    written = [action["txn"] for action in actions if "txn" in action]
    return [(txn["appId"].rpartition("/")[0], int(txn["version"])) for txn in written]


def waits(added: Mapping[Batch, Floats], visible: Mapping[Batch, float], *, start: float, end: float) -> Floats:
    """How long events took until a mart had their batch, seconds.

    Args:
        added: the times of each micro-batch's events, by ``added``.
        visible: when each micro-batch became visible in the mart, by ``batches``.
        start: events before (epoch seconds) do not count.
        end: events from then on do not count.
    """
    waited = [np.empty(0)]
    for batch in sorted(added.keys() & visible.keys()):
        times = added[batch]
        waited.append(visible[batch] - times[(times >= start) & (times < end)])
    return np.concatenate(waited)


def _epoch(times: pa.ChunkedArray) -> Floats:
    microseconds: Floats = times.cast(pa.timestamp("us", "UTC")).cast(pa.int64()).to_numpy() / 1e6
    return microseconds


def rows(table: Path) -> int:
    """The number of rows of a table's last version."""
    actions = pa.table(DeltaTable(table).get_add_actions(flatten=True))
    return int(pc.sum(actions["num_records"]).as_py() or 0)


def total(table: Path, measure: str) -> int:
    """The sum of a measure over the table's last version."""
    column = DeltaTable(table).to_pyarrow_table(columns=[measure])[measure]
    return int(pc.sum(column).as_py() or 0)


def _apply(action: dict[str, dict[str, str]], files: dict[str, int], table: Path, measure: str) -> None:
    if removed := action.get("remove"):
        files.pop(removed["path"], None)
    if added := action.get("add"):
        column = pq.read_table(table / unquote(added["path"]), columns=[measure])[measure]
        files[added["path"]] = pc.sum(column).as_py() or 0
