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

from jobs.engine.batch import MILLISECOND

LONGEST_TEXT = 32
LAST_CHARACTER = "\U0010ffff"


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
    spans = {name: pc.min_max(rows[name]).as_py() for name in plain}
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


def _is_known(value: Any) -> bool:
    """Whether a limit can be written down; JSON has no infinity."""
    return value is not None and not (isinstance(value, float) and not math.isfinite(value))


def _lowest(value: Any) -> Any:
    """A value as statistics have it, or one below: text is cut, times have milliseconds."""
    match value:
        case str():
            return value[:LONGEST_TEXT]
        case dt.datetime():
            return value.astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
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
        case dt.datetime() if value.microsecond % 1000:
            return _lowest(value + MILLISECOND)
    return _lowest(value)


def _exactly(value: Any) -> orjson.Fragment:
    """A decimal as a number of JSON, with all its digits."""
    assert isinstance(value, decimal.Decimal)
    return orjson.Fragment(f"{value:f}")
