"""``python -m bench.screen``: how long a user of the running system waits for the dashboard."""

import datetime as dt
import json
import sys
import uuid
from typing import Annotated, Any

import typer

from bench import report
from bench.browser import Dashboard, dashboard, is_installed
from bench.publish import publish
from bench.users import log_in, looking
from jobs.settings import Settings, settings
from stack import credentials, supervision
from stack.produce import producer

TOPIC = "marketplace.orders"
CHART = "Gross sales"
# Far more than demo traffic sells in some seconds, so that the change cannot be anybody else's.
VALUE = 100_000
# The figure is of the last minutes: what falls out of it, when an order comes, must not hide the new one.
VALUE_BESIDE_OTHERS = 100 * VALUE


def place_order(settings: Settings, value: int) -> dt.datetime:
    """Send an order of this value; returns its event time, which is now."""
    order = f"bench-{uuid.uuid4()}"
    now = dt.datetime.now(dt.UTC)
    event = {
        "event_id": order,
        "event_type": "placed",
        "event_time": now.isoformat(),
        "order_id": order,
        "vendor_id": "vendor-01",
        "country": "DE",
        "channel": "web",
        "lines": [{"product_id": "p-1", "category": "Books", "quantity": value // 1000, "unit_price": 1000}],
    }
    with producer(settings) as kafka:
        kafka.send(TOPIC, key=order.encode(), value=json.dumps(event).encode())
    return now


def seconds_to_screen(page: Dashboard, settings: Settings, value: int = VALUE) -> float:
    """Place an order and wait for it on the dashboard; returns the seconds from its event time."""
    before = page.figure(CHART)
    event_time = place_order(settings, value)
    page.wait_for_rise(CHART, before, 0.9 * value)
    return (dt.datetime.now(dt.UTC) - event_time).total_seconds()


def measure(settings: Settings, *, browsers: int, repetitions: int, others: int) -> dict[str, Any]:
    """Load the dashboard in new browsers, open it repeatedly in the last, then watch events arrive; seconds of each.

    Opening and watching again while others look at the live dashboards, too.
    """
    superset = credentials.read(settings)["superset"]
    first = []
    for _ in range(browsers):
        with dashboard(superset) as page:
            first.append(page.load())
    with dashboard(superset) as page:
        page.load()
        page.open_from_list()
        warm = [page.open_from_list() for _ in range(repetitions)]
        reloads = [page.load() for _ in range(repetitions)]
        events = [seconds_to_screen(page, settings) for _ in range(repetitions)]
        beside = _beside_others(page, settings, repetitions, others) if others else {}
    return {
        "first_load": first,
        "warm_load": warm,
        "reload": reloads,
        "event_to_screen": events,
        **beside,
        "demo_rate": settings.demo_rate,
    }


def _beside_others(page: Dashboard, settings: Settings, repetitions: int, others: int) -> dict[str, Any]:
    """Open the dashboard and watch events arrive while others look at the live dashboards."""
    with looking(settings, log_in(settings, others), others) as users:
        warm = [page.open_from_list() for _ in range(repetitions)]
        events = [seconds_to_screen(page, settings, VALUE_BESIDE_OTHERS) for _ in range(repetitions)]
    if errors := [error for user in users for error in user.errors]:
        sys.exit(f"error: {len(errors)} answers to others were errors: {errors[:3]}")
    return {"others": others, "warm_load_beside_others": warm, "event_to_screen_beside_others": events}


def main(
    browsers: Annotated[int, typer.Option(help="New browsers, each for one first load.")] = 5,
    repetitions: Annotated[int, typer.Option(help="Warm loads, and events.")] = 20,
    others: Annotated[int, typer.Option(min=0, help="How many look beside, at last.")] = 20,
) -> None:
    """Measure the dashboard of the running system and write the report."""
    ours = settings()
    if not is_installed():
        sys.exit("error: there is no Chromium; run `make browser`")
    if not supervision.is_running(ours):
        sys.exit("error: the system does not run; run `make up`, and give it some minutes to warm up")
    result = measure(ours, browsers=browsers, repetitions=repetitions, others=others)
    publish(report.SCREEN, result)


if __name__ == "__main__":
    typer.run(main)
