"""What Prometheus reads, over HTTP."""

import datetime as dt
import json
import os
from pathlib import Path

import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families

from jobs.metrics import serve_metrics
from jobs.settings import Settings
from tests.stack.pipeline import free_port_pair

FIGURES = {
    "input_rows_per_second": 50.0,
    "processed_rows_per_second": 75.5,
    "offsets_behind": 3,
    "latest_event_time": None,
    "watermark": None,
    "batch": 7,
    "batch_seconds": 0.25,
}


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path, lake="", metrics_port=free_port_pair())


def test_prometheus_reads_the_figures_of_every_query(settings: Settings) -> None:
    folder = settings.home / "progress"
    folder.mkdir()
    for job, pid in (("bronze", os.getpid()), ("live-travel.bookings", 2**22 + 1)):
        now = dt.datetime.now(dt.UTC).isoformat()
        report = {"job": job, "pid": pid, "active": True, "error": None, "reported_at": now, **FIGURES}
        (folder / f"{job}.json").write_text(json.dumps(report))

    serve_metrics(settings)
    text = requests.get(f"http://127.0.0.1:{settings.metrics_port}/metrics", timeout=10).text

    found = {
        (sample.name, sample.labels["job"]): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name.startswith("sluice_")
    }
    assert found["sluice_up", "bronze"] == 1
    # Its process is gone.
    assert found["sluice_up", "live-travel.bookings"] == 0
    assert found["sluice_processed_rows_per_second", "bronze"] == 75.5
    assert found["sluice_offsets_behind", "bronze"] == 3
    assert ("sluice_freshness_seconds", "bronze") not in found
