"""``python -m bench.late``: how soon late events are in gold, and what they cost those that are on time, in pairs."""

import datetime as dt
import json
import sys
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import unquote

import numpy as np
import pyarrow.parquet as pq
import typer

from bench import commits, environment, machine, report
from bench.__main__ import DOCS, RESULTS
from bench.freshness import Floats, quantiles
from bench.rig import environment_of, fresh, play, running, running_broker, wait_until
from bench.run import COMMANDS, MART, MEASURE, TOPIC, Result
from bench.usage import Usage
from jobs.settings import Settings, settings

SILVER = "silver/marketplace_orders"
LANE = f"late-{TOPIC}/"
"""How the application of the late lane begins, in the log of a table."""


def main(
    pairs: Annotated[int, typer.Option(help="Pairs of runs.")] = 2,
    minutes: Annotated[float, typer.Option(help="Minutes that count, per run.")] = 2,
    rate: Annotated[int, typer.Option(help="Events per second.")] = 10_000,
    late: Annotated[float, typer.Option(help="Share of events that are late.")] = 0.01,
    warmup: Annotated[float, typer.Option(help="Seconds of load before those that count.")] = 180,
) -> None:
    """Measure both, with none late and with some, and write the report."""
    runs: list[Result] = []
    for _ in range(pairs):
        for share in (0.0, late):
            result = _run(share, rate, warmup, 60 * minutes, settings())
            if result["in_gold"] != result["produced"]:
                sys.exit(f"error: {result['produced']} were produced, and {result['in_gold']} are in gold")
            print(json.dumps(result), flush=True)
            runs.append(result)
    found: dict[str, Any] = {
        "rate": rate,
        "minutes": minutes,
        "runs": runs,
        "measured_at": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "machine": machine.describe(),
    }
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / report.LATE).write_text(json.dumps(found) + "\n")
    print(report.write(RESULTS, DOCS))


def _run(late: float, rate: int, warmup: float, seconds: float, at: Settings) -> Result:
    own = fresh(at, "late")
    home, lake = own.home, Path(own.lake_url)
    tables = {name: (lake / name, home / Path(name).name) for name in (SILVER, MART)}
    with ExitStack() as stack:
        stack.enter_context(running_broker(own))
        pipeline = stack.enter_context(running(COMMANDS["sluice"], home / "pipeline.log", environment_of(own)))
        logs = [table / "_delta_log" / f"{0:020}.json" for table, _ in tables.values()]
        wait_until(lambda: all(log.exists() for log in logs), pipeline, seconds=180, what="gold")
        usage = stack.enter_context(Usage(pipeline.pid))
        for table, kept in tables.values():
            stack.enter_context(commits.keeping(table, kept))
        load = play(
            environment.ensure(own.cache),
            TOPIC,
            rate=rate,
            seconds=warmup + seconds,
            log=home / "production.log",
            settings=own,
            pipeline=pipeline,
            late=late,
        )
        end = dt.datetime.now(dt.UTC).timestamp()
        produced, gold = int(load["sent"]), tables[MART][0]
        wait_until(lambda: commits.total(gold, MEASURE) >= produced, pipeline, seconds=120, what="the last event")
    busy, counted = usage.between(end - seconds, end), rate * seconds
    return {
        "late": late,
        "produced": produced,
        "in_gold": commits.total(gold, MEASURE),
        **{kind: quantiles(waits) for kind, waits in _waits(tables, end - seconds, end).items()},
        "cpu_seconds_per_1000_events": round(busy["cpu_seconds"] / counted * 1000, 4),
    }


def _waits(tables: dict[str, tuple[Path, Path]], start: float, end: float) -> dict[str, Floats]:
    """How long events on time, and late ones, took from their arrival in Kafka until gold had them, seconds."""
    visible = {action: at for action, at, _ in _committed(*tables[MART])}
    found: dict[str, list[Floats]] = defaultdict(list)
    for action, _, arrived in _committed(*tables[SILVER]):
        kind = "late_events" if action[0].startswith(LANE) else "events_on_time"
        inside = arrived[(arrived >= start) & (arrived < end)]
        found[kind].append(visible[action] - inside if action in visible else np.full(len(inside), np.inf))
    return {kind: np.concatenate(waits) for kind, waits in found.items()}


def _committed(table: Path, log: Path) -> Iterator[tuple[tuple[str, int], float, Floats]]:
    """Of each commit, the application's name without the table's and its number, when it became visible, and when
    the records of its files arrived."""
    for commit in sorted(log.glob("*.json")):
        actions = [json.loads(line) for line in commit.read_text().splitlines()]
        added = [table / unquote(action["add"]["path"]) for action in actions if "add" in action]
        for written in (action["txn"] for action in actions if "txn" in action):
            name = written["appId"].rpartition("/")[0] + "/"
            yield (name, int(written["version"])), commit.stat().st_mtime, _arrivals(added)


def _arrivals(paths: list[Path]) -> Floats:
    columns = [pq.ParquetFile(path) for path in paths]
    times = [file.read(["timestamp"])["timestamp"] for file in columns if "timestamp" in file.schema_arrow.names]
    return np.concatenate([np.empty(0), *map(commits.epoch, times)])


if __name__ == "__main__":
    typer.run(main)
