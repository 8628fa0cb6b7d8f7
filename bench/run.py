"""One run: a fresh broker and lake, one pipeline, one rate."""

import datetime as dt
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from bench import commits, environment
from bench.freshness import Commits, Production, latencies, quantiles, quantiles_by_period, read_production
from bench.usage import Usage
from jobs.settings import CHECKOUT, Settings
from schemas import load_contracts
from stack import broker

Pipeline = Literal["textbook", "sluice", "unjudged"]
Result = dict[str, Any]

TOPIC = "marketplace.orders"
MART = "gold/marketplace_sales_by_minute"
MEASURE = "orders"
PERIOD = 5.0
COMMANDS: dict[Pipeline, list[str]] = {
    "textbook": [sys.executable, "-m", "bench.textbook"],
    "unjudged": [sys.executable, "-m", "bench.unjudged"],
    "sluice": [str(Path(sys.executable).with_name("sluice")), "run", "bronze", "live"],
}


class BenchError(Exception):
    """A run that gives no figures; the message says why."""


@dataclass(frozen=True)
class Plan:
    """What to run: ``warmup`` and ``minutes`` of the same load, of which only the latter counts."""

    pipeline: Pipeline
    rate: int
    minutes: float
    warmup: float

    @property
    def name(self) -> str:
        """File name of the result, without its suffix."""
        return f"{self.pipeline}-{self.rate}"

    @property
    def seconds(self) -> float:
        """Duration of the load."""
        return self.warmup + 60 * self.minutes


def run(plan: Plan, settings: Settings) -> Result:
    """Run a pipeline under load and measure it; an error becomes part of the result.

    Files of the run lie in ``SLUICE_HOME/bench/<pipeline>-<rate>``; only its logs stay.
    """
    home = settings.home.absolute() / "bench" / plan.name
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(parents=True)
    result: Result = {
        "pipeline": plan.pipeline,
        "rate": plan.rate,
        "minutes": plan.minutes,
        "warmup_seconds": plan.warmup,
        "measured_at": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
    }
    try:
        result |= _measure(plan, home, settings)
    except Exception as error:
        result["error"] = f"{type(error).__name__}: {error}".replace(str(home), "…")
    finally:
        for directory in ("lake", "kafka", "log", "tmp"):
            shutil.rmtree(home / directory, ignore_errors=True)
    return result


def _measure(plan: Plan, home: Path, settings: Settings) -> Result:
    python = environment.ensure(settings.cache.absolute())
    port = _free_port()
    places = {"home": home, "cache": settings.cache.absolute(), "kafka_port": port, "lake": "", "kafka": ""}
    own = settings.model_copy(update=places)
    table, log, kept = home / "lake" / MART, home / "production.log", home / "log"
    with ExitStack() as stack:
        broker_process = stack.enter_context(_broker(own))
        pipeline = stack.enter_context(_process(COMMANDS[plan.pipeline], home / "pipeline.log", _environment(own)))
        _wait(lambda: (table / "_delta_log" / f"{0:020}.json").exists(), pipeline, seconds=180, what="gold")
        usage = stack.enter_context(Usage(pipeline.pid))
        broker_usage = stack.enter_context(Usage(broker_process.pid))
        with commits.keeping(table, kept):
            load = _load(python, plan, own, log, pipeline)
            production = read_production(log.read_text())
            in_time = _wait_for_all(table, production.total, pipeline, seconds=max(300, plan.seconds))
    start = float(production.times[0]) + plan.warmup
    end = float(production.times[0]) + plan.seconds
    counted = production.total - int(production.counts[production.times < start].sum())
    busy = usage.between(start, end)
    return {
        **_freshness(production, commits.history(table, kept, MEASURE), start, end),
        "produced": production.total,
        "in_gold": commits.total(table, MEASURE),
        "all_in_gold_in_time": in_time,
        "load": {
            "events_per_second": round(counted / (end - start), 1),
            "cores": round(load["cpu_seconds"] / plan.seconds, 3),
            "failed": load["failed"],
        },
        "usage": {**busy, "cpu_seconds_per_1000_events": round(busy["cpu_seconds"] / counted * 1000, 4)},
        "broker": broker_usage.between(start, end),
    }


def _freshness(production: Production, history: Commits, start: float, end: float) -> Result:
    times, seconds = latencies(production, history)
    inside = (times >= start) & (times < end)
    shown = history.totals[(history.times >= start) & (history.times < end)]
    window = {"start": start, "end": end}
    return {
        "freshness": quantiles(seconds[inside]),
        "by_minute": quantiles_by_period(times, seconds, **window, seconds=60),
        "by_period": quantiles_by_period(times, seconds, **window, seconds=PERIOD),
        "gold_events_per_second": round(float(shown[-1] - shown[0]) / (end - start), 1) if len(shown) else 0.0,
        "gold_commits": len(shown),
    }


def _load(
    python: Path, plan: Plan, settings: Settings, log: Path, pipeline: subprocess.Popen[bytes]
) -> dict[str, float]:
    script = Path(__file__).with_name("load.py")
    options = [settings.bootstrap_servers, TOPIC, str(plan.rate), str(plan.seconds), str(log)]
    command = [str(python), str(script), *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            while process.poll() is None:
                _still_running(pipeline)
                time.sleep(1)
        except BenchError:
            process.kill()
            raise
        output = process.communicate()[0]
    if process.returncode:
        raise BenchError(f"the load generator ended with {process.returncode}")
    return dict(json.loads(output.splitlines()[-1]))


def _wait_for_all(table: Path, expected: int, pipeline: subprocess.Popen[bytes], *, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        time.sleep(5)  # Looking takes CPU time from what is measured.
        if commits.total(table, MEASURE) >= expected:
            time.sleep(5)  # An event counted twice would still come.
            return True
        _still_running(pipeline)
    return False


@contextmanager
def _broker(settings: Settings) -> Iterator[subprocess.Popen[bytes]]:
    broker.prepare(settings)
    log = settings.home / "broker.log"
    with _process(broker.program(settings).command, log, dict(os.environ)) as process:
        _wait(lambda: broker.is_ready(settings.bootstrap_servers), process, seconds=60, what="the broker")
        broker.create_topics(settings.bootstrap_servers, [contract.topic for contract in load_contracts()])
        yield process


@contextmanager
def _process(command: list[str], log: Path, environment: Mapping[str, str]) -> Iterator[subprocess.Popen[bytes]]:
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


def _environment(settings: Settings) -> dict[str, str]:
    return {
        **os.environ,
        "SLUICE_HOME": str(settings.home),
        "SLUICE_CACHE": str(settings.cache),
        "SLUICE_LAKE": settings.lake_url,
        "SLUICE_KAFKA": settings.bootstrap_servers,
    }


def _wait(ready: Callable[[], bool], process: subprocess.Popen[bytes], *, seconds: float, what: str) -> None:
    deadline = time.monotonic() + seconds
    while not ready():
        _still_running(process)
        if time.monotonic() > deadline:
            raise BenchError(f"{what} is not there after {seconds:.0f} s")
        time.sleep(0.5)


def _still_running(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is not None:
        raise BenchError(f"`{Path(str(process.args[0])).name}` ended with {process.returncode}; see its log")  # type: ignore[index]


def _free_port() -> int:
    """A port that is free, as the next one is; the broker's controller takes that."""
    while True:
        with socket.create_server(("127.0.0.1", 0)) as first:
            port = int(first.getsockname()[1])
            try:
                socket.create_server(("127.0.0.1", port + 1)).close()
            except OSError:
                continue
        return port
