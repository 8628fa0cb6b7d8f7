import datetime as dt
from collections.abc import Callable
from dataclasses import replace

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from deltalake import DeltaTable, write_deltalake
from pyspark.sql import DataFrame

from jobs.engine.batch import Batch
from jobs.engine.deduplicate import Deduplication, Sifted
from jobs.entity import silver_table
from jobs.judge import Judge
from jobs.judged import Judged, JudgedBySpark, JudgedInMemory, Plans
from jobs.marts.marketplace import SALES_BY_MINUTE
from schemas import Contract
from tests.spark.conftest import Event

Records = Callable[..., DataFrame]
Sift = Callable[..., Sifted]
# Half past eleven: the events of these tests are of noon.
BATCH = Batch("query", 0, watermark=dt.datetime(2026, 3, 1, 11, 30, tzinfo=dt.UTC))


class Shop:
    """Silver, and deduplication against it."""

    def __init__(self, silver: DeltaTable, contract: Contract, *, in_memory: bool) -> None:
        self.silver = silver
        self._contract = contract
        self._in_memory = in_memory
        self.restart()

    def restart(self) -> None:
        self._deduplication = Deduplication(
            self.silver,
            key=self._contract.key,
            event_time=self._contract.event_time,
            delay=self._contract.watermark_delay,
        )

    def take(self, arrived: DataFrame, batch: Batch = BATCH, *, dies: bool = False) -> tuple[Sifted, list[int]]:
        """Sift a batch and commit it to silver; returns the offsets of what was kept."""
        plans = Plans(arrived.sparkSession, Judge(self._contract, (), key=b"key"), [SALES_BY_MINUTE], few=1_000)
        judged: Judged = JudgedBySpark(arrived, plans)
        if self._in_memory:
            judged = JudgedInMemory(arrived.toArrow(), plans)
        sifted = self._deduplication.sift(judged.arrivals(), batch)
        kept = judged.silver(sifted)
        assert isinstance(kept, pa.Table)
        if sifted.accepted:
            measures = judged.measures(sifted)[SALES_BY_MINUTE.name]()
            assert isinstance(measures, pa.Table)
            assert pc.sum(measures["orders"]).as_py() == len(kept)
        judged.release()
        write_deltalake(self.silver.table_uri, kept, mode="append")
        if not dies:
            self._deduplication.remember(sifted)
        return sifted, sorted(kept["offset"].to_pylist())


@pytest.fixture(params=["in memory", "by Spark"])
def shop(orders: Contract, lake: str, request: pytest.FixtureRequest) -> Shop:
    return Shop(silver_table(orders).create(lake), orders, in_memory=request.param == "in memory")


def from_offset(records: DataFrame, first: int) -> DataFrame:
    return records.selectExpr(
        "key", "value", "headers", "topic", "partition", f"`offset` + {first} AS offset", "timestamp"
    )


def test_the_first_of_two_in_a_batch_stays(shop: Shop, arrived: Records, event: Event) -> None:
    sifted, kept = shop.take(arrived(event(), event(event_id="other"), event(country="FR"), b"refused", b"refused"))

    assert kept == [0, 1]
    assert (sifted.accepted, sifted.refused, sifted.late, sifted.duplicates) == (2, 2, 0, 1)


def test_what_an_earlier_batch_brought_is_a_duplicate(shop: Shop, arrived: Records, event: Event) -> None:
    shop.take(arrived(event()))

    sifted, kept = shop.take(from_offset(arrived(event(), event(event_id="other")), 1), replace(BATCH, id=1))

    assert kept == [2]
    assert sifted.duplicates == 1


def test_silver_is_the_memory_after_a_restart(shop: Shop, arrived: Records, event: Event) -> None:
    shop.take(arrived(event()))
    shop.restart()

    _, kept = shop.take(from_offset(arrived(event(), event(event_id="other")), 1), replace(BATCH, id=1))

    assert kept == [2]


def test_a_batch_that_runs_again_is_no_duplicate_of_itself(shop: Shop, arrived: Records, event: Event) -> None:
    shop.take(arrived(event(event_id="before")))
    second = from_offset(arrived(event(), event(event_id="before"), event()), 1)
    _, kept = shop.take(second, replace(BATCH, id=1), dies=True)
    shop.restart()

    sifted, kept_again = shop.take(second, replace(BATCH, id=1))

    assert kept == kept_again == [1]
    assert sifted.duplicates == 2


def test_an_event_at_the_watermark_is_late(shop: Shop, arrived: Records, event: Event) -> None:
    at, after = "2026-03-01T11:30:00Z", "2026-03-01T11:30:00.001Z"

    sifted, kept = shop.take(arrived(event(event_time=at), event(event_time=after)))

    assert kept == [1]
    assert (sifted.late, sifted.duplicates) == (1, 0)


def test_an_event_is_remembered_until_the_watermark_is_a_delay_past_it(
    shop: Shop, arrived: Records, event: Event
) -> None:
    shop.take(arrived(event()))
    again = event(event_time="2026-03-01T12:09:59Z")
    much_later = event(event_time="2026-03-01T12:40:00Z")

    within, _ = shop.take(from_offset(arrived(again), 1), replace(BATCH, id=1, watermark=at_noon(minutes=9)))
    shop.restart()
    restarted, _ = shop.take(from_offset(arrived(again), 1), replace(BATCH, id=1, watermark=at_noon(minutes=9)))
    beyond, _ = shop.take(from_offset(arrived(much_later), 2), replace(BATCH, id=2, watermark=at_noon(minutes=30)))

    assert (within.duplicates, restarted.duplicates, beyond.duplicates) == (1, 1, 0)


def test_partitions_have_offsets_of_their_own(shop: Shop, arrived: Records, event: Event) -> None:
    records = arrived(event(), event(event_id="other"), event())
    elsewhere = records.selectExpr("key", "value", "headers", "topic", "1 AS partition", "offset", "timestamp")

    sifted, kept = shop.take(from_offset(records, 7_000_000_000).unionAll(elsewhere))

    assert kept == [7_000_000_000, 7_000_000_001]
    assert sifted.duplicates == 4


def at_noon(*, minutes: int) -> dt.datetime:
    return dt.datetime(2026, 3, 1, 12, minutes, tzinfo=dt.UTC)
