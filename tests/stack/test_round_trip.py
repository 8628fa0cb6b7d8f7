"""What users built in Superset comes back as YAML, and gives the same elsewhere."""

import io
import json
import shutil
from pathlib import Path
from zipfile import ZipFile

import pytest
import requests
import yaml

from jobs.assets import ASSETS, check_assets
from jobs.tables import table_schemas
from schemas import load_contracts
from stack import bi, dashboard
from tests.stack.conftest import System

TITLE = "My own board"


@pytest.fixture
def session(system: System) -> requests.Session:
    opened = dashboard.session(system.settings)
    token = opened.get(dashboard.api(system.settings, "security/csrf_token/"), timeout=60).json()["result"]
    opened.headers.update({"X-CSRFToken": token, "Referer": system.credentials["superset"]["url"]})
    return opened


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(ASSETS, tmp_path / "assets"))


def test_what_nobody_changed_stays_as_it_is(system: System, folder: Path) -> None:
    assert bi.export(system.settings, folder) == []


def test_what_a_user_built_is_exported_and_imported_elsewhere(
    system: System, session: requests.Session, folder: Path
) -> None:
    def call(method: str, path: str, **body: object) -> dict[str, object]:
        address = dashboard.api(system.settings, path)
        answer = session.request(method, address, json=body or None, timeout=60)
        assert answer.ok, answer.text
        found: dict[str, object] = answer.json()
        return found

    (copied,) = (
        chart for chart in call("GET", "chart/?q=(page_size:200)")["result"] if chart["slice_name"] == "Top vendors"
    )
    known = call("GET", f"chart/{copied['id']}")["result"]
    board = call("POST", "dashboard/", dashboard_title=TITLE, slug="mine")["id"]
    chart = call(
        "POST",
        "chart/",
        slice_name="My vendors",
        description="The vendors that I look after.",
        viz_type="table",
        datasource_id=int(json.loads(known["query_context"])["datasource"]["id"]),
        datasource_type="table",
        params=known["params"],
        query_context=known["query_context"],
        dashboards=[board],
    )["id"]
    part = {"type": "CHART", "id": "CHART-1", "children": [], "meta": {"chartId": chart, "width": 6, "height": 50}}
    call("PUT", f"dashboard/{board}", json_metadata=json.dumps({"positions": {"CHART-1": part}}))

    changed = bi.export(system.settings, folder)

    assert sorted(path.name for path in changed) == ["my_own_board.yaml", "my_vendors.yaml"]
    assert check_assets(table_schemas(load_contracts()), folder) == len(list((folder / "charts").iterdir()))

    # Elsewhere: where there is nothing of this name.
    call("DELETE", f"dashboard/{board}")
    call("DELETE", f"chart/{chart}")
    bundle = io.BytesIO()
    with ZipFile(bundle, "w") as files:
        for path in folder.rglob("*.yaml"):
            files.writestr(f"assets/{path.relative_to(folder)}", path.read_text())
    answer = session.post(
        dashboard.api(system.settings, "assets/import/"),
        files={"bundle": ("assets.zip", bundle.getvalue())},
        timeout=120,
    )
    assert answer.ok, answer.text
    try:
        assert bi.export(system.settings, folder) == []
        assert yaml.safe_load((folder / "dashboards" / "my_own_board.yaml").read_text())["dashboard_title"] == TITLE
    finally:
        for kind, name, title in (("dashboard", "dashboard_title", TITLE), ("chart", "slice_name", "My vendors")):
            for found in call("GET", f"{kind}/?q=(page_size:200)")["result"]:
                if found[name] == title:
                    call("DELETE", f"{kind}/{found['id']}")
