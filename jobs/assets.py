"""Check Superset's assets: what they name is in the lake, and what users see has help text."""

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from pyspark.sql.types import StructType

from jobs.settings import CHECKOUT
from schemas import AssetError, ContractError, Problem
from schemas.yaml_source import Location, YamlSource

ASSETS = CHECKOUT / "superset" / "assets"
NAMES_ONE = ("metric", "x_axis", "timeseries_limit_metric", "x_axis_sort")
NAMES_SEVERAL = ("metrics", "groupby", "all_columns", "percent_metrics")
"""The parameters of a chart that name columns or metrics of its dataset."""
NEEDED = {
    "datasets": ("uuid", "schema", "table_name", "sql", "columns", "metrics"),
    "charts": ("uuid", "dataset_uuid", "params", "query_context"),
    "dashboards": ("uuid", "position", "metadata"),
}
"""What an asset must say before anything else can be asked of it, by its folder."""


def root_of(file: Path) -> Path | None:
    """The folder of assets, as Superset exports it, that holds a file."""
    return next((folder for folder in file.resolve().parents if (folder / "metadata.yaml").is_file()), None)


def check_assets(tables: Mapping[str, StructType], root: Path = ASSETS) -> int:
    """Check every asset in a folder; returns how many charts there are.

    Args:
        tables: the schema of every table there is, by the table's name, ``<layer>.<name>``.
        root: the folder.

    Raises:
        AssetError: with every problem of every file.
    """
    problems: list[Problem] = []

    def sources(folder: str) -> Iterator[YamlSource]:
        for path in sorted((root / folder).rglob("*.yaml")):
            try:
                source = YamlSource(path)
            except ContractError as error:
                problems.extend(error.problems)
                continue
            missing = [key for key in NEEDED[folder] if key not in (source.content or ())]
            problems.extend(source.problem((), f"has no '{key}'; export it from Superset anew") for key in missing)
            if not missing:
                yield source

    known: dict[str, Collection[str]] = {}
    for source in sources("datasets"):
        problems += _missing_columns(source, tables)
        problems += _without_help(source)
        known[source.content["uuid"]] = _names(source.content)
    charts: set[str] = set()
    for source in sources("charts"):
        problems += _problems_of_chart(source, known)
        charts.add(source.content["uuid"])
    for source in sources("dashboards"):
        problems += _unknown_charts(source, charts)
        problems += _unknown_filters(source, known)
    if problems:
        raise AssetError(problems)
    return len(charts)


def _names(dataset: dict[str, Any]) -> set[str]:
    columns = {column["column_name"] for column in dataset["columns"]}
    return columns | {metric["metric_name"] for metric in dataset["metrics"]}


def _missing_columns(source: YamlSource, tables: Mapping[str, StructType]) -> Iterator[Problem]:
    dataset = source.content
    if dataset["sql"]:
        return
    table = f"{dataset['schema']}.{dataset['table_name']}"
    if table not in tables:
        yield source.problem(("table_name",), f"there is no table {table}; the tables of gold are in docs/marts.md")
        return
    columns = tables[table].names
    for index, column in enumerate(dataset["columns"]):
        if not column.get("expression") and column["column_name"] not in columns:
            yield _unknown(source, ("columns", index), column["column_name"], f"table {table}", columns)


def _without_help(source: YamlSource) -> Iterator[Problem]:
    for kind, name in (("columns", "column_name"), ("metrics", "metric_name")):
        for index, part in enumerate(source.content[kind]):
            if not part.get("description"):
                message = f"'{part[name]}' has no description; users see it as help"
                yield source.problem((kind, index, "description"), message)


def _problems_of_chart(source: YamlSource, known: Mapping[str, Collection[str]]) -> Iterator[Problem]:
    chart = source.content
    if not chart.get("description"):
        message = "has no description: say in a sentence what the chart shows; dashboards show it as help"
        yield source.problem(("description",), message)
    if not chart["query_context"]:
        message = "reports need the query that Superset writes when a chart is saved: save it in the browser, export it"
        yield source.problem(("query_context",), message)
    if (names := known.get(chart["dataset_uuid"])) is None:
        yield source.problem(("dataset_uuid",), "there is no dataset of this UUID among the assets; export it too")
        return
    for location, name in _named(chart["params"]):
        if name not in names:
            yield _unknown(source, ("params", *location), name, "its dataset", names)


def _named(params: dict[str, Any]) -> Iterator[tuple[Location, str]]:
    """The columns and metrics that a chart names, and where; those that it computes itself have no name."""
    for key in NAMES_ONE:
        yield from [((key,), params[key])] if isinstance(params.get(key), str) else []
    for key in NAMES_SEVERAL:
        yield from (((key, i), name) for i, name in enumerate(params.get(key) or ()) if isinstance(name, str))
    for index, condition in enumerate(params.get("adhoc_filters") or ()):
        if condition["expressionType"] == "SIMPLE":
            yield ("adhoc_filters", index, "subject"), condition["subject"]


def _unknown_charts(source: YamlSource, charts: Collection[str]) -> Iterator[Problem]:
    for key, part in source.content["position"].items():
        if isinstance(part, dict) and part["type"] == "CHART" and part["meta"]["uuid"] not in charts:
            message = f"the chart {part['meta']['sliceName']!r} is not among the assets; export it too"
            yield source.problem(("position", key, "meta", "uuid"), message)


def _unknown_filters(source: YamlSource, known: Mapping[str, Collection[str]]) -> Iterator[Problem]:
    for index, filter_ in enumerate(source.content["metadata"].get("native_filter_configuration") or ()):
        for number, target in enumerate(filter_.get("targets") or ()):
            if "column" not in target:
                continue
            location: Location = ("metadata", "native_filter_configuration", index, "targets", number)
            names = known.get(target["datasetUuid"], ())
            if target["column"]["name"] not in names:
                yield _unknown(source, (*location, "column", "name"), target["column"]["name"], "its dataset", names)


def _unknown(source: YamlSource, location: Location, name: str, where: str, names: Collection[str]) -> Problem:
    return source.problem(location, f"there is no '{name}' in {where}; it has {', '.join(sorted(names))}")
