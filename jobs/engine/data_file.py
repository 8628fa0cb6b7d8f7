"""Write a data file of a Delta table, with the action that adds it to the table, or takes it out.

delta-rs' own ``write_deltalake`` looks at every file of the table for each append, 0.1 ms per file: after some hours of
micro-batches, a commit would take a second (docs/decisions/0008).
"""

import datetime as dt
import decimal
import math
import uuid
from collections.abc import Mapping
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.fs
import pyarrow.parquet as pq
from deltalake.fs import DeltaStorageHandler
from deltalake.transaction import AddAction, RemoveAction

from jobs.engine.batch import EPOCH, MILLISECOND

LONGEST_TEXT = 32
LAST_CHARACTER = "\U0010ffff"
FIRST_TIME = dt.datetime.min.replace(tzinfo=dt.UTC)
LAST_TIME = dt.datetime.max.replace(tzinfo=dt.UTC)


def storage(url: str) -> pyarrow.fs.FileSystem:
    """The file system whose root is a table."""
    return pyarrow.fs.PyFileSystem(DeltaStorageHandler(url))


def write(
    rows: pa.Table,
    files: pyarrow.fs.FileSystem,
    partition: Mapping[str, str] | None = None,
    *,
    data_change: bool = True,
) -> AddAction:
    """Write rows as one file.

    Args:
        rows: at least one row, without the table's partition columns.
        files: the table's ``storage``.
        partition: values of the partition columns.
        data_change: False where the table had the rows before, in other files.
    """
    folders = [f"{name}={value}/" for name, value in (partition or {}).items()]
    path = f"{''.join(folders)}part-{uuid.uuid4()}.parquet"
    pq.write_table(rows, path, filesystem=files, compression="zstd")
    return AddAction(
        path=path,
        size=files.get_file_info(path).size,
        partition_values=dict(partition or {}),
        modification_time=int(dt.datetime.now(dt.UTC).timestamp() * 1000),
        data_change=data_change,
        stats=orjson.dumps(statistics(rows), default=_exactly).decode(),
    )


def remove(path: str, *, data_change: bool = True) -> RemoveAction:
    """The action that takes a file out of its table; ``data_change`` is False where its rows stay in other files."""
    now = int(dt.datetime.now(dt.UTC).timestamp() * 1000)
    return RemoveAction(path, data_change=data_change, deletion_timestamp=now)


def statistics(rows: pa.Table) -> dict[str, Any]:
    """Delta's statistics of a file, by which readers skip it: rows, and nulls and the span of every plain column.

    No column that has an order may be left out: delta-rs takes a span that is missing for an empty one, and skips the
    file for every question about the column.
    """
    plain = [name for name in rows.column_names if _has_span(rows[name].type)]
    spans = {name: _span(rows[name]) for name in plain}
    known = {name: span for name, span in spans.items() if all(map(_is_known, span.values()))}
    return {
        "numRecords": rows.num_rows,
        "minValues": {name: _lowest(span["min"]) for name, span in known.items()},
        "maxValues": {name: _highest(span["max"]) for name, span in known.items()},
        "nullCount": {name: rows[name].null_count for name in plain},
    }


def _has_span(data_type: pa.DataType) -> bool:
    kinds = (
        *(pa.types.is_string, pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal, pa.types.is_boolean),
        *(pa.types.is_date, pa.types.is_timestamp),
    )
    return any(is_kind(data_type) for is_kind in kinds)


def _span(values: pa.ChunkedArray) -> dict[str, Any]:
    """The lowest and the highest value, null without one.

    Arrow's times go further than Python's, and than the years 1 to 9999 of which all readers know: beyond, the span
    ends where they end.
    """
    kind = values.type
    if not pa.types.is_temporal(kind):
        span: dict[str, Any] = pc.min_max(values).as_py()
        return span
    is_time = pa.types.is_timestamp(kind)
    whole = values.cast(pa.timestamp("us", kind.tz) if is_time else pa.date32())
    limits = pc.min_max(whole.cast(pa.int64() if is_time else pa.int32())).as_py()
    return {name: _moment(value, is_time=is_time) for name, value in limits.items()}


def _moment(number: int | None, *, is_time: bool) -> dt.datetime | dt.date | None:
    """Microseconds or days since the epoch, not before the year 1 and not after 9999."""
    if number is None:
        return None
    unit = dt.timedelta(microseconds=1) if is_time else dt.timedelta(days=1)
    first, last = (FIRST_TIME - EPOCH) // unit, (LAST_TIME - EPOCH) // unit
    moment = EPOCH + min(max(number, first), last) * unit
    return moment if is_time else moment.date()


def _is_known(value: Any) -> bool:
    """Whether a limit can be written down; JSON has no infinity."""
    return value is not None and not (isinstance(value, float) and not math.isfinite(value))


def _lowest(value: Any) -> Any:
    """A value as statistics have it, or one below: text is cut, times have milliseconds."""
    match value:
        case str():
            return value[:LONGEST_TEXT]
        case dt.datetime():
            return _text(value, "milliseconds")
        case dt.date():
            return value.isoformat()
    return value


def _highest(value: Any) -> Any:
    """The same, or one above."""
    match value:
        case str():
            start = value[:LONGEST_TEXT]
            # What follows the last character there is cannot be cut.
            return value if start == value or start.endswith(LAST_CHARACTER) else start + LAST_CHARACTER
        case dt.datetime() if value > LAST_TIME - MILLISECOND:
            # There is no next millisecond.
            return _text(value, "microseconds")
        case dt.datetime() if value.microsecond % 1000:
            return _lowest(value + MILLISECOND)
    return _lowest(value)


def _text(moment: dt.datetime, precision: str) -> str:
    return moment.isoformat(timespec=precision).replace("+00:00", "Z")


def _exactly(value: Any) -> orjson.Fragment:
    """A decimal as a number of JSON, with all its digits."""
    assert isinstance(value, decimal.Decimal)
    return orjson.Fragment(f"{value:f}")
