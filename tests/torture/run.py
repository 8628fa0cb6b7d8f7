"""Cycles of a fault, the time until figures are fresh again, and the comparison of every cell with the truth."""

import random
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from jobs.settings import Settings
from tests.stack.pipeline import Broker, Jobs, eventually, free_port_pair
from tests.stack.whole_truth import Truth, short
from tests.torture.disk import disk
from tests.torture.nemesis import FAULTS, Fault, disk_full
from tests.torture.world import LIVE, LONGEST, Traffic, World

FRESH = 5.0
"""Seconds: figures are fresh when they have all that came earlier than this."""


@dataclass(frozen=True)
class Injected:
    """A fault that was done."""

    fault: str
    fresh_after: float
    """Seconds from its beginning until figures were fresh again."""


class Torture:
    """Both businesses' traffic, and faults; 2 partitions per topic at the beginning."""

    def __init__(self, world: World, chance: random.Random, faults: Sequence[Fault] = FAULTS) -> None:
        self.injected: list[Injected] = []
        self._world = world
        self._chance = chance
        self._faults = faults
        self._next: list[Fault] = []
        self.truth = Truth()
        self._entered = 0

    def step(self) -> Injected:
        """Do the next fault, wait until figures are fresh, and hold every table against the truth.

        Raises:
            AssertionError: a table is not as it must be, or figures did not become fresh.
        """
        # Each once before one comes again.
        self._next = self._next or self._chance.sample(self._faults, len(self._faults))
        fault, world = self._next.pop(), self._world
        began = time.monotonic()
        fault(world, self._chance)
        self._wait_until_fresh()
        injected = Injected(fault.__doc__ or "", time.monotonic() - began)
        self.injected.append(injected)
        self.check()
        return injected

    def check(self) -> None:
        """Hold every table against the truth.

        Raises:
            AssertionError: one is not as it must be.
        """
        with self._world.at_rest():
            self._compare()

    def end(self) -> Settings:
        """Compare once more and stop the jobs, so that what the tables have stays as it is.

        Raises:
            AssertionError: a table is not as it must be.
        """
        with self._world.at_rest():
            self._compare()
            assert self._world.jobs.stop() == 0, self._world.jobs.log
        return self._world.settings

    def check_views(self) -> None:
        """Hold the views, which have just been computed, against the truth.

        Raises:
            AssertionError: one is not as it must be.
        """
        found = self.truth.views(self._world.lake)
        assert not found, short(found)

    def _compare(self) -> None:
        self._enter()
        found = self.truth.differences(self._world.lake)
        bronze = self._world.lake.table("bronze/events", ["topic", "partition", "offset", "timestamp"])
        places = set(zip(*(bronze[name].to_pylist() for name in bronze.column_names), strict=True))
        if not len(places) == bronze.num_rows == self._world.in_bronze():
            found.append(f"bronze/events: {bronze.num_rows} rows of {len(places)}, not {self._world.in_bronze()}")
        assert not found, short(found)

    def _enter(self) -> None:
        lost = {query: self._world.lost(query) for query in LIVE}
        new, self._entered = self._world.traffic.sent[self._entered :], len(self._world.traffic.sent)
        # In the order in which each partition has them; events with the same key are in the same.
        for sent in sorted(new, key=lambda sent: (sent.arrived, sent.offset)):
            if not any(self._world.is_lost(spans, sent) for spans in lost.values()):
                self.truth.enter(sent.message, sent.arrived)

    def _wait_until_fresh(self) -> None:
        came: list[tuple[float, int]] = []
        # Tables that have no more than this say nothing of how fresh figures are.
        before = self._world.traffic.taken

        def is_fresh() -> bool:
            now = time.monotonic()
            came.append((now, self._world.traffic.taken))
            earlier = [count for at, count in came if at <= now - FRESH]
            return bool(earlier) and earlier[-1] > before and self._world.is_taken_in(earlier[-1])

        eventually(is_fresh, what="figures are fresh again", seconds=LONGEST)


@contextmanager
def torture(home: Path, *, seed: int, rate: float, faults: Sequence[Fault] = FAULTS) -> Iterator[Torture]:
    """A world of its own under traffic, of so many events per second, in which everything has been compared once."""
    settings = Settings(home=home, kafka_port=free_port_pair())
    with ExitStack() as held:
        lake = held.enter_context(disk(Path(settings.lake_url)))
        running = held.enter_context(Broker(settings))
        jobs = held.enter_context(Jobs(settings))
        traffic = Traffic(settings, rate=rate, seed=seed)
        traffic.start()
        held.callback(traffic.stop)
        jobs.start()
        if lake is None:
            print("No disk can be mounted here: it is not made full.", flush=True)
        possible = [fault for fault in faults if lake or fault is not disk_full]
        tortured = Torture(World(settings, running, jobs, traffic, lake), random.Random(seed), possible)
        tortured.check()
        yield tortured
