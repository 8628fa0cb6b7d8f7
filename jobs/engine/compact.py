"""Put many small files of a table together, beside whoever writes to it."""

import datetime as dt
from collections.abc import Sequence

import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import DeltaTable

from jobs.engine import data_file
from jobs.engine.races import beside_others
from jobs.engine.table import Table
from jobs.engine.upsert import merge
from jobs.marts.mart import Mart

SMALL_BYTES = 16 * 2**20
"""A smaller file is worth putting together with others."""
FILE_BYTES = 128 * 2**20
"""How large a file becomes."""
FEW = 8
"""So many small files may stay."""


@beside_others
def compact_appended(table: Table, lake: str) -> None:
    """Compact a table that rows are only appended to."""
    delta = DeltaTable(table.url(lake))
    small = [size for size in pa.table(delta.get_add_actions())["size_bytes"].to_pylist() if size < SMALL_BYTES]
    if len(small) > FEW:
        delta.optimize.compact(target_size=FILE_BYTES, max_concurrent_tasks=1)


def compact_closed(mart: Mart, closed: dt.datetime, lake: str) -> None:
    """Compact the closed windows of a mart, and make one row of what late events added to them.

    Every micro-batch replaces the file of the open windows: to compact that one too would always come too late.

    Args:
        mart: says how rows merge.
        closed: windows that start before are closed.
        lake: root of the lake.
    """
    delta = DeltaTable(mart.table.url(lake))
    small = [
        (action["path"], action["size_bytes"])
        for action in pa.table(delta.get_add_actions(flatten=True)).to_pylist()
        if action["size_bytes"] < SMALL_BYTES and _is_before(action.get(f"max.{mart.window}"), closed)
    ]
    if len(small) > FEW:
        for group in _groups(small):
            _put_together(group, mart, lake)


@beside_others
def _put_together(paths: Sequence[str], mart: Mart, lake: str) -> None:
    """Replace files by one, unless somebody else has replaced one of them."""
    delta, files = DeltaTable(mart.table.url(lake)), data_file.storage(mart.table.url(lake))
    # Of a version that is read now, delta-rs tells whoever takes out one of them before this is committed.
    if not {*paths} <= {*pa.table(delta.get_add_actions())["path"].to_pylist()}:
        return
    schema = pa.schema(delta.schema().to_arrow())
    rows = pa.concat_tables([pq.read_table(path, filesystem=files, schema=schema) for path in paths])
    added = data_file.write(merge(mart, schema.empty_table(), rows).sort_by(mart.window), files, data_change=False)
    removed = [data_file.remove(path, data_change=False) for path in paths]
    delta.create_write_transaction([*removed, added], mode="append", schema=delta.schema())


def _groups(files: list[tuple[str, int]]) -> list[list[str]]:
    """Files, as path and size, that become one file each."""
    groups: list[list[str]] = [[]]
    total = 0
    for path, size in files:
        if total + size > FILE_BYTES:
            groups.append([])
            total = 0
        groups[-1].append(path)
        total += size
    return groups


def _is_before(newest: dt.datetime | None, closed: dt.datetime) -> bool:
    """Whether a file's newest window is closed; unknown where the file has no statistics."""
    return newest is not None and (newest if newest.tzinfo else newest.replace(tzinfo=dt.UTC)) < closed
