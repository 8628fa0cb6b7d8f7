"""What a query reports of itself: a small JSON file per query, for `sluice status`."""

import datetime as dt
import json
import os
import re
from pathlib import Path
from typing import Any

from pyspark.sql.streaming.query import StreamingQuery

from jobs.engine.batch import EPOCH
from jobs.engine.offsets import Offsets, spans_between
from jobs.engine.query import Query
from jobs.engine.watermark import Watermark
from jobs.settings import Settings

RATES = ("input_rows_per_second", "processed_rows_per_second")
PYTHON_ERROR = re.compile(r"^[\w.]+Error: (.+)$", re.M)


def report(query: Query, settings: Settings) -> None:
    """Write the query's latest figures to ``SLUICE_HOME/progress/<name>.json``, whole or not at all.

    A query that writes several entities has a file for each.
    """
    stream = query.stream
    progress = stream.lastProgress
    if stream.name is None or (progress is None and stream.isActive):
        return
    figures = _figures(json.loads(progress.json) if progress else {}, query)
    parts = [_of_entity(name, figures, watermark) for name, watermark in query.watermarks.items()]
    for part in parts or [figures]:
        _write(part, settings.home / "progress")


def _write(figures: dict[str, Any], directory: Path) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    target = directory / f"{figures['job']}.json"
    draft = target.with_suffix(".draft")
    draft.write_text(json.dumps({name: value for name, value in figures.items() if name != "spans"}))
    draft.replace(target)


def _figures(progress: dict[str, Any], query: Query) -> dict[str, Any]:
    stream, sources = query.stream, progress.get("sources", ())
    return {
        "job": stream.name,
        "pid": os.getpid(),
        "active": stream.isActive,
        "error": _error(stream),
        "reported_at": dt.datetime.now(dt.UTC).isoformat(),
        "batch": progress.get("batchId"),
        "input_rows_per_second": progress.get("inputRowsPerSecond"),
        "processed_rows_per_second": progress.get("processedRowsPerSecond"),
        "offsets_behind": sum(sum(_spans(source, "endOffset", "latestOffset").values()) for source in sources),
        "latest_event_time": None,
        "watermark": None,
        "batch_seconds": progress.get("durationMs", {}).get("triggerExecution", 0) / 1000,
        "timed_by_producers": list(query.timed_by_producers),
        "spans": [(_spans(s, "startOffset", "endOffset"), _spans(s, "endOffset", "latestOffset")) for s in sources],
    }


def _of_entity(name: str, figures: dict[str, Any], watermark: Watermark) -> dict[str, Any]:
    """The figures of one of the entities that a query writes, ``live-<topic>``."""
    topic = name.removeprefix("live-")
    of_topic = [(done.get(topic, 0), behind.get(topic, 0), sum(done.values())) for done, behind in figures["spans"]]
    done, behind, of_all = map(sum, zip(*of_topic, strict=True)) if of_topic else (0, 0, 0)
    share = done / of_all if of_all else 0.0
    newest = watermark.newest
    return figures | {
        "job": name,
        "offsets_behind": behind,
        "latest_event_time": None if newest is None else newest.isoformat(),
        "watermark": None if watermark.current == EPOCH else watermark.current.isoformat(),
        **{rate: figures[rate] and figures[rate] * share for rate in RATES},
    }


def _error(query: StreamingQuery) -> str | None:
    """What ended the query, in a line: of an error in Python, what it says of itself."""
    error = query.exception()
    if error is None:
        return None
    ours = PYTHON_ERROR.findall(str(error))
    return ours[-1] if ours else str(error).strip().splitlines()[0]


def _spans(source: dict[str, Any], start: str, end: str) -> dict[str, int]:
    """The records of each topic between two of a source's offsets; behind are those to come that Kafka had already."""
    done: Offsets = source.get(start) or {}
    return spans_between(done, source.get(end) or done)
