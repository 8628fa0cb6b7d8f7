"""``python -m bench.late``: how soon late events are in gold, and what they cost those that are on time, in pairs."""

import datetime as dt
import json
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from bench import commits, environment, report
from bench.freshness import Floats, quantiles
from bench.publish import publish
from bench.rig import environment_of, fresh, play, running, running_broker, wait_until
from bench.run import COMMANDS, MART, MEASURE, TOPIC, Result
from bench.usage import Usage
from jobs.settings import Settings, settings

SILVER = "silver/marketplace_orders"


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
    publish(report.LATE, {"rate": rate, "minutes": minutes, "runs": runs})


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
    waits = {"events_on_time": _waits(tables, end - seconds, end, late=False)}
    if late:
        waits["late_events"] = _waits(tables, end - seconds, end, late=True)
    return {
        "late": late,
        "produced": produced,
        "in_gold": commits.total(gold, MEASURE),
        **{kind: quantiles(seconds) for kind, seconds in waits.items()},
        "cpu_seconds_per_1000_events": round(busy["cpu_seconds"] / counted * 1000, 4),
    }


def _waits(tables: dict[str, tuple[Path, Path]], start: float, end: float, *, late: bool) -> Floats:
    """How long events took from their arrival in Kafka until gold had them, seconds."""
    arrived = commits.added(*tables[SILVER], commits.ARRIVED, late=late)
    return commits.waits(arrived, commits.batches(tables[MART][1]), start=start, end=end)


if __name__ == "__main__":
    typer.run(main)
