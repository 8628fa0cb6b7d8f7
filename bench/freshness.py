"""Freshness: the time from an event's event time until a reader of gold sees it."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]
QUANTILES = {"p50": 0.5, "p95": 0.95, "p99": 0.99, "max": 1.0}


@dataclass(frozen=True)
class Production:
    """What was produced: per tick, its event time (epoch seconds, rising) and the number of its events."""

    times: Floats
    counts: Counts

    @property
    def total(self) -> int:
        """Events produced."""
        return int(self.counts.sum())


@dataclass(frozen=True)
class Commits:
    """What gold showed: per version, when it became visible (epoch seconds, rising) and the events in it."""

    times: Floats
    totals: Counts

    @property
    def total(self) -> int:
        """Events in the last version."""
        return int(self.totals[-1]) if len(self.totals) else 0


def read_production(text: str) -> Production:
    """Parse the log of ``bench.load``: lines of epoch milliseconds and a count."""
    numbers = np.array(text.split(), dtype=np.int64).reshape(-1, 2)
    return Production(numbers[:, 0] / 1000, numbers[:, 1])


def latencies(production: Production, commits: Commits) -> tuple[Floats, Floats]:
    """When each event happened and how long it took to be visible.

    The k-th event, in order of event time, is visible from the first version that holds at least k events.

    Returns:
        event times (epoch seconds) and latencies (seconds; infinite for an event that never became visible),
        one per event, both in order of event time.
    """
    event_times = np.repeat(production.times, production.counts)
    most_so_far = np.maximum.accumulate(commits.totals)
    first = np.searchsorted(most_so_far, np.arange(1, len(event_times) + 1))
    visible = np.append(commits.times, np.inf)[first]
    return event_times, visible - event_times


def quantiles(values: Floats) -> dict[str, float | None]:
    """p50, p95, p99 and the maximum, each a value that occurred; None where it is not finite."""
    if not len(values):
        return dict.fromkeys(QUANTILES)
    found = {name: float(np.quantile(values, q, method="inverted_cdf")) for name, q in QUANTILES.items()}
    return {name: round(value, 4) if np.isfinite(value) else None for name, value in found.items()}


def quantiles_by_period(
    event_times: Floats, values: Floats, *, start: float, end: float, seconds: float
) -> list[dict[str, float | None]]:
    """The quantiles of each whole period between two times; ``at`` is its start in s after ``start``."""
    periods = int(round((end - start) / seconds, 6))
    edges = np.searchsorted(event_times, start + seconds * np.arange(periods + 1))
    return [
        {"at": round(index * seconds, 3), **quantiles(values[first:last])}
        for index, (first, last) in enumerate(pairwise(edges))
    ]
