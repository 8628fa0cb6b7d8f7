import datetime as dt
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from deltalake import DeltaTable, write_deltalake
from pyspark.sql import DataFrame, SparkSession

from jobs import corrections
from jobs.engine.batch import Batch
from jobs.engine.deduplicate import PLACE, Arrivals, Deduplication, Sifted
from jobs.entity import Entity, silver_table
from jobs.judge import Judge
from jobs.judged import Judged, JudgedBySpark, JudgedInMemory, Plans
from jobs.marts.marketplace import SALES_BY_MINUTE
from jobs.settings import Settings
from schemas import Contract
from tests.spark.conftest import Event

Records = Callable[..., DataFrame]


class Shop:
    """Silver, and deduplication against it."""

    def __init__(self, silver: DeltaTable, contract: Contract, *, in_memory: bool) -> None:
        self.silver = silver
        self._contract = contract
        self._in_memory = in_memory
        self.restart()

    def restart(self) -> None:
        delay = self._contract.watermark_delay
        self.deduplication = Deduplication(self.silver, self._contract.key, self._contract.event_time, delay)

    def take(self, arrived: DataFrame, *, dies: bool = False, is_in_silver: bool = False) -> tuple[Sifted, list[int]]:
        """Sift a batch and commit it to silver; returns the offsets of what was kept."""
        plans = Plans(arrived.sparkSession, Judge(self._contract, (), key=b"key"), [SALES_BY_MINUTE], few=1_000)
        judged: Judged = JudgedBySpark(arrived, plans)
        if self._in_memory:
            judged = JudgedInMemory(arrived.toArrow(), plans)
        sifted = self.deduplication.sift(judged.arrivals(), is_in_silver=is_in_silver)
        kept, late = judged.silver(sifted), judged.late(sifted)
        assert isinstance(kept, pa.Table)
        assert isinstance(late, pa.Table)
        assert (kept.num_rows, late.num_rows) == (sifted.accepted, sifted.late)
        if sifted.accepted:
            measures = judged.measures(sifted)[SALES_BY_MINUTE.name]()
            assert isinstance(measures, pa.Table)
            assert pc.sum(measures["orders"]).as_py() == len(kept)
        judged.release()
        if not is_in_silver:
            write_deltalake(self.silver.table_uri, kept, mode="append")
        if not dies:
            self.deduplication.remember(sifted.arrivals, sifted.is_new)
        return sifted, sorted(kept["offset"].to_pylist())


@pytest.fixture(params=["in memory", "by Spark"])
def shop(orders: Contract, lake: str, request: pytest.FixtureRequest) -> Shop:
    return Shop(silver_table(orders).create(lake), orders, in_memory=request.param == "in memory")


def from_offset(records: DataFrame, first: int) -> DataFrame:
    return records.selectExpr(
        "key", "value", "headers", "topic", "partition", f"`offset` + {first} AS offset", "timestamp"
    )


def arriving(records: DataFrame, at: str, *, partition: int = 0) -> DataFrame:
    names = (
        "key",
        "value",
        "headers",
        "topic",
        f"{partition} AS partition",
        "offset",
        f"TIMESTAMP '{at}' AS timestamp",
    )
    return records.selectExpr(*names)


def test_the_first_of_two_in_a_batch_stays(shop: Shop, arrived: Records, event: Event) -> None:
    sifted, kept = shop.take(arrived(event(), event(event_id="other"), event(country="FR"), b"refused", b"refused"))

    assert kept == [0, 1]
    assert (sifted.accepted, sifted.refused, sifted.late, sifted.duplicates) == (2, 2, 0, 1)


def test_what_an_earlier_batch_brought_is_a_duplicate(shop: Shop, arrived: Records, event: Event) -> None:
    shop.take(arrived(event()))

    sifted, kept = shop.take(from_offset(arrived(event(), event(event_id="other")), 1))

    assert kept == [2]
    assert sifted.duplicates == 1


def test_silver_is_the_memory_after_a_restart(shop: Shop, arrived: Records, event: Event) -> None:
    shop.take(arrived(event()))
    shop.restart()

    _, kept = shop.take(from_offset(arrived(event(), event(event_id="other")), 1))

    assert kept == [2]


def test_a_batch_that_runs_again_is_no_duplicate_of_itself(shop: Shop, arrived: Records, event: Event) -> None:
    shop.take(arrived(event(event_id="before")))
    second = from_offset(arrived(event(), event(event_id="before"), event()), 1)
    _, kept = shop.take(second, dies=True)
    shop.restart()

    sifted, kept_again = shop.take(second, is_in_silver=True)

    assert kept == kept_again == [1]
    assert sifted.duplicates == 2


def test_all_that_is_taken_in_a_second_time_is_a_duplicate(shop: Shop, arrived: Records, event: Event) -> None:
    """Without its checkpoint, a query begins anew; silver knows much newer events by then."""
    events = arrived(*(event(event_id=f"event-{number}") for number in range(3)))
    shop.take(events)
    newer = event(event_id="newer", event_time="2026-03-01T18:00:00Z")
    shop.take(arriving(from_offset(arrived(newer), 3), "2026-03-01 18:00:01"))
    shop.restart()

    again, kept = shop.take(events)

    assert (kept, again.duplicates) == ([], 3)


def test_an_event_is_late_by_its_own_arrival(shop: Shop, arrived: Records, event: Event) -> None:
    """They arrived ten seconds past twelve; the delay is ten minutes."""
    before, at = "2026-03-01T11:50:09.999999Z", "2026-03-01T11:50:10Z"

    sifted, kept = shop.take(arrived(event(event_time=before), event(event_time=at)))

    assert kept == [1]
    assert (sifted.late, sifted.duplicates) == (1, 0)


def test_an_event_ahead_makes_nobody_else_late(shop: Shop, arrived: Records, event: Event) -> None:
    shop.take(arrived(event(event_id="ahead", event_time="2026-03-01T12:59:59Z")))
    punctual = arrived(*(event(event_id=f"event-{number}") for number in range(5)))

    sifted, kept = shop.take(from_offset(punctual, 1))

    assert kept == [1, 2, 3, 4, 5]
    assert sifted.late == 0


def test_a_partition_that_lies_behind_is_not_late(shop: Shop, arrived: Records, event: Event) -> None:
    """After a stop, one partition may be hours ahead of the other; what both have is a duplicate all the same."""
    evening = event(event_id="evening", event_time="2026-03-01T18:00:00Z")
    shop.take(arriving(arrived(evening), "2026-03-01 18:00:01"))
    shop.take(arriving(arrived(event()), "2026-03-01 12:00:10", partition=1))
    later = event(event_id="later", event_time="2026-03-01T18:30:00Z")
    shop.take(arriving(from_offset(arrived(later), 1), "2026-03-01 18:30:01"))

    behind = arriving(from_offset(arrived(event(event_id="noon"), event()), 1), "2026-03-01 12:00:10", partition=1)
    sifted, kept = shop.take(behind)

    assert kept == [1]
    assert (sifted.late, sifted.duplicates) == (0, 1)


def test_an_identity_may_come_again_a_delay_later(shop: Shop, arrived: Records, event: Event) -> None:
    shop.take(arrived(event()))
    within, beyond = event(event_time="2026-03-01T12:10:05.25Z"), event(event_time="2026-03-01T12:10:05.250001Z")

    first, _ = shop.take(from_offset(arrived(within), 1))
    shop.restart()
    restarted, _ = shop.take(from_offset(arrived(within), 1))
    later, _ = shop.take(from_offset(arrived(beyond), 2))

    assert (first.duplicates, restarted.duplicates, later.duplicates) == (1, 1, 0)


def test_partitions_have_offsets_of_their_own(shop: Shop, arrived: Records, event: Event) -> None:
    records = arrived(event(), event(event_id="other"), event())
    elsewhere = records.selectExpr("key", "value", "headers", "topic", "1 AS partition", "offset", "timestamp")

    sifted, kept = shop.take(from_offset(records, 7_000_000_000).unionAll(elsewhere))

    assert kept == [7_000_000_000, 7_000_000_001]
    assert sifted.duplicates == 4


def test_late_events_are_looked_up_beside_the_stream(shop: Shop, arrived: Records, event: Event) -> None:
    """What the stream adds while they are looked up counts, too."""
    shop.take(arrived(event()))
    late = [event(), event(event_id="lately"), event(event_id="new"), event(event_id="new")]
    rows = pa.table(
        {
            "event_id": [one["event_id"] for one in late],
            "event_time": pa.array([dt.datetime(2026, 3, 1, 12, 0, 5, 250_000, dt.UTC)] * 4, pa.timestamp("us", "UTC")),
            "partition": [0] * 4,
            "offset": [7, 8, 9, 10],
            "timestamp": pa.array([dt.datetime(2026, 3, 1, 18, tzinfo=dt.UTC)] * 4, pa.timestamp("us", "UTC")),
        }
    )
    arrivals = Arrivals.late(rows, key="event_id", event_time="event_time")

    is_known = shop.deduplication.look_up(arrivals)
    shop.take(from_offset(arrived(event(event_id="lately")), 1))
    is_new = shop.deduplication.sift_late(arrivals, is_known)
    shop.deduplication.remember(arrivals, is_new)
    _, kept = shop.take(from_offset(arrived(event(event_id="new")), 2))

    assert is_known.tolist() == [True, False, False, False]
    assert is_new.tolist() == [False, False, True, False]
    assert kept == []


def test_what_reconciliation_added_meanwhile_is_a_duplicate(
    spark: SparkSession, tmp_path: Path, orders: Contract, arrived: Records, event: Event
) -> None:
    settings = Settings(home=tmp_path)
    entity = Entity(spark, orders, (), settings)

    def take(number: int, name: str) -> Sifted:
        with entity.deduplication.lock:
            records = from_offset(arrived(event(event_id=name)), 10 * number).toArrow()
            taken = entity.take(records, Batch("query", number))
            for write in entity.writes(taken):
                write()
            entity.remember(taken)
        return taken.sifted

    take(0, "first")
    silver = silver_table(orders)
    (first,) = DeltaTable(silver.url(settings.lake_url)).to_pyarrow_table().to_pylist()
    lost = pa.Table.from_pylist(
        [first | {"event_id": "lost", "offset": 5}], pa.schema(silver.create(settings.lake_url).schema().to_arrow())
    )
    corrections.replace(silver, settings.lake_url, lost.select(PLACE), lost, along="timestamp", number=0)
    # Who commits notices that somebody else has.
    take(1, "next")

    assert take(2, "lost").duplicates == 1
