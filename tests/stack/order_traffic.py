"""Orders alone, at any rate from the first second on: late ones are dated back, so that they need not be waited for."""

import datetime as dt
import heapq
import itertools
import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import orjson

from stack.demo.people import COUNTRIES
from stack.demo.shop import CATEGORIES

CHANNELS = ("web", "app", "partner")
VENDORS = tuple(f"vendor-{number:02}" for number in range(1, 41))

STEPS = {
    "placed": (("paid", 0.96, 3.0), ("cancelled", 0.04, 20.0)),
    "paid": (("shipped", 0.97, 25.0), ("cancelled", 0.03, 30.0)),
    "shipped": (("delivered", 1.0, 60.0),),
    "delivered": (("returned", 0.06, 90.0),),
}
"""What may follow a step: the next step, its probability, and the mean of the time until then in seconds."""
EVENTS_PER_ORDER = 3.9

DUPLICATED, LATE, TOO_LATE, MALFORMED = 0.01, 0.02, 0.001, 0.003
"""Share of events that are sent twice, up to two minutes late, beyond the watermark, and broken."""


@dataclass(frozen=True)
class Message:
    """A Kafka message, and the moment when it is sent."""

    at: float
    key: bytes
    value: bytes


def order_messages(*, rate: float, start: float, seed: int | None = None) -> Iterator[Message]:
    """Endless order messages in the order in which they are sent, about ``rate`` a second.

    Args:
        rate: events per second.
        start: when the first order is placed, in seconds since 1970.
        seed: makes the traffic repeatable; without it, identities of events never repeat between runs.
    """
    chance = random.Random(seed)
    ties = itertools.count()
    run = f"{chance.getrandbits(32):08x}"
    agenda: list[tuple[float, int, str, dict[str, Any]]] = []
    next_order, placed = start, 0
    while True:
        if agenda and agenda[0][0] <= next_order:
            at, _, step, order = heapq.heappop(agenda)
        else:
            at, step, order = next_order, "placed", _order(chance, f"{run}-{placed}")
            placed += 1
            next_order += chance.expovariate(rate / EVENTS_PER_ORDER)
        dice = chance.random()
        for following, probability, mean in STEPS.get(step, ()):
            dice -= probability
            if dice < 0:
                heapq.heappush(agenda, (at + chance.expovariate(1 / mean), next(ties), following, order))
                break
        yield from _disordered(chance, at, step, order)


def _order(chance: random.Random, number: str) -> dict[str, Any]:
    vendor = VENDORS[_popular(chance, len(VENDORS))]
    # Each vendor sells in three categories.
    first = VENDORS.index(vendor) * 5
    shelf = [list(CATEGORIES)[(first + offset) % len(CATEGORIES)] for offset in (0, 3, 7)]
    order = {
        "order_id": f"order-{number}",
        "customer_id": f"customer-{_popular(chance, 20_000):05}",
        "vendor_id": vendor,
        "country": COUNTRIES[_popular(chance, len(COUNTRIES))],
        "channel": chance.choices(CHANNELS, (55, 35, 10))[0],
        "lines": [_line(chance, chance.choice(shelf)) for _ in range(chance.choices((1, 2, 3), (70, 22, 8))[0])],
    }
    if chance.random() < 0.08:
        del order["customer_id"]
    return order


def _line(chance: random.Random, category: str) -> dict[str, Any]:
    price = CATEGORIES[category] * chance.lognormvariate(0, 0.5)
    return {
        "product_id": f"{category.lower()}-{_popular(chance, 300):03}",
        "category": category,
        "quantity": chance.choices((1, 2, 3, 5), (75, 15, 7, 3))[0],
        "unit_price": f"{price:.2f}",
    }


def _popular(chance: random.Random, count: int) -> int:
    """A number below ``count``, small ones far more often, as with the popularity of goods."""
    return int(count ** chance.random()) - 1


def _disordered(chance: random.Random, at: float, step: str, order: dict[str, Any]) -> Iterator[Message]:
    dice = chance.random()
    event_time = at
    if dice < TOO_LATE:
        event_time -= 3600
    elif dice < TOO_LATE + LATE:
        event_time -= chance.uniform(1, 120)
    event = {
        "event_id": f"{order['order_id']}-{step}",
        "event_type": step,
        "event_time": dt.datetime.fromtimestamp(event_time, dt.UTC).isoformat(timespec="milliseconds"),
        **order,
    }
    if chance.random() < MALFORMED:
        event = _broken(chance, event)
    key, value = order["order_id"].encode(), orjson.dumps(event)
    if chance.random() < MALFORMED / 3:
        value = value[: chance.randrange(1, len(value))]
    yield Message(at, key, value)
    if chance.random() < DUPLICATED:
        yield Message(at, key, value)


def _broken(chance: random.Random, event: dict[str, Any]) -> dict[str, Any]:
    first, *others = event["lines"]
    changes: tuple[dict[str, Any], ...] = (
        {"event_type": "teleported"},
        {"vendor_id": None},
        {"event_time": "yesterday"},
        {"lines": [{**first, "quantity": -1}, *others]},
        {"lines": [{**first, "unit_price": "free"}, *others]},
    )
    return {**event, **chance.choice(changes)}
