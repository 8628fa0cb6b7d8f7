"""``python -m bench.judging``: what judging costs, in pairs of runs with all rules and with none."""

import sys
from typing import Annotated

import typer

from bench import report
from bench.publish import publish
from bench.run import Pipeline, Plan, run
from jobs.settings import settings

WITHOUT_AND_WITH: tuple[Pipeline, Pipeline] = ("unjudged", "sluice")


def main(
    pairs: Annotated[int, typer.Option(help="Pairs of runs.")] = 3,
    minutes: Annotated[float, typer.Option(help="Minutes that count, per run.")] = 2,
    rate: Annotated[int, typer.Option(help="Events per second.")] = 10_000,
    warmup: Annotated[float, typer.Option(help="Seconds of load before those that count.")] = 90,
) -> None:
    """Measure the processor time per event with all rules and with none, and write the report."""
    seconds: dict[str, list[float]] = {pipeline: [] for pipeline in WITHOUT_AND_WITH}
    for _ in range(pairs):
        for pipeline in WITHOUT_AND_WITH:
            result = run(Plan(pipeline, rate, minutes, warmup), settings())
            if "error" in result or result["in_gold"] != result["produced"]:
                sys.exit(f"error: {pipeline}: {result.get('error', 'not every event is in gold')}")
            seconds[pipeline].append(result["usage"]["cpu_seconds_per_1000_events"])
            print(f"{pipeline}: {seconds[pipeline][-1]:.3f} CPU-s per 1,000 events", flush=True)
    publish(report.JUDGING, {"rate": rate, "minutes": minutes, "cpu_seconds_per_1000_events": seconds})


if __name__ == "__main__":
    typer.run(main)
