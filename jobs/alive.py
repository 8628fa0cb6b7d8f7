"""Whether the stream gets on: what a supervisor asks before it starts a driver anew."""

import datetime as dt
import json
from collections.abc import Iterator
from typing import Any

import obstore
from obstore.store import ObjectStore

from jobs.engine.store import store
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
    lake = store(settings.lake_url)
    for query in sorted({_query(report["job"]) for report in reports}):
        began = micro_batch_since(lake, f"_checkpoints/{query}")
        if began is not None and dt.datetime.now(dt.UTC) - began > within:
            yield f"{query} works at one micro-batch since {began:%Y-%m-%d %H:%M:%S} UTC"


def micro_batch_since(lake: ObjectStore, checkpoint: str) -> dt.datetime | None:
    """When the micro-batch began that a query works at, by its checkpoint; None while it waits for records."""
    begun, committed = (written_batches(lake, f"{checkpoint}/{folder}") for folder in ("offsets", "commits"))
    newest = max(begun, default=None)
    if newest is None or max(committed, default=-1) >= newest:
        return None
    return begun[newest]


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


def written_batches(lake: ObjectStore, folder: str) -> dict[int, dt.datetime]:
    """When the file of each micro-batch was written, UTC, that a folder of a checkpoint has."""
    files = obstore.list_with_delimiter(lake, folder)["objects"]
    named = {file["path"].rpartition("/")[2]: file["last_modified"] for file in files}
    return {int(name): written for name, written in named.items() if name.isdigit()}
