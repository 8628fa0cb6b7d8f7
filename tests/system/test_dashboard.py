"""The dashboard in a real browser."""

import re
from http import HTTPStatus

import pytest
import requests
import yaml

from bench.browser import dashboard, is_installed
from bench.screen import seconds_to_screen
from jobs.assets import ASSETS
from tests.stack.pipeline import eventually
from tests.system.conftest import System

pytestmark = [
    pytest.mark.skipif(not is_installed(), reason="there is no Chromium"),
    pytest.mark.usefixtures("views"),
]


def charts_of(slug: str) -> set[str]:
    """The names of a dashboard's charts, as its file has them."""
    for path in (ASSETS / "dashboards").glob("*.yaml"):
        dashboard = yaml.safe_load(path.read_text())
        if dashboard["slug"] == slug:
            parts = [part for part in dashboard["position"].values() if isinstance(part, dict)]
            return {part["meta"]["sliceName"] for part in parts if part["type"] == "CHART"}
    raise LookupError(slug)


SLUGS = sorted(yaml.safe_load(path.read_text())["slug"] for path in (ASSETS / "dashboards").glob("*.yaml"))


def test_every_chart_shows_data(system: System) -> None:
    # Demo traffic breaks a rule three times in a thousand.
    eventually(lambda: system.lake.intake("refused") > 0, what="something is refused", seconds=60)
    with dashboard(system.credentials["superset"], role="analyst") as page:
        for slug in SLUGS:
            seconds = page.load(slug)
            print(f"\n{slug}: all charts drawn after {seconds:.1f} s")
            assert_shows_data(page.charts(), slug)


def test_the_first_dashboard_opens_from_the_list(system: System) -> None:
    with dashboard(system.credentials["superset"]) as page:
        first, reload = page.load(), page.load()
        warm = min(page.open_from_list() for _ in range(3))
        assert_shows_data(page.charts(), "live-sales")

    print(f"\nall charts drawn: first load {first:.1f} s, reload {reload:.1f} s, from the list {warm:.1f} s")


def assert_shows_data(charts: dict[str, str], slug: str) -> None:
    assert set(charts) == charts_of(slug)
    for name, text in charts.items():
        assert "No results" not in text, name
        assert "error" not in text.lower(), name


def test_a_vendor_sees_own_figures_on_screen(system: System) -> None:
    with dashboard(system.credentials["superset"], "vendor", role="vendor") as page:
        page.load()
        charts = page.charts()

    assert_shows_data(charts, "vendor")
    (terms,) = set(re.findall(r"vendor-\d+", " ".join(charts.values())))
    assert terms == system.credentials["superset"]["users"]["vendor"]["username"]


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
