from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import DeltaTable
from deltalake.exceptions import CommitFailedError
from deltalake.transaction import AddAction
from pyspark.sql.types import LongType, StructField, StructType

from jobs.engine import data_file, log
from jobs.engine.batch import EPOCH, Batch
from jobs.engine.log import Log
from jobs.engine.table import Table

TABLE = Table("gold", "numbers", StructType([StructField("number", LongType())]), "", checkpoint_every=10)


class Writer:
    """Commits a number per batch."""

    def __init__(self, lake: Path, query: str = "query") -> None:
        self.log = Log(TABLE, str(lake))
        self._files = data_file.storage(TABLE.url(str(lake)))
        self._query = query

    def batch(self, number: int) -> Batch:
        return Batch(self._query, number, EPOCH)

    def file(self, number: int) -> AddAction:
        return data_file.write(pa.table({"number": pa.array([number], pa.int64())}), self._files)

    def write(self, number: int) -> None:
        assert not self.log.has(self.batch(number))
        self.log.commit([self.file(number)], self.batch(number))


@pytest.fixture
def table(tmp_path: Path) -> DeltaTable:
    """The table as delta-rs reads it."""
    return TABLE.create(str(tmp_path))


def numbers(table: DeltaTable) -> list[int]:
    table.update_incremental()
    found: list[int] = table.to_pyarrow_table()["number"].to_pylist()
    return sorted(found)


def test_what_is_committed_is_what_delta_rs_reads(tmp_path: Path, table: DeltaTable) -> None:
    writer = Writer(tmp_path)
    kept, replaced = writer.file(1), writer.file(2)
    assert not writer.log.has(writer.batch(7))
    writer.log.commit([kept, replaced], writer.batch(7))
    version = writer.log.commit([data_file.remove(replaced.path), writer.file(3)], writer.batch(8))

    assert numbers(table) == [1, 3]
    assert table.version() == version == 2
    assert table.transaction_version(writer.batch(8).application(TABLE.name)) == 8
    assert table.history(1)[0]["operation"] == "WRITE"
    assert pa.table(table.get_add_actions(flatten=True))["max.number"].to_pylist() == [3, 1]


def test_a_batch_is_known_to_who_wrote_it_and_to_who_comes_later(tmp_path: Path) -> None:
    writer = Writer(tmp_path)
    writer.write(7)

    for one in (writer, Writer(tmp_path)):
        assert one.log.has(writer.batch(6))
        assert one.log.has(writer.batch(7))
        assert not one.log.has(writer.batch(8))
        assert not one.log.has(Batch("another query", 7, EPOCH))


def test_who_was_overtaken_finds_what_others_committed(tmp_path: Path, table: DeltaTable) -> None:
    writer, other = Writer(tmp_path), Writer(tmp_path)
    assert not writer.log.has(writer.batch(1))
    other.write(1)

    with pytest.raises(CommitFailedError, match="somebody else"):
        writer.log.commit([writer.file(1)], writer.batch(1))

    assert writer.log.has(writer.batch(1))
    writer.write(2)
    assert numbers(table) == [1, 2]


def test_what_is_read_is_the_version_that_was_looked_at(tmp_path: Path) -> None:
    writer, other = Writer(tmp_path), Writer(tmp_path, "another query")
    writer.write(1)
    assert len(writer.log.snapshot().file_uris()) == 1
    writer.write(2)
    other.write(1)

    with pytest.raises(CommitFailedError, match="somebody else"):
        writer.log.snapshot()

    assert not writer.log.has(writer.batch(3))
    assert len(writer.log.snapshot().file_uris()) == 3


def test_every_tenth_version_has_a_checkpoint(tmp_path: Path) -> None:
    writer = Writer(tmp_path)
    for number in range(1, 26):
        writer.write(number)

    checkpoints = sorted((Path(TABLE.url(str(tmp_path))) / "_delta_log").glob("*.checkpoint.parquet"))
    assert [int(path.name.split(".")[0]) for path in checkpoints] == [10, 20]


def clean_up(table: DeltaTable, before: int) -> None:
    """Delete old versions of the log, as who commits to a table now and then does."""
    for old in versions(table):
        if old < before:
            version_file(table, old).unlink()


def versions(table: DeltaTable) -> list[int]:
    return sorted(int(path.stem) for path in version_file(table, 0).parent.glob("*[0-9].json"))


def version_file(table: DeltaTable, version: int) -> Path:
    return Path(table.table_uri.removeprefix("file://"), "_delta_log", f"{version:020}.json")


@pytest.fixture
def cleaned_up(tmp_path: Path, table: DeltaTable) -> Writer:
    """A writer that has looked at a table before another wrote 30 versions, of which the last alone is left."""
    writer, other = Writer(tmp_path), Writer(tmp_path, "another query")
    writer.write(1)
    assert not writer.log.has(writer.batch(2))
    for number in range(1, 31):
        other.write(number)
    clean_up(table, 30)
    return writer


def test_a_version_that_was_cleaned_up_is_not_created_anew(
    table: DeltaTable, cleaned_up: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log, "LOOK_EVERY", 0)

    cleaned_up.write(2)

    assert numbers(table) == sorted([1, 2, *range(1, 31)])


def test_a_version_that_was_cleaned_up_after_the_look_is_taken_back(
    table: DeltaTable, cleaned_up: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A writer that stood still between its look and its commit, as a laptop does that is closed.
    now = log.boot_time()
    monkeypatch.setattr(log, "boot_time", lambda: now + 3600)

    with pytest.raises(CommitFailedError, match="somebody else"):
        cleaned_up.log.commit([cleaned_up.file(2)], cleaned_up.batch(2))

    assert min(versions(table)) == 30
    cleaned_up.write(2)
    assert numbers(table) == sorted([1, 2, *range(1, 31)])


def test_a_slow_commit_that_nobody_overtook_stands(
    tmp_path: Path, table: DeltaTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = Writer(tmp_path)
    writer.write(1)
    assert not writer.log.has(writer.batch(2))
    now = log.boot_time()
    monkeypatch.setattr(log, "boot_time", lambda: now + 3600)

    writer.log.commit([writer.file(2)], writer.batch(2))

    assert numbers(table) == [1, 2]


def test_a_table_of_a_later_protocol_is_committed_to_as_that_asks(tmp_path: Path, table: DeltaTable) -> None:
    table.alter.set_table_properties({"delta.enableChangeDataFeed": "true"})
    assert table.protocol().min_writer_version > log.PLAIN_WRITER
    writer = Writer(tmp_path)

    writer.write(1)
    assert not writer.log.has(writer.batch(2))
    Writer(tmp_path, "another query").write(1)
    with pytest.raises(CommitFailedError):
        writer.log.commit([writer.file(2)], writer.batch(2))
    writer.write(2)

    assert numbers(table) == [1, 1, 2]
    assert "delta-rs" in table.history(1)[0]["clientVersion"]
    assert writer.log.has(writer.batch(2))


def test_many_may_create_a_table_at_the_same_time(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as threads:
        for number in range(10):
            lake = str(tmp_path / str(number))
            made = [threads.submit(TABLE.create, lake) for _ in range(8)]
            assert {field.name for one in made for field in one.result().schema().fields} == {"number"}
