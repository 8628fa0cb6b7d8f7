"""What Great Expectations and Spark themselves find wrong with an expectation of a suite."""

from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
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
from pyspark.errors import PySparkException
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import DataType, DateType, NumericType, StringType, StructType, TimestampType

from quality.rules import EXPECTED, QUERY, is_of_rows, rules
from quality.suite import view_name
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


class SparkCheck:
    """Tries the rules and queries of suites in Spark, which has the last word on names, types and SQL.

    Args:
        session: starts Spark; called when there is something to try.
        tables: the schema of every table there is, by the table's name, ``<layer>.<name>``.
    """

    def __init__(self, session: Callable[[], SparkSession], tables: Mapping[str, StructType]) -> None:
        self._session = session
        self._schemas = tables

    @cached_property
    def _tables(self) -> dict[str, DataFrame]:
        """An example of each table, with one row, also as a view."""
        session = self._session()
        examples = {}
        for table, schema in self._schemas.items():
            columns = [_example(field.dataType).cast(field.dataType).alias(field.name) for field in schema]
            examples[table] = session.range(1).select(columns)
            examples[table].createOrReplaceTempView(view_name(table))
        return examples

    def __call__(self, source: YamlSource, place: Location, given: Mapping[str, Any]) -> Iterator[Problem]:
        """Find out whether an expectation can be held."""
        layer, table = source.path.parent.name, f"{source.path.parent.name}.{source.path.stem}"
        if table not in self._schemas:
            return
        try:
            if layer == "silver" and is_of_rows(given):
                # Rules judge an event before it is marked.
                (rule,) = rules([given])
                self._tables[table].drop("marks").select(rule.finding(), rule.reason()).collect()
            elif given["type"] == QUERY:
                query = given["kwargs"]["unexpected_rows_query"].replace("{batch}", view_name(table))
                self._tables[table].sparkSession.sql(query)
        except PySparkException as error:
            what = "unexpected_rows_query" if given["type"] == QUERY else "column"
            yield source.problem(
                (*place, "kwargs", what),
                f"Spark cannot hold it: {str(error).strip().splitlines()[0].partition(' SQLSTATE')[0]}",
            )


def _example(data_type: DataType) -> Column:
    """A value with which most mistakes show: a cast of text that is no number, a division by zero."""
    if isinstance(data_type, NumericType):
        return F.lit(0)
    if isinstance(data_type, StringType):
        return F.lit("")
    if isinstance(data_type, DateType | TimestampType):
        return F.lit("2000-01-01")
    return F.lit(None)
