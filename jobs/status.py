"""How the jobs are doing."""

import datetime as dt
import json
from typing import Any

import psutil
from deltalake import DeltaTable
from deltalake.exceptions import TableNotFoundError

from jobs.engine import accidents
from jobs.intake import INTAKE_BY_MINUTE
from jobs.settings import Settings

STALLED_AFTER = dt.timedelta(seconds=30)
RECENT = dt.timedelta(days=7)
MOST_ACCIDENTS = 10
"""Sentences about accidents; more are in the table."""


def job_status(settings: Settings) -> list[dict[str, Any]]:
    """The latest figures of every query, as a list of dictionaries that JSON can hold.

    ``state`` is running, stalled (no report for 30 s), stopped or failed, with an ``error``; ``freshness_seconds`` is
    the age of the newest event that the query has processed; ``rows_quarantined`` and ``rows_late`` count since the
    table exists.
    """
    totals = _intake_totals(settings)
    reports = [json.loads(path.read_text()) for path in sorted((settings.home / "progress").glob("*.json"))]
    return [_status(report, totals) for report in reports]


def remarks(settings: Settings) -> list[str]:
    """What to know beside the figures, in sentences: accidents of the last days, and clocks not to be trusted."""
    rows = accidents.recent(settings.lake_url, since=dt.datetime.now(dt.UTC) - RECENT)
    said = accidents.sentences(rows)[:MOST_ACCIDENTS]
    reports = [json.loads(path.read_text()) for path in sorted((settings.home / "progress").glob("*.json"))]
    if topics := sorted({topic for report in reports for topic in report.get("timed_by_producers", ())}):
        said.append(
            f"Producers set the time of records in {', '.join(topics)}, however wrong their clocks are. "
            "How long they take to gold, nobody can tell. Set message.timestamp.type=LogAppendTime on the topic."
        )
    return said


def _status(report: dict[str, Any], totals: dict[str, dict[str, int]]) -> dict[str, Any]:
    now = dt.datetime.now(dt.UTC)
    entity = totals.get(str(report["job"]).removeprefix("live-"), {})
    latest = report.pop("latest_event_time")
    age = (now - dt.datetime.fromisoformat(latest)).total_seconds() if latest else None
    return {
        "job": report["job"],
        "state": _state(report, now),
        "error": report.get("error"),
        "input_rows_per_second": report["input_rows_per_second"],
        "processed_rows_per_second": report["processed_rows_per_second"],
        "offsets_behind": report["offsets_behind"],
        "freshness_seconds": None if age is None else round(age, 1),
        "watermark": report["watermark"],
        "rows_quarantined": entity.get("refused"),
        "rows_late": entity.get("late"),
        "rows_duplicate": entity.get("duplicates"),
        "batch": report["batch"],
        "batch_seconds": report["batch_seconds"],
    }


def _state(report: dict[str, Any], now: dt.datetime) -> str:
    if report.get("error"):
        return "failed"
    if not report["active"] or not psutil.pid_exists(report["pid"]):
        return "stopped"
    reported = dt.datetime.fromisoformat(report["reported_at"])
    return "running" if now - reported < STALLED_AFTER else "stalled"


def _intake_totals(settings: Settings) -> dict[str, dict[str, int]]:
    table = INTAKE_BY_MINUTE.table
    try:
        rows = DeltaTable(table.url(settings.lake_url)).to_pyarrow_table()
    except TableNotFoundError:
        return {}
    names = [measure.name for measure in INTAKE_BY_MINUTE.measures]
    sums = rows.group_by("entity").aggregate([(name, "sum") for name in names])
    return {row["entity"]: {name: row[f"{name}_sum"] for name in names} for row in sums.to_pylist()}
