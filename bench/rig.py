"""What every run needs: a broker, the pipeline's processes, and a load."""

import json
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from jobs.settings import CHECKOUT, Settings
from schemas import load_contracts
from stack import broker


class BenchError(Exception):
    """A run that gives no figures; the message says why."""


def play(
    python: Path,
    source: str | Path,
    *,
    rate: int,
    seconds: float,
    log: Path,
    settings: Settings,
    pipeline: subprocess.Popen[bytes],
    late: float = 0,
) -> dict[str, float]:
    """Play a load while a pipeline runs; see ``bench.load`` for the arguments and what it returns.

    Raises:
        BenchError: the pipeline or the generator ended.
    """
    script = Path(__file__).with_name("load.py")
    options = [settings.bootstrap_servers, str(source), str(rate), str(seconds), str(log), str(late)]
    command = [str(python), str(script), *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            while process.poll() is None:
                still_running(pipeline)
                time.sleep(1)
        except BenchError:
            process.kill()
            raise
        output = process.communicate()[0]
    if process.returncode:
        raise BenchError(f"the load generator ended with {process.returncode}")
    return dict(json.loads(output.splitlines()[-1]))


def fresh(at: Settings, name: str) -> Settings:
    """The settings of a run with an empty home of its own, ``SLUICE_HOME/bench/<name>``, and a free port for Kafka."""
    home = at.home.absolute() / "bench" / name
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(parents=True)
    places = {"home": home, "cache": at.cache.absolute(), "kafka_port": free_port(), "lake": "", "kafka": ""}
    return at.model_copy(update=places)


@contextmanager
def running_broker(settings: Settings) -> Iterator[subprocess.Popen[bytes]]:
    """A fresh broker with every topic."""
    broker.prepare(settings)
    log = settings.home / "broker.log"
    with running(broker.program(settings).command, log, dict(os.environ)) as process:
        wait_until(lambda: broker.is_ready(settings.bootstrap_servers), process, seconds=60, what="the broker")
        broker.create_topics(settings.bootstrap_servers, [contract.topic for contract in load_contracts()])
        yield process


@contextmanager
def running(command: list[str], log: Path, environment: Mapping[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """A process in a group of its own, all of which ends with it."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=CHECKOUT,
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(60)
    except subprocess.TimeoutExpired:
        process.kill()
    # The JVM is a child in the same group, and may outlive a parent that died.
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def environment_of(settings: Settings) -> dict[str, str]:
    """Variables under which Sluice has these settings."""
    return {
        **os.environ,
        "SLUICE_HOME": str(settings.home),
        "SLUICE_CACHE": str(settings.cache),
        "SLUICE_LAKE": settings.lake_url,
        "SLUICE_KAFKA": settings.bootstrap_servers,
    }


def wait_until(ready: Callable[[], bool], process: subprocess.Popen[bytes], *, seconds: float, what: str) -> None:
    """Wait until something holds, as long as a process lives.

    Raises:
        BenchError: it does not in time, or the process ended.
    """
    deadline = time.monotonic() + seconds
    while not ready():
        still_running(process)
        if time.monotonic() > deadline:
            raise BenchError(f"{what} is not there after {seconds:.0f} s")
        time.sleep(0.5)


def still_running(process: subprocess.Popen[bytes]) -> None:
    """Raise a BenchError when a process has ended."""
    if process.poll() is not None:
        raise BenchError(f"`{Path(str(process.args[0])).name}` ended with {process.returncode}; see its log")  # type: ignore[index]


def free_port() -> int:
    """A port that is free, as the next one is; the broker's controller takes that."""
    while True:
        with socket.create_server(("127.0.0.1", 0)) as first:
            port = int(first.getsockname()[1])
            try:
                socket.create_server(("127.0.0.1", port + 1)).close()
            except OSError:
                continue
        return port
