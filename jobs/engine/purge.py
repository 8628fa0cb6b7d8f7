"""Delete what only the earlier versions of a table need, at once: their data files, and what its log says of them.

The log keeps the least and the greatest value of every column of a file, also of files that are gone.
"""

import json
import re
from collections.abc import Collection
from contextlib import suppress
from typing import Any

import obstore
from deltalake import DeltaTable
from obstore.store import ObjectStore

from jobs.engine.store import store
from jobs.engine.vacuum import delete_old_files

COMMIT = re.compile(r"_delta_log/\d{20}\.json")
BESIDE_COMMITS = re.compile(r"_delta_log/(\d{20})\.(?!json$).+")
"""Checkpoints, checksums and the like, which say again what the commits before them say."""


def purge(url: str) -> None:
    """Leave nothing of a table's earlier versions but the names of their files, beside whoever writes to the table.

    Commits stay, for a writer who missed some must not take their numbers for free ones (docs/decisions/0057); only
    their statistics of removed files go. Who is reading an earlier version at this moment finds it gone.
    """
    files, delta = store(url), DeltaTable(url)
    paths = [meta["path"] for chunk in obstore.list(files, "_delta_log") for meta in chunk]
    commits = [path for path in paths if COMMIT.fullmatch(path)]
    removed = _removed(files, commits)
    for path in removed:
        with suppress(FileNotFoundError):
            obstore.delete(files, path)
    for path in commits:
        _leave_out_statistics(files, path, removed)
    earlier = [path for path in paths if (found := BESIDE_COMMITS.fullmatch(path)) and int(found[1]) < delta.version()]
    if earlier:
        delta.create_checkpoint()
        for path in earlier:
            with suppress(FileNotFoundError):
                obstore.delete(files, path)
    delete_old_files(url)


def _removed(files: ObjectStore, commits: Collection[str]) -> set[str]:
    """Every data file that a commit took out of the table; none comes back."""
    actions = [action for path in commits for action in map(json.loads, filter(None, _lines(files, path)))]
    return {action["remove"]["path"] for action in actions if "remove" in action}


def _leave_out_statistics(files: ObjectStore, commit: str, removed: Collection[str]) -> None:
    lines = _lines(files, commit)
    kept = [_without_statistics(line, removed) for line in lines]
    if kept != lines:
        obstore.put(files, commit, b"\n".join(kept), mode="overwrite")


def _without_statistics(line: bytes, removed: Collection[str]) -> bytes:
    """An action without the values that were in a removed file; as long as before, for who has seen the length."""
    action: dict[str, dict[str, Any]] = json.loads(line or b'{"nothing": {}}')
    (kind,) = action
    if kind not in ("add", "remove") or action[kind]["path"] not in removed or not action[kind].get("stats"):
        return line
    statistics = json.loads(action[kind]["stats"])
    if statistics.keys() <= {"numRecords"}:
        return line
    action[kind]["stats"] = json.dumps({"numRecords": statistics["numRecords"]})
    shorter = json.dumps(action, ensure_ascii=False, separators=(",", ":")).encode()
    return shorter[:-1].ljust(len(line) - 1) + b"}"


def _lines(files: ObjectStore, path: str) -> list[bytes]:
    """The actions of a commit; none where its file has been cleaned up."""
    try:
        return obstore.get(files, path).bytes().to_bytes().split(b"\n")
    except FileNotFoundError:
        return []
