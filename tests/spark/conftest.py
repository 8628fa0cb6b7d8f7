import datetime as dt
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession

from jobs.definitions import Definitions
from jobs.engine.query import Query
from jobs.engine.session import spark_session
from jobs.intake import IntakeWriter
from jobs.live import live
from jobs.settings import Settings
from quality.rules import Rule
from schemas import Contract, load_contracts

ARRIVED = dt.datetime(2026, 3, 1, 12, 0, 10)
RECORD = (
    "key binary, value binary, headers array<struct<key: string, value: binary>>, "
    "topic string, partition int, offset long, timestamp timestamp"
)

Event = Callable[..., dict[str, Any]]


@pytest.fixture(scope="session")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkSession]:
    home = tmp_path_factory.mktemp("spark")
    session = spark_session(Settings(home=home, driver_memory="4g"), name="tests")
    yield session
    session.stop()


@pytest.fixture(scope="session")
def orders() -> Contract:
    (contract,) = (c for c in load_contracts() if c.topic == "marketplace.orders")
    return contract


@pytest.fixture(scope="session")
def reviews() -> Contract:
    (contract,) = (c for c in load_contracts() if c.topic == "marketplace.reviews")
    return contract


def review(number: int, **changes: Any) -> dict[str, Any]:
    """A review event of now; keyword arguments replace its fields."""
    return {
        "event_id": f"event-{number}",
        "event_type": "submitted",
        "event_time": dt.datetime.now(dt.UTC).isoformat(),
        "review_id": f"review-{number}",
        "order_id": "order-1",
        "product_id": "product-1",
        "vendor_id": "vendor-1",
        "rating": 4,
        "text": "Fine.",
        **changes,
    }


def start_live(spark: SparkSession, settings: Settings, *contracts: Contract, rules: Sequence[Rule] = ()) -> Query:
    """Start ``live`` for contracts of one domain, with the same rules for each; it takes what Kafka has, and ends."""
    definitions = Definitions(contracts, {contract.topic: rules for contract in contracts})
    intake = IntakeWriter(settings.lake_url)
    return live(spark, contracts[0].domain, definitions, settings, {"availableNow": True}, intake).start()


def run_live(spark: SparkSession, settings: Settings, *contracts: Contract, rules: Sequence[Rule] = ()) -> None:
    """Let ``live`` take what Kafka has, and the late lane what came late."""
    query = start_live(spark, settings, *contracts, rules=rules)
    assert query.stream.awaitTermination(120)
    query.stop()
    assert query.lane is not None
    query.lane.take()


@pytest.fixture
def event() -> Event:
    """Makes an order event; keyword arguments replace its fields."""

    def make(**changes: Any) -> dict[str, Any]:
        return {
            "event_id": "event-1",
            "event_type": "placed",
            "event_time": "2026-03-01T12:00:05.250Z",
            "order_id": "order-1",
            "customer_id": "customer-1",
            "vendor_id": "vendor-1",
            "country": "DE",
            "channel": "web",
            "lines": [{"product_id": "p-1", "category": "Books", "quantity": 2, "unit_price": "19.99"}],
            **changes,
        }

    return make


@pytest.fixture
def arrived(spark: SparkSession) -> Callable[..., DataFrame]:
    """Makes Kafka records from values, which are events, bytes or None, at offsets 0, 1, ..."""

    def make(*values: dict[str, Any] | bytes | None) -> DataFrame:
        encoded = [json.dumps(value).encode() if isinstance(value, dict) else value for value in values]
        rows = [(b"key", value, None, "marketplace.orders", 0, offset, ARRIVED) for offset, value in enumerate(encoded)]
        return spark.createDataFrame(rows, RECORD)

    return make


@pytest.fixture
def lake(tmp_path: Path) -> str:
    return str(tmp_path / "lake")
