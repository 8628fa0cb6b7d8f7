import os
import shutil
import subprocess
import sys
from pathlib import Path

from jobs.settings import CHECKOUT, Settings
from stack import supervision

FOLDERS = ("bench", "jobs", "quality", "schemas", "stack", "superset")


def test_a_wrong_suite_is_told_and_nothing_is_started(tmp_path: Path) -> None:
    for folder in FOLDERS:
        shutil.copytree(CHECKOUT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    suite = tmp_path / "quality" / "silver" / "travel_bookings.yaml"
    suite.write_text(suite.read_text().replace("severity: critical", "severity: grave", 1))
    ours = Settings(home=tmp_path / "home")

    try:
        finished = subprocess.run(
            [sys.executable, "-m", "jobs.cli", "up"],
            cwd=tmp_path,
            env=os.environ | supervision.variables_of(ours) | {"PYTHONPATH": str(tmp_path)},
            text=True,
            capture_output=True,
        )
        is_started = supervision.is_running(ours)
    finally:
        if supervision.is_running(ours):
            supervision.shut_down(ours)

    assert finished.returncode == 1
    assert f"{suite}:" in finished.stderr
    assert "grave" in finished.stderr
    assert not is_started
