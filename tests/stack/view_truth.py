"""What views must hold, computed from events in plain Python."""

import datetime as dt
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal

from stack.demo.message import Event
from tests.stack.truth import Cell, Key, day, time, worth

Events = Mapping[str, Sequence[Event]]
SIGNS = {"placed": 1, "cancelled": -1, "returned": -1}
NAMES = {"placed": "sold", "cancelled": "cancelled_value", "returned": "refunds"}


def payouts(events: Events) -> dict[Key, Cell]:
    versions: dict[str, list[tuple[dt.datetime, Decimal]]] = defaultdict(list)
    for vendor in sorted(events["marketplace.vendors"], key=time):
        versions[vendor["vendor_id"]].append((time(vendor), Decimal(vendor["commission_rate"])))
    found: dict[Key, Cell] = {}
    for order in events["marketplace.orders"]:
        if (step := order["event_type"]) not in SIGNS:
            continue
        _, value, discount = worth(order["lines"])
        ordered_at = time(order, "placed_at") if order.get("placed_at") else time(order)
        (_, first), *later = versions[order["vendor_id"]]
        rate = [first, *(rate for since, rate in later if since <= ordered_at)][-1]
        cell = found.setdefault(
            (day(order), order["vendor_id"]), dict.fromkeys((*NAMES.values(), "commission", "due"), Decimal(0))
        )
        kept = SIGNS[step] * (value - discount)
        cell[NAMES[step]] += value - discount
        commission = SIGNS[step] * value * rate
        cell["commission"] += commission
        cell["due"] += kept - commission
    return found


def customers_by_day(events: Events) -> dict[Key, Cell]:
    days: dict[dt.datetime, set[str]] = defaultdict(set)
    for order in events["marketplace.orders"]:
        if order["event_type"] == "placed" and order.get("customer_id"):
            days[day(order)].add(order["customer_id"])
    known: set[str] = set()
    found: dict[Key, Cell] = {}
    for at, customers in sorted(days.items()):
        found[(at,)] = {"customers": len(customers), "new_customers": len(customers - known)}
        known |= customers
    return found


def sessions_by_hour(events: Events) -> dict[Key, Cell]:
    visits: dict[str, list[Event]] = defaultdict(list)
    for click in events["marketplace.clickstream"]:
        visits[click["session_id"]].append(click)
    found: dict[Key, Cell] = {}
    for clicks in visits.values():
        clicks.sort(key=time)
        first, steps = clicks[0], {click["event_type"] for click in clicks}
        length = (time(clicks[-1]) - time(first)) // dt.timedelta(milliseconds=1)
        visit = {
            "visits": 1,
            "bounced": int(len(clicks) == 1),
            "with_cart": int("cart" in steps),
            "with_checkout": int("checkout" in steps),
            "with_purchase": int("purchase" in steps),
            "milliseconds": length,
        }
        key = (day(first).replace(hour=time(first).hour), first["channel"], first["device"])
        cell = found.setdefault(key, dict.fromkeys(visit, 0))
        for name, value in visit.items():
            cell[name] += value
    for cell in found.values():
        cell["seconds"] = cell.pop("milliseconds") / 1000
    return found


def sales_by_segment(events: Events) -> dict[Key, Cell]:
    versions: dict[str, list[Event]] = defaultdict(list)
    for customer in sorted(events["marketplace.customers"], key=time):
        versions[customer["customer_id"]].append(customer)
    found: dict[Key, Cell] = {}
    orders: dict[Key, set[str]] = defaultdict(set)
    for order in events["marketplace.orders"]:
        if order["event_type"] != "placed":
            continue
        known = versions.get(order.get("customer_id") or "")
        segment, country = "unknown" if order.get("customer_id") else "guest", "unknown"
        if known:
            now = [known[0], *(version for version in known[1:] if time(version) <= time(order))][-1]
            segment, country = now["segment"], now["country"]
        for line in order["lines"]:
            key = (day(order), segment, country, line["category"])
            orders[key].add(order["order_id"])
            cell = found.setdefault(key, {"units": 0, "gross": Decimal(0), "discount": Decimal(0)})
            _, value, discount = worth([line])
            cell["units"] += line["quantity"]
            cell["gross"] += value
            cell["discount"] += discount
    for key, cell in found.items():
        cell["orders"] = len(orders[key])
    return found


VIEW_TRUTH: dict[str, Callable[[Events], dict[Key, Cell]]] = {
    "marketplace_payouts_by_day": payouts,
    "marketplace_customers_by_day": customers_by_day,
    "marketplace_sessions_by_hour": sessions_by_hour,
    "marketplace_sales_by_segment": sales_by_segment,
}
