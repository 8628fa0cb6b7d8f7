"""Compile the expectations of single rows to native Column expressions, with which ``live`` judges every row.

An expression says of a row just what Great Expectations says of it over a table (``tests/spark/test_rules.py``).
"""

import operator
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import and_, or_
from typing import Any

from pyspark.sql import Column
from pyspark.sql import functions as F

Arguments = Mapping[str, Any]

VALUE = " ("
"""What comes in a reason between the rule with its fields, and the values."""
LONGEST_VALUE = 200
HIDDEN = "***"
QUERY = "unexpected_rows_expectation"
ROW_QUERY = re.compile(r"\s*SELECT\s+\*\s+FROM\s+\{batch\}\s+WHERE\s+(?P<condition>(?:(?!\bSELECT\b).)+)", re.I | re.S)
COMPARISONS: dict[str, Callable[[Column, Any], Column]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "IN": lambda column, values: column.isin(list(values)),
    "NOT_IN": lambda column, values: ~column.isin(list(values)),
}


@dataclass(frozen=True)
class Rule:
    """An expectation of single rows.

    Attributes:
        name: ``rule: fields``, such as ``values_to_match_regex: email``.
        severity: ``critical`` refuses a row, ``warning`` marks it, ``info`` counts it.
        stops: whether the first row that breaks the rule stops the job.
        expectation: in Great Expectations' terms.
    """

    name: str
    severity: str
    stops: bool
    expectation: Mapping[str, Any]

    def is_broken(self) -> Column:
        """Whether a row breaks the rule; of a row with the columns that the rule names.

        What SQL has no answer to breaks nothing: null, a division by zero, text that is no number, an overflow.
        """
        # Of Spark's functions, this one gives null for an error in what it is given, too. An overflow that wrapped
        # instead, as without ANSI SQL, would be a wrong answer.
        answer = F.try_to_binary(self.finding().cast("string"), F.lit("utf-8"))
        if self.expectation["type"] == QUERY:
            # What two conditions share, Spark computes once and before, where nothing catches the error; but not what
            # is inside a function.
            answer = F.transform(F.array(F.lit(0)), lambda _: answer)[0]
        return F.coalesce(answer == F.lit(b"true"), F.lit(False))

    def finding(self) -> Column:
        """The same in SQL's own words: true, false, null or an error."""
        arguments = self.expectation["kwargs"]
        expected = EXPECTED[self.expectation["type"]](arguments)
        condition = arguments.get("row_condition")
        considered = _condition(condition) if condition is not None else F.lit(True)
        return considered & _is_considered(arguments) & ~expected

    def reason(self, hidden: Collection[str] = ()) -> Column:
        """What is said of a row that breaks the rule: ``rule: fields (values)``, but for values of hidden fields."""
        names = fields(self.expectation["kwargs"])
        values = [
            F.lit(HIDDEN) if name in hidden else F.coalesce(F.col(name).cast("string"), F.lit("null")) for name in names
        ]
        text = F.substring(F.concat_ws(", ", *values), 1, LONGEST_VALUE)
        return F.concat(F.lit(f"{self.name}{VALUE}"), text, F.lit(")")) if names else F.lit(self.name)


def rules(expectations: Iterable[Mapping[str, Any]]) -> tuple[Rule, ...]:
    """The rules of single rows in a suite, in its order; what it expects of the table as a whole is left out."""
    return tuple(
        Rule(rule_name(expectation), expectation["severity"], expectation.get("on_failure") == "stop", expectation)
        for expectation in expectations
        if is_of_rows(expectation)
    )


def is_any_broken(rules: Sequence[Rule]) -> Column:
    """Whether a row breaks one of some rules at least."""
    return reduce(or_, (rule.is_broken() for rule in rules), F.lit(False))


def is_of_rows(expectation: Mapping[str, Any]) -> bool:
    """Whether an expectation is one of single rows that can be compiled."""
    if expectation["type"] == QUERY:
        return ROW_QUERY.fullmatch(expectation["kwargs"]["unexpected_rows_query"]) is not None
    return expectation["type"] in EXPECTED


def rule_name(expectation: Mapping[str, Any]) -> str:
    """What a rule is called in reasons and counts: its own name, or that of its type, and its fields."""
    given = (expectation.get("meta") or {}).get("rule")
    name = given or re.sub("^expect_(column_|multicolumn_|select_column_)?", "", expectation["type"])
    names = fields(expectation["kwargs"])
    return f"{name}: {', '.join(names)}" if names else name


def fields(arguments: Arguments) -> list[str]:
    """The columns that an expectation is about, in order; a query names none."""
    alone = [arguments[key] for key in ("column", "column_A", "column_B") if key in arguments]
    return [*alone, *(arguments.get("column_list") or ())]


def _of_value(expected: Callable[[Column, Arguments], Column]) -> Callable[[Arguments], Column]:
    """An expectation of a value, which null is not."""
    return lambda arguments: F.col(arguments["column"]).isNull() | expected(F.col(arguments["column"]), arguments)


def _between(value: Column, arguments: Arguments) -> Column:
    low, high = arguments.get("min_value"), arguments.get("max_value")
    checks = []
    if low is not None:
        checks.append(value > F.lit(low) if arguments.get("strict_min") else value >= F.lit(low))
    if high is not None:
        checks.append(value < F.lit(high) if arguments.get("strict_max") else value <= F.lit(high))
    return reduce(and_, checks)


def _matches_list(value: Column, arguments: Arguments) -> Column:
    combine = and_ if arguments.get("match_on") == "all" else or_
    return reduce(combine, (value.rlike(regex) for regex in arguments["regex_list"]))


def _greater(arguments: Arguments) -> Column:
    a, b = F.col(arguments["column_A"]), F.col(arguments["column_B"])
    return (a >= b) | a.eqNullSafe(b) if arguments.get("or_equal") else a > b


def _pair_in_set(arguments: Arguments) -> Column:
    a, b = F.col(arguments["column_A"]), F.col(arguments["column_B"])
    return reduce(or_, (a.eqNullSafe(F.lit(x)) & b.eqNullSafe(F.lit(y)) for x, y in arguments["value_pairs_set"]))


def _unique_within_record(arguments: Arguments) -> Column:
    columns = [F.col(name) for name in arguments["column_list"]]
    same = (a.eqNullSafe(b) for index, a in enumerate(columns) for b in columns[index + 1 :])
    return ~reduce(or_, same)


def _all_equal(arguments: Arguments) -> Column:
    first, *others = (F.col(name) for name in arguments["column_list"])
    return reduce(and_, (first.eqNullSafe(other) for other in others))


def _not_found(arguments: Arguments) -> Column:
    found = ROW_QUERY.fullmatch(arguments["unexpected_rows_query"])
    assert found is not None
    return ~F.expr(found["condition"].strip().rstrip(";"))


EXPECTED: dict[str, Callable[[Arguments], Column]] = {
    "expect_column_values_to_not_be_null": lambda arguments: F.col(arguments["column"]).isNotNull(),
    "expect_column_values_to_be_null": lambda arguments: F.col(arguments["column"]).isNull(),
    "expect_column_values_to_be_in_set": _of_value(lambda value, a: value.isin(list(a["value_set"]))),
    "expect_column_values_to_not_be_in_set": _of_value(lambda value, a: ~value.isin(list(a["value_set"]))),
    "expect_column_values_to_be_between": _of_value(_between),
    "expect_column_value_lengths_to_be_between": _of_value(lambda value, a: _between(F.length(value), a)),
    "expect_column_value_lengths_to_equal": _of_value(lambda value, a: F.length(value) == F.lit(a["value"])),
    "expect_column_values_to_match_regex": _of_value(lambda value, a: value.rlike(a["regex"])),
    "expect_column_values_to_not_match_regex": _of_value(lambda value, a: ~value.rlike(a["regex"])),
    "expect_column_values_to_match_regex_list": _of_value(_matches_list),
    "expect_column_values_to_not_match_regex_list": _of_value(
        lambda value, a: reduce(and_, (~value.rlike(regex) for regex in a["regex_list"]))
    ),
    "expect_column_pair_values_a_to_be_greater_than_b": _greater,
    "expect_column_pair_values_to_be_equal": lambda a: F.col(a["column_A"]).eqNullSafe(F.col(a["column_B"])),
    "expect_column_pair_values_to_be_in_set": _pair_in_set,
    "expect_multicolumn_values_to_be_equal": _all_equal,
    "expect_select_column_values_to_be_unique_within_record": _unique_within_record,
    QUERY: _not_found,
}
"""Whether a row is as expected, by type of expectation; null is no answer, and breaks nothing."""


def _is_considered(arguments: Arguments) -> Column:
    """Whether an expectation of several columns looks at a row."""
    missing = [F.col(name).isNull() for name in fields(arguments)]
    if len(missing) < 2 or arguments.get("ignore_row_if") in ("neither", "never"):
        return F.lit(True)
    if arguments.get("ignore_row_if") in ("either_value_is_missing", "any_value_is_missing"):
        return ~reduce(or_, missing)
    return ~reduce(and_, missing)


def _condition(condition: Mapping[str, Any]) -> Column:
    """A condition on rows, as Great Expectations writes it."""
    match condition["type"]:
        case "and":
            return reduce(and_, map(_condition, condition["conditions"]))
        case "or":
            return reduce(or_, map(_condition, condition["conditions"]))
        case "nullity":
            column = F.col(condition["column"]["name"])
            return column.isNull() if condition["is_null"] else column.isNotNull()
    return COMPARISONS[condition["operator"]](F.col(condition["column"]["name"]), condition["parameter"])
