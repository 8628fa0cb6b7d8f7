"""What a query reports of itself: a small JSON file per query, for `sluice status`."""

import datetime as dt
import json
import os
import re
from typing import Any

from pyspark.sql.streaming.query import StreamingQuery

from jobs.engine.batch import EPOCH
from jobs.engine.offsets import Offsets, offsets_between
from jobs.settings import Settings

PYTHON_ERROR = re.compile(r"^[\w.]+Error: (.+)$", re.M)


def report(query: StreamingQuery, settings: Settings) -> None:
    """Write the query's latest figures to ``SLUICE_HOME/progress/<query>.json``, whole or not at all."""
    progress = query.lastProgress
    if query.name is None or (progress is None and query.isActive):
        return
    figures = _figures(json.loads(progress.json) if progress else {}, query)
    directory = settings.home / "progress"
    directory.mkdir(parents=True, exist_ok=True)
    target = directory / f"{query.name}.json"
    draft = target.with_suffix(".draft")
    draft.write_text(json.dumps(figures))
    draft.replace(target)


def _figures(progress: dict[str, Any], query: StreamingQuery) -> dict[str, Any]:
    return {
        "job": query.name,
        "pid": os.getpid(),
        "active": query.isActive,
        "error": _error(query),
        "reported_at": dt.datetime.now(dt.UTC).isoformat(),
        "batch": progress.get("batchId"),
        "input_rows_per_second": progress.get("inputRowsPerSecond"),
        "processed_rows_per_second": progress.get("processedRowsPerSecond"),
        "offsets_behind": sum(_offsets_behind(source) for source in progress.get("sources", ())),
        "latest_event_time": progress.get("eventTime", {}).get("max"),
        "watermark": _watermark(progress),
        "batch_seconds": progress.get("durationMs", {}).get("triggerExecution", 0) / 1000,
    }


def _error(query: StreamingQuery) -> str | None:
    """What ended the query, in a line: of an error in Python, what it says of itself."""
    error = query.exception()
    if error is None:
        return None
    ours = PYTHON_ERROR.findall(str(error))
    return ours[-1] if ours else str(error).strip().splitlines()[0]


def _watermark(progress: dict[str, Any]) -> str | None:
    """The watermark, once an event has moved it."""
    watermark: str | None = progress.get("eventTime", {}).get("watermark")
    return None if watermark is None or dt.datetime.fromisoformat(watermark) == EPOCH else watermark


def _offsets_behind(source: dict[str, Any]) -> int:
    """Records that Kafka had when the micro-batch was planned and that are still to come, over all partitions."""
    done: Offsets = source.get("endOffset") or {}
    return offsets_between(done, source.get("latestOffset") or done)
