"""A rule of single rows says the same as Great Expectations says over a table of those rows."""

import datetime as dt
import random
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import great_expectations as gx
import pytest
from great_expectations.data_context.types.base import ProgressBarsConfig
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from quality.rules import EXPECTED, QUERY, rule_name, rules
from quality.validation import errors
from tests.scale import FULL

ROWS = 400
SEEDS = range(20 if FULL else 1)
SCHEMA = (
    "id int, text string, other string, third string, whole bigint, more bigint, number double, "
    "money decimal(12,2), flag boolean, day date, moment timestamp"
)
TEXTS = (
    "",
    " ",
    "a",
    "b",
    "A",
    "null",
    "NaN",
    "7",
    "3.5",
    "true",
    "é",
    "日本",
    "🙂🙂",
    "a\nb",
    "\x00",
    "a@b.de",
    "%_",
    "x" * 300,
)
WHOLES = (0, 1, -1, 5, 2**31, 2**63 - 1, -(2**63))
NUMBERS = (0.0, -0.0, 1.0, 0.1 + 0.2, 1e308, -1e308, 5e-324, float("nan"), float("inf"), float("-inf"))
MONEY = tuple(map(Decimal, ("0", "0.01", "-0.01", "99.99", "9999999999.99", "-9999999999.99")))
DAYS = (dt.date(1, 1, 1), dt.date(1970, 1, 1), dt.date(2026, 2, 28), dt.date(9999, 12, 31))
MOMENTS = tuple(dt.datetime(year, 1, 1, 0, 0, 0, 123456) for year in (1000, 1969, 2026, 9000))

IS_A = {"type": "comparison", "column": {"name": "text"}, "operator": "==", "parameter": "a"}
IS_SOME = {"type": "comparison", "column": {"name": "text"}, "operator": "IN", "parameter": ["", "a", "b"]}
IS_LARGE = {"type": "comparison", "column": {"name": "number"}, "operator": ">", "parameter": 1}
HAS_OTHER = {"type": "nullity", "column": {"name": "other"}, "is_null": False}


def expectation(kind: str, **arguments: Any) -> dict[str, Any]:
    return {"type": kind, "severity": "warning", "description": "", "kwargs": arguments}


def expectations() -> Iterator[dict[str, Any]]:
    """Every type that can be compiled, over every type of column that it is for, with and without conditions."""
    yield from expectations_of_presence()
    yield from expectations_of_values()
    yield from expectations_of_several_columns()
    for condition in ("whole > more", "text = 'a' OR other IS NULL", "moment > add_months(day, 24);"):
        yield expectation(QUERY, unexpected_rows_query=f"SELECT * FROM {{batch}} WHERE {condition}")


def expectations_of_presence() -> Iterator[dict[str, Any]]:
    for column in SCHEMA.replace("decimal(12,2)", "decimal").split(", ")[1:]:
        yield expectation("expect_column_values_to_not_be_null", column=column.split()[0])
        yield expectation("expect_column_values_to_be_null", column=column.split()[0])
    conditions: tuple[dict[str, Any], ...] = (
        IS_A,
        IS_SOME,
        IS_LARGE,
        HAS_OTHER,
        {"type": "nullity", "column": {"name": "whole"}, "is_null": True},
        {"type": "and", "conditions": [IS_SOME, HAS_OTHER]},
        {"type": "or", "conditions": [IS_A, {"type": "and", "conditions": [IS_LARGE, HAS_OTHER]}]},
        *({**IS_LARGE, "column": {"name": "whole"}, "operator": op} for op in ("==", "!=", "<", "<=", ">=")),
        {**IS_SOME, "operator": "NOT_IN"},
    )
    for condition in conditions:
        yield expectation("expect_column_values_to_not_be_null", column="third", row_condition=condition)


def expectations_of_values() -> Iterator[dict[str, Any]]:
    for value_set in (["a", ""], ["日本", "🙂🙂", "null"]):
        yield expectation("expect_column_values_to_be_in_set", column="text", value_set=value_set)
        yield expectation("expect_column_values_to_not_be_in_set", column="text", value_set=value_set)
    yield expectation("expect_column_values_to_be_in_set", column="whole", value_set=[0, 2**31])
    yield expectation("expect_column_values_to_be_in_set", column="number", value_set=[0.0, 1.0])
    yield expectation("expect_column_values_to_not_be_in_set", column="flag", value_set=[True])
    for column, low, high in (
        ("whole", 0, 2**31),
        ("number", -1.5, 1),
        ("money", 0.01, 99.99),
        ("day", dt.date(1970, 1, 1), dt.date(2026, 2, 28)),
        ("moment", dt.datetime(1970, 1, 1), dt.datetime(2026, 6, 1)),
    ):
        for limits in ({"min_value": low}, {"max_value": high}, {"min_value": low, "max_value": high}):
            yield expectation("expect_column_values_to_be_between", column=column, **limits)
            strict = {name.replace("value", "strict").replace("min_strict", "strict_min"): True for name in limits}
            strict = {name.replace("max_strict", "strict_max"): True for name in strict}
            yield expectation("expect_column_values_to_be_between", column=column, **limits, **strict)
    yield expectation("expect_column_value_lengths_to_be_between", column="text", min_value=1, max_value=2)
    yield expectation("expect_column_value_lengths_to_be_between", column="text", min_value=1, strict_min=True)
    yield expectation("expect_column_value_lengths_to_equal", column="text", value=2)
    for regex in ("^[a-z]$", "^[^@\\s]+@[^@\\s]+$", "日", "^$", "."):
        yield expectation("expect_column_values_to_match_regex", column="text", regex=regex)
        yield expectation(
            "expect_column_values_to_not_match_regex", column="text", regex=regex, row_condition=HAS_OTHER
        )
    for match_on in ("any", "all"):
        lists = {"regex_list": ["^a", "b$"], "match_on": match_on}
        yield expectation("expect_column_values_to_match_regex_list", column="text", **lists)
    yield expectation("expect_column_values_to_not_match_regex_list", column="text", regex_list=["^a", "b$"])


def expectations_of_several_columns() -> Iterator[dict[str, Any]]:
    for ignore in ({}, *({"ignore_row_if": when} for when in ("both_values_are_missing", "either_value_is_missing"))):
        for a, b in (("whole", "more"), ("number", "whole"), ("text", "other"), ("money", "number")):
            pair = {"column_A": a, "column_B": b, **ignore}
            yield expectation("expect_column_pair_values_a_to_be_greater_than_b", **pair)
            yield expectation("expect_column_pair_values_a_to_be_greater_than_b", **pair, or_equal=True)
        texts = {"column_A": "text", "column_B": "other", **ignore}
        yield expectation("expect_column_pair_values_to_be_equal", **texts)
        yield expectation("expect_column_pair_values_to_be_in_set", **texts, value_pairs_set=[("a", "b"), ("", "")])
    neither = {"column_A": "text", "column_B": "other", "ignore_row_if": "neither"}
    yield expectation("expect_column_pair_values_to_be_equal", **neither)
    yield expectation("expect_column_pair_values_a_to_be_greater_than_b", **neither)
    for ignore in ({}, *({"ignore_row_if": when} for when in ("any_value_is_missing", "never"))):
        texts = {"column_list": ["text", "other", "third"], **ignore}
        yield expectation("expect_multicolumn_values_to_be_equal", **texts)
        yield expectation("expect_select_column_values_to_be_unique_within_record", **texts)


def rows(seed: int) -> list[tuple[Any, ...]]:
    choose = random.Random(seed)

    def some(values: tuple[Any, ...]) -> Any:
        return None if choose.random() < 0.2 else choose.choice(values)

    values = (TEXTS, TEXTS, TEXTS, WHOLES, WHOLES, NUMBERS, MONEY, (True, False), DAYS, MOMENTS)
    return [(number, *map(some, values)) for number in range(ROWS)]


def found_by_great_expectations(frame: DataFrame, given: list[dict[str, Any]]) -> list[set[int]]:
    """The ids of the rows that are not as expected, per expectation."""
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    asset = context.data_sources.add_spark("random").add_dataframe_asset("rows")
    batch = asset.add_batch_definition_whole_dataframe("all").get_batch({"dataframe": frame})
    found = []
    for one in given:
        result = batch.validate(
            gx.ExpectationSuite(name="one", expectations=[one]),
            result_format={"result_format": "COMPLETE", "unexpected_index_column_names": ["id"]},
        ).results[0]
        assert list(errors(result.exception_info)) == [], one
        if one["type"] == QUERY:
            found.append({row["id"] for row in result.result["details"]["unexpected_rows"]})
        else:
            found.append({row["id"] for row in result.result["unexpected_index_list"] or ()})
    return found


def test_every_type_is_tried() -> None:
    assert {one["type"] for one in expectations()} == set(EXPECTED)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_rule_finds_the_rows_that_great_expectations_finds(spark: SparkSession, seed: int) -> None:
    frame = spark.createDataFrame(rows(seed), SCHEMA).cache()
    given = list(expectations())
    compiled = rules(given)
    assert len(compiled) == len(given)

    columns = [rule.is_broken().alias(str(index)) for index, rule in enumerate(compiled)]
    judged = frame.select("id", F.array(*columns).alias("broken")).collect()

    ours = [{row["id"] for row in judged if row["broken"][index]} for index in range(len(given))]
    theirs = found_by_great_expectations(frame, given)
    differing = [(one, mine ^ other) for one, mine, other in zip(given, ours, theirs, strict=True) if mine != other]
    assert differing == []
    assert sum(map(bool, ours)) > len(ours) * 0.9
    frame.unpersist()


def test_a_reason_names_the_rule_the_fields_and_the_values(spark: SparkSession) -> None:
    frame = spark.createDataFrame([(1, None), (2, 3)], "a int, b int")
    (rule,) = rules([expectation("expect_column_pair_values_a_to_be_greater_than_b", column_A="a", column_B="b")])

    reasons = [row[0] for row in frame.select(rule.reason()).collect()]

    assert rule.name == "pair_values_a_to_be_greater_than_b: a, b"
    assert reasons == [f"{rule.name} (1, null)", f"{rule.name} (2, 3)"]


def test_a_rule_may_have_a_name_of_its_own() -> None:
    query = expectation(QUERY, unexpected_rows_query="SELECT * FROM {batch} WHERE a > b") | {
        "meta": {"rule": "a_first"}
    }

    assert rule_name(query) == "a_first"


def test_what_needs_other_rows_is_no_rule() -> None:
    joins = "SELECT a.* FROM {batch} a JOIN {batch} b USING (id) WHERE a.x > b.x"
    nested = "SELECT * FROM {batch} WHERE x > (SELECT max(x) FROM {batch})"

    assert rules([expectation(QUERY, unexpected_rows_query=query) for query in (joins, nested)]) == ()
    assert rules([expectation("expect_column_values_to_be_unique", column="a")]) == ()
