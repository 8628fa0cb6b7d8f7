"""Expectation suites: what rows of a table should be like, one file per table, in Great Expectations' own terms.

A suite lies in ``quality/<layer>/<table>.yaml`` and holds what Great Expectations' suites hold: per expectation its
``type``, ``kwargs``, ``severity`` and ``description``.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from great_expectations.exceptions.exceptions import ExpectationNotFoundError
from great_expectations.expectations.expectation_configuration import ExpectationConfiguration
from great_expectations.expectations.registry import list_registered_expectation_implementations

from schemas import ContractError, Problem, SuiteError
from schemas.yaml_source import Location, YamlSource

DIRECTORY = Path(__file__).parent
SEVERITIES = ("critical", "warning", "info")
KEYS = ("type", "severity", "description", "kwargs")
COLUMN_ARGUMENTS = ("column", "column_A", "column_B")
COLUMN_LISTS = ("column_list", "column_set")


@dataclass(frozen=True)
class Suite:
    """The expectations of one table, ``<layer>.<name>``; each is what Great Expectations takes as a configuration."""

    table: str
    expectations: tuple[Mapping[str, Any], ...]


def load_suites(tables: Mapping[str, Collection[str]], directory: Path = DIRECTORY) -> tuple[Suite, ...]:
    """Read every ``<layer>/<table>.yaml`` below a directory, in order of table; ``tables`` as in ``load_suite_files``.

    Raises:
        SuiteError: with every problem of every file.
    """
    return load_suite_files(sorted(directory.glob("*/*.yaml")), tables)


def load_suite_files(paths: Sequence[Path], tables: Mapping[str, Collection[str]]) -> tuple[Suite, ...]:
    """Read suites.

    Args:
        paths: their files.
        tables: the columns of every table there is, by the table's name, ``<layer>.<name>``.

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
        found = sorted(_problems(source, tables))
        problems += found
        if not found:
            suites.append(Suite(source.content["name"], tuple(source.content["expectations"])))
    if problems:
        raise SuiteError(problems)
    return tuple(suites)


def _problems(source: YamlSource, tables: Mapping[str, Collection[str]]) -> Iterator[Problem]:
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
    for index, expectation in enumerate(expectations):
        yield from _problems_of(source, ("expectations", index), expectation, tables.get(name))


def _problems_of(source: YamlSource, place: Location, given: Any, columns: Collection[str] | None) -> Iterator[Problem]:
    if not isinstance(given, dict) or not isinstance(given.get("kwargs"), dict):
        yield source.problem(place, f"is no expectation; give it {', '.join(KEYS)}, of which 'kwargs' is a mapping")
        return
    for key in given.keys() - set(KEYS):
        yield source.problem((*place, key), f"the key '{key}' is unknown; an expectation has {', '.join(KEYS)}")
    if given.get("severity") not in SEVERITIES:
        message = f"the severity '{given.get('severity')}' is unknown; use one of {', '.join(SEVERITIES)}"
        yield source.problem((*place, "severity"), message)
        return
    if not given.get("description"):
        yield source.problem(place, "needs a 'description', the rule in a sentence")
    yield from _problems_of_type(source, place, given)
    for argument, column in _columns(given["kwargs"]):
        if columns is not None and column not in columns:
            message = f"there is no column '{column}'; there are {', '.join(columns)}"
            yield source.problem((*place, "kwargs", argument), message)


def _problems_of_type(source: YamlSource, place: Location, given: Mapping[str, Any]) -> Iterator[Problem]:
    try:
        ExpectationConfiguration(type=str(given.get("type")), kwargs=dict(given["kwargs"])).to_domain_obj()
    except ExpectationNotFoundError:
        known = ", ".join(sorted(list_registered_expectation_implementations()))
        yield source.problem((*place, "type"), f"the expectation '{given.get('type')}' is unknown; use one of {known}")
    except ValueError as error:
        for part in getattr(error, "errors", list)():
            where = [str(key) for key in part["loc"] if key != "__root__"]
            message = f"{'.'.join(where) or given['type']}: {part['msg']}"
            yield source.problem((*place, "kwargs", *where), message)


def _columns(arguments: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for argument in COLUMN_ARGUMENTS:
        if argument in arguments:
            yield argument, arguments[argument]
    for argument in COLUMN_LISTS:
        for column in arguments.get(argument) or ():
            yield argument, column
    for column in _condition_columns(arguments.get("row_condition")):
        yield "row_condition", column


def _condition_columns(condition: Any) -> Iterator[str]:
    """The columns that a condition on rows compares; conditions nest."""
    if isinstance(condition, Mapping):
        if "column" in condition:
            yield condition["column"]["name"]
        for part in condition.get("conditions") or ():
            yield from _condition_columns(part)
