"""Expectation suites: what rows of a table should be like, one file per table, in Great Expectations' own terms.

A suite lies in ``quality/<layer>/<table>.yaml`` and holds what Great Expectations' suites hold: per expectation its
``type``, ``kwargs``, ``severity``, ``description`` and ``meta``; beside them ``on_failure``, which may be ``stop``.

To import Great Expectations takes many seconds: this module does without, so that jobs can read suites when they start.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from pyspark.sql.types import DataType, DateType, NumericType, StringType, StructType, TimestampType

from quality.rules import COMPARISONS, QUERY, Rule, is_of_rows, rule_name, rules
from schemas import ContractError, Problem, SuiteError
from schemas.yaml_source import Location, YamlSource

DIRECTORY = Path(__file__).parent
SEVERITIES = ("critical", "warning", "info")
KEYS = ("type", "severity", "description", "kwargs")
OPTIONAL_KEYS = ("meta", "on_failure")
COLUMN_ARGUMENTS = ("column", "column_A", "column_B")
COLUMN_LISTS = ("column_list", "column_set")
CONDITION_FORM = (
    "a mapping, not a text: {type: comparison, column: {name: NAME}, operator: '==', parameter: VALUE}, "
    "{type: nullity, column: {name: NAME}, is_null: false}, or {type: and, conditions: [...]} with such in it; "
    f"operators are {', '.join(COMPARISONS)}"
)

Check = Callable[[YamlSource, Location, Mapping[str, Any]], Iterable[Problem]]
"""Finds what is wrong with one expectation at a place of a suite's file, whose form and columns are right."""


@dataclass(frozen=True)
class Suite:
    """The expectations of one table, ``<layer>.<name>``."""

    table: str
    expectations: tuple[Mapping[str, Any], ...]

    @property
    def rules(self) -> tuple[Rule, ...]:
        """Those of single rows, in order."""
        return rules(self.expectations)


def load_suites(
    tables: Mapping[str, StructType], directory: Path = DIRECTORY, checks: Sequence[Check] = ()
) -> tuple[Suite, ...]:
    """Read every ``<layer>/<table>.yaml`` below a directory, in order of table; the rest as in ``load_suite_files``."""
    return load_suite_files(sorted(directory.glob("*/*.yaml")), tables, checks)


def load_suite_files(
    paths: Sequence[Path], tables: Mapping[str, StructType], checks: Sequence[Check] = ()
) -> tuple[Suite, ...]:
    """Read suites.

    Args:
        paths: their files.
        tables: the schema of every table there is, by the table's name, ``<layer>.<name>``.
        checks: find what else may be wrong with an expectation, each where those before found nothing.

    Raises:
        SuiteError: with every problem of every file.
    """
    suites: list[Suite] = []
    problems: list[Problem] = []
    for path in paths:
        try:
            source = YamlSource(path)
        except ContractError as error:
            problems += error.problems
            continue
        found = sorted(_problems(source, tables, checks))
        problems += found
        if not found:
            suites.append(Suite(source.content["name"], tuple(source.content["expectations"])))
    if problems:
        raise SuiteError(problems)
    return tuple(suites)


def _problems(source: YamlSource, tables: Mapping[str, StructType], checks: Sequence[Check]) -> Iterator[Problem]:
    content = source.content
    if not isinstance(content, dict):
        yield source.problem((), "is no suite; give it 'name' and 'expectations'")
        return
    for key in content.keys() - {"name", "expectations"}:
        yield source.problem((key,), f"the key '{key}' is unknown; a suite has 'name' and 'expectations'")
    name = f"{source.path.parent.name}.{source.path.stem}"
    if content.get("name") != name:
        yield source.problem(("name",), f"the name must be that of the file, <layer>.<table>: {name}")
    elif name not in tables:
        yield source.problem(("name",), f"there is no table {name}; there are {', '.join(sorted(tables))}")
    expectations = content.get("expectations")
    if not isinstance(expectations, list) or not expectations:
        yield source.problem(("expectations",), "needs 'expectations', a list of at least one")
        return
    columns = partial(_problems_of_columns, schema=tables[name]) if name in tables else _no_problems
    whole = []
    for index, expectation in enumerate(expectations):
        place = ("expectations", index)
        found: list[Problem] = []
        for check in (_problems_of_form, columns, *checks):
            if not found:
                found = list(check(source, place, expectation))
        yield from found
        whole += [] if found else [(place, expectation)]
    if source.path.parent.name == "silver":
        yield from _problems_of_rules(source, whole)


def _no_problems(source: YamlSource, place: Location, given: Mapping[str, Any]) -> Iterator[Problem]:
    yield from ()


def _problems_of_form(source: YamlSource, place: Location, given: Any) -> Iterator[Problem]:
    if not isinstance(given, dict) or not isinstance(given.get("kwargs"), dict):
        yield source.problem(place, f"is no expectation; give it {', '.join(KEYS)}, of which 'kwargs' is a mapping")
        return
    for key in given.keys() - {*KEYS, *OPTIONAL_KEYS}:
        known = ", ".join([*KEYS, *OPTIONAL_KEYS])
        yield source.problem((*place, key), f"the key '{key}' is unknown; an expectation has {known}")
    if given.get("severity") not in SEVERITIES:
        message = f"the severity '{given.get('severity')}' is unknown; use one of {', '.join(SEVERITIES)}"
        yield source.problem((*place, "severity"), message)
    if not given.get("description"):
        yield source.problem(place, "needs a 'description', the rule in a sentence")
    if not isinstance(given.get("meta", {}), dict):
        yield source.problem((*place, "meta"), "'meta' must be a mapping, such as {rule: short_name}")
    if given.get("on_failure") not in (None, "stop"):
        message = f"on_failure '{given['on_failure']}' is unknown; it may be 'stop', which stops the job"
        yield source.problem((*place, "on_failure"), message)
    if given["kwargs"].get("row_condition") is not None and not _is_condition(given["kwargs"]["row_condition"]):
        yield source.problem((*place, "kwargs", "row_condition"), f"row_condition must be {CONDITION_FORM}")


def _is_condition(condition: Any) -> bool:
    """Whether a condition on rows has one of the forms that Great Expectations gives its own conditions as mappings."""
    match condition:
        case {"type": "and" | "or", "conditions": [_, *_] as parts}:
            return all(map(_is_condition, parts))
        case {"type": "nullity", "column": {"name": str()}, "is_null": bool()}:
            return True
        case {"type": "comparison", "column": {"name": str()}, "operator": operator, "parameter": parameter}:
            return operator in COMPARISONS and (isinstance(parameter, list) or operator not in ("IN", "NOT_IN"))
    return False


def _problems_of_columns(
    source: YamlSource, place: Location, given: Mapping[str, Any], schema: StructType
) -> Iterator[Problem]:
    wanted, known = WANTED_TYPES.get(str(given.get("type")), (None, ""))
    for argument, column in _columns(given["kwargs"]):
        where = (*place, "kwargs", argument)
        if column not in schema.names:
            yield source.problem(where, f"there is no column '{column}'; there are {', '.join(schema.names)}")
        elif wanted is not None and argument == "column" and not wanted(schema[column].dataType):
            message = f"'{column}' is {schema[column].dataType.simpleString()}; {given['type']} is for {known}"
            yield source.problem(where, message)


def view_name(table: str) -> str:
    """What queries call a table ``<layer>.<name>``."""
    return table.replace(".", "_")


def _problems_of_rules(
    source: YamlSource, expectations: Sequence[tuple[Location, Mapping[str, Any]]]
) -> Iterator[Problem]:
    """What is wrong with rules that every single row of silver is judged with."""
    names = Counter(rule_name(given) for _, given in expectations if is_of_rows(given))
    for place, given in expectations:
        if not is_of_rows(given):
            if given.get("on_failure"):
                message = f"{given['type']} is not about single rows, so it cannot stop a job; leave on_failure out"
                yield source.problem((*place, "on_failure"), message)
            continue
        if names[rule_name(given)] > 1:
            message = (
                f"two rules are called '{rule_name(given)}'; give one a name of its own: meta: {{rule: short_name}}"
            )
            yield source.problem(place, message)
        if given["severity"] == "critical" and given["kwargs"].get("mostly", 1) != 1:
            message = "a critical rule refuses each row that breaks it; leave 'mostly' out or make it a warning"
            yield source.problem((*place, "kwargs", "mostly"), message)
        if given["type"] == QUERY and not (given.get("meta") or {}).get("rule"):
            message = "a rule made of a query needs a name for reasons and counts: meta: {rule: short_name}"
            yield source.problem(place, message)


def _is_text(data_type: DataType) -> bool:
    return isinstance(data_type, StringType)


def _has_order(data_type: DataType) -> bool:
    return isinstance(data_type, NumericType | DateType | TimestampType)


WANTED_TYPES: dict[str, tuple[Callable[[DataType], bool], str]] = {
    "expect_column_values_to_be_between": (_has_order, "numbers, dates and times"),
    **dict.fromkeys(
        (
            "expect_column_value_lengths_to_be_between",
            "expect_column_value_lengths_to_equal",
            "expect_column_values_to_match_regex",
            "expect_column_values_to_not_match_regex",
            "expect_column_values_to_match_regex_list",
            "expect_column_values_to_not_match_regex_list",
        ),
        (_is_text, "text"),
    ),
}
"""Which columns a type of expectation can be about."""


def _columns(arguments: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for argument in COLUMN_ARGUMENTS:
        if isinstance(arguments.get(argument), str):
            yield argument, arguments[argument]
    for argument in COLUMN_LISTS:
        if isinstance(arguments.get(argument), list):
            for column in arguments[argument]:
                yield argument, column
    for column in _condition_columns(arguments.get("row_condition")):
        yield "row_condition", column


def _condition_columns(condition: Any) -> Iterator[str]:
    """The columns that a condition on rows compares; conditions nest."""
    if isinstance(condition, Mapping):
        if isinstance(condition.get("column"), Mapping) and "name" in condition["column"]:
            yield condition["column"]["name"]
        for part in condition.get("conditions") or ():
            yield from _condition_columns(part)
