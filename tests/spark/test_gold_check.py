"""What `sluice check` finds wrong with marts before any event is read."""

import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from jobs.gold_check import GoldError, check_gold
from jobs.marts import MARTS, SNAPSHOTS, VIEWS
from schemas import load_contracts

MART = """import datetime as dt

from pyspark.sql import functions as F
from pyspark.sql.types import LongType

from jobs.marts.mart import MONEY, Mart, Measure, counted, summed

MINE = Mart(
    name="marketplace_mine",
    description="Mine.",
    window="minute",
    width=dt.timedelta(minutes=1),
    dimensions={"country": "Where."},
    measures=(
        counted("orders", "event_type = 'created'", "orders", "Orders."),
        summed("value", "shipping", "true", "money", "Value."),
    ),
    facts=lambda events: events.select(
        F.date_trunc("minute", "event_time").alias("minute"), "country", "event_type", F.lit(1).alias("shipping")
    ),
)
MARTS = {"marketplace.orders": (MINE,)}
"""
VALUE = 'summed("value", "shipping", "true", "money", "Value.")'

Problems = Callable[[str, str], list[tuple[int, str]]]


@pytest.fixture
def problems(spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Problems:
    """Lines and messages of what is wrong with the mart above once a piece of it is replaced."""

    def find(old: str, new: str) -> list[tuple[int, str]]:
        assert old in MART
        package = tmp_path / "declared"
        package.mkdir()
        (package / "__init__.py").touch()
        (package / "mine.py").write_text(MART.replace(old, new, 1))
        monkeypatch.syspath_prepend(tmp_path)
        try:
            check_gold(load_contracts(), spark, import_module("declared"))
        except GoldError as error:
            return [(problem.line, problem.message) for problem in error.problems]
        finally:
            for name in [name for name in sys.modules if name.partition(".")[0] == "declared"]:
                del sys.modules[name]
        return []

    return find


def test_a_right_mart_has_no_problem(problems: Problems) -> None:
    assert problems("Mine.", "Mine.") == []


def test_every_mart_that_ships_is_right(spark: SparkSession) -> None:
    declared = sum(len(golds) for kind in (MARTS, SNAPSHOTS, VIEWS) for golds in kind.values())

    assert check_gold(load_contracts(), spark) == declared


@pytest.mark.parametrize(
    ("old", "new", "line", "message"),
    [
        (VALUE, 'Measure("value", "avg(shipping)", MONEY, "m", "V.")', 16, "value: Average does not merge by 'sum'"),
        (VALUE, 'Measure("value", "min(shipping)", MONEY, "m", "V.")', 16, "value: Min does not merge by 'sum'"),
        (VALUE, 'Measure("value", "sum(shipping)", MONEY, "m", "V.", "max")', 16, "value: Sum does not merge by 'max'"),
        (
            VALUE,
            'Measure("value", "count(distinct country)", LongType(), "m", "V.")',
            16,
            "value: DISTINCT does not merge",
        ),
        (VALUE, 'Measure("value", "sum(shipping) / count(*)", MONEY, "m", "V.")', 16, "value: Divide does not merge"),
        (VALUE, 'summed("value", "price", "true", "money", "Value.")', 16, "value: [UNRESOLVED_COLUMN"),
        (VALUE, 'Measure("value", "sum(", MONEY, "m", "V.")', 16, "value: [PARSE_SYNTAX_ERROR]"),
        ('"country", "event_type"', '"nation", "event_type"', 9, "its facts: [UNRESOLVED_COLUMN"),
        ('"country": "Where."', '"nation": "Where."', 9, "its facts: [UNRESOLVED_COLUMN"),
        (
            '"marketplace.orders": (MINE,)',
            '"marketplace.magic": (MINE,)',
            22,
            "there is no contract of marketplace.magic",
        ),
        ("(MINE,)", "(MINE, MINE)", 9, "is listed twice"),
        ('"marketplace_mine"', '"Marketplace_mine"', 9, "a name has small letters"),
    ],
)
def test_what_cannot_be_kept_is_refused_with_its_line(
    problems: Problems, old: str, new: str, line: int, message: str
) -> None:
    found = problems(old, new)

    assert [at for at, _ in found] == [line], found
    assert found[0][1].partition(": ")[2].startswith(message), found
