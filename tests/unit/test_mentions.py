"""Every text that may be a person's id is found in a record, whatever serializer wrote it, and by the pattern too."""

import json
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from jobs.mentions import Meanings, mentions, pattern
from schemas import load_contracts

CONTRACTS = {contract.topic: contract for contract in load_contracts()}
ORDERS, CUSTOMERS = CONTRACTS["marketplace.orders"], CONTRACTS["marketplace.customers"]
PERSONAL = frozenset({"customer_id"})


def names(person: str, value: bytes | None, **record: Any) -> bool:
    """Whether a record of orders names the person; the pattern must not rule out what is found."""
    key, headers, contract = (record.get("key"), record.get("headers"), record.get("contract", ORDERS))
    found = person in mentions(key, value, headers, Meanings(contract, PERSONAL))
    parts = [key, value, *(part for header in headers or () for part in (header["key"].encode(), header["value"]))]
    texts = pa.array(parts, pa.binary())
    looks_like_it = pc.any(pc.fill_null(pc.match_substring_regex(texts, pattern=pattern(person)), False)).as_py()
    assert looks_like_it or not found, "the pattern misses it"
    return found


@pytest.mark.parametrize(
    ("person", "written"),
    [
        ("customer-ada", r"customer-ada"),
        ("customer-ada", r"\u0063ustomer-ada"),
        ("customer-ada", "".join(f"\\u{ord(character):04x}" for character in "customer-ada")),
        ("a+b@x.de", r"a\u002Bb@x.de"),
        ("a+b@x.de", r"a\u002bb\u0040x.de"),
        ("Zoë", r"Zo\u00EB"),
        ("Zoë", r"Zo\u00eb"),
        ("Zoë", "Zoë"),
        ("eu/17", r"eu\/17"),
        ("eu/17", r"eu\u002f17"),
        ('a"b\\c', r"a\"b\\c"),
        ("a\tb", r"a\tb"),
        ("😀-1", r"\uD83D\uDE00-1"),
        ("😀-1", "😀-1"),
    ],
)
def test_an_id_is_found_however_it_is_escaped(person: str, written: str) -> None:
    value = f'{{"event_id": "e-1", "customer_id": "{written}"}}'
    assert names(person, value.encode())
    assert names(person, f"\ufeff{value}".encode()), "with a byte order mark"
    assert names(person, value[:-1].encode()), "cut off"
    assert names(person, value[:-2].encode()), "cut off inside of the text"
    assert names(person, f"{value[:-1]}, 'x': 1}}".encode()), "broken"
    assert names(person, f'"{value[:-2]}'.encode()), "quotes that do not match"
    assert names(person, json.dumps({"payload": value}).encode()), "JSON inside of JSON"
    assert names(person, json.dumps({"payload": value})[:-2].encode()), "the same, cut off"
    assert not names("customer-bob", value.encode())


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-be"])
@pytest.mark.parametrize(("person", "written"), [("Zoë", "Zoë"), ("Zoë", r"Zo\u00EB"), ("Ġ-1", "Ġ-1"), ("😀", "😀")])
def test_an_id_is_found_in_other_encodings(person: str, written: str, encoding: str) -> None:
    assert names(person, f'{{"customer_id": "{written}"}}'.encode(encoding))
    assert names(person, f'{{"customer_id": "{written}'.encode(encoding))


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252"])
def test_an_id_is_found_in_narrow_encodings(encoding: str) -> None:
    assert names("Zoë", '{"customer_id": "Zoë"}'.encode(encoding))
    assert names("customer-ada", b'{"name": "Zo\xeb", "customer_id": "customer-ada"}')


@pytest.mark.parametrize(
    "event",
    [
        {"customer_id": "ada"},
        {"customer_id": ["ada"]},
        {"customer_id": {"id": "ada"}},
        {"before": {"customer_id": "ada"}},
        {"after": [{"x": [{"customer_id": "ada"}]}]},
        {"customerId": "ada"},
        {"buyer": {"id": "ada"}},
        {"buyers": {"ada": {"country": "DE"}}},
        {"country": {"customer_id": "ada"}},
        {"lines": [{"buyer": "ada"}]},
        {"order_id": '{"customer_id": "ada"}'},
        ["ada"],
        "ada",
    ],
)
def test_an_id_is_found_wherever_it_stands(event: Any) -> None:
    assert names("ada", json.dumps(event).encode())


def test_the_first_of_two_members_of_a_name_is_found() -> None:
    assert names("ada", b'{"customer_id": "ada", "customer_id": "bob"}')


def test_a_number_is_an_id_in_a_personal_field_only() -> None:
    assert names("317", b'{"customer_id": 317}')
    assert not names("317", b'{"seconds": 317}')


def test_a_declared_field_may_have_the_same_text() -> None:
    event = {"order_id": "ada", "country": "ada", "lines": [{"product_id": "ada"}], "customer_id": "bob"}
    assert not names("ada", json.dumps(event).encode())
    assert names("ada", json.dumps(event).encode(), contract=None), "of a topic without a contract, nothing is declared"


def test_what_is_nested_deeper_than_python_calls_is_looked_into() -> None:
    assert names("ada", b'{"a":' * 900 + b'"ada"' + b"}" * 900)
    assert names("ada", b'{"a":' * 100_000 + b'"ada"' + b"}" * 100_000)


@pytest.mark.parametrize("text", ["ada", "ada;x;y", "x,ada", "id=ada&y=2", "/customers/ada/orders", "<id>ada</id>"])
def test_an_id_is_found_among_words(text: str) -> None:
    assert names("ada", text.encode())
    assert names("ada", None, key=text.encode())
    assert names("ada", None, headers=[{"key": "who", "value": text.encode()}])
    assert not names("ad", text.encode())


def test_keys_and_headers_are_read() -> None:
    assert names("c-1", None, key=b"c-1")
    assert names("c-1", None, key=b'"c-1"')
    assert names("c/1", None, key=rb'{"customer_id": "c\/1"}')
    assert names("c-1", b'{"customer_id": 5}', key=b"c-1")
    assert names("c-1", b"{}", headers=[{"key": "who", "value": None}, {"key": "c-1", "value": b""}])
    assert names("317", None, key=b"317")


def test_a_key_that_repeats_another_field_is_of_that_field() -> None:
    assert not names("c-1", b'{"order_id": "c-1", "customer_id": "c-2"}', key=b"c-1")
    assert names("c-1", b'{"order_id": "o-1", "customer_id": "c-2"}', key=b"c-1")
    assert names("c-1", b'{"customer_id": "c-2"}', key=b"c-1", contract=CUSTOMERS)


@pytest.mark.parametrize("value", [b"", b" ", b"null", b"\x00", b"\xff\xfe", b'"', b"\\", b'{"a": "\\ud800"}', b"[[]]"])
def test_odd_values_name_nobody(value: bytes) -> None:
    assert not names("ada", value, key=value, headers=[{"key": "h", "value": value}])
