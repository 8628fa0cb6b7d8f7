"""Simulate both businesses."""

import random
from collections.abc import Collection, Iterator

from simpy import Environment

from schemas import load_contracts
from stack.demo import marketplace, travel
from stack.demo.disorder import Disorder, Outbox
from stack.demo.incidents import Incidents
from stack.demo.message import Message
from stack.demo.world import World

TOPICS = (*marketplace.TOPICS, *travel.TOPICS)
"""The topics that the simulation has events for."""
SHARES = {"marketplace": 0.7, "travel": 0.3}
"""The share of each domain in all events."""


def simulate(
    *,
    rate: float,
    start: float,
    topics: Collection[str] = TOPICS,
    seed: int | None = None,
    pace: float = 1,
    steady: bool = False,
    disorder: Disorder | None = None,
    incidents: Incidents | None = None,
) -> Iterator[Message]:
    """Endless messages in the order in which they are sent.

    Args:
        rate: events of all topics per second, on average over a week.
        start: when it begins, in seconds since 1970.
        topics: those whose messages are wanted.
        seed: makes everything repeatable; without it, identities never repeat between runs.
        pace: how many times faster than in life orders and trips live.
        steady: whether it is as busy at every hour.
        disorder: how much arrives late, twice or broken.
        incidents: what goes wrong; may be added to while messages are taken.
    """
    chance = random.Random(seed)
    environment = Environment(initial_time=start)
    incidents = incidents or Incidents()
    contracts = {contract.topic: contract for contract in load_contracts() if contract.topic in topics}
    outbox = Outbox(
        environment,
        chance,
        contracts,
        disorder or Disorder(),
        incidents,
        rare=(*marketplace.RARE, *travel.RARE),
    )
    run = f"{chance.getrandbits(32):08x}"
    world = World(environment, chance, outbox, incidents, run=run, pace=pace, steady=steady)
    marketplace.Marketplace(world, rate * SHARES["marketplace"])
    travel.Travel(world, rate * SHARES["travel"])
    while True:
        environment.step()
        yield from outbox.ready
        outbox.ready.clear()
