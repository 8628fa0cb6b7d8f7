import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from pyspark.sql.types import (
    ArrayType,
    DataType,
    DecimalType,
    DoubleType,
    IntegerType,
    LongType,
    StringType,
    StructType,
)

from schemas import ContractError, Problem, broken_promises, earlier_contracts, load_contract, load_contracts
from schemas.data_types import is_widened
from schemas.evolution import breaking_changes
from schemas.loader import DIRECTORY

REVIEWS = DIRECTORY / "marketplace" / "reviews.yaml"
ORDERS = DIRECTORY / "marketplace" / "orders.yaml"
NOTE = """      - name: note
        businessName: Note
        logicalType: string
        physicalType: string
        required: {required}
        description: A remark.
        examples: [hello]
"""
RATING = """        required: true
        description: 1 is worst"""
TEXT = """      - name: text
        businessName: Text
        logicalType: string
        physicalType: string
        required: false
        classification: personal
        description: What the customer wrote, which may name persons.
        examples: ["Sturdy, but a leg was scratched."]
        logicalTypeOptions:
          maxLength: 5000
        customProperties:
          - property: protection
            value: mask
"""

Changes = Callable[..., list[Problem]]


@pytest.fixture
def changes(tmp_path: Path) -> Changes:
    """What breaks when pieces of a contract's text are replaced."""

    def compare(*replacements: tuple[str, str], contract: Path = REVIEWS) -> list[Problem]:
        text = contract.read_text()
        for old, new in replacements:
            assert old in text
            text = text.replace(old, new, 1)
        path = tmp_path / contract.name
        path.write_text(text)
        return list(breaking_changes(load_contract(contract), load_contract(path)))

    return compare


def add_note(*, required: bool) -> tuple[str, str]:
    return "    properties:\n", "    properties:\n" + NOTE.format(required=str(required).lower())


@pytest.mark.parametrize(
    "replacement",
    [
        add_note(required=False),
        (TEXT, ""),
        ("physicalType: int", "physicalType: bigint"),
        (RATING, RATING.replace("true", "false")),
        ("maximum: 5", "maximum: 10"),
        ("minimum: 1", "minimum: 0"),
        ("maxLength: 5000", "maxLength: 9000"),
        ("          - value: removed", "          - value: hidden\n          - value: removed"),
        ("value: 1 hour", "value: 2 hours"),
    ],
    ids=["new optional", "retired", "wider", "now optional", "maximum", "minimum", "length", "value", "watermark"],
)
def test_what_keeps_every_event_right_is_no_breaking_change(changes: Changes, replacement: tuple[str, str]) -> None:
    assert changes(replacement) == []


@pytest.mark.parametrize(
    ("replacement", "message"),
    [
        (add_note(required=True), "the new field 'note' is required, but events of the old version lack it"),
        (("name: rating", "name: stars"), "the required field 'rating' is gone, which readers rely on"),
        (("physicalType: int", "physicalType: string"), "the field 'rating' was int and is now string"),
        (("required: false", "required: true"), "the field 'customer_id' was optional and is now required"),
        (("maximum: 5", "maximum: 4"), "the maximum of 'rating' was 5 and is now 4"),
        (("minimum: 1", "minimum: 2"), "the minimum of 'rating' was 1 and is now 2"),
        (("maxLength: 5000", "maxLength: 500"), "the greatest length of 'text' was 5000 and is now 500"),
        (("value: mask", "value: hash"), "the protection of 'text' was mask and is now hash"),
        (("          maxLength: 5000", "          pattern: a"), "the pattern of 'text' was open and is now a"),
        (("- value: removed", "- value: hidden"), "the list of values of 'event_type' was submitted, edited, removed"),
        (("value: product_id", "value: vendor_id"), "the message key was 'product_id' and is now 'vendor_id'"),
    ],
    ids=[
        "new required",
        "gone",
        "type",
        "now required",
        "maximum",
        "minimum",
        "length",
        "protection",
        "pattern",
        "value",
        "key",
    ],
)
def test_a_breaking_change_is_named(changes: Changes, replacement: tuple[str, str], message: str) -> None:
    found = changes(replacement)

    assert any(message in problem.message for problem in found)


def test_a_breaking_change_has_the_line_of_the_new_version(changes: Changes) -> None:
    (problem,) = changes(("maximum: 5", "maximum: 4"))

    assert problem.path.read_text().splitlines()[problem.line - 1].strip() == "maximum: 4"


def test_members_of_a_list_are_compared(changes: Changes) -> None:
    (problem,) = changes(("physicalType: decimal(18,4)", "physicalType: decimal(18,2)"), contract=ORDERS)

    assert "the field 'unit_price' was decimal(18,4) and is now decimal(18,2)" in problem.message


def test_a_contract_that_is_gone_is_found_when_all_are_compared() -> None:
    contracts = load_contracts()
    without = [contract for contract in contracts if contract.topic != "marketplace.reviews"]

    (problem,) = broken_promises(contracts, without)

    assert str(problem).startswith(f"{REVIEWS}:1: the contract of 'marketplace.reviews' is gone")
    assert list(broken_promises(contracts, without, whole=False)) == []


def test_an_earlier_version_is_a_folder_or_a_git_revision() -> None:
    assert earlier_contracts(str(DIRECTORY)) == load_contracts()
    if subprocess.run(["git", "-C", DIRECTORY, "rev-parse", "HEAD"], capture_output=True).returncode != 0:
        pytest.skip("this is no git checkout")
    assert "marketplace.orders" in [contract.topic for contract in earlier_contracts("HEAD")]


def test_an_earlier_version_that_does_not_exist_is_told() -> None:
    with pytest.raises(ContractError, match="there is no earlier version 'nonsense'"):
        earlier_contracts("nonsense")


@pytest.mark.parametrize(
    ("before", "after", "widened"),
    [
        (IntegerType(), LongType(), True),
        (IntegerType(), DoubleType(), True),
        (LongType(), IntegerType(), False),
        (LongType(), DoubleType(), False),
        (IntegerType(), DecimalType(10, 0), True),
        (LongType(), DecimalType(18, 0), False),
        (DecimalType(18, 4), DecimalType(20, 4), True),
        (DecimalType(18, 4), DecimalType(18, 5), False),
        (DecimalType(5, 4), StringType(), False),
        (ArrayType(IntegerType()), ArrayType(LongType()), True),
        (ArrayType(IntegerType()), IntegerType(), False),
        (StructType().add("a", IntegerType()), StructType().add("a", LongType()).add("b", StringType()), True),
        (StructType().add("a", IntegerType()), StructType().add("a", StringType()), False),
    ],
)
def test_a_type_is_wider_when_it_holds_every_old_value(before: DataType, after: DataType, widened: bool) -> None:
    assert is_widened(before, after) is widened
