from collections.abc import Callable
from pathlib import Path

import pytest

from jobs.tables import table_schemas
from jobs.validate import suites
from quality.contract_rules import contract_expectations
from quality.suite import load_suite_files, load_suites
from quality.suite_check import check_expectation
from schemas import SuiteError, load_contracts

CONTRACTS = load_contracts()
SCHEMAS = table_schemas(CONTRACTS)
SUITE = """name: silver.marketplace_reviews
expectations:
  - type: expect_column_values_to_be_between
    severity: warning
    description: A rating is 1 to 5.
    kwargs:
      column: rating
      min_value: 1
"""

Problems = Callable[..., list[tuple[int, str]]]


@pytest.fixture
def problems(tmp_path: Path) -> Problems:
    """Lines and messages of what is wrong with the suite above once a piece of it is replaced."""

    def find(old: str = "", new: str = "") -> list[tuple[int, str]]:
        assert old in SUITE
        path = tmp_path / "silver" / "marketplace_reviews.yaml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(SUITE.replace(old, new, 1))
        try:
            load_suite_files([path], SCHEMAS, [check_expectation])
        except SuiteError as error:
            return [(problem.line, problem.message) for problem in error.problems]
        return []

    return find


def test_every_suite_that_ships_is_right() -> None:
    assert {suite.table for suite in load_suites(SCHEMAS, checks=[check_expectation])} >= {
        contract.silver for contract in CONTRACTS
    }


def test_a_right_suite_has_no_problem(problems: Problems) -> None:
    assert problems() == []


@pytest.mark.parametrize(
    ("old", "new", "line", "message"),
    [
        (
            "expect_column_values_to_be_between",
            "expect_magic",
            3,
            "the expectation 'expect_magic' is unknown; use one of",
        ),
        (
            "severity: warning",
            "severity: huge",
            4,
            "the severity 'huge' is unknown; use one of critical, warning, info",
        ),
        ("    description: A rating is 1 to 5.\n", "", 3, "needs a 'description', the rule in a sentence"),
        ("column: rating", "column: stars", 7, "there is no column 'stars'; there are event_id, event_type"),
        (
            "min_value: 1",
            "min_value: 1\n      row_condition: {type: comparison, column: {name: mood}, operator: '==', parameter: 1}",
            9,
            "there is no column 'mood'",
        ),
        (
            "min_value: 1",
            "min_value: 1\n      row_condition: 'col(\"rating\") == 1'\n      condition_parser: great_expectations",
            9,
            "row_condition must be a mapping, not a text: {type: comparison",
        ),
        ("min_value: 1", "min_value: 1\n      row_condition: {type: xor, conditions: []}", 9, "row_condition must be"),
        (
            "min_value: 1",
            "min_value: 1\n      row_condition: {type: comparison, column: {name: text}, operator: '~', parameter: 1}",
            9,
            "row_condition must be",
        ),
        (
            "min_value: 1",
            "min_value: 1\n      row_condition: {type: and, conditions: [{type: nullity, column: rating}]}",
            9,
            "row_condition must be",
        ),
        ("min_value: 1", "minimum: 1", 8, "minimum: extra fields not permitted"),
        (
            "      min_value: 1\n",
            "",
            6,
            "expect_column_values_to_be_between: min_value and max_value cannot",
        ),
        (
            "kwargs:\n      column: rating\n      min_value: 1",
            "kwargs: none",
            3,
            "is no expectation; give it",
        ),
        (
            "severity: warning",
            "severity: warning\n    on_failure: panic",
            5,
            "on_failure 'panic' is unknown; it may be 'stop'",
        ),
        ("severity: warning", "severity: warning\n    meta: rating", 5, "'meta' must be a mapping, such as"),
        ("column: rating", "column: text", 7, "'text' is string; expect_column_values_to_be_between is for numbers"),
        (
            "expect_column_values_to_be_between",
            "expect_column_values_to_be_dateutil_parseable",
            3,
            "expect_column_values_to_be_dateutil_parseable cannot be held on the hot path; what can: expect_column_",
        ),
        (
            "      min_value: 1\n",
            "      min_value: 1\n"
            "  - type: expect_column_values_to_be_between\n    severity: info\n    description: Below 6.\n"
            "    kwargs: {column: rating, max_value: 5}\n",
            9,
            "two rules are called 'values_to_be_between: rating'; give one a name of its own",
        ),
        (
            "severity: warning\n    description: A rating is 1 to 5.\n    kwargs:\n",
            "severity: critical\n    description: A rating is 1 to 5.\n    kwargs:\n      mostly: 0.9\n",
            7,
            "a critical rule refuses each row that breaks it; leave 'mostly' out",
        ),
        (
            "expect_column_values_to_be_between\n    severity: warning",
            "expect_column_max_to_be_between\n    severity: warning\n    on_failure: stop",
            5,
            "expect_column_max_to_be_between is not about single rows, so it cannot stop a job",
        ),
        (
            "      min_value: 1\n",
            "      min_value: 1\n"
            "  - type: unexpected_rows_expectation\n    severity: info\n    description: Below 6.\n"
            "    kwargs: {unexpected_rows_query: 'SELECT * FROM {batch} WHERE rating > 5'}\n",
            9,
            "a rule made of a query needs a name for reasons and counts",
        ),
        ("severity: warning", "severity: warning\n    mood: good", 5, "the key 'mood' is unknown; an expectation has"),
        ("name: silver.marketplace_reviews", "name: silver.reviews", 1, "the name must be that of the file"),
        (
            "name: silver.marketplace_reviews",
            "name: silver.marketplace_reviews\nowner: me",
            2,
            "the key 'owner' is unknown",
        ),
        ("expectations:", "expected:", 2, "the key 'expected' is unknown; a suite has 'name' and 'expectations'"),
        ("expectations:\n", "expectations: [\n", 3, "is not valid YAML"),
    ],
)
def test_a_mistake_has_its_line_and_says_what_is_wrong(
    problems: Problems, old: str, new: str, line: int, message: str
) -> None:
    found = problems(old, new)

    assert any(at == line and text.startswith(message) for at, text in found), found


def test_a_suite_for_a_table_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "gold" / "sales_by_year.yaml"
    path.parent.mkdir()
    path.write_text(SUITE.replace("silver.marketplace_reviews", "gold.sales_by_year"))

    with pytest.raises(SuiteError, match=r"sales_by_year.yaml:1: there is no table gold.sales_by_year; there are"):
        load_suite_files([path], SCHEMAS, [check_expectation])


def test_a_contract_says_what_silver_is_like() -> None:
    (reviews,) = (contract for contract in CONTRACTS if contract.topic == "marketplace.reviews")

    rules = {(rule["type"], rule["kwargs"].get("column")) for rule in contract_expectations(reviews)}

    assert rules >= {
        ("expect_column_values_to_be_unique", "event_id"),
        ("expect_column_values_to_be_in_set", "event_type"),
        ("expect_column_values_to_not_be_null", "product_id"),
        ("expect_column_values_to_be_between", "rating"),
        ("expect_column_value_lengths_to_be_between", "text"),
        ("unexpected_rows_expectation", None),
    }
    assert ("expect_column_values_to_not_be_null", "text") not in rules


def test_silver_is_held_against_its_contract_and_its_suite() -> None:
    reviews = suites(CONTRACTS)["silver.marketplace_reviews"]

    descriptions = [rule["description"] for rule in reviews.expectations]
    assert descriptions[0] == "Every event is in silver once."
    assert "Who rates low says why." in descriptions
