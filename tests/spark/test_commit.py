import datetime as dt

import pyarrow.compute as pc
from chispa import assert_df_equality
from deltalake import DeltaTable
from pyspark.sql import SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import LongType, StructType, TimestampType

from jobs.bronze import EVENTS
from jobs.engine.batch import Batch
from jobs.engine.commit import Appender
from jobs.engine.table import Table, column

BATCH = Batch("query", 7, dt.datetime(2026, 3, 1, tzinfo=dt.UTC))
MIDNIGHT = dt.datetime(2026, 3, 2, tzinfo=dt.UTC)


def test_what_is_appended_is_what_every_reader_sees(spark: SparkSession, lake: str) -> None:
    before, after = (MIDNIGHT + dt.timedelta(microseconds=offset) for offset in (-1, 1))
    rows = [
        (b"key", b"value", [("a", b"\x00")], "orders", 0, 1, before, before.date()),
        (None, None, None, "orders", 1, 2**40, after, after.date()),
    ]
    frame = spark.createDataFrame(rows, EVENTS.schema)

    Appender(EVENTS, lake).append(frame.toArrow(), BATCH)

    url = EVENTS.url(lake)
    read = spark.read.format("delta").load(url)
    assert_df_equality(read, frame, ignore_row_order=True)
    assert read.where(f"timestamp = '{before.replace(tzinfo=None)}'").count() == 1
    by_rust = DeltaTable(url).to_pyarrow_dataset()
    assert by_rust.count_rows(filter=pc.field("timestamp") >= MIDNIGHT) == 1
    assert by_rust.count_rows(filter=pc.field("arrival_date") == before.date()) == 1


def test_what_spark_appends_has_statistics_of_the_last_column_too(spark: SparkSession, lake: str) -> None:
    names = [f"c{number}" for number in range(40)]
    columns = [*(column(name, LongType(), "A number.") for name in names), column("time", TimestampType(), "A time.")]
    wide = Table("silver", "wide", StructType(columns), "Wide.")
    url = wide.url(lake)
    # As it was before every column had some.
    spark.createDataFrame([], wide.schema).write.format("delta").save(url)
    frame = spark.range(3).select(*(F.col("id").alias(name) for name in names), F.lit(MIDNIGHT).alias("time"))

    Appender(wide, lake).append(frame, BATCH)

    after = pc.field("time") >= MIDNIGHT - dt.timedelta(hours=1)
    assert DeltaTable(url).to_pyarrow_dataset().count_rows(filter=after) == 3
    added = DeltaTable(url).get_add_actions(flatten=True)
    assert added.column("max.c39").to_pylist()[-1] == 2
    assert added.column("max.time").to_pylist()[-1] is not None
