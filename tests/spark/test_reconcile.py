"""Reconciliation proves every table, says what differs, puts it right, and then finds nothing to do."""

import datetime as dt
import json
import random
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from deltalake import DeltaTable
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import LongType
from typer.testing import CliRunner

from jobs.bronze import EVENTS
from jobs.definitions import Definitions
from jobs.engine.accidents import Accident, note
from jobs.engine.batch import Batch
from jobs.engine.commit import Appender
from jobs.engine.newest import SnapshotWriter
from jobs.engine.table import Table
from jobs.engine.upsert import MartWriter
from jobs.entity import quarantine_table, silver_table
from jobs.judge import Judge
from jobs.judged import silver_rows
from jobs.marts import MARTS, SNAPSHOTS, Mart, Measure, Snapshot
from jobs.marts.things import VENDORS_NOW
from jobs.pseudonyms import pseudonym_key
from jobs.reconcile import RECONCILIATIONS, Parity, reconcile
from jobs.settings import Settings
from schemas import Contract, load_contracts
from tests.spark.conftest import review

NOON = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)
MINUTE, HOUR, DAY = dt.timedelta(minutes=1), dt.timedelta(hours=1), dt.timedelta(days=1)
CONTRACTS = {contract.topic: contract for contract in load_contracts()}


def _reviewed(events: DataFrame) -> DataFrame:
    minute, day = (F.date_trunc(unit, "event_time").alias(unit) for unit in ("minute", "day"))
    return events.select(minute, day, "text", "rating")


RATED = (
    Measure("reviews", "count(*)", LongType(), "reviews", ""),
    Measure("stars", "sum(rating)", LongType(), "stars", ""),
    Measure("lowest", "min(rating)", LongType(), "stars", "", merge="min"),
    Measure("highest", "max(rating)", LongType(), "stars", "", merge="max"),
)
TEXT = {"text": "Masked; null where nothing was written."}
BY_MINUTE = Mart("marketplace_texts_by_minute", "", "minute", MINUTE, TEXT, RATED, _reviewed)
BY_DAY = Mart("marketplace_texts_by_day", "", "day", DAY, TEXT, RATED, _reviewed)
"""Marts with nulls in a dimension, and extremes."""


class Shop:
    """A lake as the stream leaves it: bronze, and what a batch of ``live`` after the other made of it."""

    def __init__(self, spark: SparkSession, home: Path, contract: Contract) -> None:
        self.spark = spark
        self.settings = Settings(home=home)
        self.lake = self.settings.lake_url
        self.contract = contract
        self.golds: list[Mart | Snapshot] = [*MARTS.get(contract.topic, ()), *SNAPSHOTS.get(contract.topic, ())]
        self.batch = -1
        self._offsets = [0, 0]
        self._taken = [0, 0]
        self._known: dict[str, list[dt.datetime]] = {}
        self._number = 0

    def arrive(self, *events: dict[str, Any], at: dt.datetime = NOON, partition: int = 0) -> None:
        """Records arrive in bronze, a millisecond apart."""
        rows = []
        for event in events:
            offset = self._offsets[partition]
            self._offsets[partition] += 1
            moment = at + offset * dt.timedelta(milliseconds=1)
            row = {"key": None, "value": json.dumps(event).encode(), "headers": None, "topic": self.contract.topic}
            place = {"partition": partition, "offset": offset, "timestamp": moment, "arrival_date": moment.date()}
            rows.append({**row, **place})
        self.append(EVENTS, rows)

    def take(self, *, without: Sequence[str] = ()) -> None:
        """The stream takes what has arrived, but loses some events, by their id."""
        self.batch += 1
        records = self.spark.read.format("delta").load(EVENTS.url(self.lake))
        first, last = self._taken, self._offsets
        spans = [f"(partition = {p} AND offset >= {first[p]} AND offset < {last[p]})" for p in (0, 1)]
        judged = Judge(self.contract, (), key=pseudonym_key(self.settings)).judge(records.where(" OR ".join(spans)))
        rows = silver_rows(judged.orderBy("timestamp", "partition"), self.contract).toArrow()
        new = [self._is_new(row) and row["event_id"] not in without for row in rows.to_pylist()]
        self.write(rows.filter(pa.array(new, pa.bool_())), Batch("query", self.batch))
        self._taken = list(self._offsets)
        folder = Path(self.lake) / "_checkpoints" / f"live-{self.contract.domain}"
        ends = {self.contract.topic: {str(partition): end for partition, end in enumerate(self._taken)}}
        for name, text in {
            "metadata": '{"id":"query"}',
            f"offsets/{self.batch}": f"v1\n{{}}\n{json.dumps(ends)}",
            f"commits/{self.batch}": "v1\n{}",
        }.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text)

    def write(self, events: pa.Table, batch: Batch) -> None:
        """Write events to silver and gold, as if they were new."""
        Appender(silver_table(self.contract), self.lake).append(events, batch)
        self.write_gold(events, batch)

    def write_gold(self, events: pa.Table, batch: Batch) -> None:
        """Write what events say to gold alone."""
        if not events.num_rows:
            return
        frame = self.spark.createDataFrame(events, silver_table(self.contract).schema)
        for gold in self.golds:
            measured = gold.measure(frame).toArrow()
            writer = MartWriter(gold, self.lake) if isinstance(gold, Mart) else SnapshotWriter(gold, self.lake)
            writer.upsert(measured, batch)

    def append(self, table: Table, rows: list[dict[str, Any]] | pa.Table) -> None:
        """Append rows to a table, as an accident would."""
        self._number += 1
        if isinstance(rows, list):
            rows = pa.Table.from_pylist(rows, pa.schema(table.create(self.lake).schema().to_arrow()))
        Appender(table, self.lake).append(rows, Batch("accident", self._number))

    def changed(self, event: str, **changes: Any) -> pa.Table:
        """A row of silver with other values."""
        (row,) = self.silver(event).to_pylist()
        return pa.Table.from_pylist([row | changes], self.silver().schema)

    def accident(self) -> Batch:
        """What writes something that is wrong."""
        self._number += 1
        return Batch("accident", self._number)

    def silver(self, *ids: str) -> pa.Table:
        """Rows of silver, all or some by their ids."""
        rows = self.rows(silver_table(self.contract))
        return rows.filter(pc.is_in(rows["event_id"], pa.array(ids))) if ids else rows

    def rows(self, table: Table) -> pa.Table:
        return DeltaTable(table.url(self.lake)).to_pyarrow_table()

    def reconcile(self, *, fix: bool = False, since: dt.date | None = None) -> dict[str, Parity]:
        found = reconcile(self.spark, self.contract, (), self.settings, since=since, fix=fix)
        for parity in found:
            print(parity)
        return {parity.table: parity for parity in found}

    def versions(self) -> list[int]:
        """The versions of silver and gold."""
        tables = [silver_table(self.contract), *(gold.table for gold in self.golds)]
        return [DeltaTable(table.url(self.lake)).version() for table in tables]

    def _is_new(self, row: dict[str, Any]) -> bool:
        """Whether no event of the same id came within the delay before."""
        times = self._known.setdefault(row["event_id"], [])
        is_new = all(abs(row["event_time"] - known) > self.contract.watermark_delay for known in times)
        times += [row["event_time"]] if is_new else []
        return is_new


@pytest.fixture
def shop(spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shop:
    """With reviews."""
    monkeypatch.setitem(MARTS, "marketplace.reviews", (BY_MINUTE, BY_DAY))
    return Shop(spark, tmp_path / "home", CONTRACTS["marketplace.reviews"])


def rated(number: int, at: dt.datetime = NOON - MINUTE, **changes: Any) -> dict[str, Any]:
    """A review without a text."""
    return review(number, event_time=at.isoformat(), **{"text": None, **changes})


def vendor(number: int, at: dt.datetime, **changes: Any) -> dict[str, Any]:
    return {
        "event_id": f"event-{number}",
        "event_type": "updated",
        "event_time": at.isoformat(),
        "vendor_id": "vendor-1",
        "name": f"Name {number}",
        "country": "DE",
        "category": "Books",
        "commission_rate": "0.1",
        "monthly_goal": 1000,
        **changes,
    }


def assert_settled(shop: Shop) -> None:
    """Nothing differs, and to correct it all the same changes no byte."""
    before = shop.versions()
    found = shop.reconcile(fix=True, since=dt.date.min)
    assert all(parity.holds and not parity.kinds for parity in found.values())
    assert shop.versions() == before


def test_what_silver_lacks_counts_once_however_often_it_is_mended(shop: Shop) -> None:
    shop.arrive(*(rated(number) for number in range(1, 5)), rated(1), rated(5, text="Fine."), rated(6, rating=77))
    shop.take(without=["event-2", "event-3", "event-5"])
    # The stream has not taken this one.
    shop.arrive(rated(9))

    found = shop.reconcile(fix=True)

    assert {name: (parity.rows, parity.kinds, parity.mended) for name, parity in found.items()} == {
        "silver.marketplace_reviews": (5, {"less": 3}, 3),
        "gold.marketplace_texts_by_minute": (2, {"less": 2}, 2),
        "gold.marketplace_texts_by_day": (2, {"less": 2}, 2),
    }
    assert all(parity.holds for parity in found.values())
    assert sorted(shop.silver()["event_id"].to_pylist()) == [f"event-{number}" for number in range(1, 6)]
    assert {row["text"]: row["reviews"] for row in shop.rows(BY_MINUTE.table).to_pylist()} == {None: 4, "F***": 1}
    assert_settled(shop)


def test_what_is_doubled_is_found_as_more_and_taken_out(shop: Shop) -> None:
    shop.arrive(*(rated(number) for number in range(1, 4)))
    shop.take()
    # A lost checkpoint: the same record once more, and the same event at another place.
    shop.write(shop.silver("event-1"), shop.accident())
    shop.write(shop.changed("event-2", partition=1), shop.accident())

    found = shop.reconcile()
    assert found["silver.marketplace_reviews"].kinds == {"more": 2}
    assert not found["silver.marketplace_reviews"].holds

    found = shop.reconcile(fix=True)
    assert all(parity.kinds == {"more": parity.mended} and parity.holds for parity in found.values())
    assert sorted(shop.silver()["event_id"].to_pylist()) == ["event-1", "event-2", "event-3"]
    assert [row["reviews"] for row in shop.rows(BY_DAY.table).to_pylist()] == [3]


def test_rows_of_no_record_are_taken_out_and_others_become_what_came(shop: Shop) -> None:
    shop.arrive(*(rated(number) for number in range(1, 4)))
    shop.take()
    foreign, wrong = (
        shop.changed("event-1", event_id="nobody", offset=77, partition=9),
        shop.changed("event-2", rating=1),
    )
    DeltaTable(silver_table(shop.contract).url(shop.lake)).delete("event_id = 'event-2'")
    shop.append(silver_table(shop.contract), pa.concat_tables([foreign, wrong]))

    found = shop.reconcile(fix=True)

    assert found["silver.marketplace_reviews"].kinds == {"more": 1, "other": 1}
    assert all(parity.holds for parity in found.values())
    assert {row["event_id"]: row["rating"] for row in shop.silver().to_pylist()} == dict.fromkeys(
        ("event-1", "event-2", "event-3"), 4
    )
    assert_settled(shop)


def test_what_kafka_deleted_before_bronze_read_it_stays(shop: Shop) -> None:
    """Bronze was away for longer than Kafka keeps records; the stream was not."""
    shop.arrive(*(rated(number) for number in range(1, 6)))
    shop.take()
    DeltaTable(EVENTS.url(shop.lake)).delete("offset IN (1, 2)")
    topic = shop.contract.topic
    assert shop.reconcile()["silver.marketplace_reviews"].kinds == {"more": 2}
    note(
        [Accident("bronze", "expired", 0, topic, 0, 1, 3), Accident("bronze", "expired", 0, topic, 1, 0, 9)], shop.lake
    )

    found = shop.reconcile(fix=True)

    assert all(parity.holds for parity in found.values())
    assert shop.silver().num_rows == 5


def test_gold_is_put_right_in_either_direction(shop: Shop) -> None:
    shop.arrive(rated(1), rated(2), rated(3, NOON - DAY))
    shop.take()
    # An extreme beyond what was sent, and a window of which nobody knows; a day is lost.
    shop.write_gold(shop.changed("event-1", rating=5), shop.accident())
    shop.write_gold(shop.changed("event-1", event_time=NOON - HOUR), shop.accident())
    DeltaTable(BY_DAY.table.url(shop.lake)).delete("day < '2026-03-01T00:00:00Z'")

    found = shop.reconcile(fix=True)

    assert not found["silver.marketplace_reviews"].kinds
    assert found["gold.marketplace_texts_by_minute"].kinds == {"more": 2}
    assert found["gold.marketplace_texts_by_day"].kinds == {"more": 1, "less": 1}
    assert all(parity.holds for parity in found.values())
    rows = {row["minute"]: (row["reviews"], row["highest"]) for row in shop.rows(BY_MINUTE.table).to_pylist()}
    assert rows == {NOON - MINUTE: (2, 4), NOON - DAY: (1, 4)}


def test_parts_of_one_cell_are_one(shop: Shop) -> None:
    shop.arrive(rated(1), rated(2))
    shop.take()
    # What is late is appended, and merged later.
    part = shop.rows(BY_DAY.table)
    half = part.set_column(2, "reviews", pa.array([1])).set_column(3, "stars", pa.array([4])).cast(part.schema)
    DeltaTable(BY_DAY.table.url(shop.lake)).delete()
    shop.append(BY_DAY.table, pa.concat_tables([half, half]))

    assert shop.reconcile()["gold.marketplace_texts_by_day"] == Parity("gold.marketplace_texts_by_day", 1)

    shop.append(BY_DAY.table, half)
    assert shop.reconcile(fix=True, since=NOON.date())["gold.marketplace_texts_by_day"].mended == 1
    assert shop.rows(BY_DAY.table).num_rows == 1


def test_snapshots_are_proven_too(spark: SparkSession, tmp_path: Path) -> None:
    shop = Shop(spark, tmp_path, CONTRACTS["marketplace.vendors"])
    shop.arrive(vendor(1, NOON - 3 * HOUR), vendor(2, NOON - 2 * HOUR, vendor_id="vendor-2"), at=NOON - 2 * HOUR)
    shop.arrive(vendor(3, NOON - HOUR, name="Newest"), vendor(4, NOON - 2 * HOUR))
    shop.take(without=["event-3"])
    shop.write_gold(shop.changed("event-2", name="Nobody", vendor_id="vendor-9"), shop.accident())

    found = shop.reconcile()
    assert found["silver.marketplace_vendors"].kinds == {"less": 1}
    assert found["gold.marketplace_vendors_now"].kinds == {"more": 1}

    found = shop.reconcile(fix=True)
    assert found["gold.marketplace_vendors_now"].kinds == {"less": 1, "more": 1}
    assert all(parity.holds for parity in found.values())
    rows = {row["vendor_id"]: row["name"] for row in shop.rows(VENDORS_NOW.table).to_pylist()}
    assert rows == {"vendor-1": "Newest", "vendor-2": "Name 2"}
    assert_settled(shop)


def test_what_waits_in_quarantine_or_for_the_late_lane_is_not_missing(shop: Shop) -> None:
    shop.arrive(*(rated(number) for number in range(1, 4)))
    shop.take()
    (refused,), late = shop.silver("event-2").to_pylist(), shop.silver("event-3")
    DeltaTable(silver_table(shop.contract).url(shop.lake)).delete("event_id IN ('event-2', 'event-3')")
    place = {name: refused[name] for name in ("partition", "offset", "timestamp")}
    shop.append(quarantine_table(shop.contract), [{**place, "arrival_date": NOON.date(), "reasons": ["then"]}])
    shop.append(Table("late", shop.contract.name, silver_table(shop.contract).schema, ""), late)  # type: ignore[arg-type]

    assert not shop.reconcile(fix=True)["silver.marketplace_reviews"].kinds
    assert shop.silver()["event_id"].to_pylist() == ["event-1"]


def test_a_comparison_goes_on_where_all_was_proven(shop: Shop) -> None:
    days = [NOON - number * DAY for number in (40, 8, 0)]
    for number, at in enumerate(days):
        shop.arrive(rated(number, at - MINUTE), at=at)
    shop.take(without=["event-0"])

    assert shop.reconcile(since=days[1].date())["silver.marketplace_reviews"].rows == 2
    # Nothing is proven yet, for the first day was left out.
    assert shop.reconcile(fix=True)["silver.marketplace_reviews"].mended == 1
    assert pc.max(shop.rows(RECONCILIATIONS)["proven_until"]).as_py() == dt.datetime.now(dt.UTC).date()

    # One of the oldest window arrives, and the stream loses it.
    shop.arrive(rated(4, days[0]), at=dt.datetime.now(dt.UTC))
    shop.take(without=["event-4"])
    found = shop.reconcile(fix=True)
    assert (found["silver.marketplace_reviews"].rows, found["silver.marketplace_reviews"].mended) == (1, 1)
    assert (found["gold.marketplace_texts_by_minute"].rows, found["gold.marketplace_texts_by_minute"].mended) == (2, 1)
    assert_settled(shop)


def test_marts_whose_windows_are_not_of_event_time_are_compared_as_a_whole(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    def all_in_one(events: DataFrame) -> DataFrame:
        return events.withColumn("minute", F.lit(NOON - 40 * DAY))

    counted = Measure("reviews", "count(*)", LongType(), "reviews", "")
    ever = Mart("marketplace_reviews_ever", "", "minute", MINUTE, {}, (counted,), all_in_one)
    monkeypatch.setitem(MARTS, "marketplace.reviews", (ever,))
    shop.golds = [ever]
    shop.arrive(rated(1, NOON - 40 * DAY), at=NOON - 40 * DAY)
    shop.arrive(rated(2))
    shop.take()

    assert not shop.reconcile(since=NOON.date(), fix=True)["gold.marketplace_reviews_ever"].kinds
    assert shop.rows(ever.table)["reviews"].to_pylist() == [2]


def test_a_batch_that_is_under_way_is_no_difference(shop: Shop) -> None:
    shop.arrive(rated(1))
    shop.take()
    shop.arrive(rated(2))
    # Gold has the batch, silver has not, and the checkpoint does not say that it is finished.
    shop.write_gold(shop.changed("event-1", event_id="event-2", offset=1), Batch("query", 1))

    found = shop.reconcile(fix=True)

    assert all(parity.holds and not parity.kinds for parity in found.values())
    assert shop.rows(BY_DAY.table)["reviews"].to_pylist() == [2]


def test_two_corrections_at_the_same_time_count_once(shop: Shop) -> None:
    shop.arrive(*(rated(number) for number in range(40)))
    shop.take(without=[f"event-{number}" for number in range(10, 40)])

    with ThreadPoolExecutor() as threads:
        for done in [threads.submit(shop.reconcile, fix=True) for _ in range(2)]:
            done.result()

    assert len(shop.silver()) == 40
    assert shop.rows(BY_DAY.table)["reviews"].to_pylist() == [40]
    assert_settled(shop)


def _numbered(events: DataFrame) -> DataFrame:
    """A row per review; of a submitted one, many."""
    many = F.when(F.col("event_type") == "submitted", F.sequence(F.lit(1), F.lit(150_000)))
    numbers = F.explode(F.coalesce(many, F.array(F.lit(1)))).alias("number")
    numbered = events.select(F.date_trunc("minute", "event_time").alias("minute"), numbers)
    return numbered.withColumn("number", F.col("number").cast("string"))


def test_an_old_window_of_a_large_mart_is_corrected_beside_a_busy_writer(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted = Measure("reviews", "count(*)", LongType(), "reviews", "")
    large = Mart("marketplace_reviews_by_number", "", "minute", MINUTE, {"number": ""}, (counted,), _numbered)
    monkeypatch.setitem(MARTS, "marketplace.reviews", (large,))
    shop.golds = [large]
    yesterday = NOON - DAY
    shop.arrive(rated(1, yesterday), rated(2, yesterday + MINUTE), at=yesterday)
    shop.arrive(rated(3, yesterday, event_type="removed"), at=yesterday)
    shop.take(without=["event-3"])
    writer, now = MartWriter(large, shop.lake), NOON + 3 * DAY
    partial = pa.Table.from_pylist([{"minute": now, "number": "1", "reviews": 1}])
    stopped, commits = threading.Event(), 0

    def write() -> None:
        nonlocal commits
        while not stopped.wait(0.3):
            writer.upsert(partial, Batch("other", commits, now - 10 * MINUTE))
            commits += 1

    with ThreadPoolExecutor() as threads:
        writing = threads.submit(write)
        try:
            found = shop.reconcile(fix=True)["gold.marketplace_reviews_by_number"]
        finally:
            stopped.set()
        writing.result()

    assert (found.mended, found.left) == (1, 1), "the writer's row is of no event, and changes"
    rows = shop.rows(large.table)
    assert len(rows) == 300_001
    several = rows.filter(pc.field("reviews") > 1).to_pylist()
    assert {row["minute"]: row["reviews"] for row in several} == {yesterday: 2, now: commits}


@pytest.mark.parametrize("seed", range(2))
def test_whatever_happened_gold_is_what_plain_python_says(shop: Shop, seed: int) -> None:
    chance = random.Random(seed)
    sent: list[dict[str, Any]] = []
    for number in range(90):
        arrival = NOON + number * 10 * dt.timedelta(seconds=1)
        late = chance.choice([0, 0, 0, 3, 60]) * HOUR + chance.randrange(120) * dt.timedelta(seconds=1)
        changes = {"rating": chance.randrange(1, 6), "text": chance.choice([None, None, "Fine.", "Bad."])}
        one = dict(chance.choice(sent)) if sent and chance.random() < 0.15 else rated(number, arrival - late, **changes)
        sent.append(one)
        shop.arrive(one, at=arrival, partition=chance.randrange(2))
        if number in (40, 89):
            shop.take(without=chance.sample([one["event_id"] for one in sent], 8))
    some = shop.silver().take(chance.sample(range(len(shop.silver())), 6))
    shop.write(some, shop.accident())
    shop.write_gold(some.slice(0, 2), shop.accident())

    found = shop.reconcile(fix=True)

    assert all(parity.holds and parity.mended for parity in found.values())
    once = list({one["event_id"]: one for one in sent}.values())
    assert sorted(shop.silver()["event_id"].to_pylist()) == sorted(one["event_id"] for one in once)
    for mart in (BY_MINUTE, BY_DAY):
        rows = shop.rows(mart.table).to_pylist()
        gold = {(row[mart.window], row["text"]): [row[measure.name] for measure in RATED] for row in rows}
        assert len(rows) == len(gold)
        assert gold == by_window(once, mart)
    assert_settled(shop)


def by_window(events: Sequence[dict[str, Any]], mart: Mart) -> dict[tuple[dt.datetime, str | None], list[int]]:
    """The measures of events, by window and text, in plain Python."""
    ratings: dict[tuple[dt.datetime, str | None], list[int]] = {}
    for one in events:
        at = dt.datetime.fromisoformat(one["event_time"])
        window = at - (at - dt.datetime.fromtimestamp(0, dt.UTC)) % mart.width
        ratings.setdefault((window, one["text"] and f"{one['text'][0]}***"), []).append(one["rating"])
    return {key: [len(found), sum(found), min(found), max(found)] for key, found in ratings.items()}


def test_the_command_ends_with_1_if_anything_differs(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    from jobs.cli import app

    shop.arrive(rated(1), rated(2))
    shop.take(without=["event-2"])
    # The marts of these tests are others than those that suites are about.
    own = Definitions([shop.contract], {shop.contract.topic: ()})
    monkeypatch.setattr("jobs.definitions.definitions", lambda: own)
    monkeypatch.setattr("jobs.cli.lake.settings", lambda: shop.settings)
    monkeypatch.setattr("jobs.engine.session.spark_session", lambda *_, **__: shop.spark)
    monkeypatch.setattr(shop.spark, "stop", lambda: None)

    def run(*options: str) -> tuple[int, str]:
        found = CliRunner().invoke(app, ["reconcile", "marketplace.reviews", *options])
        if found.exception and not isinstance(found.exception, SystemExit):
            raise found.exception
        return found.exit_code, found.output

    code, output = run()
    assert code == 1
    assert "silver.marketplace_reviews: 2 rows, 1 differ (1 less)" in output
    code, output = run("--fix")
    assert code == 0
    assert "1 mended" in output
    (Path(shop.lake) / "_checkpoints" / "live-marketplace" / "commits" / "0").unlink()
    code, output = run()
    assert code == 1
    assert "checkpoint" in output
