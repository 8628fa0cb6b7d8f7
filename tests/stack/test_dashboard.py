"""The dashboard in a real browser."""

import pytest

from bench.browser import dashboard, is_installed
from bench.screen import seconds_to_screen
from tests.stack.conftest import System

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


def test_every_chart_shows_data(system: System) -> None:
    with dashboard(system.credentials["superset"]) as page:
        first, reload = page.load(), page.load()
        warm = min(page.open_from_list() for _ in range(3))
        charts = page.charts()

    print(f"\nall charts drawn: first load {first:.1f} s, reload {reload:.1f} s, from the list {warm:.1f} s")
    assert set(charts) == CHARTS
    for name, text in charts.items():
        assert "No results" not in text, name
        assert "error" not in text.lower(), name


def test_an_event_changes_a_number_on_screen(system: System) -> None:
    with dashboard(system.credentials["superset"]) as page:
        page.load()
        seconds = [seconds_to_screen(page, system.settings) for _ in range(3)]

    print(f"\nevent to screen: {', '.join(f'{s:.1f}' for s in seconds)} s")
