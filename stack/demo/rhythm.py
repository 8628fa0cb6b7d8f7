"""How busy a business is, by hour and day."""

import datetime as dt
import math

BUSIEST_HOUR = 20
SWING = 0.65
WEEKEND, WORKDAY = 1.2, 0.92


def rhythm(at: float) -> float:
    """How much busier than on average it is at a moment, UTC; 1 over a whole week."""
    moment = dt.datetime.fromtimestamp(at, dt.UTC)
    hour = moment.hour + moment.minute / 60
    daily = 1 + SWING * math.cos(2 * math.pi * (hour - BUSIEST_HOUR) / 24)
    return daily * (WEEKEND if moment.weekday() >= 5 else WORKDAY)
