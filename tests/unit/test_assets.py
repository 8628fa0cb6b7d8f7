import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from jobs.assets import ASSETS, check_assets, root_of
from jobs.tables import table_schemas
from schemas import AssetError, load_contracts

TABLES = table_schemas(load_contracts())
Problems = Callable[[str, str, str], list[str]]


def test_the_assets_that_ship_fit_the_lake() -> None:
    assert check_assets(TABLES) == len(list((ASSETS / "charts").iterdir()))


@pytest.fixture
def problems_after(tmp_path: Path) -> Problems:
    """What is wrong with the assets after a text in a file was replaced."""

    def change(file: str, text: str, replacement: str) -> list[str]:
        root = tmp_path / "assets"
        shutil.copytree(ASSETS, root)
        path = root / file
        before = path.read_text()
        assert text in before
        path.write_text(before.replace(text, replacement, 1))
        with pytest.raises(AssetError) as found:
            check_assets(TABLES, root)
        return [str(problem).removeprefix(f"{root}/") for problem in found.value.problems]

    return change


@pytest.mark.parametrize(
    ("file", "text", "replacement", "message"),
    [
        (
            "datasets/Lake/travel_bookings_by_minute.yaml",
            "column_name: travellers",
            "column_name: travelers",
            "there is no 'travelers' in table gold.travel_bookings_by_minute; it has bookings, cancelled,",
        ),
        (
            "datasets/Lake/travel_bookings_by_minute.yaml",
            "table_name: travel_bookings_by_minute",
            "table_name: travel_bookings",
            "there is no table gold.travel_bookings; ",
        ),
        (
            "charts/top_vendors.yaml",
            "  - gross\n",
            "  - sales\n",
            "there is no 'sales' in its dataset; it has average_",
        ),
        ("charts/top_vendors.yaml", "subject: minute", "subject: hour", "there is no 'hour' in its dataset; it has"),
        ("charts/gross_sales.yaml", "metric: gross", "metric: groß", "there is no 'groß' in its dataset; it has"),
        ("charts/gross_sales.yaml", "dataset_uuid: 36609cbe", "dataset_uuid: 46609cbe", "there is no dataset of this"),
        ("charts/gross_sales.yaml", "dataset_uuid: ", "dataset: ", "has no 'dataset_uuid'; export it"),
        (
            "charts/gross_sales.yaml",
            "query_context: |\n  {",
            "query_context:\nquery: |\n  {",
            "reports need the query that",
        ),
        ("charts/gross_sales.yaml", "description: ", "description: ''\nhelp: ", "has no description: say in"),
        (
            "datasets/Lake/travel_bookings_by_minute.yaml",
            "description: Travellers on the trips booked.\n",
            "description: ''\n",
            "'travellers' has no description; ",
        ),
        ("charts/gross_sales.yaml", "params:", "params: [", "is not valid YAML: "),
        ("dashboards/Live_sales.yaml", "uuid: 4bc37c2b", "uuid: 5bc37c2b", "the chart 'Gross sales' is not among the"),
        ("dashboards/Travel.yaml", "name: trip_type", "name: kind", "there is no 'kind' in its dataset; it has "),
    ],
)
def test_a_name_that_is_not_there_is_a_problem(
    problems_after: Problems, file: str, text: str, replacement: str, message: str
) -> None:
    (problem,) = [found for found in problems_after(file, text, replacement) if found.startswith(file)]

    place, _, said = problem.removeprefix(f"{file}:").partition(": ")
    assert said.startswith(message)
    expected = 1 if "has no '" in message else (ASSETS / file).read_text().split(text, 1)[0].count("\n") + 1
    assert int(place) == expected or "YAML" in message


def test_an_asset_belongs_to_the_folder_that_was_exported() -> None:
    assert root_of(ASSETS / "charts" / "top_vendors.yaml") == ASSETS
    assert root_of(ASSETS.parent / "README.md") is None
