"""Gold: declarations of marts, and pure functions that compute their measures from events."""

from collections import defaultdict
from importlib import import_module
from pkgutil import iter_modules

from jobs.marts.mart import Mart, Measure


def _declared() -> dict[str, tuple[Mart, ...]]:
    """What the modules of this package declare as ``MARTS``."""
    found: dict[str, tuple[Mart, ...]] = defaultdict(tuple)
    for module in iter_modules(__path__, f"{__name__}."):
        for topic, marts in getattr(import_module(module.name), "MARTS", {}).items():
            found[topic] += marts
    return dict(found)


MARTS: dict[str, tuple[Mart, ...]] = _declared()
"""The marts that are computed from each topic's events."""

__all__ = ["MARTS", "Mart", "Measure"]
