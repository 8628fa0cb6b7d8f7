"""What gold must hold, computed from events in plain Python, by the letter of each mart's description."""

import datetime as dt
from collections.abc import Callable, Iterable, Iterator
from decimal import Decimal
from typing import Any

from stack.demo.message import Event

Key = tuple[Any, ...]
Cell = dict[str, Any]
Contribution = tuple[Key, Cell]
"""What one event adds to the cell of a key; a set holds the candidates for a minimum or maximum."""


def cells(contributions: Iterable[Contribution]) -> dict[Key, Cell]:
    """All contributions, summed by key."""
    found: dict[Key, Cell] = {}
    for key, cell in contributions:
        add(found, key, cell)
    return found


def add(found: dict[Key, Cell], key: Key, cell: Cell) -> None:
    """Add a contribution to the cells."""
    whole = found.setdefault(key, {})
    for name, value in cell.items():
        if name not in whole:
            whole[name] = value
        else:
            whole[name] = whole[name] | value if isinstance(value, set) else whole[name] + value


def time(event: Event, name: str = "event_time") -> dt.datetime:
    return dt.datetime.fromisoformat(event[name])


def second(event: Event) -> dt.datetime:
    return time(event).replace(microsecond=0)


def five_seconds(event: Event) -> dt.datetime:
    return second(event).replace(second=second(event).second // 5 * 5)


def minute(event: Event) -> dt.datetime:
    return second(event).replace(second=0)


def day(event: Event) -> dt.datetime:
    return minute(event).replace(hour=0, minute=0)


def worth(lines: Iterable[Event]) -> tuple[int, Decimal, Decimal]:
    """Units, value and discount of order lines."""
    units, value, discount = 0, Decimal(0), Decimal(0)
    for line in lines:
        units += line["quantity"]
        value += line["quantity"] * Decimal(line["unit_price"])
        discount += Decimal(line.get("discount", 0))
    return units, value, discount


def sold(event_type: str, lines: Iterable[Event]) -> Cell:
    """What an order's lines add to sales."""
    units, value, discount = worth(lines)
    match event_type:
        case "placed":
            return {"orders": 1, "units": units, "gross": value, "discount": discount, "net": value - discount}
        case "cancelled":
            return {"cancelled": 1}
        case "returned":
            return {"returned": 1, "refunds": value - discount}
    return {}


def pulse(window: Callable[[Event], dt.datetime]) -> Callable[[Event], Iterator[Contribution]]:
    def contributions(event: Event) -> Iterator[Contribution]:
        is_placed = event["event_type"] == "placed"
        gross = worth(event["lines"])[1] if is_placed else Decimal(0)
        yield (window(event),), {"events": 1, "orders": int(is_placed), "gross": gross}

    return contributions


def sales_by_minute(event: Event) -> Iterator[Contribution]:
    if event["event_type"] not in ("placed", "cancelled", "returned"):
        return
    for category in {line["category"] for line in event["lines"]}:
        lines = [line for line in event["lines"] if line["category"] == category]
        cell = sold(event["event_type"], lines)
        if event["event_type"] == "placed":
            value = cell["gross"]
            cell |= {"order_value_min": {value}, "order_value_max": {value}, "order_value_sum_of_squares": value**2}
        yield (minute(event), event["vendor_id"], category, event["country"], event["channel"]), cell


def fulfilment_by_minute(event: Event) -> Iterator[Contribution]:
    took = Decimal((time(event) - time(event, "placed_at")) // dt.timedelta(milliseconds=1)) / 1000
    key = (minute(event), event["vendor_id"])
    if event["event_type"] == "shipped":
        yield key, {"shipped": 1, "ship_seconds": took, "ship_seconds_max": {took}}
    elif event["event_type"] == "delivered":
        late = int(time(event) > time(event, "deliver_by"))
        took_at_most = {"deliver_seconds": took, "deliver_seconds_max": {took}}
        yield key, {"delivered": 1, "promised": 1, "late": late, **took_at_most}


def vendors_by_day(event: Event) -> Iterator[Contribution]:
    cell = sold(event["event_type"], event["lines"])
    if event["event_type"] in ("shipped", "delivered"):
        cell[event["event_type"]] = 1
    if event["event_type"] == "delivered":
        cell["late"] = int(time(event) > time(event, "deliver_by"))
    yield (day(event), event["vendor_id"]), cell


def products_by_day(event: Event) -> Iterator[Contribution]:
    for line in event["lines"]:
        key = (day(event), event["vendor_id"], line["category"], line["product_id"])
        units, value, discount = worth([line])
        if event["event_type"] == "placed":
            yield key, {"orders": 1, "units": units, "gross": value, "discount": discount}
        elif event["event_type"] == "returned":
            yield key, {"returned_units": units, "refunds": value - discount}


def funnel_by_minute(event: Event) -> Iterator[Contribution]:
    names = {"search": "searches", "view": "views", "cart": "carts", "checkout": "checkouts", "purchase": "purchases"}
    yield (minute(event), event["channel"], event["device"]), {names[event["event_type"]]: 1}


def payments_by_minute(event: Event) -> Iterator[Contribution]:
    step = event["event_type"]
    key = (minute(event), event["method"], event.get("failure_reason", "none"))
    yield key, {step: 1, f"{step}_amount": Decimal(event["amount"])}


def ratings_by_day(event: Event) -> Iterator[Contribution]:
    stars = event["rating"]
    yield (day(event), event["vendor_id"], event["product_id"]), {"reviews": 1, "stars": stars, f"stars_{stars}": 1}


def bookings_by_minute(event: Event) -> Iterator[Contribution]:
    key = (minute(event), event["destination"], event["trip_type"], event["channel"])
    amount = Decimal(event["amount"])
    match event["event_type"]:
        case "booked":
            yield key, {"bookings": 1, "travellers": event["travellers"], "revenue": amount}
        case "cancelled":
            yield key, {"cancelled": 1, "cancelled_revenue": amount}
        case step:
            yield key, {step: 1}


def searches_by_minute(event: Event) -> Iterator[Contribution]:
    key = (minute(event), event["destination"], event["trip_type"], event["channel"], event["device"])
    names = {"searched": "searches", "viewed": "views", "selected": "selections"}
    yield key, {names[event["event_type"]]: 1, "booked": int("booking_id" in event)}


TRUTH: dict[str, Callable[[Event], Iterator[Contribution]]] = {
    "marketplace_pulse_by_second": pulse(second),
    "marketplace_pulse_by_5_seconds": pulse(five_seconds),
    "marketplace_sales_by_minute": sales_by_minute,
    "marketplace_fulfilment_by_minute": fulfilment_by_minute,
    "marketplace_vendors_by_day": vendors_by_day,
    "marketplace_products_by_day": products_by_day,
    "marketplace_funnel_by_minute": funnel_by_minute,
    "marketplace_ratings_by_day": ratings_by_day,
    "marketplace_payments_by_minute": payments_by_minute,
    "travel_payments_by_minute": payments_by_minute,
    "travel_bookings_by_minute": bookings_by_minute,
    "travel_searches_by_minute": searches_by_minute,
}
"""What one event adds to each mart."""
