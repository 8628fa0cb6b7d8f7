"""Where each micro-batch of a query began and ended, noted beside the tables before anything is written.

A file per micro-batch, ``_positions/<query>/<batch>.json``, which only one driver can create: two cannot give one
number two meanings. It also has what it takes to write the query's checkpoint anew (docs/decisions/0061).
"""

import datetime as dt
import re
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import obstore
import orjson
from obstore.exceptions import AlreadyExistsError

from jobs.engine.batch import Batch
from jobs.engine.clock import boot_time
from jobs.engine.exceptions import FencedError, TurnedBackError
from jobs.engine.offsets import Offsets, each, offset_of
from jobs.engine.store import store

KEPT = 100
"""So many are kept one by one; of older ones, the first of each hour."""
KEPT_FOR = dt.timedelta(days=8)
LOOK_EVERY = 60.0
"""Seconds without a micro-batch after which a driver looks whether another has gone on without it."""
NONE = -1
"""No micro-batch."""
TIMESTAMP = re.compile(r'"batchTimestampMs":\d+')


@dataclass(frozen=True)
class Position:
    """What is known of one micro-batch of one query.

    ``start`` and ``end`` are the next offsets to read before and after it, as Spark has them; ``header`` is what
    Spark's own note of it has above the offsets. ``topic_ids`` are Kafka's, ``retired`` the next offsets of topics that
    the query has ceased to read. ``filled`` is the last micro-batch before it that certainly had records. Below
    ``replayed_until``, the tables may have records under the number of another micro-batch already.
    """

    query_id: str
    batch: int
    start: Offsets
    end: Offsets
    header: str
    topic_ids: Mapping[str, str] = field(default_factory=dict)
    retired: Offsets = field(default_factory=dict)
    replayed_until: Offsets = field(default_factory=dict)
    filled: int = NONE


class Positions:
    """The positions of one query.

    Args:
        query: its name.
        lake: root of the lake.
    """

    def __init__(self, query: str, lake: str) -> None:
        self._folder = f"_positions/{query}"
        self._store = store(lake)

    def batches(self) -> list[int]:
        """The micro-batches that there is a position of, the oldest first."""
        return sorted(self._written())

    def newest(self) -> Position | None:
        """The last one."""
        batches = self.batches()
        return self.of(batches[-1]) if batches else None

    def of(self, batch: int) -> Position:
        """That of a micro-batch.

        Raises:
            FileNotFoundError: there is none.
        """
        return Position(**orjson.loads(obstore.get(self._store, self._path(batch)).bytes().to_bytes()))

    def is_overtaken(self, batch: int) -> bool:
        """Whether there is a later one."""
        later = obstore.list(self._store, self._folder, offset=self._path(batch), chunk_size=1)
        return any(chunk for chunk in later)

    def create(self, position: Position) -> bool:
        """Write the position of its micro-batch, unless there is one; returns whether there was none."""
        try:
            obstore.put(self._store, self._path(position.batch), _text(position), mode="create")
        except AlreadyExistsError:
            return False
        return True

    def write(self, position: Position) -> None:
        """Write the position of its micro-batch in place of what there is."""
        obstore.put(self._store, self._path(position.batch), _text(position))

    def delete_after(self, batch: int) -> None:
        """Delete later ones, the last first."""
        for later in reversed(self.batches()):
            if later > batch:
                obstore.delete(self._store, self._path(later))

    def thin_out(self, batch: int) -> None:
        """Delete what lies long before a micro-batch, but for one of each hour of the last days."""
        kept: set[dt.datetime] = set()
        oldest = dt.datetime.now(dt.UTC) - KEPT_FOR
        for older, written in sorted(self._written().items()):
            hour = written.replace(minute=0, second=0, microsecond=0)
            if older > batch - KEPT:
                break
            if hour in kept or written < oldest:
                obstore.delete(self._store, self._path(older))
            kept.add(hour)

    def _written(self) -> dict[int, dt.datetime]:
        files = obstore.list_with_delimiter(self._store, self._folder)["objects"]
        return {int(name[1]): f["last_modified"] for f in files if (name := re.search(r"(\d{20})\.json$", f["path"]))}

    def _path(self, batch: int) -> str:
        return f"{self._folder}/{batch:020}.json"


class Fence:
    """Notes the position of each micro-batch of a query before it is written.

    Args:
        positions: of the query.
        topic_ids: of the topics that it reads.
        last: the position before its next micro-batch; or of that itself, if it runs again.
        replayed_until: as in ``Position``, where there is none.
    """

    def __init__(
        self, positions: Positions, topic_ids: Mapping[str, str], last: Position | None, replayed_until: Offsets
    ) -> None:
        self._positions = positions
        self._topic_ids = {**(last.topic_ids if last else {}), **topic_ids}
        self._retired = last.retired if last else {}
        self._replayed_until = last.replayed_until if last else replayed_until
        self._filled = last.filled if last else NONE
        self._looked = boot_time()

    def enter(self, batch: Batch, header: str) -> bool:
        """Note where a micro-batch begins and ends; returns whether the tables may have some of its records already.

        Raises:
            TurnedBackError: it ends before it begins.
            FencedError: another driver has noted it with other offsets, or has gone on.
        """
        _refuse_to_turn_back(batch)
        replays = any((offset_of(batch.start, *one) or 0) < until for *one, until in each(self._replayed_until))
        self._replayed_until = self._replayed_until if replays else {}
        position = Position(
            query_id=batch.query_id,
            batch=batch.id,
            start=batch.start,
            end=batch.end,
            header=TIMESTAMP.sub(f'"batchTimestampMs":{time.time_ns() // 1_000_000}', header),
            topic_ids=self._topic_ids,
            retired=self._retired,
            replayed_until=self._replayed_until,
            filled=self._filled,
        )
        if boot_time() - self._looked > LOOK_EVERY and self._positions.is_overtaken(batch.id):
            raise _fenced(batch)
        if not self._positions.create(position):
            self._hold_against_what_is_there(position, batch)
        self._looked = boot_time()
        return replays

    def leave(self, batch: Batch, *, had_records: bool) -> None:
        """Note that a micro-batch is in every table."""
        if had_records:
            self._filled = batch.id
        if batch.id % KEPT == 0:
            self._positions.thin_out(batch.id)

    def _hold_against_what_is_there(self, ours: Position, batch: Batch) -> None:
        there = self._positions.of(batch.id)
        is_same = (there.query_id, there.start, there.end) == (ours.query_id, ours.start, ours.end)
        if not is_same or self._positions.is_overtaken(batch.id):
            raise _fenced(batch)


def renewed(position: Position, replayed_until: Offsets) -> Position:
    """A position under a new query id, by which the tables have no micro-batch yet, whatever they have."""
    return replace(position, query_id=str(uuid.uuid4()), filled=NONE, replayed_until=replayed_until)


def _refuse_to_turn_back(batch: Batch) -> None:
    for topic, partition, end in each(batch.end):
        start = offset_of(batch.start, topic, partition)
        if start is not None and end < start:
            raise TurnedBackError(
                f"{topic}, partition {partition}, was read up to offset {start:,}, and Kafka has it up to {end:,} "
                "only: it was made anew, or lost records. The query goes on with what is there when it starts again."
            )


def _fenced(batch: Batch) -> FencedError:
    return FencedError(
        f"another driver works at the same query: micro-batch {batch.id} has other offsets there, or is long done. "
        "This driver has written nothing of it; let only one run."
    )


def _text(position: Position) -> bytes:
    return orjson.dumps(position)
