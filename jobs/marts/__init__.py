"""Gold: declarations of marts, and pure functions that compute their measures from events."""

from jobs.marts import marketplace
from jobs.marts.mart import Mart, Measure

MARTS: dict[str, tuple[Mart, ...]] = {**marketplace.MARTS}
"""The marts that are computed from each topic's events."""

__all__ = ["MARTS", "Mart", "Measure"]
