"""Definitions that are wrong, and `sluice up`."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from jobs.settings import CHECKOUT, Settings
from stack import supervision
from tests.stack.pipeline import free_port_pair


def test_up_refuses_what_check_refuses_and_starts_nothing(tmp_path: Path) -> None:
    for folder in ("bench", "jobs", "quality", "schemas", "stack", "superset"):
        shutil.copytree(CHECKOUT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    mart = tmp_path / "jobs" / "marts" / "travel.py"
    mart.write_text(mart.read_text().replace('summed("revenue", "amount"', 'summed("revenue", "amuont"'))
    kafka, postgres, mail, superset = (free_port_pair() for _ in range(4))
    ours = Settings(
        home=tmp_path / "home",
        kafka_port=kafka,
        postgres_port=postgres,
        redis_port=postgres + 1,
        mail_port=mail,
        superset_port=superset,
    )
    variables = os.environ | supervision.variables_of(ours) | {"PYTHONPATH": str(tmp_path)}

    finished = subprocess.run(
        [sys.executable, "-m", "jobs.cli", "up"], cwd=tmp_path, env=variables, text=True, capture_output=True
    )

    assert finished.returncode == 1, finished.stdout
    assert "`sluice check` refuses the definitions" in finished.stderr
    assert f"{mart}:" in finished.stderr
    assert "amuont" in finished.stderr
    assert not supervision.is_running(ours)
