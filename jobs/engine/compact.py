"""Put many small files of a table together, beside whoever writes to it."""

import datetime as dt

import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import DeltaTable

from jobs.engine import data_file
from jobs.engine.races import beside_others
from jobs.engine.table import Table

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


@beside_others
def compact_closed(table: Table, window: str, closed: dt.datetime, lake: str) -> None:
    """Compact the windows of a mart that cannot change any more.

    Every micro-batch replaces the file of the open windows: to compact that one too would always come too late.

    Args:
        table: of the mart.
        window: the column of its windows.
        closed: windows that start before are closed.
        lake: root of the lake.
    """
    delta, files = DeltaTable(table.url(lake)), data_file.storage(table.url(lake))
    small = [
        (action["path"], action["size_bytes"])
        for action in pa.table(delta.get_add_actions(flatten=True)).to_pylist()
        if action["size_bytes"] < SMALL_BYTES and _is_before(action.get(f"max.{window}"), closed)
    ]
    if len(small) <= FEW:
        return
    for group in _groups(small):
        rows = pa.concat_tables([pq.read_table(path, filesystem=files) for path in group], promote_options="permissive")
        added = data_file.write(rows.sort_by(window), files, data_change=False)
        delta.create_write_transaction(
            [*(data_file.remove(path, data_change=False) for path in group), added],
            mode="append",
            schema=delta.schema(),
        )
        delta.update_incremental()


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
