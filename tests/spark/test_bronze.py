from collections.abc import Iterator

import pytest
from deltalake import DeltaTable
from pyspark.sql import SparkSession

from jobs.bronze import EVENTS, bronze
from jobs.settings import Settings
from schemas import Contract
from stack.produce import producer
from tests.stack.pipeline import running_broker

VALUES = [b"{}", b"", None, b"\xff\x00" * 500]


@pytest.fixture
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    with running_broker(tmp_path_factory.mktemp("bronze"), partitions=1) as settings:
        yield settings


@pytest.mark.parametrize(("in_memory_bytes", "writer"), [(10_000, "sluice"), (1_000, "Apache-Spark")])
def test_a_batch_is_collected_only_if_it_fits_into_memory(
    spark: SparkSession,
    broker: Settings,
    orders: Contract,
    monkeypatch: pytest.MonkeyPatch,
    in_memory_bytes: int,
    writer: str,
) -> None:
    monkeypatch.setattr("jobs.engine.weight.IN_MEMORY_BYTES", in_memory_bytes)
    with producer(broker) as kafka:
        for value in VALUES:
            kafka.send(orders.topic, value, key=b"key")

    query = bronze(spark, [orders], broker, {"availableNow": True}).start()
    assert query.stream.awaitTermination(120)

    events = DeltaTable(EVENTS.url(broker.lake_url))
    assert events.to_pyarrow_table(columns=["value"])["value"].to_pylist() == VALUES
    assert events.history(1)[0]["engineInfo"].startswith(writer)
