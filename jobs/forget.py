"""Forget a person: remove their rows from every layer of the lake, and from the files of its earlier versions.

A person is the value of a field that a contract protects by ``hash``, such as ``customer_id``. Of gold, only views have
a row per person; their other figures change with the next refresh. Kafka forgets by its own retention, and what comes
in later is taken in again.
"""

import json
from collections.abc import Callable, Collection, Iterator
from functools import partial
from itertools import chain

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from deltalake import DeltaTable
from deltalake.transaction import AddAction, RemoveAction

from jobs.bronze import EVENTS
from jobs.engine import data_file
from jobs.engine.races import beside_others
from jobs.engine.table import Table
from jobs.engine.vacuum import delete_old_files
from jobs.entity import quarantine_table, silver_table
from jobs.pseudonyms import pseudonym_key
from jobs.settings import Settings
from jobs.tables import views
from quality.protection import pseudonym
from schemas import Contract

Find = Callable[[pa.Table], pa.Array]
"""Says of each row whether it is about the person."""


def forget(person: str, contracts: Collection[Contract], settings: Settings) -> dict[str, int]:
    """Remove every row about a person.

    Args:
        person: the value of a hashed field, as events have it.
        contracts: all there are.
        settings: where the lake is.

    Returns:
        the rows removed from each table, ``<layer>.<name>``.

    Raises:
        CommitFailedError: twenty times in a row, another application rewrote the same files first.
    """
    names = {contract.topic: _identities(contract) for contract in contracts if _identities(contract)}
    stands_for = pseudonym(person, pseudonym_key(settings))
    finders: list[tuple[Table, Find]] = [(EVENTS, partial(_is_in_record, person=person, names=names))]
    for contract in contracts:
        if contract.topic in names:
            is_in_row = partial(_is_in_row, stands_for=stands_for, columns=names[contract.topic])
            finders += [(silver_table(contract), is_in_row)]
            finders += [(quarantine_table(contract), partial(_is_in_record, person=person, names=names))]
    for view in views():
        if named := [key for key in view.keys if key in {*chain.from_iterable(names.values())}]:
            finders += [(view.table, partial(_is_in_row, stands_for=stands_for, columns=named))]
    removed = {}
    for table, find in finders:
        url = table.url(settings.lake_url)
        if DeltaTable.is_deltatable(url):
            removed[f"{table.layer}.{table.name}"] = _remove_rows(table, find, settings.lake_url)
            _remove_old_files(table, settings.lake_url)
    return removed


def _identities(contract: Contract) -> list[str]:
    return [field.name for field in contract.fields if field.protection == "hash"]


@beside_others
def _remove_rows(table: Table, find: Find, lake: str) -> int:
    """Rewrite the files that hold such rows, in one commit, and delete them; returns the number of rows."""
    delta, files = DeltaTable(table.url(lake)), data_file.storage(table.url(lake))
    actions: list[AddAction | RemoveAction] = []
    count = 0
    for path, partition in _files(delta, table.partition_by):
        rows = pq.read_table(path, filesystem=files, partitioning=None)
        is_found = find(rows)
        found = pc.sum(is_found).as_py() or 0
        if found:
            count += found
            actions.append(data_file.remove(path))
            if found < rows.num_rows:
                actions.append(data_file.write(rows.filter(pc.invert(is_found)), files, partition))
    if actions:
        partition_by = list(table.partition_by)
        delta.create_write_transaction(actions, mode="append", schema=delta.schema(), partition_by=partition_by)
    return count


def _files(delta: DeltaTable, partition_by: Collection[str]) -> Iterator[tuple[str, dict[str, str]]]:
    for action in pa.table(delta.get_add_actions(flatten=True)).to_pylist():
        yield action["path"], {name: str(action[f"partition.{name}"]) for name in partition_by}


def _remove_old_files(table: Table, lake: str) -> None:
    """Delete the files that earlier versions had and the present one does not."""
    delta, files = DeltaTable(table.url(lake)), data_file.storage(table.url(lake))
    current = {path for path, _ in _files(delta, table.partition_by)}
    log = [file.path for file in files.get_file_info(pa.fs.FileSelector("_delta_log")) if file.path.endswith(".json")]
    for commit in log:
        with files.open_input_stream(commit) as stream:
            actions = [json.loads(line) for line in stream.read().splitlines()]
        for path in {action["remove"]["path"] for action in actions if "remove" in action} - current:
            if files.get_file_info(path).type is pa.fs.FileType.File:
                files.delete_file(path)
    delete_old_files(table.url(lake))


def _is_in_row(rows: pa.Table, *, stands_for: str, columns: Collection[str]) -> pa.Array:
    is_found = pa.array([False] * rows.num_rows)
    for name in columns:
        if name in rows.column_names:
            is_found = pc.or_(is_found, pc.fill_null(pc.equal(rows[name], stands_for), False))
    return is_found


def _is_in_record(rows: pa.Table, *, person: str, names: dict[str, list[str]]) -> pa.Array:
    """Whether a field of a record's value is the person; or its text has them in quotes, where it is no JSON object."""
    forms = {person.encode(), json.dumps(person)[1:-1].encode()}
    flags = []
    for topic, value in zip(rows["topic"].to_pylist(), rows["value"].to_pylist(), strict=True):
        is_possible = topic in names and value is not None and any(form in value for form in forms)
        flags.append(is_possible and _names_person(value, person, names[topic], forms))
    return pa.array(flags, pa.bool_())


def _names_person(value: bytes, person: str, names: Collection[str], forms: Collection[bytes]) -> bool:
    try:
        event = json.loads(value)
    except (ValueError, RecursionError):
        event = None
    if isinstance(event, dict):
        return any(event.get(name) == person for name in names)
    return any(b'"%b"' % form in value for form in forms)
