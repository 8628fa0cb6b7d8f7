"""Ways round what a role may see that lead through caches, results, reports, and queries that never end."""

# ruff: noqa: F811 (fixtures are imported, and asked for by name)

import io
from collections.abc import Callable, Iterator
from http import HTTPStatus
from typing import Any
from zipfile import ZipFile

import pytest
import requests

from stack.dashboard import api, browser_session
from tests.stack.pipeline import eventually
from tests.system.conftest import System
from tests.system.test_access import OTHER, OWN, SALES, Answer, User, board, charts, rows, sales, user  # noqa: F401

pytestmark = pytest.mark.usefixtures("views")

REFUSED = (HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND)
Users = Callable[[str], User]


def sql(asking: User, statement: str, **options: Any) -> Answer:
    return asking.post("sqllab/execute/", {"database_id": 1, "sql": statement, "runAsync": False, **options})


def question(chart: dict[str, Any], board: int) -> dict[str, Any]:
    """Which vendors a chart's dataset has, as a browser asks."""
    return {
        "datasource": {"id": chart["datasource_id"], "type": "table"},
        "queries": [{"columns": ["vendor_id"], "metrics": ["gross"], "row_limit": 1000}],
        "form_data": {"dashboardId": board, "slice_id": chart["id"]},
    }


def put(asking: User, path: str, body: dict[str, Any]) -> Answer:
    return asking.session.put(f"{asking._api}/{path}", json=body, timeout=60)


def test_a_cached_answer_is_for_nobody_who_sees_fewer_rows(user: Users, sales: dict[str, Any], board: int) -> None:
    query = {"columns": ["vendor_id"], "metrics": ["gross"], "row_limit": 1000}
    answer = user("admin").ask(sales, board, **query)
    assert OTHER in answer.text

    key = answer.json()["result"][0]["cache_key"]
    assert user("vendor").get(f"chart/data/{key}").status_code >= HTTPStatus.BAD_REQUEST
    assert {row["vendor_id"] for row in rows(user("vendor").ask(sales, board, **query))} == {OWN}


def test_an_answer_is_shared_by_those_who_see_the_same_rows_only(
    system: System,
    sales: dict[str, Any],
    board: int,
) -> None:
    body, place = question(sales, board), api(system.settings, "chart/data")
    with (
        browser_session(system.settings, "analyst") as analyst,
        browser_session(system.settings, "executive") as executive,
        browser_session(system.settings, "vendor") as vendor,
    ):
        # It is kept for a second only, of which making it may use up most.
        def is_shared() -> bool:
            answers = [asking.post(place, json=body, timeout=60) for asking in (analyst, executive)]
            assert all(OTHER in answer.text for answer in answers)
            return "hit" in answers[1].headers.get("Cache-Status", "")

        eventually(is_shared, what="an answer that was there already", seconds=60)
        for answer in (vendor.post(place, json=body, timeout=60) for _ in range(3)):
            assert "Cache-Status" not in answer.headers
            assert {row["vendor_id"] for row in rows(answer)} == {OWN}


@pytest.fixture
def restricted(user: Users, system: System) -> Iterator[requests.Session]:
    """Whom a role gives the layer, and a rule own rows only."""
    admin = user("admin")
    (vendor,) = admin.get(f"security/users/?q=(filters:!((col:username,opr:eq,value:{OWN})))").json()["result"]
    (business,) = admin.get("security/roles/?q=(filters:!((col:name,opr:eq,value:'Business user')))").json()["result"]
    roles = [role["id"] for role in vendor["roles"]]
    assert put(admin, f"security/users/{vendor['id']}", {"roles": [*roles, business["id"]]}).ok
    with browser_session(system.settings, "vendor") as opened:
        yield opened
    assert put(admin, f"security/users/{vendor['id']}", {"roles": roles}).ok


def test_an_answer_is_shared_with_nobody_whose_rows_a_rule_restricts(
    system: System, sales: dict[str, Any], board: int, restricted: requests.Session
) -> None:
    body, place = question(sales, board), api(system.settings, "chart/data")
    with browser_session(system.settings, "analyst") as analyst:

        def are_both_shared() -> bool:
            everything, own = (
                [asking.post(place, json=body, timeout=60) for _ in range(2)] for asking in (analyst, restricted)
            )
            assert all(OTHER in answer.text for answer in everything)
            assert all({row["vendor_id"] for row in rows(answer)} == {OWN} for answer in own)
            return all("hit" in second.headers.get("Cache-Status", "") for _, second in (everything, own))

        eventually(are_both_shared, what="answers that were there already", seconds=60)


@pytest.fixture
def roles_of_the_analyst(user: Users) -> Iterator[Callable[[str], None]]:
    """Gives the analyst one role in place of all; at the end, the analyst has those of before."""
    admin = user("admin")
    (analyst,) = admin.get("security/users/?q=(filters:!((col:username,opr:eq,value:analyst)))").json()["result"]

    def replace(name: str) -> None:
        (role,) = admin.get(f"security/roles/?q=(filters:!((col:name,opr:eq,value:{name})))").json()["result"]
        assert put(admin, f"security/users/{analyst['id']}", {"roles": [role["id"]]}).ok

    yield replace
    assert put(admin, f"security/users/{analyst['id']}", {"roles": [role["id"] for role in analyst["roles"]]}).ok


def test_who_loses_a_role_is_refused_at_once(
    system: System, sales: dict[str, Any], board: int, roles_of_the_analyst: Callable[[str], None]
) -> None:
    body, place = question(sales, board), api(system.settings, "chart/data")
    with browser_session(system.settings, "analyst") as analyst, browser_session(system.settings, "executive") as other:

        def is_known() -> bool:
            answers = [asking.post(place, json=body, timeout=60) for asking in (other, analyst)]
            assert all(answer.ok for answer in answers)
            return "hit" in answers[1].headers.get("Cache-Status", "")

        eventually(is_known, what="an answer that was there already", seconds=60)
        roles_of_the_analyst("Gamma")
        assert analyst.post(place, json=body, timeout=60).status_code == HTTPStatus.FORBIDDEN
        assert other.post(place, json=body, timeout=60).ok


def test_after_logging_out_a_copy_of_the_cookie_is_worth_nothing(system: System) -> None:
    who, logout = api(system.settings, "me/"), f"{system.credentials['superset']['url']}/logout/"
    with browser_session(system.settings, "analyst") as analyst, requests.Session() as thief:
        thief.cookies.update(analyst.cookies)
        assert thief.get(who, timeout=60).json()["result"]["username"] == "analyst"
        assert analyst.get(logout, timeout=60).ok
        assert thief.get(who, timeout=60).status_code == HTTPStatus.UNAUTHORIZED


def test_a_cookie_from_before_logging_in_is_worth_nothing(system: System) -> None:
    with requests.Session() as analyst, requests.Session() as thief:
        analyst.get(f"{system.credentials['superset']['url']}/login/", timeout=60)
        thief.cookies.update(analyst.cookies)
        browser_session(system.settings, "analyst", analyst)
        assert analyst.get(api(system.settings, "me/"), timeout=60).ok
        assert thief.get(api(system.settings, "me/"), timeout=60).status_code == HTTPStatus.UNAUTHORIZED


@pytest.mark.parametrize("kind", ["csv", "xlsx"])
def test_a_download_has_own_rows_only(user: Users, sales: dict[str, Any], board: int, kind: str) -> None:
    def download(role: str) -> bytes:
        body = question(sales, board) | {"result_format": kind}
        answer = user(role).post("chart/data", body)
        assert answer.ok, answer.text
        return answer.content if kind == "csv" else unzipped(answer.content)

    assert OTHER.encode() in download("admin")
    own = download("vendor")
    assert OWN.encode() in own
    assert OTHER.encode() not in own


def unzipped(book: bytes) -> bytes:
    """All parts of an Excel file."""
    with ZipFile(io.BytesIO(book)) as parts:
        return b"".join(parts.read(name) for name in parts.namelist())


def test_the_rows_behind_a_chart_are_own_rows(system: System, sales: dict[str, Any], board: int) -> None:
    place = f"datasource_id={sales['datasource_id']}&datasource_type=table&dashboard_id={board}&per_page=1000"

    address = f"{system.credentials['superset']['url']}/datasource/samples?{place}"
    with browser_session(system.settings, "vendor") as browser:
        answer = browser.post(address, json={}, timeout=60)

    if answer.ok:
        assert {row["vendor_id"] for row in answer.json()["result"]["data"]} == {OWN}
    else:
        assert answer.status_code in REFUSED, answer.text


def test_what_another_explores_is_for_nobody_else(user: Users, charts: list[dict[str, Any]]) -> None:
    (hidden,) = (
        found
        for found in user("admin").get("dataset/?q=(page_size:100)").json()["result"]
        if found["table_name"] == "marketplace_customers_now"
    )
    body = {"datasource_id": hidden["id"], "datasource_type": "table", "form_data": "{}"}
    kept = user("admin").post("explore/form_data", body)
    assert kept.ok, kept.text

    assert user("vendor").get(f"explore/form_data/{kept.json()['key']}").status_code in REFUSED
    assert user("vendor").post("explore/form_data", body).status_code in REFUSED


def test_no_reader_empties_a_cache(user: Users) -> None:
    body = {"datasource_uids": ["1__table"]}

    for role in ("executive", "vendor"):
        assert user(role).post("cachekey/invalidate", body).status_code in REFUSED, role


def test_results_of_sql_lab_are_for_who_asked(user: Users) -> None:
    answer = sql(user("analyst"), f"SELECT vendor_id FROM gold.{SALES}", runAsync=True)
    assert answer.status_code == HTTPStatus.ACCEPTED, answer.text
    query = answer.json()["query"]["queryId"]

    def result() -> dict[str, Any]:
        found: dict[str, Any] = user("analyst").get(f"query/{query}").json()["result"]
        return found

    eventually(lambda: result()["status"] == "success", what="a worker has run the query", seconds=60)
    place = f"sqllab/results/?q=(key:'{result()['results_key']}')"
    assert user("analyst").get(place).json()["data"]
    for role in ("business_user", "executive", "vendor"):
        assert user(role).get(place).status_code in REFUSED, role


def test_a_query_without_end_is_ended(user: Users) -> None:
    tables = ", ".join(f"gold.{SALES} {name}" for name in "abcd")

    answer = sql(user("analyst"), f"SELECT MAX(a.orders + b.orders * c.orders - d.orders) FROM {tables}")

    assert not answer.ok
    assert "Interrupted" in answer.text


def test_an_answer_of_sql_lab_has_so_many_rows_and_no_more(user: Users) -> None:
    answer = sql(user("analyst"), f"SELECT a.minute FROM gold.{SALES} a, gold.{SALES} b", queryLimit=10_000_000)

    assert answer.ok, answer.text
    assert len(answer.json()["data"]) == 10_000


@pytest.fixture
def report(board: int) -> dict[str, Any]:
    """A report of everything, to a thief."""
    return {
        "type": "Report",
        "name": "Everything",
        "dashboard": board,
        "crontab": "* * * * *",
        "timezone": "Etc/UTC",
        "report_format": "PDF",
        "recipients": [{"type": "Email", "recipient_config_json": {"target": "thief@localhost"}}],
    }


@pytest.mark.parametrize("role", ["analyst", "business_user", "executive", "vendor"])
def test_only_administrators_make_reports_and_alerts(user: Users, report: dict[str, Any], role: str) -> None:
    condition = {"validator_type": "operator", "validator_config_json": {"op": "<", "threshold": 1}}
    alert = {**report, "type": "Alert", "database": 1, "sql": "SELECT 0", **condition}

    assert user(role).post("report/", report).status_code in REFUSED
    assert user(role).post("report/", alert).status_code in REFUSED


@pytest.mark.parametrize("role", ["executive", "vendor"])
def test_a_reader_sees_and_changes_no_report(user: Users, report: dict[str, Any], role: str) -> None:
    known = user("admin").get("report/").json()["result"]
    assert known
    for found in known:
        place = f"report/{found['id']}"
        assert user(role).get(place).status_code in REFUSED, found["name"]
        assert user(role).get(f"{place}/log/").status_code in REFUSED, found["name"]
        changed = {"recipients": report["recipients"]}
        assert put(user(role), place, changed).status_code in REFUSED, found["name"]


def test_a_business_user_changes_no_report_of_others(user: Users) -> None:
    for found in user("admin").get("report/").json()["result"]:
        answer = put(user("business_user"), f"report/{found['id']}", {"crontab": "* * * * *"})
        assert answer.status_code in REFUSED, found["name"]


def test_questions_in_sql_are_counted(user: Users) -> None:
    # As an administrator, whom no other test makes ask: an analyst would find no minute left.
    answers = (sql(user("admin"), "SELECT 1").status_code for _ in range(2 * 60 + 1))

    # A minute may end in between, but not two.
    assert HTTPStatus.TOO_MANY_REQUESTS in answers


def test_a_short_password_is_refused(user: Users) -> None:
    body = {"username": "new", "first_name": "N", "last_name": "N", "email": "new@localhost", "active": True}
    role = next(r["id"] for r in user("admin").get("security/roles/?q=(page_size:100)").json()["result"])

    answer = user("admin").post("security/users/", {**body, "roles": [role], "password": "Short-1"})

    assert answer.status_code == HTTPStatus.BAD_REQUEST
    assert "12 characters" in answer.text


def test_a_session_is_out_of_reach_of_scripts_and_other_sites(system: System) -> None:
    login = requests.get(f"{system.credentials['superset']['url']}/login/", timeout=60)

    flags = login.headers["Set-Cookie"]
    assert "HttpOnly" in flags
    assert "SameSite=Lax" in flags
