"""What people do in a browser without help: look, on any screen, and build."""

from collections.abc import Iterator
from http import HTTPStatus

import pytest
import requests

from bench.browser import dashboard, is_installed
from bench.first_chart import AXIS, METRIC, build_first_chart
from stack.dashboard import api, session
from tests.system.conftest import System
from tests.system.test_dashboard import assert_shows_data

pytestmark = [
    pytest.mark.skipif(not is_installed(), reason="there is no Chromium"),
    pytest.mark.usefixtures("views"),
]

PHONE = 390


@pytest.fixture
def builder(system: System) -> Iterator[requests.Session]:
    """The API as a business user."""
    with session(system.settings, "business_user", posts=True) as opened:
        yield opened


# An analyst opens all of them in test_dashboard.py, a vendor the only one.
@pytest.mark.parametrize("role", ["admin", "business_user", "executive"])
def test_a_role_opens_every_dashboard_it_may_see(system: System, role: str) -> None:
    with session(system.settings, role) as opened:
        found = opened.get(api(system.settings, "dashboard/?q=(page_size:100)"), timeout=60).json()["result"]
    slugs = sorted(found["slug"] for found in found if found["slug"])
    assert len(slugs) > 5

    with dashboard(system.credentials["superset"], role=role) as page:
        for slug in slugs:
            page.load(slug)
            assert_shows_data(page.charts(), slug)


def test_a_business_user_builds_a_chart_from_an_empty_page(system: System, builder: requests.Session) -> None:
    chart = build_first_chart(system.credentials["superset"], "Built by picking words")
    place = api(system.settings, f"chart/{chart}")

    saved = builder.get(place, timeout=60).json()["result"]
    rows = builder.get(f"{place}/data/", timeout=60).json()["result"][0]["data"]
    assert builder.delete(place, timeout=60).status_code == HTTPStatus.OK

    assert saved["slice_name"] == "Built by picking words"
    assert len(rows) > 5
    assert all(set(row) == {AXIS.lower(), "net"} and row["net"] > 0 for row in rows), METRIC


def test_on_a_phone_every_chart_is_as_wide_as_the_screen(system: System) -> None:
    with dashboard(system.credentials["superset"], role="executive") as page:
        page.look("default", phone=True)
        page.load("executive-overview")
        widths = page.driver.execute_script(
            "return [...document.querySelectorAll('.dashboard-component-chart-holder')].map(e => e.clientWidth)"
        )
        assert_shows_data(page.charts(), "executive-overview")
        assert page.width() == PHONE

    assert all(0.8 * PHONE < width <= PHONE for width in widths), widths


def test_a_phone_changes_what_is_shown_and_not_what_is_stored(system: System, builder: requests.Session) -> None:
    place = api(system.settings, "dashboard/executive-overview")

    before = builder.get(place, timeout=60).json()["result"]["position_json"]
    phone = builder.get(place, headers={"User-Agent": "Mobile Safari"}, timeout=60).json()["result"]["position_json"]
    after = builder.get(place, timeout=60).json()["result"]["position_json"]

    assert phone != before == after
