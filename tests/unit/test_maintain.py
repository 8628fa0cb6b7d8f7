import datetime as dt
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from threading import Event

import pyarrow as pa
import pytest
from deltalake import DeltaTable

from jobs.bronze import EVENTS
from jobs.engine import compact, data_file
from jobs.engine.batch import Batch
from jobs.engine.commit import Appender
from jobs.engine.compact import FEW
from jobs.engine.upsert import CLOSED_AT_LEAST, MartWriter
from jobs.maintain import Maintained, maintain
from jobs.marts import Mart
from jobs.marts.marketplace import PULSE_BY_SECOND
from jobs.settings import Settings
from jobs.tables import tables
from schemas import load_contracts

NOW = dt.datetime.now(dt.UTC).replace(microsecond=0)
CONTRACTS = load_contracts()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path, retention_days=30)


def run(settings: Settings) -> dict[str, Maintained]:
    return {done.table: done for done in maintain(CONTRACTS, settings)}


def append_records(settings: Settings, *, days_ago: int, count: int, first: int = 0) -> None:
    appender = Appender(EVENTS, settings.lake_url)
    arrived = NOW - dt.timedelta(days=days_ago)
    for offset in range(first, first + count):
        row = {"key": b"", "value": b"{}", "topic": "t", "partition": 0, "offset": offset, "timestamp": arrived}
        rows = pa.Table.from_pylist([row | {"arrival_date": arrived.date()}])
        appender.append(rows, Batch("query", offset, arrived))


def pulse(second: dt.datetime, events: int = 1) -> dict[str, object]:
    return {"second": second, "events": events, "orders": 0, "gross": 0}


def upsert(writer: MartWriter, batch: int, watermark: dt.datetime, *rows: dict[str, object]) -> None:
    writer.upsert(pa.Table.from_pylist(list(rows)), Batch("query", batch, watermark))


def test_small_files_are_put_together_and_old_ones_deleted(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    append_records(settings, days_ago=0, count=FEW + 2)
    url = EVENTS.url(settings.lake_url)

    done = run(settings)["bronze.events"]

    assert (done.files_before, done.files_after, done.deleted) == (FEW + 2, 1, 0)
    monkeypatch.setattr("jobs.maintain.UNCOMMITTED_HOURS", 0)
    assert run(settings)["bronze.events"].deleted == FEW + 2
    assert sorted(DeltaTable(url).to_pyarrow_table()["offset"].to_pylist()) == list(range(FEW + 2))
    # The job goes on, and knows what it has written.
    append_records(settings, days_ago=0, count=2, first=FEW + 1)
    assert DeltaTable(url).to_pyarrow_table().num_rows == FEW + 3


def test_a_file_that_is_not_committed_for_hours_survives(settings: Settings) -> None:
    append_records(settings, days_ago=0, count=1)
    url = EVENTS.url(settings.lake_url)
    rows = DeltaTable(url).to_pyarrow_table().drop_columns(["arrival_date"])
    # As who writes a whole table anew, which takes hours.
    written = data_file.write(rows, data_file.storage(url), {"arrival_date": NOW.date().isoformat()})
    begun = NOW.timestamp() - 23 * 3600
    os.utime(Path(url, written.path), times=(begun, begun))

    assert run(settings)["bronze.events"].deleted == 0

    delta = DeltaTable(url)
    delta.create_write_transaction([written], mode="append", schema=delta.schema(), partition_by=["arrival_date"])
    assert DeltaTable(url).to_pyarrow_table().num_rows == 2


def test_records_past_their_retention_are_dropped(settings: Settings) -> None:
    append_records(settings, days_ago=31, count=2)
    append_records(settings, days_ago=30, count=1, first=2)

    run(settings)

    assert DeltaTable(EVENTS.url(settings.lake_url)).to_pyarrow_table()["offset"].to_pylist() == [2]


def test_without_a_retention_records_stay(settings: Settings) -> None:
    append_records(settings, days_ago=3650, count=1)

    run(settings.model_copy(update={"retention_days": 0}))

    assert DeltaTable(EVENTS.url(settings.lake_url)).to_pyarrow_table().num_rows == 1


def test_closed_windows_are_put_together_while_the_open_ones_change(settings: Settings) -> None:
    writer = MartWriter(PULSE_BY_SECOND, settings.lake_url)
    start = NOW - dt.timedelta(days=1)
    for batch in range(FEW + 1):
        first = start + dt.timedelta(seconds=batch * CLOSED_AT_LEAST)
        seconds = [first + dt.timedelta(seconds=second) for second in range(CLOSED_AT_LEAST)]
        upsert(writer, batch, seconds[-1] + dt.timedelta(minutes=1), *(pulse(second) for second in seconds))
    upsert(writer, FEW + 1, NOW - dt.timedelta(minutes=10), pulse(NOW))

    done = run(settings)["gold.marketplace_pulse_by_second"]

    assert (done.files_before, done.files_after) == (FEW + 2, 2)
    upsert(writer, FEW + 2, NOW - dt.timedelta(minutes=10), pulse(NOW, events=2))
    rows = DeltaTable(PULSE_BY_SECOND.table.url(settings.lake_url)).to_pyarrow_table()
    assert rows.num_rows == (FEW + 1) * CLOSED_AT_LEAST + 1
    assert max(zip(rows["second"].to_pylist(), rows["events"].to_pylist(), strict=True)) == (NOW, 3)


def write_closed_windows(settings: Settings, *, times: int) -> MartWriter:
    """The same windows of yesterday again and again, each time in a file of their own."""
    writer = MartWriter(PULSE_BY_SECOND, settings.lake_url)
    start = NOW - dt.timedelta(days=1)
    for batch in range(times):
        seconds = [start + dt.timedelta(seconds=second) for second in range(CLOSED_AT_LEAST)]
        upsert(writer, batch, NOW - dt.timedelta(minutes=10), *(pulse(second) for second in seconds))
    return writer


def events_by_second(settings: Settings) -> list[tuple[dt.datetime, int]]:
    rows = DeltaTable(PULSE_BY_SECOND.table.url(settings.lake_url)).to_pyarrow_table()
    return list(zip(rows["second"].to_pylist(), rows["events"].to_pylist(), strict=True))


def test_rows_that_came_late_become_one_with_those_of_their_window(settings: Settings) -> None:
    write_closed_windows(settings, times=FEW + 1)

    run(settings)

    rows = events_by_second(settings)
    assert len(rows) == CLOSED_AT_LEAST
    assert {events for _, events in rows} == {FEW + 1}


def test_what_is_replaced_meanwhile_does_not_come_back(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of the second group is replaced by a correction while the first group is put together."""
    write_closed_windows(settings, times=2 * FEW)
    url = PULSE_BY_SECOND.table.url(settings.lake_url)
    size = max(pa.table(DeltaTable(url).get_add_actions())["size_bytes"].to_pylist())
    monkeypatch.setattr(compact, "FILE_BYTES", FEW * size)
    put_together, groups = compact._put_together, count()

    def after_a_correction(paths: Sequence[str], mart: Mart, lake: str) -> None:
        if next(groups) == 1:
            delta, files = DeltaTable(url), data_file.storage(url)
            right = pa.Table.from_pylist([pulse(NOW - dt.timedelta(days=2), events=7)])
            actions = [data_file.remove(paths[0]), data_file.write(right, files)]
            delta.create_write_transaction(actions, mode="append", schema=delta.schema())
        put_together(paths, mart, lake)

    monkeypatch.setattr(compact, "_put_together", after_a_correction)

    assert run(settings)["gold.marketplace_pulse_by_second"].error == ""

    assert next(groups) > 1
    assert sum(events for _, events in events_by_second(settings)) == (2 * FEW - 1) * CLOSED_AT_LEAST + 7


def test_old_files_of_a_busy_mart_are_deleted(settings: Settings) -> None:
    writer, table = MartWriter(PULSE_BY_SECOND, settings.lake_url), Path(PULSE_BY_SECOND.table.url(settings.lake_url))
    stopped = Event()

    def write() -> None:
        for batch in count():
            upsert(writer, batch, NOW - dt.timedelta(minutes=10), pulse(NOW))
            if stopped.is_set():
                return

    with ThreadPoolExecutor(1) as threads:
        writing = threads.submit(write)
        try:
            for turn in range(5):
                old = table / f"{turn}.parquet"
                old.touch()
                replaced = NOW.timestamp() - 2 * 3600
                os.utime(old, times=(replaced, replaced))
                done = run(settings)["gold.marketplace_pulse_by_second"]
                assert (done.deleted, done.error) == (1, "")
        finally:
            stopped.set()
        writing.result()


def test_a_table_that_cannot_be_maintained_does_not_keep_others_from_it(settings: Settings) -> None:
    append_records(settings, days_ago=0, count=FEW + 2)
    upsert(MartWriter(PULSE_BY_SECOND, settings.lake_url), 0, NOW, pulse(NOW))
    for file in Path(EVENTS.url(settings.lake_url)).rglob("*.parquet"):
        file.write_bytes(b"no Parquet")

    done = run(settings)

    assert "Parquet" in done["bronze.events"].error
    assert done["gold.marketplace_pulse_by_second"].error == ""


def test_tables_without_rows_stay_as_they_are(settings: Settings) -> None:
    names = tables(CONTRACTS)
    for table in names.values():
        table.create(settings.lake_url)

    done = run(settings)

    assert done.keys() == names.keys()
    assert not any(table.files_after for table in done.values())
