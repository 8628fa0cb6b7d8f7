"""What Spark finds wrong with a suite before any event is read."""

from collections.abc import Callable
from pathlib import Path
from textwrap import indent

import pytest
from pyspark.sql import SparkSession
from typer.testing import CliRunner

from jobs.cli import app
from jobs.tables import table_schemas
from quality.suite import load_suite_files, load_suites
from quality.suite_check import SparkCheck
from schemas import SuiteError, load_contracts

SCHEMAS = table_schemas(load_contracts())
SUITE = """name: {table}
expectations:
  - type: {type}
    severity: warning
    description: As it should be.
    meta: {{rule: short}}
    kwargs:
"""
QUERY = "unexpected_rows_expectation"

Problems = Callable[..., list[tuple[int, str]]]


@pytest.fixture
def problems(spark: SparkSession, tmp_path: Path) -> Problems:
    """Lines and messages of what is wrong with an expectation of a table."""

    def find(table: str, kind: str, arguments: str) -> list[tuple[int, str]]:
        path = tmp_path / f"{table.replace('.', '/')}.yaml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(SUITE.format(table=table, type=kind) + indent(arguments, 6 * " "))
        try:
            load_suite_files([path], SCHEMAS, [SparkCheck(lambda: spark, SCHEMAS)])
        except SuiteError as error:
            return [(problem.line, problem.message) for problem in error.problems]
        return []

    return find


@pytest.mark.parametrize(
    ("table", "kind", "arguments", "message"),
    [
        (
            "silver.marketplace_reviews",
            "expect_column_values_to_be_in_set",
            "column: rating\nvalue_set: [good, bad]",
            "[CAST_INVALID_INPUT] The value 'good' of the type \"STRING\" cannot be cast",
        ),
        (
            "silver.marketplace_reviews",
            "expect_column_values_to_match_regex",
            "column: text\nregex: '['",
            "[INVALID_PARAMETER_VALUE.PATTERN] The value of parameter(s) `regexp` in `rlike` is invalid: '['",
        ),
        (
            "silver.marketplace_reviews",
            QUERY,
            "unexpected_rows_query: SELECT * FROM {batch} WHERE stars > 5",
            "[UNRESOLVED_COLUMN.WITH_SUGGESTION] A column, variable, or function parameter with name `stars` cannot",
        ),
        (
            "silver.marketplace_reviews",
            QUERY,
            "unexpected_rows_query: SELECT * FROM {batch} WHERE size(marks) > 0",
            "[UNRESOLVED_COLUMN.WITH_SUGGESTION] A column, variable, or function parameter with name `marks` cannot",
        ),
        (
            "silver.marketplace_reviews",
            QUERY,
            "unexpected_rows_query: SELECT * FROM {batch} WHERE rating > 5 ORDER BY rating",
            "[PARSE_SYNTAX_ERROR] Syntax error at or near 'ORDER'",
        ),
        (
            "silver.marketplace_reviews",
            QUERY,
            "unexpected_rows_query: SELECT * FROM {batch} WHERE CAST(text AS INT) > 5",
            "[CAST_INVALID_INPUT] The value '' of the type \"STRING\" cannot be cast",
        ),
        (
            "silver.marketplace_reviews",
            QUERY,
            "unexpected_rows_query: SELECT r.* FROM {batch} r ANTI JOIN silver_ordres o ON r.order_id = o.order_id",
            "[TABLE_OR_VIEW_NOT_FOUND] The table or view `silver_ordres` cannot be found",
        ),
        (
            "gold.marketplace_sales_by_minute",
            QUERY,
            "unexpected_rows_query: SELECT * FROM {batch} WHERE order > 5",
            "[UNRESOLVED_COLUMN.WITH_SUGGESTION] A column, variable, or function parameter with name `order` cannot",
        ),
    ],
)
def test_what_spark_cannot_hold_is_refused(
    problems: Problems, table: str, kind: str, arguments: str, message: str
) -> None:
    ((line, found),) = problems(table, kind, arguments)

    assert line == 8
    assert found.startswith(f"Spark cannot hold it: {message}")


def test_every_suite_that_ships_can_be_held(spark: SparkSession) -> None:
    assert load_suites(SCHEMAS, checks=[SparkCheck(lambda: spark, SCHEMAS)])


def test_check_tells_contracts_and_suites_apart(spark: SparkSession, tmp_path: Path) -> None:
    path = tmp_path / "silver" / "marketplace_reviews.yaml"
    path.parent.mkdir()
    suite = SUITE.format(table="silver.marketplace_reviews", type="expect_column_values_to_not_be_null")
    path.write_text(f"{suite}      column: text\n")

    result = CliRunner().invoke(app, ["check", str(tmp_path)])

    assert (result.exit_code, result.output) == (0, "0 contracts, 1 suite and 0 charts are right.\n")
