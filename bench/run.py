"""One run: a fresh broker and lake, one pipeline, one rate."""

import datetime as dt
import shutil
import subprocess
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from bench import commits, environment
from bench.freshness import Commits, Production, latencies, quantiles, quantiles_by_period, read_production
from bench.rig import environment_of, fresh, play, running, running_broker, still_running, wait_until
from bench.usage import Usage
from jobs.settings import Settings

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
    own = fresh(settings, plan.name)
    result: Result = {
        "pipeline": plan.pipeline,
        "rate": plan.rate,
        "minutes": plan.minutes,
        "warmup_seconds": plan.warmup,
        "measured_at": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
    }
    try:
        result |= _measure(plan, own)
    except Exception as error:
        result["error"] = f"{type(error).__name__}: {error}".replace(str(own.home), "…")
    finally:
        for directory in ("lake", "kafka", "log", "tmp"):
            shutil.rmtree(own.home / directory, ignore_errors=True)
    return result


def _measure(plan: Plan, own: Settings) -> Result:
    python = environment.ensure(own.cache)
    home = own.home
    table, log, kept = home / "lake" / MART, home / "production.log", home / "log"
    with ExitStack() as stack:
        broker_process = stack.enter_context(running_broker(own))
        pipeline = stack.enter_context(running(COMMANDS[plan.pipeline], home / "pipeline.log", environment_of(own)))
        wait_until(lambda: (table / "_delta_log" / f"{0:020}.json").exists(), pipeline, seconds=180, what="gold")
        usage = stack.enter_context(Usage(pipeline.pid))
        broker_usage = stack.enter_context(Usage(broker_process.pid))
        with commits.keeping(table, kept):
            load = play(python, TOPIC, rate=plan.rate, seconds=plan.seconds, log=log, settings=own, pipeline=pipeline)
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


def _wait_for_all(table: Path, expected: int, pipeline: subprocess.Popen[bytes], *, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        time.sleep(5)  # Looking takes CPU time from what is measured.
        if commits.total(table, MEASURE) >= expected:
            time.sleep(5)  # An event counted twice would still come.
            return True
        still_running(pipeline)
    return False
