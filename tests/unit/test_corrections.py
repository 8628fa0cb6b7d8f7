"""Rows of a table are replaced by the right ones, whoever writes to it meanwhile."""

import datetime as dt
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from deltalake import DeltaTable
from pyspark.sql.types import LongType, StringType, StructField, StructType, TimestampType

from jobs import corrections
from jobs.corrections import OvertakenError, index_in, next_number, replace, same
from jobs.engine.batch import Batch
from jobs.engine.commit import Appender
from jobs.engine.table import Table

NOON = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)
MINUTE = dt.timedelta(minutes=1)
SALES = Table(
    "gold",
    "sales",
    StructType(
        [
            StructField("minute", TimestampType()),
            StructField("country", StringType()),
            StructField("orders", LongType()),
        ]
    ),
    "",
)
SCHEMA = pa.schema([("minute", pa.timestamp("us", "UTC")), ("country", pa.string()), ("orders", pa.int64())])
KEYS = ["minute", "country"]

Row = tuple[dt.datetime, str | None, int]


def table(*rows: Row) -> pa.Table:
    return pa.Table.from_pylist([dict(zip(SCHEMA.names, row, strict=True)) for row in rows], SCHEMA)


def rows_of(lake: str) -> list[Row]:
    rows = DeltaTable(SALES.url(lake)).to_pyarrow_table().to_pylist()
    return sorted((tuple(row.values()) for row in rows), key=str)


@pytest.fixture
def lake(tmp_path: Path) -> str:
    return str(tmp_path)


@pytest.fixture
def append(lake: str) -> Callable[..., None]:
    writer, number = Appender(SALES, lake), iter(range(99))
    return lambda *rows: writer.append(table(*rows), Batch("query", next(number)))


def put_right(lake: str, wrong: pa.Table, right: pa.Table, number: int = 0, **options: Any) -> None:
    replace(SALES, lake, wrong.select(KEYS), right, along="minute", number=number, **options)


def test_nulls_are_keys_like_any_other() -> None:
    keys = table((NOON, "DE", 0), (NOON, None, 0), (NOON + MINUTE, "DE", 0)).select(KEYS)
    rows = table((NOON, None, 1), (NOON + MINUTE, None, 2), (NOON + MINUTE, "DE", 3), (NOON, "FR", 4), (NOON, "DE", 5))

    assert index_in(rows, keys).to_pylist() == [1, None, 2, None, 0]
    assert index_in(rows.slice(0, 0), keys).to_pylist() == []
    assert index_in(rows, keys.slice(0, 0)).to_pylist() == [None] * 5


def test_only_what_says_the_same_is_the_same() -> None:
    keys = table((NOON, "DE", 0), (NOON, None, 0), (NOON, "FR", 0), (NOON, "IT", 0)).select(KEYS)
    seen = table((NOON, None, 2), (NOON, "DE", 1), (NOON, "FR", 3))
    now = table((NOON, "DE", 1), (NOON, None, 5), (NOON, "ES", 1))

    assert same(now, seen, keys, ["orders"]).to_pylist() == [True, False, False, True]
    assert same(now.slice(0, 0), seen.slice(0, 0), keys, ["orders"]).to_pylist() == [True] * 4


def test_sums_of_floats_are_the_same_in_any_order() -> None:
    keys, rows = pa.table({"key": ["a", "b", "c"]}), pa.table({"key": ["a", "b", "c"], "sum": [0.1 + 0.2, 1.0, None]})

    others = pa.table({"key": ["c", "b", "a"], "sum": [None, 1.1, 0.3]})

    assert same(rows, others, keys, ["sum"]).to_pylist() == [True, False, True]


def test_rows_are_replaced_in_their_files_alone(lake: str, append: Callable[..., None]) -> None:
    append((NOON, "DE", 9), (NOON, None, 1), (NOON, "FR", 1))
    append((NOON + MINUTE, "DE", 1))
    append((NOON, "DE", 4))
    untouched = set(DeltaTable(SALES.url(lake)).file_uris(partition_filters=None))
    wrong = table((NOON, "DE", 0), (NOON, None, 0), (NOON, "ES", 0))

    put_right(lake, wrong, table((NOON, "DE", 3), (NOON, "ES", 7)))

    assert rows_of(lake) == [(NOON, "DE", 3), (NOON, "ES", 7), (NOON, "FR", 1), (NOON + MINUTE, "DE", 1)]
    assert len(untouched & set(DeltaTable(SALES.url(lake)).file_uris())) == 1
    assert next_number(DeltaTable(SALES.url(lake)), SALES) == 1


def test_what_has_changed_since_it_was_compared_stays(lake: str, append: Callable[..., None]) -> None:
    append((NOON, "DE", 9), (NOON, "FR", 9))
    wrong = table((NOON, "DE", 9), (NOON, "FR", 9))
    append((NOON, "FR", 1))

    def still(rows: pa.Table) -> pa.Array:
        sums = rows.group_by(KEYS).aggregate([("orders", "sum")]).rename_columns([*KEYS, "orders"])
        return same(sums, wrong, wrong.select(KEYS), ["orders"])

    put_right(lake, wrong, table((NOON, "DE", 1), (NOON, "FR", 1)), still=still)

    assert rows_of(lake) == [(NOON, "DE", 1), (NOON, "FR", 1), (NOON, "FR", 9)]


def test_of_two_corrections_of_the_same_comparison_one_counts(
    lake: str, append: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    append((NOON, "DE", 9))
    wrong, right = table((NOON, "ES", 0)), table((NOON, "ES", 7))
    write, has_met = corrections.data_file.write, False

    def meet(*arguments: Any, **options: Any) -> Any:
        nonlocal has_met
        if not has_met:
            has_met = True
            put_right(lake, wrong, right)
        return write(*arguments, **options)

    monkeypatch.setattr(corrections.data_file, "write", meet)
    with pytest.raises(OvertakenError, match="corrected meanwhile"):
        put_right(lake, wrong, right)

    assert rows_of(lake) == [(NOON, "DE", 9), (NOON, "ES", 7)]


def test_who_appends_meanwhile_loses_nothing(
    lake: str, append: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    append((NOON, "DE", 9))
    write = corrections.data_file.write
    left = [(NOON, "DE", 1)]

    def meet(*arguments: Any, **options: Any) -> Any:
        if left:
            append(left.pop())
        return write(*arguments, **options)

    monkeypatch.setattr(corrections.data_file, "write", meet)
    put_right(lake, table((NOON, "DE", 9)), table((NOON, "DE", 3)))

    assert pc.sum(DeltaTable(SALES.url(lake)).to_pyarrow_table()["orders"]).as_py() == 4
