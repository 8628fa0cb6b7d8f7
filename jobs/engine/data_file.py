"""Write a data file of a Delta table, with the action that adds it to the table.

delta-rs' own ``write_deltalake`` looks at every file of the table for each append, 0.1 ms per file: after some hours of
micro-batches, a commit would take a second (docs/decisions/0008).
"""

import datetime as dt
import json
import uuid
from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.fs
import pyarrow.parquet as pq
from deltalake.fs import DeltaStorageHandler
from deltalake.transaction import AddAction

from jobs.engine.batch import MILLISECOND


def storage(url: str) -> pyarrow.fs.FileSystem:
    """The file system whose root is a table."""
    return pyarrow.fs.PyFileSystem(DeltaStorageHandler(url))


def write(rows: pa.Table, files: pyarrow.fs.FileSystem, partition: Mapping[str, str] | None = None) -> AddAction:
    """Write rows as one file.

    Args:
        rows: at least one row, without the table's partition columns.
        files: the table's ``storage``.
        partition: values of the partition columns.
    """
    folders = [f"{name}={value}/" for name, value in (partition or {}).items()]
    path = f"{''.join(folders)}part-{uuid.uuid4()}.parquet"
    pq.write_table(rows, path, filesystem=files, compression="zstd")
    return AddAction(
        path=path,
        size=files.get_file_info(path).size,
        partition_values=dict(partition or {}),
        modification_time=int(dt.datetime.now(dt.UTC).timestamp() * 1000),
        data_change=True,
        stats=json.dumps(statistics(rows)),
    )


def statistics(rows: pa.Table) -> dict[str, Any]:
    """Delta's statistics of a file, by which readers skip it: rows, and the span of columns of times and integers."""
    spans = {
        name: pc.min_max(rows[name]).as_py()
        for name in rows.column_names
        if pa.types.is_timestamp(rows[name].type) or pa.types.is_integer(rows[name].type)
    }
    known = {name: span for name, span in spans.items() if span["min"] is not None}
    return {
        "numRecords": rows.num_rows,
        "minValues": {name: _plain(span["min"]) for name, span in known.items()},
        "maxValues": {name: _plain(span["max"], rounded_up=True) for name, span in known.items()},
        "nullCount": {name: rows[name].null_count for name in spans},
    }


def _plain(value: dt.datetime | int, *, rounded_up: bool = False) -> str | int:
    if isinstance(value, int):
        return value
    # Statistics have milliseconds; rows have microseconds, and a maximum must not lie below them.
    if rounded_up and value.microsecond % 1000:
        value += MILLISECOND
    return value.astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
