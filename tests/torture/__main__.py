"""``python -m tests.torture``: hours of it, and the table of what was injected, for docs/reliability.md."""

import random
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from statistics import median
from typing import Annotated

import typer

from tests.stack.pipeline import sluice
from tests.stack.view_truth import VIEW_TRUTH
from tests.torture.run import Injected, torture

RATE = 20
"""Events per second."""


def main(
    hours: Annotated[float, typer.Option(help="How long.")] = 3,
    seed: Annotated[int, typer.Option(help="Draws traffic and faults; a failing one replays.")] = 0,
) -> None:
    """Torture a system of its own, and print what was injected."""
    seed = seed or random.randrange(1, 1_000_000)
    home, end = Path(tempfile.mkdtemp(prefix="sluice-torture-")), time.monotonic() + hours * 3600
    print(f"seed {seed}, in {home}", flush=True)
    with torture(home, seed=seed, rate=RATE) as tortured:
        while time.monotonic() < end:
            one = tortured.step()
            print(f"{len(tortured.injected):4d}  fresh after {one.fresh_after:5.1f} s: {one.fault}", flush=True)
        settings = tortured.end()
        assert sluice(settings, "refresh", *VIEW_TRUTH) == 0
        tortured.check_views()
        assert sluice(settings, "reconcile") == 0
    print(f"\n{table(tortured.injected)}")


def table(injected: list[Injected]) -> str:
    """What was injected, how often, and how long it took, in Markdown."""
    times: dict[str, list[float]] = defaultdict(list)
    for one in injected:
        times[one.fault].append(one.fresh_after)
    rows = [f"| {fault} | {len(of)} | {median(of):.0f} s | {max(of):.0f} s |" for fault, of in sorted(times.items())]
    head = ["| Fault | Times | Fresh again after, median | at most |", "| --- | --- | --- | --- |"]
    return "\n".join([*head, *rows])


if __name__ == "__main__":
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command()(main)
    app()
