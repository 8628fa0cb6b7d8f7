"""``python -m bench.together``: how fresh every mart is while events of all topics come, and what a mart costs."""

import sys
from collections.abc import Collection
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Annotated, Any

import typer

from bench import commits, environment, report, topics
from bench.freshness import quantiles, read_production
from bench.one_mart import FIRST
from bench.publish import publish
from bench.rig import fresh, play
from bench.run import COMMANDS
from bench.usage import Usage
from jobs.engine.measures import Gold
from jobs.engine.table import Table
from jobs.entity import silver_table
from jobs.marts import MARTS, SNAPSHOTS
from jobs.settings import Settings, settings
from schemas import Contract, load_contracts

Result = dict[str, Any]


@dataclass(frozen=True)
class Plan:
    """A load of the topics of some domains; ``command`` is the pipeline, with the marts that it keeps."""

    name: str
    domains: tuple[str, ...]
    rate: int
    command: list[str]


PLANS = (
    Plan("both", ("marketplace", "travel"), 1_000, COMMANDS["sluice"]),
    Plan(report.ONE_MART, ("marketplace", "travel"), 1_000, [sys.executable, "-m", "bench.one_mart"]),
    Plan("marketplace", ("marketplace",), 10_000, [*COMMANDS["sluice"], "--domain", "marketplace"]),
)


def main(
    minutes: Annotated[float, typer.Option(help="Minutes that count, per run.")] = 5,
    warmup: Annotated[float, typer.Option(help="Seconds of load before those that count.")] = 120,
    only: Annotated[str | None, typer.Option(help="Names of the runs wanted, comma-separated; default: all.")] = None,
) -> None:
    """Measure the freshness of every mart under a load of all topics, and write the report."""
    names = [plan.name for plan in PLANS]
    wanted = only.split(",") if only else names
    if unknown := set(wanted) - set(names):
        raise typer.BadParameter(f"there is no run {', '.join(sorted(unknown))}; there are {', '.join(names)}")
    for plan in [plan for plan in PLANS if plan.name in wanted]:
        found = measure(plan, minutes, warmup, settings())
        publish(f"{report.TOGETHER}.{plan.name.replace(' ', '_')}.json", found)
        worst = max(found["marts"].values(), key=lambda mart: mart["p99"] or float("inf"))
        print(f"{plan.name}, {plan.rate}/s: slowest mart {worst}; {found['usage']}", flush=True)


def measure(plan: Plan, minutes: float, warmup: float, at: Settings) -> Result:
    """Run a pipeline under a load of many topics.

    Raises:
        BenchError: a process ended, or an event is missing.
    """
    own = fresh(at, "together")
    python, home = environment.ensure(own.cache), own.home
    contracts = [contract for contract in load_contracts() if contract.domain in plan.domains]
    log, seconds = home / "production.log", warmup + 60 * minutes
    with ExitStack() as stack:
        pipeline = stack.enter_context(topics.reading(contracts, plan.command, own))
        usage = stack.enter_context(Usage(pipeline.pid))
        for table in chain.from_iterable(_tables(contract) for contract in contracts):
            stack.enter_context(commits.keeping(topics.path(table, own), home / table.name))
        events = home / topics.TAPE
        load = play(python, events, rate=plan.rate, seconds=seconds, log=log, settings=own, pipeline=pipeline)
        production = read_production(log.read_text())
        found = topics.wait_for_all(contracts, production.total, pipeline, own)
    start = float(production.times[0]) + warmup
    end = float(production.times[0]) + seconds
    busy = usage.between(start, end)
    return {
        "plan": plan.name,
        "rate": plan.rate,
        "minutes": minutes,
        "produced": production.total,
        "in_silver": found,
        "load": {"cores": round(load["cpu_seconds"] / seconds, 3), "failed": load["failed"]},
        "usage": busy
        | {"cpu_seconds_per_1000_events": round(busy["cpu_seconds"] / (plan.rate * (end - start)) * 1000, 4)},
        "gold": sum(len(_golds(contract)) for contract in contracts),
        "first_only": sum(len(FIRST.get(contract.topic, ())) for contract in contracts),
        "marts": dict(chain.from_iterable(_freshness(contract, home, own, start, end) for contract in contracts)),
    }


def _freshness(
    contract: Contract, home: Path, own: Settings, start: float, end: float
) -> Collection[tuple[str, dict[str, float | None]]]:
    """How long events took until a mart had their batch, for each mart of a topic that has commits."""
    silver = silver_table(contract)
    batches = commits.added(topics.path(silver, own), home / silver.name, contract.event_time)
    found = []
    for gold in _golds(contract):
        seconds = commits.waits(batches, commits.batches(home / gold.table.name), start=start, end=end)
        if len(seconds):
            found.append((gold.name, {"events": len(seconds), **quantiles(seconds)}))
    return found


def _golds(contract: Contract) -> list[Gold]:
    return [*MARTS.get(contract.topic, ()), *SNAPSHOTS.get(contract.topic, ())]


def _tables(contract: Contract) -> list[Table]:
    return [silver_table(contract), *(gold.table for gold in _golds(contract))]


if __name__ == "__main__":
    typer.run(main)
