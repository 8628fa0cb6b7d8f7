"""Gold: declarations of marts, snapshots and views, and pure functions that compute their measures from events."""

from collections import defaultdict
from importlib import import_module
from pkgutil import iter_modules
from typing import Any

from jobs.marts.mart import Mart, Measure
from jobs.marts.metric import Metric
from jobs.marts.snapshot import Attribute, Snapshot
from jobs.marts.view import View


def _declared(kind: str) -> dict[str, tuple[Any, ...]]:
    """What the modules of this package declare under a name, by topic or domain."""
    found: dict[str, tuple[Any, ...]] = defaultdict(tuple)
    for module in iter_modules(__path__, f"{__name__}."):
        for topic, declarations in getattr(import_module(module.name), kind, {}).items():
            found[topic] += declarations
    return dict(found)


MARTS: dict[str, tuple[Mart, ...]] = _declared("MARTS")
"""The marts that are computed from each topic's events."""
SNAPSHOTS: dict[str, tuple[Snapshot, ...]] = _declared("SNAPSHOTS")
"""The snapshots that each topic's events keep up to date."""
VIEWS: dict[str, tuple[View, ...]] = _declared("VIEWS")
"""The views of each domain, in an order in which they can be computed."""

__all__ = ["MARTS", "SNAPSHOTS", "VIEWS", "Attribute", "Mart", "Measure", "Metric", "Snapshot", "View"]
