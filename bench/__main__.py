"""``python -m bench``: measure both pipelines and write ``docs/benchmarks.md``."""

import json
import sys
from pathlib import Path
from typing import Annotated, cast

import psutil
import typer

from bench import machine, report
from bench.publish import DOCS, RESULTS
from bench.run import COMMANDS, Pipeline, Plan, Result, run
from jobs.settings import settings

BUSY_CORES = 0.2


def main(
    minutes: Annotated[float, typer.Option(help="Minutes that count, per run.")] = 10,
    rates: Annotated[str, typer.Option(help="Events per second, comma-separated.")] = "1000,10000",
    pipelines: Annotated[str, typer.Option(help="Comma-separated.")] = "textbook,sluice",
    warmup: Annotated[float, typer.Option(help="Seconds of load before those that count.")] = 120,
    output: Annotated[
        Path | None,
        typer.Option(help="Directory for the results and the report; default bench/results and docs."),
    ] = None,
) -> None:
    """Measure how fresh gold is, for each pipeline at each rate, and write the report.

    A run replaces the earlier result of the same pipeline and rate; the report shows all that there are.
    """
    plans = _plans(rates.split(","), pipelines.split(","), minutes, warmup)
    results, docs = (output, output) if output else (RESULTS, DOCS)
    results.mkdir(parents=True, exist_ok=True)
    _warn_if_busy()
    failed = 0
    for plan in plans:
        print(f"{plan.name}: {plan.seconds / 60:.1f} minutes of load", flush=True)
        result = run(plan, settings()) | {"machine": machine.describe()}
        failed += "error" in result
        (results / f"{plan.name}.json").write_text(dump(result))
        print(f"{plan.name}: {result.get('error') or result['freshness']}", flush=True)
        page = report.write(results, docs)
    print(page)
    sys.exit(1 if failed else 0)


def dump(result: Result) -> str:
    """A result as JSON with one line per period, to keep the file short."""
    periods = {name: result[name] for name in ("by_minute", "by_period") if name in result}
    rest = json.dumps({name: value for name, value in result.items() if name not in periods}, indent=1)
    for name, rows in periods.items():
        lines = ",\n".join(f"  {json.dumps(row)}" for row in rows)
        rest = rest.removesuffix("\n}") + f',\n "{name}": [\n{lines}\n ]\n}}'
    return rest + "\n"


def _warn_if_busy() -> None:
    busy = psutil.cpu_percent(interval=3) / 100 * (psutil.cpu_count() or 1)
    if busy > BUSY_CORES:
        print(f"warning: other processes take {busy:.1f} cores; the figures will show it", file=sys.stderr)


def _plans(rates: list[str], pipelines: list[str], minutes: float, warmup: float) -> list[Plan]:
    if unknown := [name for name in pipelines if name not in COMMANDS]:
        raise typer.BadParameter(f"unknown pipeline {', '.join(unknown)}; there are {', '.join(COMMANDS)}")
    return [Plan(cast(Pipeline, pipeline), int(rate), minutes, warmup) for rate in rates for pipeline in pipelines]


if __name__ == "__main__":
    typer.run(main)
