"""The watermark of an entity: how late an event may be.

One query reads the topics of a whole domain, but an entity's watermark follows from its own events: it is the newest
event time of earlier micro-batches, less the contract's delay. Silver has all of these events, so it is the memory
here, as it is of deduplication: a process that starts reads the newest event time back, and a batch that runs again has
the same watermark as the first time.
"""

import datetime as dt
from collections.abc import Callable

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from deltalake import DeltaTable

from jobs.engine import data_file
from jobs.engine.batch import EPOCH, MILLISECOND
from jobs.engine.deduplicate import PLACE, Arrivals, Sifted, came_before
from jobs.engine.identities import Flags

TIME = pa.timestamp("us", "UTC")

IsEarlier = Callable[[pa.Table], Flags]
"""Says of rows of silver, with the columns ``PLACE``, whether they are of the batches that count."""


class Watermark:
    """The watermark of one entity.

    Args:
        silver: the table of its events.
        event_time: the column of their event time.
        delay: the contract's.
    """

    def __init__(self, silver: DeltaTable, *, event_time: str, delay: dt.timedelta) -> None:
        self._silver = silver
        self._event_time = event_time
        self.delay = delay
        self.newest: dt.datetime | None = None
        """The newest event time of earlier batches, once there was one."""
        self._is_read = False

    def before(self, arrivals: Arrivals) -> dt.datetime:
        """The watermark of the batch that has these arrivals; UTC, in whole milliseconds."""
        if not self._is_read:
            self.newest = newest_event_time(self._silver, self._event_time, lambda rows: came_before(rows, arrivals))
            self._is_read = True
        return watermark_of(self.newest, self.delay)

    def advance(self, sifted: Sifted) -> None:
        """Take note of the new events of a batch that every table has."""
        if sifted.is_new.any():
            newest = EPOCH + dt.timedelta(microseconds=int(sifted.arrivals.times[sifted.is_new].max()))
            self.newest = max(newest, self.newest or newest)


def watermark_of(newest: dt.datetime | None, delay: dt.timedelta) -> dt.datetime:
    """The watermark after events of which this is the newest time; the epoch before there is any event."""
    if newest is None:
        return EPOCH
    return max(EPOCH, newest.replace(microsecond=newest.microsecond // 1000 * 1000) - delay)


def newest_event_time(silver: DeltaTable, event_time: str, is_earlier: IsEarlier) -> dt.datetime | None:
    """The newest event time of those rows of silver that are of earlier batches; None without any.

    Files are read by their statistics, the newest first, so it is few of them.
    """
    silver.update_incremental()
    actions = pa.table(silver.get_add_actions(flatten=True))
    if not actions.num_rows:
        return None
    paths, latest = actions["path"].to_pylist(), _latest(actions, event_time)
    storage = data_file.storage(silver.table_uri)
    newest: dt.datetime | None = None
    # Statistics may be cut to milliseconds.
    for path, last in sorted(zip(paths, latest, strict=True), key=lambda file: file[1], reverse=True):
        if newest is not None and last + MILLISECOND <= newest:
            break
        rows = pq.read_table(path, columns=[event_time, *PLACE], filesystem=storage, partitioning=None)
        # Spark writes times of another unit, without a zone.
        times = rows[event_time].filter(pa.array(is_earlier(rows))).cast(TIME)
        found = pc.max(times).as_py()
        newest = max((time for time in (newest, found) if time is not None), default=None)
    return newest


def _latest(actions: pa.Table, event_time: str) -> list[dt.datetime]:
    """The newest event time of each file; that of a file without statistics may be any."""
    any_time = dt.datetime.max.replace(tzinfo=dt.UTC) - MILLISECOND
    name = f"max.{event_time}"
    if name not in actions.column_names:
        return [any_time] * actions.num_rows
    times = actions[name].cast(TIME).to_pylist()
    return [any_time if time is None else time for time in times]
