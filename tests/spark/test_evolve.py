import datetime as dt
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from deltalake import DeltaTable
from pyspark.sql import Row, SparkSession
from pyspark.sql.types import StructType

from jobs.engine.batch import Batch
from jobs.engine.commit import Appender
from jobs.engine.evolve import evolve
from jobs.engine.exceptions import IncompatibleTableError
from jobs.engine.table import Table

BEFORE = "id string, count int, price decimal(8,2), lines array<struct<product: string, units: int>>, day date"
DAY = dt.date(2026, 3, 1)
OLD = {"id": "old", "count": 1, "price": Decimal("9.99"), "lines": [{"product": "p", "units": 2}], "day": DAY}


def table(schema: str) -> Table:
    return Table("silver", "things", StructType.fromDDL(schema), "Things.", partition_by=("day",))


def append(lake: str, schema: str, row: dict[str, Any], batch: int) -> None:
    rows = pa.Table.from_pylist([row])
    Appender(table(schema), lake).append(rows, Batch("query", batch, dt.datetime(2026, 3, 1, tzinfo=dt.UTC)))


@pytest.fixture
def things(lake: str) -> str:
    """The address of a table with one row."""
    append(lake, BEFORE, OLD, 0)
    return table(BEFORE).url(lake)


def rows_of(spark: SparkSession, url: str) -> dict[str, Row]:
    return {row["id"]: row for row in spark.read.format("delta").load(url).collect()}


def test_a_new_field_is_null_in_old_rows_also_inside_a_list(spark: SparkSession, lake: str, things: str) -> None:
    after = BEFORE.replace("units: int", "units: int, colour: string") + ", note string"

    evolve(spark, table(after), lake)
    append(lake, after, OLD | {"id": "new", "note": "x", "lines": [{"product": "p", "units": 1, "colour": "red"}]}, 1)

    rows = rows_of(spark, things)
    assert rows["old"]["note"] is None
    assert rows["old"]["lines"] == [Row(product="p", units=2, colour=None)]
    assert rows["new"]["note"] == "x"
    assert rows["new"]["lines"] == [Row(product="p", units=1, colour="red")]


def test_a_wider_type_takes_large_values_beside_the_old_ones(spark: SparkSession, lake: str, things: str) -> None:
    after = (
        BEFORE.replace("count int", "count bigint").replace("(8,2)", "(12,4)").replace("units: int", "units: bigint")
    )

    evolve(spark, table(after), lake)
    large = OLD | {"id": "new", "count": 2**40, "price": Decimal("99999999.9999")}
    append(lake, after, large | {"lines": [{"product": "p", "units": 2**40}]}, 1)

    rows = rows_of(spark, things)
    assert (rows["old"]["count"], rows["old"]["price"]) == (1, Decimal("9.9900"))
    assert rows["old"]["lines"] == [Row(product="p", units=2)]
    assert (rows["new"]["count"], rows["new"]["price"]) == (2**40, Decimal("99999999.9999"))
    assert rows["new"]["lines"] == [Row(product="p", units=2**40)]
    assert DeltaTable(things).metadata().partition_columns == ["day"]
    assert "typeWidening" not in str(DeltaTable(things).protocol())


def test_a_batch_is_still_known_after_the_table_was_written_anew(spark: SparkSession, lake: str, things: str) -> None:
    after = BEFORE.replace("count int", "count bigint")

    evolve(spark, table(after), lake)
    append(lake, after, OLD | {"id": "again"}, 0)

    assert set(rows_of(spark, things)) == {"old"}


def test_a_retired_field_keeps_its_old_values(spark: SparkSession, lake: str, things: str) -> None:
    after = BEFORE.replace("count int, ", "").replace(", units: int", "")

    evolve(spark, table(after), lake)
    append(lake, after, {"id": "new", "price": None, "lines": [{"product": "p"}], "day": DAY}, 1)

    rows = rows_of(spark, things)
    assert (rows["old"]["count"], rows["new"]["count"]) == (1, None)
    assert rows["old"]["lines"] == [Row(product="p", units=2)]
    assert rows["new"]["lines"] == [Row(product="p", units=None)]


def test_a_large_batch_by_spark_lacks_the_retired_field_too(spark: SparkSession, lake: str, things: str) -> None:
    after = BEFORE.replace("count int, ", "").replace(", units: int", "")
    evolve(spark, table(after), lake)
    rows = spark.createDataFrame([("new", Decimal(1), [("p",)], DAY)], table(after).schema)

    Appender(table(after), lake).append(rows, Batch("query", 1, dt.datetime(2026, 3, 1, tzinfo=dt.UTC)))

    found = rows_of(spark, things)["new"]
    assert (found["count"], found["lines"]) == (None, [Row(product="p", units=None)])


def test_the_same_declaration_commits_nothing(spark: SparkSession, lake: str, things: str) -> None:
    evolve(spark, table(BEFORE), lake)

    assert DeltaTable(things).version() == 1


def test_an_incompatible_change_leaves_the_table_alone(spark: SparkSession, lake: str, things: str) -> None:
    after = BEFORE.replace("count int", "count string") + ", note string"

    with pytest.raises(IncompatibleTableError, match=r"silver/things .* 'count' is int and should be string"):
        evolve(spark, table(after), lake)

    assert DeltaTable(things).version() == 1
    assert "note" not in rows_of(spark, things)["old"]


def test_a_table_that_does_not_exist_is_left_to_its_creation(spark: SparkSession, lake: str) -> None:
    evolve(spark, table(BEFORE), lake)

    assert not DeltaTable.is_deltatable(table(BEFORE).url(lake))
