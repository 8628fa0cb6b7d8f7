"""A contract changes between two runs of ``live``: old and new events arrive mixed, and none is lost."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from deltalake import DeltaTable
from pyspark.sql import SparkSession

from jobs.engine.exceptions import IncompatibleTableError
from jobs.entity import quarantine_table, silver_table
from jobs.settings import Settings
from schemas import Contract, load_contract
from schemas.loader import DIRECTORY
from stack.produce import producer
from tests.spark.conftest import review, start_live
from tests.stack.pipeline import running_broker

REVIEWS = DIRECTORY / "marketplace" / "reviews.yaml"
PROPERTIES = "    properties:\n"
HELPFUL = """      - name: helpful
        businessName: Found helpful
        logicalType: integer
        physicalType: int
        required: false
        description: How many customers found the review helpful.
        examples: [12]
        customProperties:
          - property: unit
            value: customers
"""


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    with running_broker(tmp_path_factory.mktemp("change"), partitions=1) as settings:
        yield settings


def version(folder: Path, *replacements: tuple[str, str]) -> Contract:
    text = REVIEWS.read_text()
    for old, new in replacements:
        assert old in text
        text = text.replace(old, new, 1)
    path = folder / "reviews.yaml"
    path.write_text(text)
    return load_contract(path)


def run(spark: SparkSession, contract: Contract, settings: Settings, *events: dict[str, Any]) -> None:
    with producer(settings) as kafka:
        for event in events:
            kafka.send(contract.topic, json.dumps(event).encode())
    query = start_live(spark, settings, contract)
    assert query.stream.awaitTermination(120)


def test_old_and_new_events_are_taken_in_by_the_new_version(
    spark: SparkSession, broker: Settings, tmp_path: Path
) -> None:
    before = version(tmp_path)
    run(spark, before, broker, review(1), review(2, rating=2**33, helpful=1))

    after = version(
        tmp_path,
        (PROPERTIES, PROPERTIES + HELPFUL),
        ("physicalType: int\n        required: true", "physicalType: bigint\n        required: true"),
        ("          maximum: 5\n", "          maximum: 9999999999\n"),
    )
    run(spark, after, broker, review(1), review(3), review(4, helpful=12), review(5, rating=2**33))

    silver = DeltaTable(silver_table(after).url(broker.lake_url)).to_pyarrow_table().to_pylist()
    found = {row["event_id"]: (row["rating"], row["helpful"]) for row in silver}
    assert found == {
        "event-1": (4, None),
        "event-3": (4, None),
        "event-4": (4, 12),
        "event-5": (2**33, None),
    }
    assert len(silver) == len(found)
    (refused,) = DeltaTable(quarantine_table(after).url(broker.lake_url)).to_pyarrow_table().to_pylist()
    assert refused["reasons"] == [f"wrong_type: rating ({2**33})"]

    wrong = version(tmp_path, ("physicalType: int\n", "physicalType: double\n"))
    with pytest.raises(IncompatibleTableError, match="'rating' is bigint and should be double"):
        run(spark, wrong, broker, review(6))
