"""What every process of the simulation shares."""

import datetime as dt
import random
from collections import Counter
from collections.abc import Callable, Generator
from typing import Any

from simpy import Environment, Timeout

from stack.demo.disorder import Outbox
from stack.demo.incidents import Incidents, Kind
from stack.demo.message import Event
from stack.demo.rhythm import rhythm

Process = Generator[Any, Any, None]
"""What happens one after the other, as the simulation's clock goes on."""

SPIKE = 5
HOUR = 3600.0
DAY = 24 * HOUR


class World:
    """The clock, chance, and the way of events to Kafka.

    Args:
        environment: its clock is in seconds since 1970.
        chance: all randomness.
        outbox: takes the events.
        incidents: what goes on.
        run: part of every identity, so that two runs never share one.
        pace: how many times faster than in life orders and trips live; visits do not.
    """

    def __init__(
        self,
        environment: Environment,
        chance: random.Random,
        outbox: Outbox,
        incidents: Incidents,
        *,
        run: str,
        pace: float,
    ) -> None:
        self.chance = chance
        self._run = run
        self._environment = environment
        self._outbox = outbox
        self._incidents = incidents
        self._pace = pace
        self._counts: Counter[str] = Counter()

    @property
    def now(self) -> float:
        """Seconds since 1970."""
        return float(self._environment.now)

    def goes_on(self, incident: Kind) -> bool:
        """Whether an incident of a kind goes on now."""
        return self._incidents.now(incident, self.now) is not None

    def identity(self, kind: str) -> str:
        """A new identity, such as ``order-0f3a-17``."""
        self._counts[kind] += 1
        return f"{kind}-{self._run}-{self._counts[kind]}"

    def emit(self, topic: str, event_type: str, fields: Event) -> None:
        """Let an event happen now; fields without a value are left out."""
        event = {
            "event_id": self.identity(topic),
            "event_type": event_type,
            "event_time": timestamp(self.now),
        }
        event.update((name, value) for name, value in fields.items() if value is not None)
        self._outbox.put(topic, event)

    def begin(self, process: Process) -> None:
        """Let something happen beside everything else."""
        self._environment.process(process)

    def moment(self, mean: float) -> Timeout:
        """Some seconds of a visit."""
        return self._environment.timeout(self.chance.expovariate(1 / mean))

    def some_time(self, mean: float) -> Timeout:
        """Some seconds of the life of an order or a trip."""
        return self._environment.timeout(self.lasts(self.chance.expovariate(1 / mean)))

    def lasts(self, seconds: float) -> float:
        """How long seconds of the life of an order or a trip last here."""
        return seconds / self._pace

    def visitors(self, rate: float, visit: Callable[[], Process]) -> Process:
        """Visits for ever, ``rate`` a second on average."""
        while True:
            busy = rhythm(self.now)
            if self.goes_on("traffic_spike"):
                busy *= SPIKE
            yield self.moment(1 / (rate * busy))
            self.begin(visit())


def timestamp(at: float) -> str:
    """A moment in seconds since 1970 as events have it."""
    return dt.datetime.fromtimestamp(at, dt.UTC).isoformat(timespec="milliseconds")
