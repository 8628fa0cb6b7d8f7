"""What Great Expectations itself finds wrong with an expectation of a suite."""

from collections.abc import Iterator, Mapping
from typing import Any

from great_expectations.exceptions.exceptions import ExpectationNotFoundError
from great_expectations.expectations.expectation import (
    ColumnMapExpectation,
    ColumnPairMapExpectation,
    MulticolumnMapExpectation,
)
from great_expectations.expectations.expectation_configuration import ExpectationConfiguration
from great_expectations.expectations.registry import (
    get_expectation_impl,
    list_registered_expectation_implementations,
)

from quality.rules import EXPECTED
from schemas import Problem
from schemas.yaml_source import Location, YamlSource

WHOLE_COLUMN = (
    "expect_column_values_to_be_unique",
    "expect_compound_columns_to_be_unique",
    "expect_column_values_to_be_increasing",
    "expect_column_values_to_be_decreasing",
    "expect_column_value_z_scores_to_be_less_than",
    "expect_column_values_to_not_be_outliers",
)
"""Types that Great Expectations counts among those of rows, but that need the others to judge one."""


def check_expectation(source: YamlSource, place: Location, given: Mapping[str, Any]) -> Iterator[Problem]:
    """Find out whether Great Expectations takes an expectation and, on silver, whether ``live`` can hold it too."""
    try:
        ExpectationConfiguration(type=str(given.get("type")), kwargs=dict(given["kwargs"])).to_domain_obj()
    except ExpectationNotFoundError:
        known = ", ".join(sorted(list_registered_expectation_implementations()))
        yield source.problem((*place, "type"), f"the expectation '{given.get('type')}' is unknown; use one of {known}")
        return
    except ValueError as error:
        for part in getattr(error, "errors", list)():
            where = [str(key) for key in part["loc"] if key != "__root__"]
            message = f"{'.'.join(where) or given['type']}: {part['msg']}"
            yield source.problem((*place, "kwargs", *where), message)
    if source.path.parent.name == "silver" and _is_of_rows_only(given["type"]) and given["type"] not in EXPECTED:
        message = f"{given['type']} cannot be held on the hot path; what can: {', '.join(sorted(EXPECTED))}"
        yield source.problem((*place, "type"), message)


def _is_of_rows_only(kind: str) -> bool:
    of_rows = (ColumnMapExpectation, ColumnPairMapExpectation, MulticolumnMapExpectation)
    return kind not in WHOLE_COLUMN and issubclass(get_expectation_impl(kind), of_rows)
