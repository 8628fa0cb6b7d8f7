"""What each role may see and do in Superset, and what it may not, however it asks."""

from collections.abc import Callable, Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
import requests

from stack import dashboard
from tests.system.conftest import System

pytestmark = pytest.mark.usefixtures("views")

OWN = "vendor-01"
OTHER = "vendor-02"
SALES = "marketplace_sales_by_minute"
GOLD = {"live-sales", "executive-overview", "operations-live", "travel", "products-and-vendors", "customers"}
OPS = {"data-quality", "pipeline-health"}
Answer = requests.Response


class User:
    """A user of one role, with Superset's API."""

    def __init__(self, system: System, role: str) -> None:
        self._api = f"{system.credentials['superset']['url']}/api/v1"
        self.session = dashboard.session(system.settings, role)
        token = self.session.get(f"{self._api}/security/csrf_token/", timeout=60).json()["result"]
        self.session.headers.update({"X-CSRFToken": token, "Referer": self._api})

    def get(self, path: str) -> Answer:
        return self.session.get(f"{self._api}/{path}", timeout=60)

    def post(self, path: str, body: dict[str, Any]) -> Answer:
        return self.session.post(f"{self._api}/{path}", json=body, timeout=60)

    def dashboards(self) -> set[str]:
        return {found["slug"] for found in self.get("dashboard/?q=(page_size:100)").json()["result"]}

    def sql(self, statement: str) -> Answer:
        return self.post("sqllab/execute/", {"database_id": 1, "sql": statement, "runAsync": False, "queryLimit": 10})

    def ask(self, chart: dict[str, Any], board: int, **query: Any) -> Answer:
        """Ask for data as a chart of a dashboard does, with a query of one's own."""
        source = {"id": chart["datasource_id"], "type": "table"}
        form = {"dashboardId": board, "slice_id": chart["id"]}
        return self.post("chart/data", {"datasource": source, "queries": [query], "form_data": form})


@pytest.fixture(scope="module")
def user(system: System) -> Iterator[Callable[[str], User]]:
    users: dict[str, User] = {}

    def of(role: str) -> User:
        # Logins are limited.
        if role not in users:
            users[role] = User(system, role)
        return users[role]

    yield of
    for opened in users.values():
        opened.session.close()


@pytest.mark.parametrize(
    ("role", "expected"),
    [
        ("admin", GOLD | OPS | {"vendor"}),
        ("analyst", GOLD | OPS | {"vendor"}),
        ("business_user", GOLD | OPS | {"vendor"}),
        ("executive", GOLD),
        ("vendor", {"vendor"}),
    ],
)
def test_a_role_sees_its_dashboards(user: Callable[[str], User], role: str, expected: set[str]) -> None:
    assert user(role).dashboards() == expected


@pytest.mark.parametrize("role", ["business_user", "executive", "vendor"])
def test_sql_is_for_analysts(user: Callable[[str], User], role: str) -> None:
    assert user(role).sql("SELECT 1").status_code == HTTPStatus.FORBIDDEN


def test_an_analyst_asks_gold_in_sql(user: Callable[[str], User]) -> None:
    answer = user("analyst").sql(f"SELECT sum(orders) AS orders FROM gold.{SALES}")

    assert answer.ok, answer.text
    assert answer.json()["data"][0]["orders"] > 0


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT * FROM silver.marketplace_customers",
        "SELECT * FROM bronze.events",
        "SELECT * FROM read_csv('/etc/passwd')",
        "SELECT * FROM read_text('/etc/passwd')",
        "SELECT * FROM '/etc/passwd'",
        'SELECT * FROM "{lake}/gold/marketplace_sales_by_minute/*"."parquet"',
        "SELECT current_setting('allowed_directories')",
        "SELECT * FROM delta_scan('{lake}/silver/marketplace_customers')",
        "SELECT * FROM delta_scan('{lake}/gold/marketplace_sales_by_minute')",
        "SELECT getenv('SLUICE_SUPERSET_SECRET_KEY')",
        "COPY (SELECT 1) TO '{lake}/gold/stolen.csv'",
        "INSERT INTO gold.marketplace_sales_by_minute (orders) VALUES (1)",
        "DELETE FROM gold.marketplace_sales_by_minute",
        "DROP VIEW gold.marketplace_sales_by_minute",
        "CREATE TABLE stolen AS SELECT 1",
        "SET enable_external_access = true",
        "PRAGMA database_list",
        "ATTACH '{lake}/stolen.duckdb'",
        "INSTALL httpfs",
        "CALL pragma_version()",
    ],
)
def test_sql_reaches_gold_and_nothing_else(user: Callable[[str], User], system: System, statement: str) -> None:
    answer = user("analyst").sql(statement.format(lake=Path(system.settings.lake_url)))

    assert answer.status_code >= HTTPStatus.BAD_REQUEST, answer.text
    assert "root:" not in answer.text


@pytest.fixture(scope="module")
def board(user: Callable[[str], User]) -> int:
    """The dashboard of vendors."""
    (found,) = user("vendor").get("dashboard/?q=(page_size:100)").json()["result"]
    return int(found["id"])


@pytest.fixture(scope="module")
def charts(user: Callable[[str], User], board: int) -> list[dict[str, Any]]:
    """The charts of a vendor's dashboard."""
    found: list[dict[str, Any]] = user("vendor").get(f"dashboard/{board}/charts").json()["result"]
    admin = user("admin")
    for chart in found:
        chart["datasource_id"] = int(chart["form_data"]["datasource"].split("__")[0])
        chart["table"] = admin.get(f"dataset/{chart['datasource_id']}").json()["result"]["table_name"]
    return found


@pytest.fixture(scope="module")
def sales(charts: list[dict[str, Any]]) -> dict[str, Any]:
    """A chart of the vendor's sales."""
    return next(chart for chart in charts if chart["table"] == SALES)


def rows(answer: Answer) -> list[dict[str, Any]]:
    assert answer.ok, answer.text
    found: list[dict[str, Any]] = answer.json()["result"][0]["data"]
    return found


def test_a_vendor_sees_own_rows_in_every_chart(
    user: Callable[[str], User], charts: list[dict[str, Any]], board: int
) -> None:
    assert len(charts) > 5
    for chart in charts:
        by_vendor = {"columns": ["vendor_id"], "metrics": [], "row_limit": 1000}
        # An administrator sees all, and leaves the answer in the cache.
        assert len(rows(user("admin").ask(chart, board, **by_vendor))) > 1, chart["slice_name"]
        found = rows(user("vendor").ask(chart, board, **by_vendor))
        assert found == [{"vendor_id": OWN}], chart["slice_name"]


@pytest.mark.parametrize(
    "query",
    [
        {"filters": [{"col": "vendor_id", "op": "==", "val": OTHER}]},
        {"filters": [{"col": "vendor_id", "op": "IN", "val": [OTHER]}]},
        {"extras": {"where": "1 = 1) OR (1 = 1"}},
        {"extras": {"where": f"vendor_id = '{OTHER}' OR 1 = 1"}},
        {"extras": {"where": f"vendor_id = '{OTHER}') OR (1 = 1 --"}},
        {"extras": {"having": "1 = 1 OR 1 = 1"}},
    ],
)
def test_no_filter_leads_to_rows_of_others(
    user: Callable[[str], User], sales: dict[str, Any], board: int, query: dict[str, Any]
) -> None:
    answer = user("vendor").ask(sales, board, columns=["vendor_id"], metrics=["gross"], **query)

    if answer.ok:
        assert {row["vendor_id"] for row in rows(answer)} <= {OWN}


@pytest.mark.parametrize(
    "expression",
    [
        f"(SELECT MAX(vendor_id) FROM gold.{SALES} WHERE vendor_id <> '{OWN}')",
        f"MAX(vendor_id) FROM gold.{SALES} --",
        "(SELECT content FROM read_text('/etc/passwd'))",
        f"MAX(vendor_id) AS stolen FROM gold.{SALES} UNION ALL SELECT MAX(vendor_id)",
        f"MAX(vendor_id) FROM gold.{SALES} EXCEPT SELECT 'x'",
        f"COUNT(*) FROM gold.{SALES}",
    ],
)
def test_no_expression_leads_to_rows_of_others(
    user: Callable[[str], User], sales: dict[str, Any], board: int, expression: str
) -> None:
    metric = {"expressionType": "SQL", "sqlExpression": expression, "label": "stolen"}

    answer = user("vendor").ask(sales, board, columns=[], metrics=[metric])

    assert not answer.ok
    assert "root:" not in answer.text


def test_a_vendor_reaches_no_other_dataset(
    user: Callable[[str], User], charts: list[dict[str, Any]], board: int
) -> None:
    own = {chart["datasource_id"] for chart in charts}
    every = user("admin").get("dataset/?q=(page_size:100)").json()["result"]
    for dataset in every:
        chart = {"id": charts[0]["id"], "datasource_id": dataset["id"]}
        is_of_chart = dataset["id"] == charts[0]["datasource_id"]
        answer = user("vendor").ask(chart, board, columns=[], metrics=["count"], row_limit=1)
        if not is_of_chart:
            assert answer.status_code == HTTPStatus.FORBIDDEN, dataset["table_name"]
    assert own < {dataset["id"] for dataset in every}


def test_a_vendor_sees_no_row_of_a_dataset_that_is_new(user: Callable[[str], User], board: int) -> None:
    admin = user("admin")
    virtual = {"database": 1, "schema": "gold", "table_name": "new", "sql": f"SELECT '{OTHER}' AS vendor_id"}
    dataset = admin.post("dataset/", virtual).json()["id"]
    table = {"viz_type": "table", "datasource_id": dataset, "datasource_type": "table", "params": "{}"}
    chart = admin.post("chart/", {**table, "slice_name": "New", "dashboards": [board]}).json()["id"]
    try:
        asked = [
            rows(user(role).ask({"id": chart, "datasource_id": dataset}, board, columns=["vendor_id"], metrics=[]))
            for role in ("admin", "vendor")
        ]
    finally:
        for place in (f"chart/{chart}", f"dataset/{dataset}"):
            assert admin.session.delete(f"{admin._api}/{place}", timeout=60).ok

    assert asked == [[{"vendor_id": OTHER}], []]


def test_a_vendor_opens_no_other_dashboard_or_chart(user: Callable[[str], User]) -> None:
    for found in user("admin").get("dashboard/?q=(page_size:100)").json()["result"]:
        if found["slug"] == "vendor":
            continue
        answer = user("vendor").get(f"dashboard/{found['slug']}")
        assert answer.status_code in (HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND), found["slug"]
        for chart in user("admin").get(f"dashboard/{found['slug']}/charts").json()["result"]:
            answer = user("vendor").get(f"chart/{chart['id']}/data/")
            assert answer.status_code in (HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND), chart["slice_name"]


@pytest.mark.parametrize("role", ["executive", "vendor"])
def test_readers_change_nothing(user: Callable[[str], User], role: str) -> None:
    chart = {"slice_name": "Mine", "viz_type": "table", "datasource_id": 1, "datasource_type": "table", "params": "{}"}
    assert user(role).post("chart/", chart).status_code == HTTPStatus.FORBIDDEN
    assert user(role).post("dashboard/", {"dashboard_title": "Mine"}).status_code == HTTPStatus.FORBIDDEN


def test_a_business_user_saves_a_chart_of_own(user: Callable[[str], User]) -> None:
    (dataset,) = (
        found
        for found in user("business_user").get("dataset/?q=(page_size:100)").json()["result"]
        if found["table_name"] == SALES
    )
    chart = {"slice_name": "Mine", "viz_type": "table", "datasource_id": dataset["id"], "datasource_type": "table"}

    saved = user("business_user").post("chart/", chart | {"params": "{}"})

    assert saved.status_code == HTTPStatus.CREATED, saved.text
    deleted = user("business_user").session.delete(f"{saved.url}{saved.json()['id']}", timeout=60)
    assert deleted.status_code == HTTPStatus.OK, deleted.text
    changed = {"dataset_name": "mine", "description": "x"}
    refused = user("business_user").session.put(
        f"{saved.url.removesuffix('chart/')}dataset/{dataset['id']}", json=changed, timeout=60
    )
    assert refused.status_code == HTTPStatus.FORBIDDEN
