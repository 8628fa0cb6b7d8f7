"""A broker and the jobs, as processes, without the rest of the system."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Self

import pyarrow as pa
import pyarrow.compute as pc
from deltalake import DeltaTable
from deltalake.exceptions import TableNotFoundError
from typer.testing import CliRunner

from jobs.cli import app
from jobs.engine.upsert import merge
from jobs.marts import Mart
from jobs.settings import CHECKOUT, Settings
from jobs.settings import settings as settings_of_process
from schemas import load_contracts
from stack import broker
from stack.supervision import variables_of

TOPIC = "marketplace.orders"


def eventually(condition: Callable[[], bool], *, what: str, seconds: float) -> None:
    """Wait until a condition holds, and fail when it does not in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds:.0f} s: {what}")
        time.sleep(0.2)


def free_port_pair() -> int:
    """A port that is free together with the next one."""
    while True:
        with socket.socket() as first, socket.socket() as second:
            first.bind(("127.0.0.1", 0))
            port: int = first.getsockname()[1]
            try:
                second.bind(("127.0.0.1", port + 1))
            except OSError:
                continue
            return port


@contextmanager
def running_broker(home: Path, *, partitions: int = 2) -> Iterator[Settings]:
    """Settings of a home with its own broker, which has every topic with so many partitions."""
    with Broker(Settings(home=home, kafka_port=free_port_pair()), partitions) as running:
        yield running.settings


@dataclass
class Broker:
    """The broker of some settings as a process, which has every topic with so many partitions."""

    settings: Settings
    partitions: int = 2
    _process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        broker.prepare(self.settings)
        self.start()
        topics = [contract.topic for contract in load_contracts()]
        broker.create_topics(self.settings.bootstrap_servers, topics, partitions=self.partitions)
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def start(self) -> None:
        """Start, until it answers."""
        with (self.settings.home / "broker.log").open("ab") as log:
            self._process = subprocess.Popen(broker.program(self.settings).command, stdout=log, stderr=log)
        try:
            is_ready = partial(broker.is_ready, self.settings.bootstrap_servers)
            eventually(is_ready, what="broker is ready", seconds=120)
        except BaseException:
            self.kill()
            raise

    def kill(self) -> None:
        """SIGKILL."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def frozen(self) -> AbstractContextManager[None]:
        """It stands still meanwhile."""
        assert self._process is not None
        return standing_still(partial(os.kill, self._process.pid))


@contextmanager
def standing_still(send: Callable[[int], None]) -> Iterator[None]:
    """What takes these signals stands still meanwhile."""
    send(signal.SIGSTOP)
    try:
        yield
    finally:
        send(signal.SIGCONT)


@dataclass
class Jobs:
    """`sluice run bronze live` as a process group of its own; ``live`` of one domain, or of all."""

    settings: Settings
    domain: str | None = None
    environment: dict[str, str] = field(default_factory=dict)
    _process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.is_alive:
            self.kill()

    def start(self, **environment: str) -> None:
        """Start, with further SLUICE_ variables."""
        variables = {
            **os.environ,
            "SLUICE_HOME": str(self.settings.home),
            "SLUICE_CACHE": str(self.settings.cache),
            "SLUICE_KAFKA": self.settings.bootstrap_servers,
            "SLUICE_DRIVER_MEMORY": "2g",
            "PYTHONPATH": str(CHECKOUT),
            **self.environment,
            **environment,
        }
        command = [sys.executable, "-m", "jobs.cli", "run", "bronze", "live"]
        if self.domain:
            command += ["--domain", self.domain]
        with (self.settings.home / "jobs.log").open("ab") as log:
            self._process = subprocess.Popen(
                command,
                env=variables,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def kill(self) -> None:
        """SIGKILL to Python and the JVM at once."""
        assert self._process is not None
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def supervise(self, until: Callable[[], bool], *, what: str, seconds: float) -> None:
        """Start them again whenever they end, as whoever runs them does, until a condition holds."""

        def holds() -> bool:
            if not self.is_alive:
                print(f"the jobs ended:\n{self.log}", flush=True)
                self.start()
            return until()

        eventually(holds, what=what, seconds=seconds)

    def frozen(self) -> AbstractContextManager[None]:
        """Python and the JVM stand still meanwhile."""
        assert self._process is not None
        return standing_still(partial(os.killpg, self._process.pid))

    def stop(self) -> int:
        """SIGTERM, as an operator would; returns the exit code."""
        assert self._process is not None
        self._process.terminate()
        return self._process.wait(timeout=120)

    @property
    def is_alive(self) -> bool:
        """Whether the process has not ended."""
        return self._process is not None and self._process.poll() is None

    @property
    def log(self) -> str:
        """The end of what the jobs have said."""
        return (self.settings.home / "jobs.log").read_text()[-5000:]


@dataclass(frozen=True)
class Lake:
    """Reads tables as any Delta reader would."""

    root: str

    def table(self, name: str, columns: list[str] | None = None) -> pa.Table:
        """Rows of ``<layer>/<name>``."""
        return DeltaTable(f"{self.root}/{name}").to_pyarrow_table(columns=columns)

    def mart(self, mart: Mart) -> pa.Table:
        """What a mart says: one row per window and dimensions, as readers sum them up."""
        rows = DeltaTable(mart.table.url(self.root)).to_pyarrow_table()
        return merge(mart, rows.schema.empty_table(), rows)

    def count(self, name: str) -> int:
        """Number of rows; 0 while there is no table."""
        try:
            actions = pa.table(DeltaTable(f"{self.root}/{name}").get_add_actions(flatten=True))
        except TableNotFoundError:
            return 0
        return pc.sum(actions["num_records"]).as_py() or 0

    def intake(self, column: str) -> int:
        """Sum of a column of ``ops/live_by_minute``; 0 while there is no table."""
        return self.intakes()[column]

    def intakes(self) -> Counter[str]:
        """Sum of each column of ``ops/live_by_minute``, all of the same moment; empty while there is no table."""
        try:
            rows = self.table("ops/live_by_minute")
        except TableNotFoundError:
            return Counter()
        numbers = [field.name for field in rows.schema if pa.types.is_integer(field.type)]
        return Counter({name: pc.sum(rows[name]).as_py() or 0 for name in numbers})

    def batches(self, tables: Sequence[str]) -> dict[str, int | None]:
        """The last batch of the marketplace that each of these tables of ``live`` has."""
        metadata = Path(self.root, "_checkpoints", "live-marketplace", "metadata").read_text()
        query = json.loads(metadata)["id"]
        return {
            name: DeltaTable(f"{self.root}/{name}").transaction_version(f"{query}/{Path(name).name}") for name in tables
        }

    def writers(self, name: str) -> set[str]:
        """What has committed to a table, as far as its log remembers."""
        return {re.split("[/:]", commit["engineInfo"])[0] for commit in DeltaTable(f"{self.root}/{name}").history()}

    def has_taken_in(self, produced: int) -> bool:
        """Whether ``live`` has taken in so many records, and the late lane what came late of them."""
        counts = self.intakes()
        followed = counts["late_accepted"] + counts["late_refused"] + counts["late_duplicates"]
        return counts["input"] >= produced and followed >= counts["late"]

    def wait_for(self, produced: int, jobs: Jobs, *, seconds: float = 480) -> None:
        """Wait until bronze and live have taken in everything that was produced, and the late lane what came late."""

        def done() -> bool:
            assert jobs.is_alive, f"the jobs ended:\n{jobs.log}"
            return self.has_taken_in(produced) and self.count("bronze/events") >= produced

        eventually(done, what=f"{produced} records are taken in", seconds=seconds)

    def wait_for_more(self, jobs: Jobs, *, seconds: float = 480) -> None:
        """Wait until ``live`` has taken in something."""
        before = self.intake("input")

        def done() -> bool:
            assert jobs.is_alive, f"the jobs ended:\n{jobs.log}"
            return self.intake("input") > before

        eventually(done, what="the jobs took in something", seconds=seconds)


def sluice(settings: Settings, *arguments: str) -> int:
    """Run a command; returns its exit code. In this process: a JVM of its own would be cold each time."""
    settings_of_process.cache_clear()
    found = CliRunner().invoke(app, arguments, env=variables_of(settings) | {"SLUICE_DRIVER_MEMORY": "2g"})
    settings_of_process.cache_clear()
    print(found.output)
    if found.exception and not isinstance(found.exception, SystemExit):
        raise found.exception
    return found.exit_code
