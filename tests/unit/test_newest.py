import datetime as dt
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import DeltaTable

from jobs.engine.batch import EPOCH, Batch
from jobs.engine.newest import SnapshotWriter
from jobs.marts.things import INVENTORY_NOW
from jobs.tables import snapshots

NOON = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)


@pytest.fixture
def lake(tmp_path: Path) -> str:
    return str(tmp_path)


def stock(product: str, seconds: int, units: int, point: int | None = 5) -> dict[str, Any]:
    row = {"product_id": product, "vendor_id": "v", "stock": units, "reserved": 0, "available": units}
    return {**row, "reorder_point": point, "is_low": False, "updated_at": NOON + dt.timedelta(seconds=seconds)}


def upsert(writer: SnapshotWriter, batch: int, *rows: dict[str, Any], query: str = "query") -> None:
    writer.upsert(pa.Table.from_pylist(list(rows)), Batch(query, batch, EPOCH))


def stocks(lake: str) -> dict[str, tuple[int, int | None]]:
    rows = DeltaTable(INVENTORY_NOW.table.url(lake)).to_pyarrow_table().to_pylist()
    found = {row["product_id"]: (row["stock"], row["reorder_point"]) for row in rows}
    assert len(found) == len(rows)
    return found


def test_the_newest_row_of_each_thing_stays(lake: str) -> None:
    writer = SnapshotWriter(INVENTORY_NOW, lake)

    upsert(writer, 0, stock("a", 1, 10), stock("b", 1, 20))
    upsert(writer, 1, stock("a", 2, 9), stock("c", 1, 30))

    assert stocks(lake) == {"a": (9, 5), "b": (20, 5), "c": (30, 5)}


def test_what_comes_late_does_not_undo_what_is_newer(lake: str) -> None:
    writer = SnapshotWriter(INVENTORY_NOW, lake)

    upsert(writer, 0, stock("a", 5, 10))
    upsert(writer, 1, stock("a", 4, 11))

    assert stocks(lake) == {"a": (10, 5)}


def test_nothing_is_known_where_the_newest_event_says_nothing(lake: str) -> None:
    writer = SnapshotWriter(INVENTORY_NOW, lake)

    upsert(writer, 0, stock("a", 1, 10))
    upsert(writer, 1, stock("a", 2, 9, None))

    assert stocks(lake) == {"a": (9, None)}


def test_of_the_same_time_what_comes_later_stays(lake: str) -> None:
    writer = SnapshotWriter(INVENTORY_NOW, lake)

    upsert(writer, 0, stock("a", 1, 10))
    upsert(writer, 1, stock("a", 1, 9))

    assert stocks(lake) == {"a": (9, 5)}


def test_a_batch_that_comes_again_changes_nothing(lake: str) -> None:
    upsert(SnapshotWriter(INVENTORY_NOW, lake), 0, stock("a", 1, 10))
    writer = SnapshotWriter(INVENTORY_NOW, lake)

    upsert(writer, 0, stock("a", 1, 99))
    upsert(writer, 1, stock("b", 1, 20))

    assert stocks(lake) == {"a": (10, 5), "b": (20, 5)}


def test_two_writers_take_turns(lake: str) -> None:
    one, other = SnapshotWriter(INVENTORY_NOW, lake), SnapshotWriter(INVENTORY_NOW, lake)

    upsert(one, 0, stock("a", 1, 10))
    upsert(other, 0, stock("b", 1, 20), query="other")
    upsert(one, 1, stock("c", 1, 30))

    assert stocks(lake).keys() == {"a", "b", "c"}


def test_every_snapshot_takes_every_type_of_its_columns(lake: str) -> None:
    for snapshot in snapshots():
        writer = SnapshotWriter(snapshot, lake)
        keys = dict.fromkeys(snapshot.keys, "k")
        rows = [{**keys, "updated_at": NOON}, {**keys, "updated_at": NOON + dt.timedelta(seconds=1)}]
        schema = pa.schema(DeltaTable(snapshot.table.url(lake)).schema().to_arrow())

        for batch, row in enumerate(rows):
            writer.upsert(pa.Table.from_pylist([row], schema=schema), Batch("query", batch, EPOCH))

        (found,) = DeltaTable(snapshot.table.url(lake)).to_pyarrow_table().to_pylist()
        assert found["updated_at"] == rows[1]["updated_at"]
