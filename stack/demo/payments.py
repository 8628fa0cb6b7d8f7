"""Payments of both businesses."""

from collections.abc import Generator
from decimal import Decimal
from typing import Any

from stack.demo.message import Event
from stack.demo.world import World

METHODS = {"card": 55, "wallet": 25, "bank_transfer": 12, "invoice": 8}
FAILURES = {"insufficient_funds": 40, "declined": 35, "fraud_suspected": 10, "expired": 15}
FAILED = 0.05
FAILED_IN_AN_OUTAGE = 0.9
TRIED_AGAIN = 0.6
ATTEMPTS = 3


def pay(world: World, topic: str, subject: Event, amount: Decimal) -> Generator[Any, Any, Event | None]:
    """Pay an amount, in up to three attempts.

    Args:
        world: where it happens.
        topic: takes the payment's events.
        subject: what is paid, and by whom.
        amount: in the currency of the business.

    Returns:
        the fields of the payment that succeeded, or None.
    """
    for _ in range(ATTEMPTS):
        method = world.chance.choices(list(METHODS), list(METHODS.values()))[0]
        payment = {"payment_id": world.identity("payment"), **subject, "method": method, "amount": f"{amount:.2f}"}
        yield world.moment(4)
        reason = _failure(world)
        if reason is None:
            world.emit(topic, "authorized", payment)
            yield world.moment(2)
            world.emit(topic, "captured", payment | {"captured_amount": "0.00"})
            return payment
        world.emit(topic, "failed", payment | {"failure_reason": reason})
        if world.chance.random() >= TRIED_AGAIN:
            break
        yield world.moment(20)
    return None


def give_back(world: World, topic: str, payment: Event, *, event_type: str = "refunded") -> None:
    """Give all of a payment back to the customer, or to the bank."""
    world.emit(topic, event_type, payment | {"captured_amount": payment["amount"]})


def _failure(world: World) -> str | None:
    if world.goes_on("payment_outage") and world.chance.random() < FAILED_IN_AN_OUTAGE:
        return "provider_unavailable"
    if world.chance.random() < FAILED:
        return world.chance.choices(list(FAILURES), list(FAILURES.values()))[0]
    return None
