"""Judge events against their contract with native Column expressions, so that refusing costs no extra pass.

Nearly every event is right, and to see that is cheap (``quality.first_sight``); all others are looked at thoroughly
(``quality.thorough``).
"""

from collections.abc import Collection, Iterator, Sequence

from pyspark.sql import Column
from pyspark.sql import functions as F
from pyspark.sql.types import DecimalType

from quality.limits import limits
from quality.rules import VALUE, Rule
from quality.thorough import OF_RECORDS
from schemas import Contract, ContractField


def reasons_of(rules: Sequence[Rule], hidden: Collection[str] = ()) -> Column:
    """array<string>, one entry ``rule: fields (values)`` per broken rule, without the values of hidden fields."""
    broken = [F.when(rule.is_broken(), rule.reason(hidden)) for rule in rules]
    return F.array_compact(F.array(*broken)) if broken else no_reasons()


def no_reasons() -> Column:
    """What is said of an event that may enter."""
    return F.array().cast("array<string>")


def rule_names(contract: Contract, rules: Sequence[Rule]) -> Iterator[str]:
    """Every rule that an event may break, as ``rule_of`` gives it."""
    yield from OF_RECORDS
    for field in contract.fields:
        yield from _rules_of(field, field.name)
    yield f"ahead: {contract.event_time}"
    yield from (rule.name for rule in rules)


def rule_of(reason: str) -> str:
    """A reason without the value: ``missing: vendor_id`` of ``missing: vendor_id (null)``."""
    return reason.split(VALUE, 1)[0]


def rule_column(reason: Column) -> Column:
    """The same as ``rule_of`` for a column."""
    return F.substring_index(reason, VALUE, 1)


def _rules_of(field: ContractField, path: str) -> Iterator[str]:
    yield f"wrong_type: {path}"
    if field.required:
        yield f"missing: {path}"
    if isinstance(field.data_type, DecimalType):
        yield f"too_precise: {path}"
    yield from (f"{rule}: {path}" for rule, _ in limits(field, F.lit(None)))
    if field.item is not None:
        yield from _rules_of(field.item, f"{path}[]")
    else:
        for member in field.fields:
            yield from _rules_of(member, f"{path.replace('[]', '')}.{member.name}")
