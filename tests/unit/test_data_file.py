import datetime as dt
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from deltalake import DeltaTable
from pyspark.sql.types import (
    BinaryType,
    BooleanType,
    DataType,
    DateType,
    DecimalType,
    DoubleType,
    IntegerType,
    LongType,
    StringType,
    StructType,
    TimestampType,
)

from jobs.engine.batch import EPOCH, Batch
from jobs.engine.commit import Appender
from jobs.engine.data_file import statistics
from jobs.engine.table import Table, column

FIRST_TIME, LAST_TIME = (limit.replace(tzinfo=dt.UTC) for limit in (dt.datetime.min, dt.datetime.max))
NOW = dt.datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=dt.UTC)
CASES: tuple[tuple[DataType, list[Any]], ...] = (
    (StringType(), ["", "a", "b" * 100, "\U0010ffff" * 40, "é"]),
    (IntegerType(), [0, -(2**31), 2**31 - 1]),
    (LongType(), [0, -(2**63), 2**63 - 1, 2**53 + 1]),
    (DoubleType(), [0.1, -1e300, 5e-324]),
    (DecimalType(18, 4), [Decimal("0.1"), Decimal("-99999999999999.9999"), Decimal("99999999999999.9999")]),
    (DecimalType(38, 8), [Decimal("0.00000001"), Decimal("9" * 30 + ".99999999")]),
    (BooleanType(), [True, False]),
    (DateType(), [dt.date(2026, 3, 1), dt.date(1, 1, 1)]),
    (TimestampType(), [NOW, dt.datetime(1969, 1, 1, tzinfo=dt.UTC), FIRST_TIME, LAST_TIME]),
    (BinaryType(), [b"x"]),
)


@pytest.mark.parametrize(("data_type", "values"), CASES, ids=lambda case: str(case)[:20])
def test_readers_that_skip_files_find_every_value(tmp_path: Path, data_type: DataType, values: list[Any]) -> None:
    table = Table("silver", "things", StructType([column("value", data_type, "A value.")]), "Things.")
    appender = Appender(table, str(tmp_path))
    for number, value in enumerate(values):
        appender.append(pa.Table.from_pylist([{"value": value}]), Batch("query", number, EPOCH))
    things = DeltaTable(table.url(str(tmp_path))).to_pyarrow_dataset()

    for value in values:
        is_value = pc.field("value") == pa.scalar(value, things.schema.field("value").type)
        assert things.to_table(filter=is_value).num_rows == 1, value
    assert things.to_table(filter=pc.field("value").is_null()).num_rows == 0


def test_statistics_hold_every_value_between_their_limits() -> None:
    rows = pa.table({"text": ["a" * 40, None], "amount": [Decimal("0.1"), Decimal("0.3")], "nothing": pa.nulls(2)})

    found = statistics(rows)

    assert found["numRecords"] == 2
    assert found["nullCount"] == {"text": 1, "amount": 0}
    assert found["minValues"]["text"] == "a" * 32 < "a" * 40 < found["maxValues"]["text"]
    assert (found["minValues"]["amount"], found["maxValues"]["amount"]) == (Decimal("0.1"), Decimal("0.3"))


def test_what_json_cannot_say_is_left_out() -> None:
    assert statistics(pa.table({"x": [1.0, float("inf")]}))["maxValues"] == {}


def test_the_ends_of_time_are_written_in_full() -> None:
    found = statistics(pa.table({"at": pa.array([FIRST_TIME, LAST_TIME])}))

    assert found["minValues"] == {"at": "0001-01-01T00:00:00.000Z"}
    assert found["maxValues"] == {"at": "9999-12-31T23:59:59.999999Z"}


@pytest.mark.parametrize("number", [-(2**63) + 1, -62_167_219_200_000_000, 253_402_300_800_000_000, 2**63 - 1])
def test_a_time_that_python_cannot_hold_fails_nothing(number: int) -> None:
    """Microseconds that are meant as milliseconds, the year 0, the year 10,000."""
    times = pa.array([0, number]).cast(pa.timestamp("us", "UTC"))

    found = statistics(pa.table({"at": times}))

    assert "1970-01-01T00:00:00.000Z" in (found["minValues"]["at"], found["maxValues"]["at"])


def test_a_date_that_python_cannot_hold_fails_nothing() -> None:
    days = pa.array([-2_000_000, 0, 2**31 - 1], pa.int32()).cast(pa.date32())

    found = statistics(pa.table({"day": days}))

    assert (found["minValues"], found["maxValues"]) == ({"day": "0001-01-01"}, {"day": "9999-12-31"})
