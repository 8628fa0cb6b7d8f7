"""Forget a person: remove their rows from every table of the lake, and from the files of its earlier versions.

A person is the value of a field that a contract protects by ``hash``, such as ``customer_id``, or their pseudonym. A
record as it came is removed when its value, key or headers name the person (``jobs/mentions.py``); reasons quote the
record, and go with it. Figures of gold that name nobody stay. Kafka forgets by its own retention, and what happens
afterwards is taken in again.
"""

import datetime as dt
import hashlib
import hmac
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from email import message_from_bytes
from functools import cache, lru_cache, reduce
from pathlib import Path

import numpy as np
import obstore
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.fs
import pyarrow.parquet as pq
from deltalake import DeltaTable
from deltalake.transaction import AddAction

from jobs.engine import data_file
from jobs.engine.identities import Flags
from jobs.engine.purge import purge
from jobs.engine.races import beside_others
from jobs.engine.scratch import delete_abandoned
from jobs.engine.store import store
from jobs.forgotten import FORGOTTEN, SINCE, forgotten, note_forgotten
from jobs.mentions import Meanings, member, mentions, parse, pattern
from jobs.pseudonyms import pseudonym_key
from jobs.settings import Settings
from quality.protection import pseudonym
from schemas import Contract

ORDER = ("bronze", "quarantine", "late", "silver", "gold", "ops")
"""What is computed from a layer comes after it, so that a job of this moment brings nobody back."""
ENVELOPE = ("topic", "key", "value", "headers", "timestamp")
"""The columns of a table of records as they came."""
OF_EVENTS = ("silver", "late")
BATCH_ROWS = 20_000
FILES_PER_COMMIT = 16
"""A lost race against another writer costs the rewriting of so many files at most."""
PSEUDONYM = re.compile(r"[0-9a-f]{64}")
ALWAYS = dt.datetime.max.replace(tzinfo=dt.UTC)
UNKNOWN_TIME = dt.datetime.min.replace(tzinfo=dt.UTC)

Find = Callable[[pa.RecordBatch], pa.Array]
"""Says of each row whether it goes."""


def forget(person: str, contracts: Collection[Contract], settings: Settings) -> dict[str, int]:
    """Remove every row about a person, and put their pseudonym on the list of the forgotten.

    Args:
        person: the value of a hashed field, as events have it.
        contracts: all there are.
        settings: where the lake is.

    Returns:
        the rows removed from each table, ``<layer>.<name>``.

    Raises:
        CommitFailedError: twenty times in a row, another application rewrote the same files first.
    """
    stands_for = pseudonym(person, pseudonym_key(settings))
    # First the list: what brings events back meanwhile must know.
    note_forgotten(stands_for, settings)
    return _erase(
        Search({stands_for: ALWAYS}, contracts, pseudonym_key(settings), looks_like=pattern(person)), settings
    )


def forget_again(contracts: Collection[Contract], settings: Settings) -> dict[str, int]:
    """Remove every row about anybody on the list that is of before they were forgotten, as a backup brings back.

    Every record is decoded, for the list has no names to look for. Takes and returns what ``forget`` does.
    """
    people = forgotten(settings)
    return _erase(Search(people, contracts, pseudonym_key(settings)), settings) if people else {}


class Search:
    """Finds rows about people.

    Args:
        people: until when rows about them go, by pseudonym.
        contracts: all there are.
        key: of the pseudonyms.
        looks_like: a pattern that every record about one of them matches, as ``mentions.pattern`` gives it; without
            one, every record is decoded.
    """

    def __init__(
        self,
        people: Mapping[str, dt.datetime],
        contracts: Collection[Contract],
        key: bytes,
        *,
        looks_like: str | None = None,
    ) -> None:
        self._people = people
        self._looks_like = looks_like
        self._contracts = {contract.topic: contract for contract in contracts}
        self._event_times = {contract.name: contract.event_time for contract in contracts}
        hashed = (field.name for contract in contracts for field in contract.fields if field.protection == "hash")
        self.personal = frozenset(hashed)
        """The names of fields that identify a person."""
        self._meanings = cache(self._meanings_of)
        self._until = lru_cache(100_000)(self._look_up)
        self._key = key

    def rows(self, layer: str, name: str) -> Find:
        """What finds rows in a table of columns with a meaning."""

        def find(rows: pa.RecordBatch) -> pa.Array:
            untils = [found for column in rows.column_names for found in self._in_column(rows[column], column)]
            if not untils:
                return pa.array([False] * rows.num_rows, pa.bool_())
            latest = reduce(pc.max_element_wise, untils)
            return pc.fill_null(pc.less_equal(self._times(rows, layer, name), latest), False)

        return find

    def records(self, rows: pa.RecordBatch) -> pa.Array:
        """Finds rows in a table of records as they came."""
        found = np.zeros(rows.num_rows, np.bool_)
        places = np.flatnonzero(self._may_name(rows))
        for place, row in zip(places, rows.take(pa.array(places)).to_pylist(), strict=True):
            texts = mentions(row["key"], row["value"], row["headers"], self._meanings(row["topic"]))
            untils = [until for until in map(self._until, texts) if until is not None]
            found[place] = bool(untils) and _happened(row, self._contracts.get(row["topic"])) <= max(untils)
        return pa.array(found)

    def is_in(self, text: str) -> bool:
        """Whether a text has a pseudonym of one of them."""
        return any(found in self._people for found in PSEUDONYM.findall(text))

    def _meanings_of(self, topic: str) -> Meanings:
        return Meanings(self._contracts.get(topic), self.personal)

    def _may_name(self, rows: pa.RecordBatch) -> Flags:
        if self._looks_like is None:
            return np.ones(rows.num_rows, np.bool_)
        flags: Flags = np.zeros(rows.num_rows, np.bool_)
        for column in ("key", "value"):
            flags |= self._matches(rows[column])
        headers = rows["headers"]
        parents = pc.list_parent_indices(headers).to_numpy()
        for part in ("key", "value"):
            flags[parents[self._matches(pc.struct_field(pc.list_flatten(headers), part))]] = True
        return flags

    def _matches(self, texts: pa.Array) -> Flags:
        is_match = pc.match_substring_regex(texts.cast(pa.binary()), pattern=self._looks_like)
        flags: Flags = pc.fill_null(is_match, False).to_numpy(zero_copy_only=False)
        return flags

    def _in_column(self, values: pa.Array, name: str) -> Iterator[pa.Array]:
        """Until when each row goes by a column, or a member of it, that has text; null where it may stay."""
        for field, texts, parents in _texts(values, name, None):
            is_personal = field in self.personal
            if not is_personal:
                # Only a pseudonym counts, and it may stand inside of other text.
                texts = pc.if_else(pc.greater_equal(pc.binary_length(texts), 64), texts, None)
            if texts.null_count == len(texts):
                continue
            encoded = texts.dictionary_encode()
            look_up = self._until if is_personal else self._look_up_inside
            untils = _microseconds(pa.array([look_up(text) for text in encoded.dictionary.to_pylist()], SINCE))
            if untils.null_count < len(untils):
                found = untils.take(encoded.indices)
                yield found if parents is None else _latest(found, parents, len(values))

    def _look_up(self, text: str) -> dt.datetime | None:
        """Until when rows go that have this text for a person's id or pseudonym."""
        if (until := self._people.get(text)) is not None:
            return until
        try:
            return self._people.get(hmac.digest(self._key, text.encode(), hashlib.sha256).hex())
        except UnicodeEncodeError:  # half of a surrogate pair is nobody's id
            return None

    def _look_up_inside(self, text: str) -> dt.datetime | None:
        untils = [self._people[found] for found in PSEUDONYM.findall(text) if found in self._people]
        return max(untils, default=None)

    def _times(self, rows: pa.RecordBatch, layer: str, name: str) -> pa.Array:
        """When what each row says happened: of an event, or the last that went into figures."""
        event_time = self._event_times.get(name) if layer in OF_EVENTS else None
        named = [event_time, "timestamp"] if event_time else rows.column_names
        times = [
            _microseconds(rows[column])
            for column in named
            if column in rows.column_names and pa.types.is_timestamp(rows[column].type)
        ]
        unknown = pa.repeat(_microseconds(pa.array([UNKNOWN_TIME], SINCE))[0], rows.num_rows)
        if not times:
            return unknown
        # An event that came before somebody was forgotten happened before, whatever it says.
        choose = pc.min_element_wise if event_time else pc.max_element_wise
        return pc.coalesce(choose(*times), unknown)


@dataclass(frozen=True)
class Found:
    """A data file with rows that go, and the file with the others, if there are any."""

    path: str
    rows: int
    rest: AddAction | None


def _erase(search: Search, settings: Settings) -> dict[str, int]:
    removed, touched = {}, []
    for layer, name, url in _tables(settings.lake_url):
        columns = {field.name for field in DeltaTable(url).schema().fields}
        of_records = columns.issuperset(ENVELOPE)
        find = search.records if of_records else search.rows(layer, name)
        removed[f"{layer}.{name}"] = _remove_rows(url, find, ENVELOPE if of_records else None)
        # A run that was interrupted may have left the earlier versions.
        if removed[f"{layer}.{name}"] or of_records or columns & search.personal:
            touched.append(url)
    for url in touched:
        purge(url)
    _delete_kept_texts(search, settings.home)
    delete_abandoned(settings.home / "tmp")
    return removed


def _tables(lake: str) -> Iterator[tuple[str, str, str]]:
    """Layer, name and URL of every table there is, declared or not, but for the list of the forgotten itself."""
    files = store(lake)
    layers = {path.rsplit("/", 1)[-1] for path in _folders(files, None)}
    for layer in sorted(layers, key=lambda layer: (ORDER.index(layer) if layer in ORDER else len(ORDER), layer)):
        for name in sorted(path.rsplit("/", 1)[-1] for path in _folders(files, layer)):
            url = f"{lake}/{layer}/{name}"
            if url != FORGOTTEN.url(lake) and DeltaTable.is_deltatable(url):
                yield layer, name, url


def _folders(files: obstore.store.ObjectStore, prefix: str | None) -> Sequence[str]:
    return obstore.list_with_delimiter(files, prefix)["common_prefixes"]


def _remove_rows(url: str, find: Find, columns: Collection[str] | None) -> int:
    """Rewrite the files that hold such rows, some to a commit, until no file is left that was not looked at."""
    files, count, seen = data_file.storage(url), 0, set[str]()
    while left := [(path, values) for path, values in _files(DeltaTable(url)) if path not in seen]:
        group: list[Found] = []
        for path, partition in left:
            seen.add(path)
            with suppress(FileNotFoundError):  # compacted meanwhile: its rows are in a file that comes
                if (found := _without_rows(path, partition, find, columns, files)) is not None:
                    group.append(found)
            if len(group) == FILES_PER_COMMIT or (group and path == left[-1][0]):
                count += _commit(url, group)
                group = []
    return count


def _without_rows(
    path: str,
    partition: dict[str, str],
    find: Find,
    columns: Collection[str] | None,
    files: pyarrow.fs.FileSystem,
) -> Found | None:
    """Write the rows of a file that stay into another; None where all of them stay."""
    with pq.ParquetFile(files.open_input_file(path)) as parquet:
        needed = None if columns is None else list(columns)
        flags = [find(rows) for rows in parquet.iter_batches(BATCH_ROWS, columns=needed)]
    is_found = pa.chunked_array(flags, pa.bool_())
    count = pc.sum(is_found).as_py() or 0
    if not count:
        return None
    rows = pq.read_table(path, filesystem=files, partitioning=None)
    rest = data_file.write(rows.filter(pc.invert(is_found)), files, partition) if count < rows.num_rows else None
    return Found(path, count, rest)


@beside_others
def _commit(url: str, found: Sequence[Found]) -> int:
    """Replace the files that the table still has; returns how many rows that removes from it."""
    delta = DeltaTable(url)
    present = {path for path, _ in _files(delta)}
    replaced = [one for one in found if one.path in present]
    if replaced:
        delta.create_write_transaction(
            [
                *(data_file.remove(one.path) for one in replaced),
                *(one.rest for one in replaced if one.rest is not None),
            ],
            mode="append",
            schema=delta.schema(),
            partition_by=delta.metadata().partition_columns,
        )
    return sum(one.rows for one in replaced)


def _files(delta: DeltaTable) -> Iterator[tuple[str, dict[str, str]]]:
    """Path and partition values of every file."""
    names = delta.metadata().partition_columns
    for action in pa.table(delta.get_add_actions(flatten=True)).to_pylist():
        yield action["path"], {name: str(action[f"partition.{name}"]) for name in names}


def _texts(values: pa.Array, name: str, parents: pa.Array | None) -> Iterator[tuple[str, pa.Array, pa.Array | None]]:
    """The text in a column and in what it is made of: the name, the values, and the row of each if it has several."""
    if pa.types.is_string(values.type) or pa.types.is_large_string(values.type):
        yield name, values.cast(pa.string()), parents
    elif pa.types.is_struct(values.type):
        for place in range(values.type.num_fields):
            yield from _texts(pc.struct_field(values, place), values.type.field(place).name, parents)
    elif pa.types.is_list(values.type):
        rows = pc.list_parent_indices(values)
        yield from _texts(pc.list_flatten(values), name, rows if parents is None else parents.take(rows))


def _microseconds(times: pa.Array) -> pa.Array:
    """Times since the epoch, which Arrow can compare row by row."""
    return times.cast(SINCE, safe=False).cast(pa.int64())


def _latest(found: pa.Array, parents: pa.Array, count: int) -> pa.Array:
    """The latest of what was found for each of ``count`` rows."""
    grouped = pa.table({"row": parents, "until": found}).group_by("row").aggregate([("until", "max")])
    places = pc.index_in(pa.array(range(count), grouped["row"].type), grouped["row"].combine_chunks())
    return grouped["until_max"].combine_chunks().take(places)


def _happened(row: Mapping[str, object], contract: Contract | None) -> dt.datetime:
    """When what a record says happened: before it came, whatever it says itself."""
    arrived = row["timestamp"] or UNKNOWN_TIME
    assert isinstance(arrived, dt.datetime)
    value = row["value"]
    said = member(parse(value), contract.event_time) if contract is not None and isinstance(value, bytes) else None
    with suppress(ValueError):
        time = dt.datetime.fromisoformat(str(said))
        return min(arrived, time if time.tzinfo else time.replace(tzinfo=dt.UTC))
    return arrived


def _delete_kept_texts(search: Search, home: Path) -> None:
    """Delete results of Great Expectations, and mails of the local mail sink, that show a pseudonym."""
    for path in (path for folder in ("quality", "mail") for path in (home / folder).rglob("*") if path.is_file()):
        content = path.read_bytes()
        parts: Iterable[bytes] = [content]
        if path.is_relative_to(home / "mail"):
            payloads = (part.get_payload(decode=True) for part in message_from_bytes(content).walk())
            parts = [payload for payload in payloads if isinstance(payload, bytes)]
        if any(search.is_in(part.decode(errors="replace")) for part in parts):
            path.unlink(missing_ok=True)
