"""What the stream has finished, and versions of tables that have exactly that."""

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import obstore
from deltalake import DeltaTable

from jobs.alive import written_batches
from jobs.corrections import APPLICATION
from jobs.engine.batch import Batch
from jobs.engine.store import store
from jobs.engine.table import Table
from jobs.entity import late_table, query_name, silver_table
from jobs.late import application
from jobs.settings import Settings
from schemas import Contract

LOOKS = 30
"""How often tables are looked at, a second apart, while the stream is between commits that belong together."""


class UnsettledError(Exception):
    """The stream stands between commits that belong together, or nobody can tell."""


@dataclass(frozen=True)
class Finished:
    """What every table of an entity has: the newest micro-batch of its query, and the newest turn of its late lane."""

    query_id: str
    batch: int
    lane: str
    """What the late lane has in place of a query's id."""
    turn: int
    late: int | None
    """The version of the table of late events that has the turn, None without one."""
    ends: Mapping[int, int]
    """Of each partition of the topic, the offset after the last that the query has taken."""

    def applications(self, table: Table) -> dict[str, int]:
        """The last number of each application that a table has."""
        numbers = {self.query_id: self.batch, self.lane: self.turn}
        return {Batch(name, number).application(table.name): number for name, number in numbers.items()}


@dataclass(frozen=True)
class Cut:
    """Versions of silver and of a table of gold that hold the same events."""

    silver: int
    gold: int


def finished(contract: Contract, settings: Settings) -> Finished | None:
    """What the stream has finished of an entity; None without a checkpoint.

    A micro-batch is finished when its checkpoint says so, a turn of the late lane when it is out of ``late``.
    """
    lake, checkpoint = store(settings.lake_url), f"_checkpoints/{query_name(contract.domain)}"
    batches = written_batches(lake, f"{checkpoint}/commits")
    if not batches:
        return None
    batch = max(batches)
    _, _, offsets, *_ = obstore.get(lake, f"{checkpoint}/offsets/{batch}").bytes().to_bytes().splitlines()
    metadata = json.loads(obstore.get(lake, f"{checkpoint}/metadata").bytes().to_bytes())
    ends = {int(partition): end for partition, end in json.loads(offsets).get(contract.topic, {}).items()}
    query, lane, url = metadata["id"], application(contract.topic), late_table(contract).url(settings.lake_url)
    if not DeltaTable.is_deltatable(url):
        return Finished(query, batch, lane, -1, None, ends)
    late = DeltaTable(url)
    turn = _last(late, Batch(lane, 0).application(contract.name))
    return Finished(query, batch, lane, turn, late.version(), ends)


def pinned(contract: Contract, table: Table, settings: Settings) -> tuple[Finished, DeltaTable]:
    """What the stream has finished, and a version of one table that has exactly that.

    Raises:
        UnsettledError: for half a minute, there was none.
    """
    for done in _looks(contract, settings):
        delta = _version_of(table, done, settings)
        if delta is not None:
            return done, delta
    raise _unsettled(contract)


def cut(contract: Contract, gold: Table, settings: Settings) -> Cut:
    """Versions of an entity's silver and of one of its tables of gold that have exactly what the stream has finished.

    Raises:
        UnsettledError: for half a minute, there was none.
    """
    for done in _looks(contract, settings):
        of_silver, of_gold = (_version_of(table, done, settings) for table in (silver_table(contract), gold))
        if of_silver is not None and of_gold is not None:
            return Cut(of_silver.version(), of_gold.version())
    raise _unsettled(contract)


def _looks(contract: Contract, settings: Settings) -> Iterator[Finished]:
    for look in range(LOOKS):
        if look:
            time.sleep(1)
        done = finished(contract, settings)
        if done is None:
            raise UnsettledError(f"{query_name(contract.domain)} has lost its checkpoint")
        yield done


def _unsettled(contract: Contract) -> UnsettledError:
    return UnsettledError(
        f"{query_name(contract.domain)} or its late lane stands between commits that belong together: "
        "start the stream, then reconcile again"
    )


def _version_of(table: Table, done: Finished, settings: Settings) -> DeltaTable | None:
    """The newest version of a table without anything that is not finished, a commit or two back.

    None if that lacks something that is finished, or a correction, which a commit of the other kind came before.
    """
    delta = DeltaTable(table.url(settings.lake_url))
    corrected = Batch(APPLICATION, 0).application(table.name)
    limits = done.applications(table)
    last = {name: _last(delta, name) for name in (*limits, corrected)}
    wanted = {name: number for name, number in last.items() if name not in limits or number <= limits[name]}
    while any(last[name] > limit for name, limit in limits.items()):
        delta = DeltaTable(table.url(settings.lake_url), version=delta.version() - 1)
        last = {name: _last(delta, name) for name in last}
        wanted |= {name: last[name] for name, limit in limits.items() if name not in wanted and last[name] <= limit}
    return delta if last == wanted else None


def _last(delta: DeltaTable, application: str) -> int:
    last = delta.transaction_version(application)
    return -1 if last is None else last
