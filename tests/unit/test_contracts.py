import datetime as dt
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest
from pyspark.sql.types import DecimalType

from schemas import ContractError, load_contract, load_contracts
from schemas.loader import DIRECTORY

ORDERS = DIRECTORY / "marketplace" / "orders.yaml"


@pytest.fixture
def changed(tmp_path: Path) -> Callable[[str, str], Path]:
    """The orders contract with one piece of text replaced."""

    def change(old: str, new: str) -> Path:
        text = ORDERS.read_text()
        assert old in text
        path = tmp_path / "marketplace" / "orders.yaml"
        path.parent.mkdir()
        path.write_text(text.replace(old, new, 1))
        return path

    return change


def problem_of(path: Path) -> tuple[int, str]:
    with pytest.raises(ContractError) as error:
        load_contract(path)
    (problem,) = error.value.problems
    assert problem.path == path
    return problem.line, problem.message


def line_of(path: Path, text: str) -> int:
    return next(number for number, line in enumerate(path.read_text().splitlines(), 1) if text in line)


def test_every_contract_that_ships_is_right() -> None:
    assert [contract.topic for contract in load_contracts()] == [
        "marketplace.clickstream",
        "marketplace.customers",
        "marketplace.inventory",
        "marketplace.orders",
        "marketplace.payments",
        "marketplace.reviews",
        "marketplace.vendors",
        "travel.bookings",
        "travel.customers",
        "travel.payments",
        "travel.searches",
    ]


def test_a_contract_gives_what_the_stream_needs() -> None:
    contract = load_contract(ORDERS)

    assert contract.topic == "marketplace.orders"
    assert contract.name == "marketplace_orders"
    assert (contract.key, contract.event_time) == ("event_id", "event_time")
    assert contract.watermark_delay == dt.timedelta(minutes=10)
    assert contract.ahead_tolerance == dt.timedelta(hours=1)
    assert contract.freshness == dt.timedelta(seconds=5)


def test_money_is_decimal() -> None:
    lines = load_contract(ORDERS).spark_schema["lines"].dataType

    assert lines.elementType["unit_price"].dataType == DecimalType(18, 4)


def test_an_unknown_type_is_named_with_its_line(changed: Callable[[str, str], Path]) -> None:
    path = changed("physicalType: timestamp", "physicalType: datetime")

    with pytest.raises(ContractError) as error:
        load_contract(path)

    first = error.value.problems[0]
    message = str(first)
    assert "datetime" in message or "event time" in message
    assert any(p.line == line_of(path, "datetime") and "use one of bigint" in p.message for p in error.value.problems)


def test_a_missing_watermark_delay_says_what_to_add(changed: Callable[[str, str], Path]) -> None:
    _, message = problem_of(changed("property: watermarkDelay", "property: delay"))

    assert message == "needs the custom property 'watermarkDelay', such as '10 minutes'"


def test_a_duration_that_is_none_says_how_to_write_it(changed: Callable[[str, str], Path]) -> None:
    path = changed("value: 10 minutes", "value: soon")

    line, message = problem_of(path)

    assert line == line_of(path, "value: soon")
    assert message == "'soon' is no duration; write it as '30 seconds' or '10 minutes'"


def test_an_event_time_must_be_a_field(changed: Callable[[str, str], Path]) -> None:
    path = changed("value: event_time", "value: happened_at")

    line, message = problem_of(path)

    assert line == line_of(path, "value: happened_at")
    assert message == "the event time 'happened_at' must be a required field of type timestamp"


def test_a_contract_needs_one_key(changed: Callable[[str, str], Path]) -> None:
    _, message = problem_of(changed("primaryKey: true", "primaryKey: false"))

    assert message == "has 0 fields with 'primaryKey: true'; mark the one that identifies an event"


def test_a_field_stands_once(changed: Callable[[str, str], Path]) -> None:
    path = changed("- name: channel", "- name: country")

    line, message = problem_of(path)

    assert message == "the field 'country' is already defined; rename one of the two"
    assert line > line_of(path, "- name: country")


def test_the_topic_follows_from_domain_and_name(changed: Callable[[str, str], Path]) -> None:
    path = changed("physicalName: marketplace.orders", "physicalName: shop.orders")

    assert problem_of(path) == (
        line_of(path, "shop.orders"),
        "must be the topic, <domain>.<name>: marketplace.orders",
    )


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("  purpose: >-", "  intent: >-", "needs 'description.purpose', which says what the events are for"),
        ("team:\n  name: Marketplace", "team:\n  id: marketplace", "needs 'team.name', which says who owns them"),
        ("property: completeness", "property: complete", "needs the property 'completeness', such as value: 100"),
        ("property: freshness", "property: fresh", "needs the property 'freshness', such as value: 5 and unit: s"),
        ("unit: s\n", "unit: parsec\n", "the unit 'parsec' is unknown; use one of s, min, h"),
        ("value: 5\n", "value: 0\n", "the freshness '0' must be a number above 0"),
        ("property: compatibility", "property: evolution", "needs the custom property 'compatibility'"),
        ("value: backward", "value: whatever", "the compatibility 'whatever' is unknown; use one of backward"),
        ("examples: [DE]", "tags: [DE]", "the field 'country' needs 'examples' with at least one value"),
        ("property: unit", "property: measure", "the number 'quantity' needs the custom property 'unit'"),
        ("description: Units of the product.", "tags: []", "the field 'quantity' needs a 'description'"),
    ],
)
def test_what_people_need_is_asked_for(changed: Callable[[str, str], Path], old: str, new: str, message: str) -> None:
    assert problem_of(changed(old, new))[1].startswith(message)


def test_what_only_people_need_may_lack_in_an_earlier_version(changed: Callable[[str, str], Path]) -> None:
    path = changed("property: compatibility", "property: evolution")

    assert load_contract(path, documented=False).topic == "marketplace.orders"


def test_the_standard_itself_is_checked(changed: Callable[[str, str], Path]) -> None:
    path = changed("logicalType: string", "logicalType: text")

    line, message = problem_of(path)

    assert line == line_of(path, "logicalType: text")
    assert "'text' is not one of" in message


def test_bad_yaml_has_a_line(tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text("apiVersion: v3.2.0\nkind: [DataContract\n")

    line, message = problem_of(path)

    assert line == 3
    assert message.startswith("is not valid YAML")


def test_a_repeated_key_is_found(tmp_path: Path) -> None:
    path = tmp_path / "twice.yaml"
    path.write_text("kind: DataContract\nkind: DataContract\n")

    assert problem_of(path) == (2, "the key 'kind' stands here again; remove one of the two")


def test_two_contracts_for_one_topic_are_refused(tmp_path: Path) -> None:
    for name in ("orders", "orders_again"):
        path = tmp_path / "marketplace" / f"{name}.yaml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(ORDERS.read_text())

    with pytest.raises(ContractError, match=r"orders_again.yaml:1: the topic 'marketplace.orders' already has a"):
        load_contracts(tmp_path)


def test_an_empty_file_is_no_contract(tmp_path: Path) -> None:
    path = tmp_path / "empty.yaml"
    path.write_text(textwrap.dedent("\n"))

    line, message = problem_of(path)

    assert line == 1
    assert "None is not of type 'object'" in message
