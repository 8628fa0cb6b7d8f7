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
from jobs.forgotten import without_forgotten
from jobs.pseudonyms import pseudonym_key
from jobs.settings import Settings
from quality.protection import pseudonym
from schemas import Contract, load_contracts
from stack.produce import producer
from tests.spark.conftest import Event, start_live
from tests.stack.pipeline import Lake, running_broker

ADA, BOB = "customer-ada", "customer-bob"
CONTRACTS = tuple(c for c in load_contracts() if c.topic in ("marketplace.customers", "marketplace.orders"))

HOUR = dt.timedelta(hours=1)
EVENTS = [(person, ahead) for person in (ADA, BOB, None) for ahead in (-HOUR, HOUR)]


@pytest.fixture
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    with running_broker(tmp_path_factory.mktemp("forget"), partitions=1) as settings:
        yield settings


def run(spark: SparkSession, settings: Settings) -> None:
    of_bronze = bronze(spark, CONTRACTS, settings, {"availableNow": True})
    for query in (start_live(spark, settings, *CONTRACTS), of_bronze.start()):
        assert query.stream.awaitTermination(120)


def send(settings: Settings, topic: str, *values: dict[str, Any] | bytes | None, **record: Any) -> None:
    with producer(settings) as kafka:
        for value in values:
            kafka.send(topic, value=json.dumps(value).encode() if isinstance(value, dict) else value, **record)


def order(event: Event, number: int, customer: str, **changes: Any) -> dict[str, Any]:
    return event(event_id=f"event-{number}", event_time=now().isoformat(), customer_id=customer, **changes)


def registration(customer: str, **changes: Any) -> dict[str, Any]:
    return {
        "event_id": f"registration of {customer[-3:]}",
        "event_type": "registered",
        "event_time": now().isoformat(),
        "customer_id": customer,
        "name": f"{customer[-3:].title()} Lovelace",
        "email": f"{customer[-3:]}@example.org",
        "country": "DE",
        "segment": "consumer",
        **changes,
    }


def now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


def everything(lake: str) -> str:
    """Everything that the files of the lake hold, those of earlier versions and the logs included, but for the list."""
    texts = []
    for path in Path(lake).rglob("*"):
        if path.is_file() and not {"_checkpoints", "forgotten"} & {*path.parts}:
            # Beside the rows, statistics in a file's footer and in the log may have a value.
            texts.append(path.read_bytes().decode("latin-1"))
            if path.suffix == ".parquet":
                texts += map(str, pq.read_table(path, partitioning=None).to_pylist())
    assert texts
    return "\n".join(texts)


def removed_rows(removed: dict[str, int]) -> dict[str, int]:
    return {table: count for table, count in removed.items() if count}


def test_a_person_is_forgotten(spark: SparkSession, shop: Settings, event: Event) -> None:
    send(shop, "marketplace.customers", registration(ADA), registration(BOB))
    send(shop, "marketplace.orders", order(event, 1, ADA), order(event, 2, BOB), order(event, 3, ADA, channel="pigeon"))
    # Another field may have the same text, and what is no JSON may name the person all the same.
    send(shop, "marketplace.orders", order(event, 4, BOB, order_id=ADA), f'{{"customer_id":"{ADA}","x'.encode())
    run(spark, shop)
    send(shop, "marketplace.orders", order(event, 5, ADA), order(event, 6, BOB))
    run(spark, shop)
    key = pseudonym_key(shop)
    assert pseudonym(ADA, key) in everything(shop.lake_url)

    removed = forget(ADA, CONTRACTS, shop)

    assert removed_rows(removed) == {
        "bronze.events": 5,
        "silver.marketplace_customers": 1,
        "silver.marketplace_orders": 2,
        "quarantine.marketplace_orders": 2,
    }
    found = everything(shop.lake_url)
    assert pseudonym(ADA, key) not in found
    assert f'"customer_id": "{ADA}"' not in found
    assert f'"customer_id":"{ADA}"' not in found
    assert "Bob Lovelace" in found
    assert not removed_rows(forget(ADA, CONTRACTS, shop))

    send(shop, "marketplace.orders", order(event, 6, BOB), order(event, 7, BOB))
    run(spark, shop)
    silver = Lake(shop.lake_url).table("silver/marketplace_orders", ["event_id"])["event_id"].to_pylist()
    assert sorted(silver) == ["event-2", "event-4", "event-6", "event-7"]
    assert Lake(shop.lake_url).count("bronze/events") == 6


EVA = "eva+é/1"
EVAS = [r"eva+é/1", r"eva\u002B\u00E9\/1", r"eva\u002b\u00e9\u002F1", r"\u0065va+é/1"]
"""One id, as serializers write it."""


def test_no_escape_encoding_key_or_header_hides_a_person(spark: SparkSession, shop: Settings, event: Event) -> None:
    for number, written in enumerate(EVAS):
        right = json.dumps(order(event, number, "PERSON"), ensure_ascii=False).replace("PERSON", written)
        refused = json.dumps(order(event, number, "PERSON", channel="pigeon")).replace("PERSON", written)
        send(
            shop,
            "marketplace.orders",
            right.encode(),
            refused.encode(),
            right[: right.index(written) + len(written) + 3].encode(),
        )
        send(shop, "marketplace.orders", right.encode("utf-16"), right.encode("utf-16-be"), right.encode("latin-1"))
    send(shop, "marketplace.customers", None, registration(EVA, country="Atlantis"), key=EVA.encode())
    send(shop, "marketplace.customers", {"customer_id": 5}, key=EVA.encode())
    send(shop, "marketplace.orders", order(event, 101, BOB), headers=[("user", EVA.encode())])
    send(shop, "marketplace.orders", order(event, 100, BOB), key=b"order-1")
    send(shop, "marketplace.customers", None, key=b"tombstone of bob")
    run(spark, shop)
    stands_for = pseudonym(EVA, pseudonym_key(shop))
    before = everything(shop.lake_url)
    assert stands_for in before

    removed = forget(EVA, CONTRACTS, shop)

    assert removed["bronze.events"] == 6 * len(EVAS) + 4
    assert removed["silver.marketplace_orders"] == len(EVAS)
    assert removed["quarantine.marketplace_orders"] == 4 * len(EVAS) + 2, "two are ASCII, and duplicates"
    assert removed["quarantine.marketplace_customers"] == 3
    found = everything(shop.lake_url)
    for encoding in ("utf-8", "utf-16-le", "utf-16-be", "latin-1"):
        for form in [*EVAS, stands_for, stands_for[:32]]:
            # A row shows bytes as Python writes them.
            encoded = form.encode(encoding, errors="ignore")
            assert encoded.decode("latin-1") not in found, (form, encoding)
            assert repr(encoded)[2:-1] not in found, (form, encoding)
    assert "tombstone of bob" in found
    assert Lake(shop.lake_url).count("bronze/events") == 2


def test_contracts_of_both_domains_name_customers_alike() -> None:
    hashed: dict[str, Contract] = {}
    for contract in load_contracts():
        hashed |= {field.name: contract for field in contract.fields if field.protection == "hash"}

    assert set(hashed) == {"customer_id"}


def test_spark_leaves_out_what_happened_before(spark: SparkSession, tmp_path: Path, orders: Contract) -> None:
    settings = Settings(home=tmp_path)
    events = spark.createDataFrame(
        [(pseudonym(person, pseudonym_key(settings)) if person else None, now() + ahead) for person, ahead in EVENTS],
        "customer_id string, event_time timestamp",
    )
    assert without_forgotten(events, orders, settings) is events
    forget(ADA, CONTRACTS, settings)
    assert without_forgotten(events, orders, settings).count() == len(EVENTS) - 1
    assert len(without_forgotten(events.toArrow(), orders, settings)) == len(EVENTS) - 1
