import hashlib
import hmac
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from pyspark.sql import DataFrame, SparkSession

from jobs.judge import Judge
from jobs.pseudonyms import pseudonym_key
from jobs.settings import Settings
from quality.protection import protect
from quality.rules import rules
from schemas import Contract, load_contracts
from tests.spark.conftest import Event

Records = Callable[..., DataFrame]
KEY = b"a key"


def test_a_hash_is_the_keyed_one_of_rfc_2104(spark: SparkSession) -> None:
    values = ["customer-1", "", "日本", None]
    frame = spark.createDataFrame([(value,) for value in values], "name string")

    for key in (KEY, b"k" * 100):
        found = [row[0] for row in frame.select(protect("name", "hash", key)).collect()]

        assert found == [
            None if value is None else hmac.new(key, value.encode(), hashlib.sha256).hexdigest() for value in values
        ]


def test_a_mask_leaves_the_first_character_and_the_host(spark: SparkSession) -> None:
    values = ["Ada Lovelace", "ada@example.org", "a@b@example.org", "é", "", None]
    frame = spark.createDataFrame([(value,) for value in values], "name string")

    found = [row[0] for row in frame.select(protect("name", "mask", KEY)).collect()]

    assert found == ["A***", "a***@example.org", "a***@example.org", "é***", "***", None]


def test_events_are_judged_as_they_came_and_enter_protected(spark: SparkSession) -> None:
    customers = next(contract for contract in load_contracts() if contract.topic == "marketplace.customers")
    event = {field.name: None for field in customers.fields} | {
        "event_id": "event-1",
        "event_type": "registered",
        "event_time": "2026-03-01T12:00:00Z",
        "customer_id": "customer-1",
        "name": "Ada Lovelace",
        "email": "ada@localhost",
        "country": "DE",
        "segment": "consumer",
    }
    suite = rules(
        [
            {
                "type": "expect_column_values_to_match_regex",
                "severity": "warning",
                "description": "A host has a domain.",
                "kwargs": {"column": "email", "regex": r"@.+\.[a-z]+$"},
            }
        ]
    )
    record = (None, json.dumps(event).encode(), None, customers.topic, 0, 0)
    schema = "key binary, value binary, headers array<struct<key: string, value: binary>>, topic string, partition int"
    arrived = spark.createDataFrame([record], f"{schema}, offset long").selectExpr("*", "current_timestamp() timestamp")

    (row,) = Judge(customers, suite, key=KEY).judge(arrived).collect()

    assert row["reasons"] == []
    assert row["customer_id"] == hmac.new(KEY, b"customer-1", hashlib.sha256).hexdigest()
    assert (row["name"], row["email"]) == ("A***", "a***@localhost")
    assert row["marks"] == ["values_to_match_regex: email (***)"]


def test_every_entity_gives_a_customer_the_same_pseudonym(arrived: Records, orders: Contract, event: Event) -> None:
    (first, second) = Judge(orders, (), key=KEY).judge(arrived(event(), event(event_id="other"))).collect()

    assert first["customer_id"] == second["customer_id"] == hmac.new(KEY, b"customer-1", hashlib.sha256).hexdigest()


def test_an_installation_keeps_its_key_to_itself(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)

    key = pseudonym_key(settings)

    assert key == pseudonym_key(settings)
    assert len(key) == 64
    assert (tmp_path / "pseudonym.key").stat().st_mode & 0o777 == 0o600
    other = tmp_path / "secrets" / "key"
    assert pseudonym_key(Settings(home=tmp_path, pseudonym_key_file=str(other))) == other.read_bytes() != key


def test_processes_that_start_together_have_one_key(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as threads:
        keys = set(threads.map(pseudonym_key, [Settings(home=tmp_path)] * 50))

    assert len(keys) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["pseudonym.key"]


def test_an_empty_key_is_no_key(tmp_path: Path) -> None:
    (tmp_path / "pseudonym.key").touch()

    with pytest.raises(ValueError, match=r"pseudonym.key is empty; put the key of the pseudonyms back"):
        pseudonym_key(Settings(home=tmp_path))
