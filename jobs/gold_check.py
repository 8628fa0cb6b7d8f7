"""What is wrong with the declarations of gold: found in Spark, over silver as its contracts say it is."""

import json
import re
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import Any

from pyspark.errors import PySparkException
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from jobs import marts
from jobs.entity import silver_table
from jobs.marts import Mart, Measure, Snapshot, View
from schemas import Contract, DefinitionError, Problem

NAME = re.compile(r"[a-z][a-z0-9_]*")
MERGING = {"sum": {"Sum", "Count", "CountIf"}, "min": {"Min"}, "max": {"Max"}}
"""The aggregates whose value over two sets of events follows from those over each, by how they are merged."""
AROUND = {"Alias", "Cast", "Coalesce", "Add", "Subtract", "UnaryMinus", "Literal", "AggregateExpression"}
"""What may stand around them."""


class GoldError(DefinitionError):
    """Marts, snapshots or views that cannot be kept."""


@dataclass(frozen=True)
class Declared:
    """A mart, snapshot or view, what it is declared for, a topic or a domain, and in which file."""

    gold: Mart | Snapshot | View
    of: str
    path: Path

    def problem(self, message: str, part: str = "") -> Problem:
        """A problem at the line where the declaration, or a part of it, has its name."""
        text = self.path.read_text()
        begin = max(0, text.find(f'"{self.gold.name}"'))
        at = max(begin, text.find(f'"{part}"', begin)) if part else begin
        return Problem(self.path, text.count("\n", 0, at) + 1, f"{self.gold.name}: {message}")


def check_gold(contracts: Sequence[Contract], session: SparkSession, package: Any = marts) -> int:
    """Check every mart, snapshot and view that the modules of a package declare; returns how many there are.

    Raises:
        GoldError: with every problem.
    """
    declared = list(_declared(package))
    problems = sorted({*_problems_of_names(declared), *_problems_of_places(declared, contracts)})
    by_topic = {contract.topic: contract for contract in contracts}
    for found in declared:
        if isinstance(found.gold, Mart | Snapshot) and found.of in by_topic:
            events = session.createDataFrame([], silver_table(by_topic[found.of]).schema)
            problems += _problems_of_columns(found, found.gold, events)
    if problems:
        raise GoldError(problems)
    return len(declared)


def _declared(package: Any) -> Iterator[Declared]:
    for information in iter_modules(package.__path__, f"{package.__name__}."):
        module = import_module(information.name)
        for kind in ("MARTS", "SNAPSHOTS", "VIEWS"):
            for of, golds in getattr(module, kind, {}).items():
                yield from (Declared(gold, of, Path(str(module.__file__))) for gold in golds)


def _problems_of_names(declared: Collection[Declared]) -> Iterator[Problem]:
    names = Counter(found.gold.name for found in declared)
    for found in declared:
        if names[found.gold.name] > 1:
            yield found.problem("is listed twice, and would be counted twice; leave one out, or give it another name")
        if not NAME.fullmatch(found.gold.name):
            yield found.problem("a name has small letters, digits and _ only")


def _problems_of_places(declared: Collection[Declared], contracts: Collection[Contract]) -> Iterator[Problem]:
    topics, domains = {contract.topic for contract in contracts}, {contract.domain for contract in contracts}
    for found in declared:
        known = domains if isinstance(found.gold, View) else topics
        if found.of not in known:
            message = f"there is no contract of {found.of}; there are those of {', '.join(sorted(known))}"
            yield found.problem(message, found.of)


def _problems_of_columns(declared: Declared, gold: Mart | Snapshot, events: DataFrame) -> Iterator[Problem]:
    """What Spark finds wrong with formulas; each by itself, so that the line is that of its name."""
    try:
        facts = gold.facts(events)
        keys = [gold.window, *gold.dimensions] if isinstance(gold, Mart) else [*gold.keys]
        facts.select(*keys)
    except PySparkException as error:
        yield declared.problem(f"its facts: {_first_line(error)}")
        return
    for part in gold.measures if isinstance(gold, Mart) else gold.attributes:
        try:
            formula = F.expr(f"cast({part.formula} as {part.data_type.simpleString()})").alias(part.name)
            if isinstance(part, Measure):
                yield from (declared.problem(m, part.name) for m in _unmerged(part, facts, keys, formula))
            else:
                facts.select(formula)
        except PySparkException as error:
            yield declared.problem(f"{part.name}: {_first_line(error)}", part.name)


def _unmerged(measure: Measure, facts: DataFrame, keys: Sequence[str], formula: Column) -> Iterator[str]:
    """Why the values of a measure over two micro-batches do not give the value over both."""
    plan = facts.groupBy(*keys).agg(formula)._jdf.queryExecution().analyzed()
    nodes = json.loads(plan.expressions().last().toJSON())
    wrong = {name for name in _outer_names(iter(nodes)) if name not in AROUND | MERGING[measure.merge]}
    if wrong:
        yield (
            f"{measure.name}: {', '.join(sorted(wrong))} does not merge by '{measure.merge}'; "
            "declare measures that do, and a metric that follows from them"
        )


def _outer_names(nodes: Iterator[dict[str, Any]], *, is_inside: bool = False) -> Iterator[str]:
    """The names of an expression's parts, which come in prefix order; what is inside of an aggregate is about rows."""
    node = next(nodes)
    name = node["class"].rpartition(".")[2]
    if not is_inside:
        yield "DISTINCT" if name == "AggregateExpression" and node["isDistinct"] else name
    is_aggregate = ".aggregate." in node["class"] and name != "AggregateExpression"
    for child in range(node["num-children"]):
        # The filter of an aggregate, which comes after its function, is about rows, too.
        is_filter = name == "AggregateExpression" and child > 0
        yield from _outer_names(nodes, is_inside=is_inside or is_aggregate or is_filter)


def _first_line(error: PySparkException) -> str:
    return str(error).strip().splitlines()[0].partition(" SQLSTATE")[0]
