"""The late lane: events that came late go into silver and gold beside the stream, within a minute.

late ▸ what can be measured ▸ what silver does not have ▸ silver ▸ every mart and snapshot ▸ out of late

A turn takes whole files of ``late``. Which, is written down before, so that a turn that was interrupted is done again
with the very same events; each table notes the turn with its commit, as it does a micro-batch. What a turn costs
follows from its events: they are looked up in those files of silver that may have them; marts get rows, not rewrites.
"""

import datetime as dt
import logging
import threading
import time
from collections.abc import Sequence
from itertools import accumulate

import obstore
import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from deltalake import DeltaTable
from obstore.exceptions import AlreadyExistsError

from jobs.alive import micro_batch_since
from jobs.bronze import EVENTS
from jobs.engine import data_file
from jobs.engine.batch import EPOCH, Batch
from jobs.engine.deduplicate import ORIGIN, Arrivals
from jobs.engine.isolate import Isolation
from jobs.engine.store import store
from jobs.entity import Entity, late_table
from jobs.forgotten import without_forgotten
from jobs.intake import IntakeWriter
from jobs.judge import ENVELOPE
from jobs.judged import refused_rows
from jobs.settings import Settings

RESTS_PER_TURN = 9
"""The lane rests so much longer than it worked, so that the stream hardly notices it."""
LONGEST_REST = 20.0
"""Seconds, once after a turn and once until somebody says that there is more: what is late is in gold in a minute."""
EVENTS_PER_TURN = 50_000
BRONZE_FOLLOWS = dt.timedelta(minutes=1)
"""Bronze writes every five seconds, unless it does not run."""

logger = logging.getLogger(__name__)


def application(topic: str) -> str:
    """The name under which the late lane of a topic commits to tables, in place of a query's id."""
    return f"late-{topic}"


class LateLane:
    """Takes the late events of the entities of one query, in a thread of its own.

    Args:
        query: the query's name.
        turns: of each entity that it writes.
        lake: root of the lake.
    """

    def __init__(self, query: str, turns: Sequence["Turns"], lake: str) -> None:
        self._query = query
        self._turns = turns
        self._lake = store(lake)
        self._stop = threading.Event()
        self._may_begin = threading.Event()
        """Whether no micro-batch is half written: what it decided about events must not change until it is whole."""
        self._has_some = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin, as soon as no micro-batch is half written."""
        if micro_batch_since(self._lake, f"_checkpoints/{self._query}") is None:
            self._may_begin.set()
        self._thread = threading.Thread(target=self._run, name=f"late-{self._query}", daemon=True)
        self._thread.start()

    def notice(self, late: int) -> None:
        """Take note that a micro-batch is whole, and how many late events it had."""
        self._may_begin.set()
        if late:
            self._has_some.set()

    def stop(self) -> None:
        """End, after the turn that is under way."""
        self._stop.set()
        self._may_begin.set()
        self._has_some.set()
        if self._thread is not None:
            self._thread.join()

    def take(self) -> int:
        """Take all that is late now; returns the number of events."""
        return sum(count for turns in self._turns for count in iter(turns.take, 0))

    def _run(self) -> None:
        self._may_begin.wait()
        while True:
            self._has_some.clear()
            if self._stop.is_set():
                break
            began = time.monotonic()
            done = [self._take_while_full(turns) for turns in self._turns]
            rest = RESTS_PER_TURN * (time.monotonic() - began)
            self._stop.wait(min(rest, LONGEST_REST) if all(done) else LONGEST_REST)
            # An interrupted turn takes no more than it had begun with, so there may be some without a notice.
            self._has_some.wait(LONGEST_REST)

    def _take_while_full(self, turns: "Turns") -> bool:
        """Take what is late of an entity; what comes meanwhile waits, unless there is much. Returns whether it did."""
        try:
            while not self._stop.is_set() and turns.take() >= EVENTS_PER_TURN:
                pass
        except Exception:
            # They are in `late`, and the next turn tries again.
            logger.exception("The late events of %s wait: they could not be brought in", turns.topic)
            return False
        return True


class Turns:
    """The turns of one entity, one after the other."""

    def __init__(self, entity: Entity, intake: IntakeWriter, settings: Settings) -> None:
        self.topic = entity.contract.topic
        self._entity = entity
        self._intake = intake
        self._settings = settings
        self._url = late_table(entity.contract).url(settings.lake_url)
        self._files = data_file.storage(self._url)
        self._plans = store(f"{settings.lake_url}/_late/{self.topic}")
        self._late: DeltaTable | None = None

    def take(self) -> int:
        """Take the next late events, ``EVENTS_PER_TURN`` or so; returns how many there were."""
        late = self._late = self._late or DeltaTable(self._url)
        late.update_incremental()
        last = late.transaction_version(f"{application(self.topic)}/{self._entity.contract.name}")
        number = 0 if last is None else last + 1
        paths = self._paths(late, number)
        if not paths:
            return 0
        rows = self._read(late, paths)
        contract, now = self._entity.contract, dt.datetime.now(dt.UTC)
        watermark = self._entity.watermark.current
        batch = Batch(
            application(self.topic), number, watermark if watermark > EPOCH else now - contract.watermark_delay
        )
        right = self._without_unprocessable(rows, batch)
        new = self._keep_new(without_forgotten(right, contract, self._settings), batch)
        if new.num_rows:
            for name, measures in self._entity.plans.measured(new).items():
                self._entity.writers[name].upsert(measures, batch)
        accepted, refused = new.num_rows, rows.num_rows - right.num_rows
        duplicates = rows.num_rows - accepted - refused
        self._intake.count_late(self.topic, batch, accepted=accepted, refused=refused, duplicates=duplicates)
        self._entity.late.take_out(paths, batch)
        obstore.delete(self._plans, f"{number}.json")
        count: int = rows.num_rows
        return count

    def _paths(self, late: DeltaTable, number: int) -> list[str]:
        """The files of a turn: those that were written down, should it have been interrupted."""
        files = pa.table(late.get_add_actions(flatten=True))
        paths, counts = files["path"].to_pylist(), files["num_records"].to_pylist()
        before = [0, *accumulate(count or 0 for count in counts)]
        chosen = [path for path, earlier in zip(paths, before, strict=False) if earlier < EVENTS_PER_TURN]
        if not chosen:
            return []
        try:
            obstore.put(self._plans, f"{number}.json", orjson.dumps(chosen), mode="create")
        except AlreadyExistsError:
            written: list[str] = orjson.loads(obstore.get(self._plans, f"{number}.json").bytes().to_bytes())
            return written
        return chosen

    def _read(self, late: DeltaTable, paths: Sequence[str]) -> pa.Table:
        schema = pa.schema(late.schema().to_arrow())
        return pa.concat_tables([pq.read_table(path, filesystem=self._files, schema=schema) for path in paths])

    def _without_unprocessable(self, rows: pa.Table, batch: Batch) -> pa.Table:
        """The events without those that measures fail at, which go to quarantine."""
        attempt = self._entity.plans.attempt_events
        try:
            attempt(rows)
        except Exception as error:
            isolation = Isolation(attempt)
            isolation.search(rows)
            if not isolation.found:
                raise
            logger.error("Late events of %s go to quarantine: %s", self.topic, error)
            found = pa.concat_tables(isolation.found)
            refused = refused_rows(self._as_they_came(found), isolation.reasons)
            self._entity.quarantine.append(refused, batch)
            return isolation.without(rows)
        return rows

    def _as_they_came(self, events: pa.Table) -> pa.Table:
        """The records of some events as bronze has them, in the order of the events.

        Raises:
            LookupError: bronze does not have one of the last minute yet. Of an older one, only its place is known.
        """
        bronze = EVENTS.create(self._settings.lake_url).to_pyarrow_dataset()
        places = (pc.field("topic") == self.topic) & pc.field("offset").isin(pc.unique(events["offset"]))
        records = {
            (row["partition"], row["offset"], row["timestamp"]): row
            for row in bronze.to_table(columns=list(ENVELOPE), filter=places).to_pylist()
        }
        origins = events.select(ORIGIN).to_pylist()
        absent = [origin for origin in origins if tuple(origin.values()) not in records]
        if any(origin["timestamp"] > dt.datetime.now(dt.UTC) - BRONZE_FOLLOWS for origin in absent):
            raise LookupError("bronze does not have all of their records yet")
        found = [records.get(tuple(origin.values())) or origin | {"topic": self.topic} for origin in origins]
        schema = pa.schema([bronze.schema.field(name) for name in ENVELOPE])
        return pa.Table.from_pylist([dict.fromkeys(ENVELOPE) | row for row in found], schema)

    def _keep_new(self, rows: pa.Table, batch: Batch) -> pa.Table:
        """Append to silver what it does not have; gives that."""
        contract, deduplication, silver = self._entity.contract, self._entity.deduplication, self._entity.silver
        arrivals = Arrivals.late(rows, key=contract.key, event_time=contract.event_time)
        if silver.has(batch):
            return rows.filter(pa.array(deduplication.in_silver(arrivals)))
        is_known = deduplication.look_up(arrivals)
        with deduplication.lock:
            is_new = deduplication.sift_late(arrivals, is_known)
            new = rows.filter(pa.array(is_new))
            if new.num_rows:
                silver.append(new, batch)
                deduplication.remember(arrivals, is_new)
        return new
