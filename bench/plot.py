"""The plot of the report: freshness over the minutes of each run."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

Result = Mapping[str, Any]

TITLES = {"textbook": "Textbook", "sluice": "Sluice"}
# Mid-tones and a clear background, so that the plot is readable on white and on black.
COLOURS = {"textbook": "#d9822b", "sluice": "#2b95d6"}
INK = "#808890"


def plot(results: Iterable[Result], path: Path) -> None:
    """Draw freshness over time: a panel per rate, the median and the span to p99 per pipeline."""
    by_rate: dict[int, list[Result]] = {}
    for result in results:
        by_rate.setdefault(result["rate"], []).append(result)
    mpl.rcParams["svg.fonttype"] = "none"
    mpl.rcParams["svg.hashsalt"] = "sluice"
    figure, panels = plt.subplots(
        1, len(by_rate), figsize=(4.5 * len(by_rate), 3.2), sharey=True, squeeze=False, layout="constrained"
    )
    for panel, (rate, group) in zip(panels[0], sorted(by_rate.items()), strict=True):
        for result in group:
            _line(panel, result)
        _dress(panel, f"{rate:,} events/s")
    panels[0][0].set_ylabel("event time to gold (s)", color=INK)
    panels[0][-1].legend(frameon=False, labelcolor=INK, fontsize=9)
    figure.savefig(path, transparent=True, metadata={"Date": None})
    plt.close(figure)


def _line(panel: Axes, result: Result) -> None:
    periods = [period for period in result["by_period"] if period["p99"] is not None]
    minutes = [period["at"] / 60 for period in periods]
    middle, high = ([period[name] for period in periods] for name in ("p50", "p99"))
    colour = COLOURS[result["pipeline"]]
    panel.plot(minutes, middle, color=colour, linewidth=1.5, label=f"{TITLES[result['pipeline']]}, p50 to p99")
    panel.fill_between(minutes, middle, high, color=colour, alpha=0.3, linewidth=0)


def _dress(panel: Axes, title: str) -> None:
    panel.set_title(title, color=INK, fontsize=10)
    panel.set_xlabel("minute of the run", color=INK)
    panel.set_yscale("log")
    panel.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    panel.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    panel.yaxis.set_minor_locator(NullLocator())
    panel.tick_params(which="both", colors=INK, labelsize=8)
    panel.grid(which="major", color=INK, alpha=0.25, linewidth=0.5)
    for side in panel.spines.values():
        side.set_visible(False)
