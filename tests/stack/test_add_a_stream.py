"""A data engineer follows docs/add-a-stream.md: a new stream goes live by adding its three files."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from deltalake import DeltaTable

from jobs.settings import CHECKOUT, Settings
from stack import broker
from tests.stack.pipeline import running_broker

PAGE = CHECKOUT / "docs" / "add-a-stream.md"
FILE = re.compile(r"`((?:schemas|quality|jobs)/[\w/]+\.(?:yaml|py))`:\n\n```\w+\n(.*?)```", re.DOTALL)
TOPIC = "marketplace.shipments"


def shipment(number: int, **changes: object) -> str:
    return json.dumps(
        {
            "event_id": f"event-{number}",
            "event_type": "dispatched",
            "event_time": "2026-03-01T12:00:00Z",
            "order_id": f"order-{number}",
            "carrier": "Pigeon Post",
            "cost": "4.90",
            **changes,
        }
    )


def sluice(checkout: Path, settings: Settings, *arguments: str, succeeds: bool = True) -> str:
    """Run the command line of a checkout; returns what it prints, errors included if it is to fail."""
    environment = {
        **os.environ,
        "PYTHONPATH": str(checkout),
        "SLUICE_HOME": str(settings.home),
        "SLUICE_CACHE": str(settings.cache),
        "SLUICE_KAFKA": settings.bootstrap_servers,
        "SLUICE_DRIVER_MEMORY": "2g",
    }
    command = [sys.executable, "-m", "jobs.cli", *arguments]
    finished = subprocess.run(command, cwd=checkout, env=environment, capture_output=True, text=True)
    assert (finished.returncode == 0) == succeeds, finished.stderr[-3000:]
    return finished.stdout if succeeds else finished.stderr


def test_a_new_stream_needs_three_files_and_no_code(tmp_path: Path) -> None:
    checkout = tmp_path / "checkout"
    for folder in ("jobs", "quality", "schemas", "stack"):
        shutil.copytree(CHECKOUT / folder, checkout / folder)
    files = dict(FILE.findall(PAGE.read_text()))
    assert {Path(name).parts[0] for name in files} == {"schemas", "quality", "jobs"}
    for name, text in files.items():
        assert not (checkout / name).exists(), name
        (checkout / name).write_text(text)

    (tmp_path / "home").mkdir()
    with running_broker(tmp_path / "home", partitions=1) as settings:
        assert "12 contracts" in sluice(checkout, settings, "check")
        broker.create_topics(settings.bootstrap_servers, [TOPIC])
        events = tmp_path / "shipments.jsonl"
        lines = [
            shipment(1),
            shipment(2, carrier="Snail Mail", cost="600"),
            shipment(2),
            shipment(3, carrier="unknown"),
            shipment(4, event_type="arrived"),
            shipment(5, cost="-1"),
        ]
        events.write_text("\n".join(lines))
        assert f"no demo traffic of {TOPIC}" in sluice(checkout, settings, "produce", TOPIC, succeeds=False)
        sluice(checkout, settings, "produce", TOPIC, "--file", str(events))
        sluice(checkout, settings, "run", "live", "--domain", "marketplace", "--available-now")
        refused = sluice(checkout, settings, "quarantine", "show", TOPIC)

    def rows(table: str) -> list[dict[str, object]]:
        return DeltaTable(f"{settings.lake_url}/{table}").to_pyarrow_table().to_pylist()

    marks = {row["event_id"]: row["marks"] for row in rows("silver/marketplace_shipments")}
    assert marks == {"event-1": None, "event-2": ["values_to_be_between: cost (600.0000)"], "event-4": None}
    gold = {
        row["carrier"]: (row["shipments"], str(row["cost"])) for row in rows("gold/marketplace_shipments_by_minute")
    }
    assert gold == {"Pigeon Post": (1, "4.9000"), "Snail Mail": (1, "600.0000")}
    assert "values_to_not_be_in_set: carrier (unknown)" in refused
    assert "below_minimum: cost (-1)" in refused
