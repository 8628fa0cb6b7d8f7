"""What users built in Superset comes back as YAML, and gives the same elsewhere."""

import io
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest
import requests
import yaml

from jobs.assets import ASSETS, check_assets
from jobs.settings import Settings
from jobs.tables import table_schemas
from schemas import load_contracts
from stack import bi, dashboard
from tests.system.conftest import System

BOARD, CHART = "My own board", "My vendors"


@dataclass(frozen=True)
class Superset:
    """The running one, as an admin's session meets it."""

    settings: Settings
    session: requests.Session

    def call(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        """The answer to a request that must succeed."""
        answer = self.session.request(method, dashboard.api(self.settings, path), timeout=120, **options)
        assert answer.ok, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def named(self, kind: str, name: str) -> list[int]:
        """The numbers of the charts or dashboards of a name."""
        field = {"chart": "slice_name", "dashboard": "dashboard_title"}[kind]
        listed = self.call("GET", f"{kind}/?q=(page_size:200)")["result"]
        return [found["id"] for found in listed if found[field] == name]


@pytest.fixture
def superset(system: System) -> Superset:
    session = dashboard.session(system.settings)
    found = Superset(system.settings, session)
    token = found.call("GET", "security/csrf_token/")["result"]
    session.headers.update({"X-CSRFToken": token, "Referer": system.credentials["superset"]["url"]})
    return found


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(ASSETS, tmp_path / "assets"))


def test_what_nobody_changed_stays_as_it_is(system: System, folder: Path) -> None:
    assert bi.export(system.settings, folder) == []


def test_what_a_user_built_is_exported_and_imported_elsewhere(superset: Superset, folder: Path) -> None:
    build(superset)
    try:
        changed = bi.export(superset.settings, folder)

        assert sorted(path.name for path in changed) == ["my_own_board.yaml", "my_vendors.yaml"]
        assert check_assets(table_schemas(load_contracts()), folder) == len(list((folder / "charts").iterdir()))

        # Elsewhere: where there is nothing of this name.
        remove(superset)
        superset.call("POST", "assets/import/", files={"bundle": ("assets.zip", bundle(folder))})

        assert superset.named("dashboard", BOARD)
        assert bi.export(superset.settings, folder) == []
        assert yaml.safe_load((folder / "dashboards" / "my_own_board.yaml").read_text())["dashboard_title"] == BOARD
    finally:
        remove(superset)


def build(superset: Superset) -> None:
    """A dashboard with a chart, as the browser makes them."""
    (known,) = superset.named("chart", "Top vendors")
    copied = superset.call("GET", f"chart/{known}")["result"]
    board = superset.call("POST", "dashboard/", json={"dashboard_title": BOARD, "slug": "mine"})["id"]
    chart = {
        "slice_name": CHART,
        "description": "The vendors that I look after.",
        "viz_type": "table",
        "datasource_id": int(json.loads(copied["query_context"])["datasource"]["id"]),
        "datasource_type": "table",
        "params": copied["params"],
        "query_context": copied["query_context"],
        "dashboards": [board],
    }
    number = superset.call("POST", "chart/", json=chart)["id"]
    part = {"type": "CHART", "id": "CHART-1", "children": [], "meta": {"chartId": number, "width": 6, "height": 50}}
    superset.call("PUT", f"dashboard/{board}", json={"json_metadata": json.dumps({"positions": {"CHART-1": part}})})


def remove(superset: Superset) -> None:
    for kind, name in (("dashboard", BOARD), ("chart", CHART)):
        for number in superset.named(kind, name):
            superset.call("DELETE", f"{kind}/{number}")


def bundle(folder: Path) -> bytes:
    """Assets as Superset imports them."""
    packed = io.BytesIO()
    with ZipFile(packed, "w") as files:
        for path in folder.rglob("*.yaml"):
            files.writestr(f"assets/{path.relative_to(folder)}", path.read_text())
    return packed.getvalue()
