import datetime as dt
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from deltalake import DeltaTable
from pyspark.sql import SparkSession
from pyspark.sql.types import DecimalType, LongType

from jobs.engine.batch import EPOCH, Batch
from jobs.engine.commit import Appender, Rows
from jobs.engine.table import Table
from jobs.engine.upsert import CLOSED_AT_LEAST, GroupCommit, MartWriter, merge
from jobs.marts import Mart, Measure

NOON = dt.datetime(2026, 3, 1, 12, 0, tzinfo=dt.UTC)
MINUTE = dt.timedelta(minutes=1)

MART = Mart(
    name="sales",
    description="",
    window="minute",
    width=MINUTE,
    dimensions={"country": ""},
    measures=(
        Measure("orders", "count(*)", LongType(), "orders", ""),
        Measure("gross", "sum(value)", DecimalType(38, 4), "EUR", ""),
        Measure("lowest", "min(value)", DecimalType(38, 4), "EUR", "", merge="min"),
        Measure("highest", "max(value)", DecimalType(38, 4), "EUR", "", merge="max"),
    ),
    facts=lambda events: events,
)
Row = tuple[dt.datetime, str, int, Decimal, Decimal | None, Decimal | None]


def row(minute: dt.datetime, country: str, orders: int, gross: int, lowest: int | None, highest: int | None) -> Row:
    def money(value: int | None) -> Decimal | None:
        return None if value is None else Decimal(value)

    return minute, country, orders, Decimal(gross), money(lowest), money(highest)


def in_memory(rows: Sequence[Row]) -> pa.Table:
    names = MART.table.schema.names
    columns: list[Any] = [list(column) for column in zip(*rows, strict=True)]
    types = [pa.timestamp("us", "UTC"), pa.string(), pa.int64(), *[pa.decimal128(38, 4)] * 3]
    return pa.table([pa.array(c, t) for c, t in zip(columns, types, strict=True)], names=names)


@pytest.fixture(params=["memory", "spark"])
def partial_of(request: pytest.FixtureRequest, spark: SparkSession) -> Any:
    """Hands the same rows to either writer."""

    def make(*rows: Row) -> Rows:
        return in_memory(rows) if request.param == "memory" else spark.createDataFrame(list(rows), MART.table.schema)

    return make


def batch(number: int, watermark: dt.datetime = EPOCH) -> Batch:
    return Batch("query", number, watermark)


def rows_of(lake: str) -> list[Row]:
    """What the table says: rows of one window and country are one."""
    rows = table_of(lake)
    merged = merge(MART, rows.schema.empty_table(), rows)
    return [
        tuple(row.values()) for row in merged.sort_by([("minute", "ascending"), ("country", "ascending")]).to_pylist()
    ]


def table_of(lake: str) -> pa.Table:
    return DeltaTable(MART.table.url(lake)).to_pyarrow_table()


def files_of(lake: str) -> dict[str, int]:
    """The files of the table and how many rows each has."""
    files = pa.table(DeltaTable(MART.table.url(lake)).get_add_actions())
    return dict(zip(files["path"].to_pylist(), files["num_records"].to_pylist(), strict=True))


def test_measures_merge(partial_of: Any, lake: str) -> None:
    writer = MartWriter(MART, lake)

    writer.upsert(partial_of(row(NOON, "DE", 2, 30, 10, 20), row(NOON, "FR", 1, 5, 5, 5)), batch(0))
    writer.upsert(partial_of(row(NOON, "DE", 1, 40, 40, 40), row(NOON + MINUTE, "DE", 1, 1, 1, 1)), batch(1))

    assert rows_of(lake) == [
        row(NOON, "DE", 3, 70, 10, 40),
        row(NOON, "FR", 1, 5, 5, 5),
        row(NOON + MINUTE, "DE", 1, 1, 1, 1),
    ]


def test_a_minimum_of_nothing_gives_way(partial_of: Any, lake: str) -> None:
    writer = MartWriter(MART, lake)

    writer.upsert(partial_of(row(NOON, "DE", 0, 0, None, None)), batch(0))
    writer.upsert(partial_of(row(NOON, "DE", 1, 7, 7, 7)), batch(1))

    assert rows_of(lake) == [row(NOON, "DE", 1, 7, 7, 7)]


def test_a_batch_that_runs_again_changes_nothing(partial_of: Any, lake: str) -> None:
    MartWriter(MART, lake).upsert(partial_of(row(NOON, "DE", 2, 30, 10, 20)), batch(7))

    MartWriter(MART, lake).upsert(partial_of(row(NOON, "DE", 2, 30, 10, 20)), batch(7))

    assert rows_of(lake) == [row(NOON, "DE", 2, 30, 10, 20)]


def test_both_writers_know_each_others_commits(spark: SparkSession, lake: str) -> None:
    rows = [row(NOON, "DE", 2, 30, 10, 20)]
    distributed = spark.createDataFrame(rows, MART.table.schema)
    writer = MartWriter(MART, lake)

    writer.upsert(distributed, batch(0))
    writer.upsert(in_memory(rows), batch(0))
    writer.upsert(in_memory(rows), batch(1))
    writer.upsert(distributed, batch(1))
    writer.upsert(distributed, batch(2))

    assert rows_of(lake) == [row(NOON, "DE", 6, 90, 10, 20)]


def test_a_new_writer_finds_the_open_windows(lake: str) -> None:
    MartWriter(MART, lake).upsert(in_memory([row(NOON, "DE", 2, 30, 10, 20)]), batch(0))

    MartWriter(MART, lake).upsert(in_memory([row(NOON, "DE", 1, 5, 5, 5)]), batch(1, NOON))

    assert rows_of(lake) == [row(NOON, "DE", 3, 35, 5, 20)]


def test_closed_windows_are_not_written_again(lake: str) -> None:
    writer = MartWriter(MART, lake)
    closed = [row(NOON, f"country-{number}", 1, 1, 1, 1) for number in range(CLOSED_AT_LEAST)]
    writer.upsert(in_memory(closed), batch(0))
    later = NOON + 5 * MINUTE

    writer.upsert(in_memory([row(later, "DE", 1, 1, 1, 1)]), batch(1, NOON + 2 * MINUTE))
    before = set(DeltaTable(MART.table.url(lake)).file_uris())
    writer.upsert(in_memory([row(later, "DE", 1, 1, 1, 1)]), batch(2, NOON + 2 * MINUTE))
    after = set(DeltaTable(MART.table.url(lake)).file_uris())

    assert len(before) == len(after) == 2
    assert len(before & after) == 1
    assert len(rows_of(lake)) == CLOSED_AT_LEAST + 1
    assert rows_of(lake)[-1] == row(later, "DE", 2, 2, 1, 1)


@pytest.mark.parametrize("restarted", [False, True])
def test_what_comes_to_a_closed_window_is_added_and_rewrites_nothing(lake: str, restarted: bool) -> None:
    writer = MartWriter(MART, lake)
    closed = [row(NOON, f"country-{number:04}", 1, 1, 1, 1) for number in range(CLOSED_AT_LEAST)]
    writer.upsert(in_memory([*closed, row(NOON + 9 * MINUTE, "DE", 1, 1, 1, 1)]), batch(0, NOON + 2 * MINUTE))
    if restarted:
        writer = MartWriter(MART, lake)

    (closed_file,) = (path for path, size in files_of(lake).items() if size == CLOSED_AT_LEAST)

    for number in (1, 2):
        late = row(NOON, "country-0000", 1, 5, 5, 5)
        writer.upsert(in_memory([late]), batch(number, NOON + 5 * MINUTE))

    rows = rows_of(lake)
    assert len(rows) == CLOSED_AT_LEAST + 1
    assert rows[0] == row(NOON, "country-0000", 3, 11, 1, 5)
    assert closed_file in files_of(lake)
    # What came twice is one row more, not two.
    assert table_of(lake).num_rows == CLOSED_AT_LEAST + 2


@pytest.mark.parametrize("count", [1, 2 * CLOSED_AT_LEAST])
def test_late_rows_by_the_thousand_move_to_a_file_of_their_own(lake: str, count: int) -> None:
    """However many rows are open: else each micro-batch would write the late ones again."""
    writer = MartWriter(MART, lake)
    opened = [row(NOON, f"country-{number:04}", 1, 1, 1, 1) for number in range(count)]
    writer.upsert(in_memory(opened), batch(0, NOON))
    late = [row(NOON - 60 * MINUTE, f"country-{number:04}", 1, 1, 1, 1) for number in range(CLOSED_AT_LEAST)]

    # The late lane may know of less than the stream.
    writer.upsert(in_memory(late), Batch("late", 0, NOON - 30 * MINUTE))
    writer.upsert(in_memory([row(NOON, "DE", 1, 1, 1, 1)]), batch(1, NOON))
    writer.upsert(in_memory([row(NOON - 20 * MINUTE, "DE", 1, 1, 1, 1)]), batch(2, NOON))

    assert set(files_of(lake).values()) == {count + 2, CLOSED_AT_LEAST}
    assert rows_of(lake)[CLOSED_AT_LEAST + 1 :][0] == row(NOON, "DE", 1, 1, 1, 1)


def test_files_that_somebody_else_rewrote_are_found(spark: SparkSession, lake: str) -> None:
    writer = MartWriter(MART, lake)
    writer.upsert(in_memory([row(NOON, "DE", 1, 10, 10, 10)]), batch(0))
    url = MART.table.url(lake)
    spark.read.format("delta").load(url).repartition(1).write.format("delta").mode("overwrite").save(url)

    writer.upsert(in_memory([row(NOON, "DE", 1, 5, 5, 5)]), batch(1))

    assert rows_of(lake) == [row(NOON, "DE", 2, 15, 5, 10)]


@pytest.mark.parametrize("first", ["memory", "spark"])
def test_rows_are_appended_once_by_either_writer(spark: SparkSession, lake: str, first: str) -> None:
    table = Table("silver", "events", MART.table.schema, "")
    rows = [row(NOON, "DE", 2, 30, 10, 20)]
    both: list[Rows] = [in_memory(rows), spark.createDataFrame(rows, table.schema)]
    writer = Appender(table, lake)

    for attempt in both if first == "memory" else reversed(both):
        writer.append(attempt, batch(3))

    assert DeltaTable(table.url(lake)).to_pyarrow_table().num_rows == 1


def test_two_applications_that_write_at_the_same_time_lose_nothing(lake: str) -> None:
    count = 25

    def write(application: str) -> None:
        writer = MartWriter(MART, lake)
        for number in range(count):
            writer.upsert(in_memory([row(NOON, "DE", 1, 2, 2, 2)]), Batch(application, number, NOON - MINUTE))

    with ThreadPoolExecutor() as threads:
        for done in [threads.submit(write, application) for application in ("one", "other", "third")]:
            done.result()

    assert rows_of(lake) == [row(NOON, "DE", 3 * count, 6 * count, 2, 2)]


def test_what_waits_for_a_commit_shares_the_next_one(lake: str) -> None:
    writer = MartWriter(MART, lake)
    group = GroupCommit(writer)
    queries = [f"query-{number}" for number in range(8)]

    def count(query: str) -> None:
        for number in range(5):
            group.upsert(in_memory([row(NOON, "DE", 1, 1, 1, 1)]), Batch(query, number, EPOCH))

    with ThreadPoolExecutor(len(queries)) as threads:
        for counted in [threads.submit(count, query) for query in queries]:
            counted.result()
    for query in queries:
        MartWriter(MART, lake).upsert(in_memory([row(NOON, "DE", 1, 1, 1, 1)]), Batch(query, 4, EPOCH))

    table = DeltaTable(MART.table.url(lake))
    assert rows_of(lake) == [row(NOON, "DE", 40, 40, 1, 1)]
    assert [table.transaction_version(f"{query}/{MART.name}") for query in queries] == [4] * 8
    assert table.version() < 40


def test_a_commit_that_fails_fails_for_all_who_share_it(lake: str) -> None:
    writer = MartWriter(MART, lake)
    group = GroupCommit(writer)

    with pytest.raises(KeyError, match="country"):
        group.upsert(pa.table({"minute": [NOON]}), batch(0))

    group.upsert(in_memory([row(NOON, "DE", 1, 1, 1, 1)]), batch(0))
    assert rows_of(lake) == [row(NOON, "DE", 1, 1, 1, 1)]
