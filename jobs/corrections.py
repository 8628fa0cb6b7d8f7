"""Replace rows of a table by the right ones, beside whoever writes to it.

Only the files that hold such rows are rewritten. Who appends meanwhile adds to what is right by then; who takes one of
these files out of the table at the same time, or corrects it too, makes the commit fail, and it is tried again.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from deltalake import CommitProperties, DeltaTable, Transaction
from deltalake.transaction import AddAction, RemoveAction
from pyarrow.fs import FileSystem

from jobs.engine import data_file
from jobs.engine.batch import Batch
from jobs.engine.races import beside_others
from jobs.engine.table import Table

APPLICATION = "reconcile"
"""The application under which corrections are committed, with a number for each."""
TIME = pa.timestamp("us", "UTC")
MILLISECOND = 1_000

Still = Callable[[pa.Table], pa.Array]
"""Says of each key, by the rows that the table has of them now, whether they are still those that were compared."""


class OvertakenError(Exception):
    """The table has changed since it was compared."""


def next_number(delta: DeltaTable, table: Table) -> int:
    """The number of the next correction of a table, by one of its versions: of two at the same time, it takes one."""
    last = delta.transaction_version(Batch(APPLICATION, 0).application(table.name))
    return 0 if last is None else last + 1


@beside_others
def replace(
    table: Table,
    lake: str,
    keys: pa.Table,
    right: pa.Table,
    *,
    along: str,
    number: int,
    still: Still | None = None,
) -> None:
    """Take every row of some keys out of a table, and put the right ones in, in one commit.

    Args:
        table: without partitions.
        lake: root of the lake.
        keys: distinct keys; nulls are equal.
        right: rows of some of these keys, with columns of the table.
        along: the column with a time, by whose statistics files are found where it is a key.
        number: of the correction, as the version says that was compared.
        still: leaves out keys whose rows have changed since; without it, all are replaced.

    Raises:
        OvertakenError: another correction came first.
        CommitFailedError: twenty times in a row, another application committed first.
    """
    delta, files = DeltaTable(table.url(lake)), data_file.storage(table.url(lake))
    if next_number(delta, table) != number:
        raise OvertakenError(f"{table.layer}.{table.name} has been corrected meanwhile")
    schema = pa.schema(delta.schema().to_arrow())
    keys, right = _typed(keys, schema), _filled(right, schema)
    # Where the time is no key, a row may be in any file.
    anywhere = pa.chunked_array([pa.nulls(1, TIME)])
    paths = list(_files(delta, along, keys[along] if along in keys.column_names else anywhere))
    held = {path: _matching(_read(path, files, schema), keys) for path in paths}
    chosen = pa.array([True] * keys.num_rows, pa.bool_())
    if still is not None:
        chosen = still(pa.concat_tables([schema.empty_table(), *held.values()]))
    actions = list(_without(held, keys.filter(chosen), files, schema))
    added = right.filter(pc.is_valid(index_in(right, keys.filter(chosen))))
    if added.num_rows:
        actions.append(data_file.write(added.sort_by(along), files))
    if not actions:
        return
    transaction = Transaction(Batch(APPLICATION, number).application(table.name), number)
    properties = CommitProperties(app_transactions=[transaction])
    delta.create_write_transaction(actions, mode="append", schema=delta.schema(), commit_properties=properties)


def index_in(rows: pa.Table, keys: pa.Table) -> pa.ChunkedArray:
    """Of each row, which of some distinct keys it has; null where none. Nulls are equal."""
    one, other = (pa.array(np.zeros(table.num_rows, dtype=np.int64)) for table in (rows, keys))
    for name in keys.column_names:
        values = pc.unique(keys[name])
        one = pc.add(pc.multiply(one.cast(pa.int64()), len(values)), pc.index_in(rows[name], values))
        other = pc.add(pc.multiply(other.cast(pa.int64()), len(values)), pc.index_in(keys[name], values))
        # Numbered anew, they stay small however many columns there are.
        known = pc.unique(other)
        one, other = pc.index_in(one, known), pc.index_in(other, known)
    # The numbers of distinct keys are 0, 1, ... in their order.
    return one


def same(rows: pa.Table, others: pa.Table, keys: pa.Table, columns: Sequence[str]) -> pa.Array:
    """Of each key, whether two tables, with at most one row of it each, say the same of it."""
    places = pa.array(range(keys.num_rows), pa.int32())
    one, other = (pc.index_in(places, index_in(table, keys)) for table in (rows, others))
    is_same = pc.equal(pc.is_null(one), pc.is_null(other))
    for name in columns:
        is_same = pc.and_(is_same, _equal(rows[name].take(one), others[name].take(other)))
    return is_same.combine_chunks() if isinstance(is_same, pa.ChunkedArray) else is_same


def _equal(one: pa.ChunkedArray, other: pa.ChunkedArray) -> pa.Array:
    if pa.types.is_nested(one.type):
        return pa.array([a == b for a, b in zip(one.to_pylist(), other.to_pylist(), strict=True)], pa.bool_())
    other = other.cast(one.type)
    equal = pc.equal(one, other)
    if pa.types.is_floating(one.type):
        # A sum of floats depends on their order.
        largest = pc.max_element_wise(pc.abs(one), pc.abs(other))
        equal = pc.or_(equal, pc.less_equal(pc.abs(pc.subtract(one, other)), pc.multiply(largest, 1e-9)))
    return pc.if_else(pc.or_(pc.is_null(one), pc.is_null(other)), pc.equal(pc.is_null(one), pc.is_null(other)), equal)


def _files(delta: DeltaTable, along: str, times: pa.ChunkedArray) -> Iterator[str]:
    """The files whose span of a column of times has one of these, or is not known."""
    actions = pa.table(delta.get_add_actions(flatten=True))
    wanted = sorted(pc.unique(times).drop_null().cast(pa.int64()).to_pylist())
    has_null = times.null_count > 0
    spans = [
        actions[name].cast(TIME).cast(pa.int64()).to_pylist()
        if (name := f"{limit}.{along}") in actions.column_names
        else [None] * actions.num_rows
        for limit in ("min", "max")
    ]
    for path, lowest, highest in zip(actions["path"].to_pylist(), *spans, strict=True):
        if has_null or lowest is None or highest is None:
            yield path
            continue
        # Statistics may be cut to milliseconds.
        place = bisect_left(wanted, lowest - MILLISECOND)
        if place < len(wanted) and wanted[place] <= highest + MILLISECOND:
            yield path


def _without(
    held: dict[str, pa.Table], keys: pa.Table, files: FileSystem, schema: pa.Schema
) -> Iterator[AddAction | RemoveAction]:
    """What takes the rows of some keys out of their files."""
    for path, matching in held.items():
        if not _matching(matching, keys).num_rows:
            continue
        rows = _read(path, files, schema)
        rest = rows.filter(pc.is_null(index_in(rows, keys)))
        yield data_file.remove(path)
        if rest.num_rows:
            yield data_file.write(rest, files)


def _matching(rows: pa.Table, keys: pa.Table) -> pa.Table:
    return rows.filter(pc.is_valid(index_in(rows, keys)))


def _read(path: str, files: FileSystem, schema: pa.Schema) -> pa.Table:
    return pq.read_table(path, filesystem=files, schema=schema, partitioning=None)


def _typed(keys: pa.Table, schema: pa.Schema) -> pa.Table:
    return keys.cast(pa.schema([schema.field(name) for name in keys.column_names]))


def _filled(rows: pa.Table, schema: pa.Schema) -> pa.Table:
    """Rows with the columns of a table; what they lack is null."""
    for field in schema:
        if field.name not in rows.column_names:
            rows = rows.append_column(field, pa.nulls(rows.num_rows, field.type))
    return rows.select(schema.names).cast(schema)
