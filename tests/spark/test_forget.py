"""A person is forgotten: no file of the lake names them any more, and the jobs go on."""

import datetime as dt
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession

from jobs.bronze import bronze
from jobs.forget import forget
from jobs.pseudonyms import pseudonym_key
from jobs.settings import Settings
from quality.protection import pseudonym
from schemas import Contract, load_contracts
from stack.produce import producer
from tests.spark.conftest import Event, start_live
from tests.stack.pipeline import Lake, running_broker

ADA, BOB = "customer-ada", "customer-bob"
CONTRACTS = tuple(c for c in load_contracts() if c.topic in ("marketplace.customers", "marketplace.orders"))


@pytest.fixture
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    with running_broker(tmp_path_factory.mktemp("forget"), partitions=1) as settings:
        yield settings


def run(spark: SparkSession, settings: Settings) -> None:
    of_bronze = bronze(spark, CONTRACTS, settings, {"availableNow": True})
    for query in (start_live(spark, settings, *CONTRACTS), of_bronze.start()):
        assert query.stream.awaitTermination(120)


def send(settings: Settings, topic: str, *values: dict[str, Any] | bytes) -> None:
    with producer(settings) as kafka:
        for value in values:
            kafka.send(topic, value if isinstance(value, bytes) else json.dumps(value).encode())


def rows_of_every_file(lake: str) -> str:
    """Everything that the data files of the lake hold, those of earlier versions included."""
    files = [path for path in Path(lake).rglob("*.parquet") if "_delta_log" not in path.parts]
    assert files
    return "\n".join(str(row) for path in files for row in pq.read_table(path, partitioning=None).to_pylist())


def test_a_person_is_forgotten(spark: SparkSession, shop: Settings, event: Event) -> None:
    def order(number: int, customer: str, **changes: Any) -> dict[str, Any]:
        now = dt.datetime.now(dt.UTC).isoformat()
        return event(event_id=f"event-{number}", event_time=now, customer_id=customer, **changes)

    registration = {
        "event_id": "event-a",
        "event_type": "registered",
        "event_time": dt.datetime.now(dt.UTC).isoformat(),
        "customer_id": ADA,
        "name": "Ada Lovelace",
        "email": "ada@example.org",
        "country": "DE",
        "segment": "consumer",
    }
    send(shop, "marketplace.customers", registration, registration | {"event_id": "event-b", "customer_id": BOB})
    send(shop, "marketplace.orders", order(1, ADA), order(2, BOB), order(3, ADA, channel="pigeon"))
    # Another field may have the same text, and what is no JSON may name the person all the same.
    send(shop, "marketplace.orders", order(4, BOB, order_id=ADA), f'{{"customer_id":"{ADA}","x'.encode())
    run(spark, shop)
    send(shop, "marketplace.orders", order(5, ADA), order(6, BOB))
    run(spark, shop)
    key = pseudonym_key(shop)
    assert pseudonym(ADA, key) in rows_of_every_file(shop.lake_url)

    removed = forget(ADA, CONTRACTS, shop)

    assert removed == {
        "bronze.events": 5,
        "silver.marketplace_customers": 1,
        "quarantine.marketplace_customers": 0,
        "silver.marketplace_orders": 2,
        "quarantine.marketplace_orders": 2,
    }
    found = rows_of_every_file(shop.lake_url)
    assert pseudonym(ADA, key) not in found
    assert f'"customer_id": "{ADA}"' not in found
    assert f'"customer_id":"{ADA}"' not in found
    assert "Lovelace" in found, "Bob's registration has the name too"
    assert forget(ADA, CONTRACTS, shop) == dict.fromkeys(removed, 0)

    send(shop, "marketplace.orders", order(6, BOB), order(7, BOB))
    run(spark, shop)
    silver = Lake(shop.lake_url).table("silver/marketplace_orders", ["event_id"])["event_id"].to_pylist()
    assert sorted(silver) == ["event-2", "event-4", "event-6", "event-7"]
    assert Lake(shop.lake_url).count("bronze/events") == 6


def test_contracts_of_both_domains_name_customers_alike() -> None:
    hashed: dict[str, Contract] = {}
    for contract in load_contracts():
        hashed |= {field.name: contract for field in contract.fields if field.protection == "hash"}

    assert set(hashed) == {"customer_id"}
