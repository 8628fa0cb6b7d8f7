"""The dashboard in a real browser."""

import datetime as dt
import json
import uuid

import pytest

from bench.browser import Dashboard, dashboard, is_installed
from stack.produce import producer
from tests.stack.conftest import System
from tests.stack.pipeline import TOPIC

pytestmark = pytest.mark.skipif(not is_installed(), reason="there is no Chromium")

CHARTS = {
    "Gross sales",
    "Orders",
    "Average order value",
    "Events per second",
    "Gross sales per minute",
    "Orders by category",
    "Top vendors",
    "Gross sales by country",
}


def produce_order(system: System, value: int) -> dt.datetime:
    """An order that is placed now; returns its event time."""
    order = f"test-{uuid.uuid4()}"
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
    with producer(system.settings) as kafka:
        kafka.send(TOPIC, key=order.encode(), value=json.dumps(event).encode())
    return now


def test_every_chart_shows_data(system: System) -> None:
    with dashboard(system.credentials["superset"]) as page:
        first, warm = page.load(), min(page.load() for _ in range(3))
        charts = page.charts()

    print(f"\nall charts drawn: first load {first:.1f} s, warm {warm:.1f} s")
    assert set(charts) == CHARTS
    for name, text in charts.items():
        assert "No results" not in text, name
        assert "error" not in text.lower(), name


def test_an_event_changes_a_number_on_screen(system: System) -> None:
    with dashboard(system.credentials["superset"]) as page:
        page.load()
        seconds = [seconds_to_screen(system, page, value) for value in (20_000_000, 40_000_000, 80_000_000)]

    print(f"\nevent to screen: {', '.join(f'{s:.1f}' for s in seconds)} s")


def seconds_to_screen(system: System, page: Dashboard, value: int) -> float:
    before = page.figure("Gross sales")
    event_time = produce_order(system, value)
    page.wait_until_at_least("Gross sales", before + 0.9 * value)
    return (dt.datetime.now(dt.UTC) - event_time).total_seconds()
