"""The dashboard in a real browser."""

from http import HTTPStatus

import pytest
import requests

from bench.browser import dashboard, is_installed
from bench.screen import seconds_to_screen
from tests.stack.conftest import System
from tests.stack.pipeline import eventually

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


QUALITY_CHARTS = {
    "Pass rate",
    "Records judged",
    "Waiting in quarantine",
    "Freshness kept",
    "Pass rate per entity",
    "Top failing rules",
    "Quarantine by entity",
    "Freshness against promise",
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


def test_every_chart_of_data_quality_shows_data(system: System) -> None:
    # Demo traffic breaks a rule three times in a thousand.
    eventually(lambda: system.lake.intake("refused") > 0, what="something is refused", seconds=60)
    with dashboard(system.credentials["superset"], "data-quality") as page:
        page.load()
        charts = page.charts()

    assert set(charts) == QUALITY_CHARTS
    for name, text in charts.items():
        assert "No results" not in text, name
        assert "error" not in text.lower(), name


def test_data_docs_are_for_administrators(system: System) -> None:
    superset = system.credentials["superset"]

    # Whoever is nobody is sent to log in.
    answer = requests.get(f"{superset['url']}/data-docs/index.html", timeout=30, allow_redirects=False)

    assert answer.status_code == HTTPStatus.FOUND
    assert "/login" in answer.headers["Location"]


def test_an_event_changes_a_number_on_screen(system: System) -> None:
    with dashboard(system.credentials["superset"]) as page:
        page.load()
        seconds = [seconds_to_screen(page, system.settings) for _ in range(3)]

    print(f"\nevent to screen: {', '.join(f'{s:.1f}' for s in seconds)} s")
