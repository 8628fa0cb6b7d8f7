"""What a contract says of single values, as expectations: a rule stands in one place, and two engines hold it."""

from collections.abc import Iterator
from typing import Any

from schemas import Contract, ContractField

Expectation = dict[str, Any]


def contract_expectations(contract: Contract) -> Iterator[Expectation]:
    """Expectations of an entity's silver table; members of lists are judged on the hot path only."""
    yield critical("expect_column_values_to_be_unique", "Every event is in silver once.", column=contract.key)
    seconds = int(contract.ahead_tolerance.total_seconds())
    ahead = f"SELECT * FROM {{batch}} WHERE `{contract.event_time}` > `timestamp` + INTERVAL {seconds} SECONDS"
    message = f"No event is more than {contract.ahead_tolerance} ahead of its arrival."
    yield critical("unexpected_rows_expectation", message, unexpected_rows_query=ahead)
    for field in contract.fields:
        yield from _field_expectations(field)


def _field_expectations(field: ContractField) -> Iterator[Expectation]:
    name = field.name
    if field.required:
        yield critical("expect_column_values_to_not_be_null", f"Every event has {name}.", column=name)
    if field.allowed:
        message = f"{name} is one of those that the contract lists."
        yield critical("expect_column_values_to_be_in_set", message, column=name, value_set=list(field.allowed))
    if field.pattern is not None:
        message = f"{name} has the format of the contract."
        yield critical("expect_column_values_to_match_regex", message, column=name, regex=field.pattern)
    for kind, low, high in (
        ("values", field.minimum, field.maximum),
        ("value_lengths", field.min_length, field.max_length),
    ):
        limits = {key: float(limit) for key, limit in (("min_value", low), ("max_value", high)) if limit is not None}
        if limits:
            message = f"{name} is within the limits of the contract."
            yield critical(f"expect_column_{kind}_to_be_between", message, column=name, **limits)


def critical(kind: str, description: str, **arguments: Any) -> Expectation:
    """An expectation whose failure is critical."""
    return {"type": kind, "severity": "critical", "description": description, "kwargs": arguments}
