"""Bring what users built in Superset back to YAML, as `superset/assets/` has it: known by UUID, without ids."""

import io
import json
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any
from zipfile import ZipFile

import yaml

from jobs.settings import Settings
from stack import dashboard

Asset = dict[str, Any]

TITLES = {"datasets": "table_name", "charts": "slice_name", "dashboards": "dashboard_title"}
"""What is exported, and what it is called. The database is left out: it differs between installations."""
OF_ONE_INSTALLATION = ("datasource", "slice_id", "dashboards", "url_params", "datasource_name")
"""Parameters of a chart that hold ids; Superset writes them anew."""
DERIVED = (
    *("chart_configuration", "global_chart_configuration", "chartsInScope", "tabsInScope", "default_filters"),
    *("map_label_colors", "shared_label_colors", "color_scheme_domain"),
)
"""Parts of a dashboard that follow from the rest: ids of charts, and colours that Superset notes when it is opened."""


class _Plain(yaml.SafeDumper):
    """Writes what occurs twice a second time, and text of several lines as lines."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Plain.add_representer(str, _text)


def export(settings: Settings, folder: Path) -> list[Path]:
    """Write every dataset, chart and dashboard into a folder of assets; what has not changed is left as it is.

    Args:
        settings: where Superset is.
        folder: with `metadata.yaml`, as `superset/assets/`.

    Returns:
        the files that are new or changed.

    Raises:
        StackError: Superset refuses the generated password.
        requests.RequestException: Superset does not answer.
    """
    known = {_uuid(path): path for kind in TITLES for path in (folder / kind).rglob("*.yaml")}
    changed = []
    for kind, asset in _exported(settings):
        path = known.get(asset["uuid"]) or _new_path(folder, kind, asset)
        if path.is_file() and _same(kind, yaml.safe_load(path.read_text()), asset):
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(yaml.dump(asset, Dumper=_Plain, sort_keys=False, allow_unicode=True, width=110))
        changed.append(path)
    return changed


def _exported(settings: Settings) -> Iterator[tuple[str, Asset]]:
    with dashboard.session(settings) as session:
        answer = session.get(dashboard.api(settings, "assets/export/"), timeout=120)
    answer.raise_for_status()
    with ZipFile(io.BytesIO(answer.content)) as bundle:
        for name in sorted(bundle.namelist()):
            kind = PurePosixPath(name).parts[1]
            if kind in TITLES:
                yield kind, without_ids(kind, yaml.safe_load(bundle.read(name)))


def without_ids(kind: str, asset: Asset) -> Asset:
    """An asset as it is in every installation."""
    if kind == "charts":
        asset["params"] = _without(asset["params"], OF_ONE_INSTALLATION)
        if asset.get("query_context"):
            asset["query_context"] = _query_without_ids(json.loads(asset["query_context"]))
    if kind == "dashboards":
        asset["metadata"] = _without(asset["metadata"], DERIVED)
        for part in asset["position"].values():
            if isinstance(part, dict) and part["type"] == "CHART":
                part["meta"]["chartId"] = 0
    return asset


def _query_without_ids(query: Asset) -> str:
    # Superset's importer puts the dataset's id of the installation there.
    query["datasource"] = {"id": 1, "type": "table"}
    query["form_data"] = {**_without(query.get("form_data") or {}, OF_ONE_INSTALLATION), "datasource": "1__table"}
    return json.dumps(query, indent=1) + "\n"


def _without(tree: Any, names: tuple[str, ...]) -> Any:
    """A tree of JSON without the members of these names, at any depth."""
    if isinstance(tree, dict):
        return {key: _without(value, names) for key, value in tree.items() if key not in names}
    return [_without(value, names) for value in tree] if isinstance(tree, list) else tree


def _same(kind: str, before: Asset, after: Asset) -> bool:
    """Whether two forms of an asset say the same: Superset writes out what is empty, and has an order of its own."""
    return bool(_said(without_ids(kind, before)) == _said(after))


def _said(tree: Any) -> Any:
    if isinstance(tree, dict):
        parsed = {key: json.loads(value) if key == "query_context" and value else value for key, value in tree.items()}
        members = {key: _said(value) for key, value in parsed.items()}
        return {key: value for key, value in members.items() if value not in (None, False, [], {})}
    if isinstance(tree, list):
        items = [_said(value) for value in tree]
        return sorted(items, key=_name) if all(map(_name, items)) else items
    return tree


def _name(part: Any) -> str:
    """The name of a column or metric; of anything else, nothing."""
    return str(part.get("column_name") or part.get("metric_name") or "") if isinstance(part, dict) else ""


def _uuid(path: Path) -> str:
    return str(yaml.safe_load(path.read_text())["uuid"])


def _new_path(folder: Path, kind: str, asset: Asset) -> Path:
    name = re.sub(r"\W+", "_", asset[TITLES[kind]].lower()).strip("_") or asset["uuid"]
    path = folder / kind / ("Lake" if kind == "datasets" else "") / f"{name}.yaml"
    return path if not path.exists() else path.with_stem(f"{name}_{asset['uuid'][:8]}")
