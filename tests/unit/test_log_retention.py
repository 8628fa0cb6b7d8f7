import os
import time
from pathlib import Path

import pyarrow as pa
from deltalake import DeltaTable
from pyspark.sql.types import LongType, StructField, StructType

from jobs.engine.batch import EPOCH, Batch
from jobs.engine.commit import Appender
from jobs.engine.log import CLEAN_UP_EVERY
from jobs.engine.table import Table

TABLE = Table("silver", "numbers", StructType([StructField("number", LongType())]), "", checkpoint_every=10)


def numbers(count: int) -> pa.Table:
    return pa.table({"number": pa.array([count], pa.int64())})


def commits(lake: Path) -> list[Path]:
    return sorted((lake / "silver" / "numbers" / "_delta_log").glob("*.json"))


def test_the_log_forgets_what_is_older_than_its_history(tmp_path: Path) -> None:
    appender = Appender(TABLE, str(tmp_path))
    first = CLEAN_UP_EVERY - 29
    for number in range(first, CLEAN_UP_EVERY):
        appender.append(numbers(number), Batch("query", number, EPOCH))
    two_hours_ago = time.time() - 7200
    for file in commits(tmp_path)[0].parent.iterdir():
        os.utime(file, (two_hours_ago, two_hours_ago))

    appender.append(numbers(CLEAN_UP_EVERY), Batch("query", CLEAN_UP_EVERY, EPOCH))

    assert len(commits(tmp_path)) <= TABLE.checkpoint_every + 1
    rows = DeltaTable(TABLE.url(str(tmp_path))).to_pyarrow_table()["number"].to_pylist()
    assert sorted(rows) == list(range(first, CLEAN_UP_EVERY + 1))


def test_a_table_that_exists_gets_the_history_of_its_declaration(tmp_path: Path) -> None:
    DeltaTable.create(TABLE.url(str(tmp_path)), schema=numbers(0).schema)

    TABLE.create(str(tmp_path))

    properties = DeltaTable(TABLE.url(str(tmp_path))).metadata().configuration
    assert properties["delta.logRetentionDuration"] == "interval 1 hour"
    assert properties["delta.checkpointInterval"] == "10"
