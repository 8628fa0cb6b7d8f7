"""What was sent is what is kept, or is refused for the right reason: every field of every contract, at every depth."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession

from jobs.judge import Judge
from quality.judgement import rule_names, rule_of
from schemas import Contract, ContractField, load_contract, load_contracts
from tests.hostile_values import ARRIVED, Case, cases
from tests.spark.conftest import RECORD
from tests.verdict import same

EVERY_TYPE = Path(__file__).with_name("every_type.yaml")
CONTRACTS = (load_contract(EVERY_TYPE, documented=False), *load_contracts())


def unprotected(field: ContractField) -> ContractField:
    return replace(field, protection=None)


@pytest.mark.parametrize("contract", CONTRACTS, ids=lambda contract: contract.topic)
def test_what_was_sent_is_kept_or_refused(spark: SparkSession, contract: Contract) -> None:
    shown = replace(contract, fields=tuple(map(unprotected, contract.fields)))
    tried = list(cases(shown))
    judge, names = Judge(shown, (), key=b"key"), {*rule_names(shown, ())}
    arrived = ARRIVED.replace(tzinfo=None)
    rows = [(None, case.value, None, contract.topic, 0, number, arrived) for number, case in enumerate(tried)]
    records = spark.createDataFrame(rows, RECORD).repartition(4).cache()

    thorough = {row["offset"]: row for row in judge.judge(records).toArrow().to_pylist()}
    at_first_sight = {row["offset"]: row for row in judge.screen(records).toArrow().to_pylist()}

    records.unpersist()
    wrong = [problem for number, case in enumerate(tried) for problem in problems(case, thorough[number])]
    # What is not in doubt is right, and the same.
    wrong += [
        f"{tried[number].name}: not the same at first sight"
        for number, row in at_first_sight.items()
        if row["reasons"] is not None and not same(row, thorough[number])
    ]
    wrong += {rule_of(reason) for row in thorough.values() for reason in row["reasons"]} - names
    # Some values are as long as a book.
    assert not wrong, "\n".join(problem[:400] for problem in [f"{len(wrong)} wrong", *wrong[:50]])


def problems(case: Case, row: dict[str, Any]) -> list[str]:
    """How a verdict differs from what it must be."""
    if case.kept is None:
        is_right = len(row["reasons"]) == len(case.reasons) and all(
            found.startswith(wanted) for found, wanted in zip(row["reasons"], case.reasons, strict=True)
        )
        return [] if is_right else [f"{case.name}: {row['reasons']} in place of {case.reasons}"]
    if row["reasons"]:
        return [f"{case.name}: {row['reasons']} in place of none"]
    return [
        f"{case.name}: {name} is {row[name]!r}, and {value!r} was sent"
        for name, value in case.kept.items()
        if not same(row[name], value)
    ]
