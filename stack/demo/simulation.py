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

SHARES = {
    "marketplace.clickstream": 0.533,
    "marketplace.orders": 0.071,
    "marketplace.inventory": 0.046,
    "marketplace.payments": 0.038,
    "marketplace.customers": 0.019,
    "marketplace.reviews": 0.003,
    "marketplace.vendors": 0.0003,
    "travel.searches": 0.235,
    "travel.bookings": 0.027,
    "travel.payments": 0.018,
    "travel.customers": 0.010,
}
"""The share of each topic in all events, measured where orders and trips live sixty times faster than in life."""
TOPICS = tuple(SHARES)
"""The topics that the simulation has events for."""
OF_MARKETPLACE = 0.7
"""The share of the marketplace in all events; the rest are of the travel business."""


def simulate(
    *,
    rate: float,
    start: float,
    topics: Collection[str] = TOPICS,
    seed: int | None = None,
    pace: float = 1,
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
        disorder: how much arrives late, twice or broken.
        incidents: what goes wrong; may be added to while messages are taken.
    """
    chance = random.Random(seed)
    environment = Environment(initial_time=start)
    incidents = incidents or Incidents()
    contracts = {contract.topic: contract for contract in load_contracts() if contract.topic in topics}
    outbox = Outbox(environment, chance, contracts, disorder or Disorder(), incidents)
    run = f"{chance.getrandbits(32):08x}"
    world = World(environment, chance, outbox, incidents, run=run, pace=pace)
    marketplace.Marketplace(world, rate * OF_MARKETPLACE)
    travel.Travel(world, rate * (1 - OF_MARKETPLACE))
    while True:
        environment.step()
        yield from outbox.ready
        outbox.ready.clear()
