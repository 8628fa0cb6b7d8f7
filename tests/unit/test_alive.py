"""Whether the stream gets on, told from reports and checkpoints as Spark leaves them."""

import datetime as dt
import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from jobs.alive import troubles
from jobs.settings import Settings

WITHIN = dt.timedelta(seconds=60)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path, lake="")


def report(settings: Settings, job: str, **changes: Any) -> None:
    folder = settings.home / "progress"
    folder.mkdir(exist_ok=True)
    figures = {"job": job, "active": True, "error": None, "reported_at": dt.datetime.now(dt.UTC).isoformat()}
    (folder / f"{job}.json").write_text(json.dumps(figures | changes))


def checkpoint(settings: Settings, query: str, *, begun: int, committed: int, seconds_ago: float = 0) -> None:
    for folder, batches in (("offsets", begun), ("commits", committed)):
        directory = settings.home / "lake" / "_checkpoints" / query / folder
        directory.mkdir(parents=True)
        for batch in range(batches):
            (directory / str(batch)).touch()
            (directory / f".{batch}.crc").touch()
    moment = time.time() - seconds_ago
    os.utime(settings.home / "lake" / "_checkpoints" / query / "offsets" / str(begun - 1), (moment, moment))


def test_nothing_has_been_reported(settings: Settings) -> None:
    assert list(troubles(settings, within=WITHIN)) == ["no query has reported yet"]


def test_a_query_that_waits_for_records_is_well(settings: Settings) -> None:
    report(settings, "bronze")
    checkpoint(settings, "bronze", begun=12, committed=12, seconds_ago=3600)
    assert list(troubles(settings, within=WITHIN)) == []


def test_a_query_that_works_at_a_young_micro_batch_is_well(settings: Settings) -> None:
    report(settings, "live-travel.bookings")
    checkpoint(settings, "live-travel", begun=12, committed=11, seconds_ago=30)
    assert list(troubles(settings, within=WITHIN)) == []


def test_a_process_that_is_there_is_not_enough(settings: Settings) -> None:
    report(settings, "live-travel.bookings")
    checkpoint(settings, "live-travel", begun=12, committed=11, seconds_ago=90)
    (trouble,) = troubles(settings, within=WITHIN)
    assert trouble.startswith("live-travel works at one micro-batch since ")


def test_a_query_that_failed_says_why(settings: Settings) -> None:
    report(settings, "bronze", active=False, error="no space left")
    assert list(troubles(settings, within=WITHIN)) == ["bronze failed: no space left"]


def test_a_query_that_stopped_is_not_well(settings: Settings) -> None:
    report(settings, "bronze", active=False)
    assert list(troubles(settings, within=WITHIN)) == ["bronze has stopped"]


def test_a_driver_that_no_longer_reports_is_not_well(settings: Settings) -> None:
    report(settings, "bronze", reported_at=(dt.datetime.now(dt.UTC) - dt.timedelta(seconds=90)).isoformat())
    assert list(troubles(settings, within=WITHIN)) == ["bronze reported last 90 s ago"]
