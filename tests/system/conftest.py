"""The whole system, as `sluice up` starts it."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from jobs.settings import CHECKOUT, Settings
from jobs.tables import views as all_views
from stack import credentials, dashboard, supervision
from stack.supervision import Process
from tests.stack.pipeline import Lake, eventually, free_port_pair


@dataclass(frozen=True)
class System:
    """A running installation with a SLUICE_HOME and ports of its own."""

    settings: Settings

    def sluice(self, *arguments: str) -> str:
        """Run the command line against this installation; returns its output, fails unless it ends with 0."""
        command = [sys.executable, "-m", "jobs.cli", *arguments]
        finished = subprocess.run(
            command,
            cwd=CHECKOUT,
            env=self.environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        assert finished.returncode == 0, f"`sluice {' '.join(arguments)}` failed:\n{finished.stdout}"
        return finished.stdout

    @property
    def environment(self) -> dict[str, str]:
        """Variables under which every command means this installation."""
        return {**os.environ, "PYTHONPATH": str(CHECKOUT), **supervision.variables_of(self.settings)}

    @property
    def credentials(self) -> dict[str, Any]:
        """The content of `credentials.json`."""
        return credentials.read(self.settings)

    @property
    def lake(self) -> Lake:
        """Its tables."""
        return Lake(self.settings.lake_url)

    def process(self, name: str) -> Process:
        """What supervision knows of one program."""
        return next(process for process in supervision.observe(self.settings) if process.name == name)

    def kill(self, name: str) -> None:
        """SIGKILL one program, and wait until it runs again."""
        before = self.process(name)
        assert before.pid
        os.kill(before.pid, signal.SIGKILL)

        def runs_again() -> bool:
            now = self.process(name)
            return now.state == "RUNNING" and now.pid != before.pid

        eventually(runs_again, what=f"{name} runs again", seconds=60)


@pytest.fixture(scope="session")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """The whole system with demo traffic; environments and jars come from the shared cache."""
    kafka, postgres, mail, superset, portal = (free_port_pair() for _ in range(5))
    started = System(
        Settings(
            home=tmp_path_factory.mktemp("system"),
            lake="",
            kafka="",
            kafka_port=kafka,
            postgres_port=postgres,
            redis_port=postgres + 1,
            mail_port=mail,
            superset_port=superset,
            portals=f"http://127.0.0.1:{portal}",
            demo_rate=50,
            # So long that the vendor who sells most has been rated.
            demo_history=3600,
            driver_memory="2g",
        )
    )
    try:
        started.sluice("up")
        yield started
    finally:
        if supervision.is_running(started.settings):
            started.sluice("down")


@pytest.fixture(scope="session")
def views(system: System) -> None:
    """The system's views have rows, some minutes after it started."""
    lake, shown = system.lake, [view.name for view in all_views() if view.layer == "gold"]
    eventually(lambda: all(lake.count(f"gold/{name}") > 0 for name in shown), what="views are computed", seconds=900)
    # Superset keeps its answers for two minutes, those without rows too.
    with dashboard.session(system.settings) as session:

        def is_growth_shown() -> bool:
            return "Growth" not in dashboard.empty_charts(system.settings, session, "executive-overview")

        eventually(is_growth_shown, what="growth is shown", seconds=240)
