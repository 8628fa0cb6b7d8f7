"""A tape of events of both businesses, which ``bench.load`` plays at any rate.

The simulation makes them one by one, in order of their lives, which is too slow for 10,000 a second beside what is
measured. On the tape an event lacks its time and its identity: both are those of the moment when it is played.
"""

import time
from collections.abc import Collection
from itertools import islice
from pathlib import Path

import orjson

from stack.demo import Disorder, simulate

EVENTS = 200_000
PACE = 3_600.0
"""How many times faster than in life orders and trips live: a week in minutes, so that reviews are on the tape too."""
IN_ORDER = Disorder(late=0, too_late=0, duplicated=0, malformed=0)


def record(path: Path, topics: Collection[str], *, rate: float = 1_000, events: int = EVENTS) -> None:
    """Write events of some topics, one a line: topic, key and the JSON that follows time and identity.

    Args:
        path: of the tape.
        topics: some of those that are simulated.
        rate: events of all topics per second of simulated time; how many people and things there are follows from it.
        events: how many; as many go before, until everything is under way.
    """
    start = time.time() - 3 * events / rate
    traffic = simulate(rate=rate, start=start, topics=topics, seed=1, pace=PACE, disorder=IN_ORDER)
    with path.open("wb") as tape:
        for message in islice(traffic, events, 2 * events):
            members = {name: value for name, value in message.event.items() if name not in ("event_time", "event_id")}
            rest = orjson.dumps(members).removeprefix(b"{")
            tape.write(b"\t".join((message.topic.encode(), message.key, rest)) + b"\n")
