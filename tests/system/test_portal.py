"""The example of a vendor portal: a dashboard for guests, with a vendor's own rows."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
import requests

from bench.browser import CHARTS, chromium, is_installed
from jobs.settings import CHECKOUT
from stack import dashboard, environments
from tests.stack.pipeline import eventually
from tests.system.conftest import System

pytestmark = pytest.mark.usefixtures("views")

VENDOR, OTHER = "vendor-02", "vendor-01"
PORTAL = CHECKOUT / "superset" / "portal"


@pytest.fixture(scope="module")
def sdk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where Superset's script for pages that embed is, if npm can fetch it."""
    folder = tmp_path_factory.mktemp("sdk")
    for file in ("package.json", "package-lock.json"):
        shutil.copy(PORTAL / file, folder)
    if shutil.which("npm"):
        subprocess.run(["npm", "ci", "--silent", "--prefix", folder], check=True)
    return folder


@pytest.fixture(scope="module")
def portal(system: System, sdk: Path) -> Iterator[str]:
    """The address of a running portal."""
    address = system.settings.portals
    python = environments.directory("superset", system.settings.cache) / "bin" / "python"
    command = [python, PORTAL / "portal.py", "--sdk", sdk, "--port", address.rpartition(":")[2]]
    running = subprocess.Popen(command, env=os.environ | {"SLUICE_HOME": str(system.settings.home)})

    def answers() -> bool:
        try:
            return requests.get(address, timeout=5).status_code == HTTPStatus.UNAUTHORIZED
        except requests.ConnectionError:
            return False

    try:
        eventually(answers, what="the portal answers", seconds=60)
        yield address
    finally:
        running.terminate()
        running.wait(timeout=30)


@pytest.fixture
def login(system: System, portal: str) -> tuple[str, str]:
    return VENDOR, json.loads((system.settings.home / "portal.json").read_text())[VENDOR]


@pytest.fixture
def guest(system: System, portal: str, login: tuple[str, str]) -> Iterator[requests.Session]:
    """Superset's API with the token that the portal gave a vendor."""
    token = requests.get(f"{portal}/guest-token", auth=login, timeout=60).json()["token"]
    with requests.Session() as session:
        session.headers["X-GuestToken"] = token
        yield session


def test_nobody_gets_a_token_without_a_login(portal: str, login: tuple[str, str]) -> None:
    for wrong in (None, (VENDOR, "guess"), (OTHER, login[1])):
        answer = requests.get(f"{portal}/guest-token", auth=wrong, timeout=60)
        assert answer.status_code == HTTPStatus.UNAUTHORIZED, wrong


def test_a_guest_sees_own_rows_in_every_chart(system: System, guest: requests.Session) -> None:
    board = guest.get(dashboard.api(system.settings, "dashboard/vendor"), timeout=60).json()["result"]["id"]
    charts = guest.get(dashboard.api(system.settings, f"dashboard/{board}/charts"), timeout=60).json()["result"]

    assert len(charts) > 5
    for chart in charts:
        query = json.loads(json.dumps(chart["form_data"]))
        source = {"id": int(query["datasource"].split("__")[0]), "type": "table"}
        form = {"dashboardId": board, "slice_id": chart["id"]}
        stored = {"datasource": source, "form_data": form, "queries": [_query(query)]}
        answer = guest.post(dashboard.api(system.settings, "chart/data"), json=stored, timeout=60)
        assert answer.ok, (chart["slice_name"], answer.text)
        assert OTHER not in answer.text, chart["slice_name"]


def _query(form: dict[str, Any]) -> dict[str, Any]:
    metrics = form.get("metrics") or ([form["metric"]] if form.get("metric") else [])
    columns = form.get("all_columns") if form.get("query_mode") == "raw" else form.get("groupby")
    return {"columns": columns or [], "metrics": [] if form.get("query_mode") == "raw" else metrics}


def test_a_guest_reaches_no_other_dashboard_and_no_sql(system: System, guest: requests.Session) -> None:
    refused = (HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND, HTTPStatus.UNAUTHORIZED)

    for slug in ("executive-overview", "live-sales", "pipeline-health"):
        answer = guest.get(dashboard.api(system.settings, f"dashboard/{slug}"), timeout=60)
        assert answer.status_code in refused, slug
    statement = {"database_id": 1, "sql": "SELECT 1", "runAsync": False}
    answer = guest.post(dashboard.api(system.settings, "sqllab/execute/"), json=statement, timeout=60)
    assert answer.status_code in (*refused, HTTPStatus.BAD_REQUEST)


@pytest.mark.parametrize(
    "rules",
    [
        [],
        [{"clause": "1 = 1"}],
        [{"clause": "vendor_id = 'x' OR 1 = 1"}],
        [{"dataset": 1, "clause": "1 = 1"}],
        [{"clause": "vendor_id = 'x'"}, {"clause": "1 = 1) OR (1 = 1"}],
    ],
)
def test_no_token_shows_the_rows_of_all(system: System, rules: list[dict[str, Any]]) -> None:
    wanted = {"user": {"username": "x"}, "resources": [], "rls": rules}

    with dashboard.session(system.settings, "portal", posts=True) as session:
        answer = session.post(dashboard.api(system.settings, "security/guest_token/"), json=wanted, timeout=60)

    assert answer.status_code == HTTPStatus.BAD_REQUEST, answer.text


@pytest.mark.parametrize("role", ["vendor", "executive", "business_user", "analyst"])
def test_only_the_portal_makes_tokens(system: System, role: str) -> None:
    wanted = {"user": {"username": "x"}, "resources": [], "rls": [{"clause": f"vendor_id = '{OTHER}'"}]}

    with dashboard.session(system.settings, role, posts=True) as session:
        answer = session.post(dashboard.api(system.settings, "security/guest_token/"), json=wanted, timeout=60)

    assert answer.status_code == HTTPStatus.FORBIDDEN, answer.text


def test_only_the_portal_shows_superset_in_a_frame(system: System, portal: str, guest: requests.Session) -> None:
    superset = system.credentials["superset"]["url"]
    board = guest.get(dashboard.api(system.settings, "dashboard/vendor"), timeout=60).json()["result"]["uuid"]

    page = f"{superset}/embedded/{board}"
    embedded = requests.get(page, headers={"Referer": f"{portal}/"}, timeout=60)
    assert f"frame-ancestors {portal}" in embedded.headers["Content-Security-Policy"]
    assert requests.get(page, headers={"Referer": "http://evil.example/"}, timeout=60).status_code == 403
    assert requests.get(f"{superset}/login/", timeout=60).headers["X-Frame-Options"] == "SAMEORIGIN"


@pytest.mark.skipif(not is_installed() or not shutil.which("npm"), reason="there is no Chromium, or no npm")
def test_a_vendor_sees_the_dashboard_in_the_portals_page(portal: str, login: tuple[str, str]) -> None:
    name, password = login
    with chromium() as driver:
        # So that the browser knows the login; a page's address must not hold it.
        driver.get(f"{portal.replace('://', f'://{name}:{password}@')}/static/page.css")
        driver.get(portal)
        eventually(lambda: bool(driver.find_elements("tag name", "iframe")), what="a frame", seconds=60)
        driver.switch_to.frame(driver.find_element("tag name", "iframe"))

        def texts() -> list[str]:
            return [chart["text"] for chart in driver.execute_script(CHARTS)]

        eventually(lambda: any("€" in text for text in texts()), what="a figure in the frame", seconds=120)
        eventually(lambda: any(f"{name}-" in text for text in texts()), what="own products", seconds=60)
        assert not any(OTHER in text for text in texts())
