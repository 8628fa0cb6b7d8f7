"""What a query reports of itself: a small JSON file per query, for `sluice status`."""

import datetime as dt
import json
import os
from typing import Any

from pyspark.sql.streaming.query import StreamingQuery

from jobs.settings import Settings


def report(query: StreamingQuery, settings: Settings) -> None:
    """Write the query's latest figures to ``SLUICE_HOME/progress/<query>.json``, whole or not at all."""
    progress = query.lastProgress
    if progress is None or query.name is None:
        return
    figures = _figures(json.loads(progress.json), query)
    directory = settings.home / "progress"
    directory.mkdir(parents=True, exist_ok=True)
    target = directory / f"{query.name}.json"
    draft = target.with_suffix(".draft")
    draft.write_text(json.dumps(figures))
    draft.replace(target)


def _figures(progress: dict[str, Any], query: StreamingQuery) -> dict[str, Any]:
    metrics = [source.get("metrics") or {} for source in progress["sources"]]
    behind = [int(m["avgOffsetsBehindLatest"].split(".")[0]) for m in metrics if "avgOffsetsBehindLatest" in m]
    partitions = [len(offsets) for s in progress["sources"] for offsets in (s.get("endOffset") or {}).values()]
    return {
        "job": query.name,
        "pid": os.getpid(),
        "active": query.isActive,
        "reported_at": dt.datetime.now(dt.UTC).isoformat(),
        "batch": progress["batchId"],
        "input_rows_per_second": progress.get("inputRowsPerSecond"),
        "processed_rows_per_second": progress.get("processedRowsPerSecond"),
        "offsets_behind": sum(behind) * max(sum(partitions), 1) if behind else None,
        "latest_event_time": progress.get("eventTime", {}).get("max"),
        "watermark": progress.get("eventTime", {}).get("watermark"),
        "batch_seconds": progress.get("durationMs", {}).get("triggerExecution", 0) / 1000,
        "state_rows": sum(operator["numRowsTotal"] for operator in progress.get("stateOperators", [])),
    }
