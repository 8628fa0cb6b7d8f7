"""The examples of a contract's fields make an event that the contract accepts."""

import json
from collections.abc import Callable
from typing import Any

import pytest
import yaml
from pyspark.sql import DataFrame

from jobs.judge import Judge
from schemas import Contract, load_contracts

Records = Callable[..., DataFrame]


def example(fields: list[dict[str, Any]]) -> dict[str, Any]:
    return {field["name"]: _value(field) for field in fields}


def _value(field: dict[str, Any]) -> Any:
    if "items" in field:
        return [example(field["items"]["properties"])]
    return field["examples"][0]


@pytest.mark.parametrize("contract", load_contracts(), ids=lambda contract: contract.topic)
def test_the_examples_are_a_right_event(contract: Contract, arrived: Records) -> None:
    fields = yaml.safe_load(contract.path.read_text())["schema"][0]["properties"]
    event = example(fields)

    (judged,) = Judge(contract, (), key=b"key").judge(arrived(event)).collect()

    assert judged["reasons"] == [], json.dumps(event)
    assert [name for name in event if judged[name] is None] == []
    empty = {field["name"]: None for field in fields if not field["required"]}
    (sparse,) = Judge(contract, (), key=b"key").judge(arrived(event | empty)).collect()
    assert sparse["reasons"] == []
