"""Whether the stream gets on: what a supervisor asks before it starts a driver anew."""

import datetime as dt
import json
from collections.abc import Iterator
from typing import Any

from pyarrow.fs import FileInfo, FileSelector, FileSystem

from jobs.settings import Settings


def troubles(settings: Settings, *, within: dt.timedelta) -> Iterator[str]:
    """Why the queries of this ``SLUICE_HOME`` do not get on; nothing if they do.

    A query does not get on when it has failed, has not reported, or works at one batch, for longer than ``within``.
    That a process is there says little: a query may wait for ever for a lock, an executor or a file system.
    """
    reports = [json.loads(path.read_text()) for path in (settings.home / "progress").glob("*.json")]
    if not reports:
        yield "no query has reported yet"
    for report in reports:
        yield from _of_report(report, within)
    for query in sorted({_query(report["job"]) for report in reports}):
        began = micro_batch_since(f"{settings.lake_url}/_checkpoints/{query}")
        if began is not None and dt.datetime.now(dt.UTC) - began > within:
            yield f"{query} works at one micro-batch since {began:%Y-%m-%d %H:%M:%S} UTC"


def micro_batch_since(checkpoint: str) -> dt.datetime | None:
    """When the micro-batch began that a query works at, by its checkpoint; None while it waits for records."""
    files, root = FileSystem.from_uri(checkpoint)
    offsets, commits = (_newest(files, f"{root}/{folder}") for folder in ("offsets", "commits"))
    if offsets is None or (commits is not None and int(commits.base_name) >= int(offsets.base_name)):
        return None
    modified: dt.datetime = offsets.mtime
    return modified.astimezone(dt.UTC)


def _of_report(report: dict[str, Any], within: dt.timedelta) -> Iterator[str]:
    age = dt.datetime.now(dt.UTC) - dt.datetime.fromisoformat(report["reported_at"])
    if report["error"]:
        yield f"{report['job']} failed: {report['error']}"
    elif not report["active"]:
        yield f"{report['job']} has stopped"
    elif age > within:
        yield f"{report['job']} reported last {age.total_seconds():.0f} s ago"


def _query(job: str) -> str:
    """The query that reports under a name: of ``live-<domain>.<entity>`` it is ``live-<domain>``."""
    return job.split(".")[0]


def _newest(files: FileSystem, folder: str) -> FileInfo | None:
    found = files.get_file_info(FileSelector(folder, allow_not_found=True))
    batches = [file for file in found if file.base_name.isdigit()]
    return max(batches, key=lambda file: int(file.base_name), default=None)
