"""The watermark of an entity: up to when its windows are closed.

How late an event is, is a property of the event alone: its event time against its arrival in Kafka. So windows close by
arrival, and an event whose time is ahead moves nothing for anybody else (docs/decisions/0060). What comes to a closed
window all the same, because one partition lies behind, costs a row more until the table is compacted.
"""

import datetime as dt
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc
from deltalake import DeltaTable

from jobs.engine.batch import EPOCH
from jobs.engine.deduplicate import Arrivals, Sifted

TIME = pa.timestamp("us", "UTC")


@dataclass
class Watermark:
    """The watermark of one entity, with the contract's delay."""

    delay: dt.timedelta
    newest: dt.datetime | None = None
    """The newest event time so far; of an event that is ahead, its arrival."""
    current: dt.datetime = EPOCH
    """Windows that end before are closed; UTC, in whole milliseconds."""

    def before(self, arrivals: Arrivals) -> dt.datetime:
        """The watermark of the batch that has these arrivals."""
        if arrivals.oldest is not None:
            # A clock that is not the broker's may say anything.
            first = _moment(min(arrivals.oldest, _now()))
            self.current = max(self.current, first.replace(microsecond=first.microsecond // 1000 * 1000) - self.delay)
        return self.current

    def advance(self, sifted: Sifted) -> None:
        """Take note of the new events of a batch that every table has."""
        if sifted.is_new.any():
            arrivals = sifted.arrivals
            newest = arrivals.times[sifted.is_new].clip(max=arrivals.arrived[sifted.is_new]).max()
            moment = _moment(min(int(newest), _now()))
            self.newest = max(moment, self.newest or moment)


def newest_event_time(silver: DeltaTable, event_time: str) -> dt.datetime | None:
    """The newest event time in silver, by the statistics of its files; None without any."""
    files = pa.table(silver.get_add_actions(flatten=True))
    latest = [f"max.{event_time}", "max.timestamp"]
    if not {*latest} <= {*files.column_names}:
        return None
    times, arrived = (files[name].cast(TIME) for name in latest)
    found: dt.datetime | None = pc.max(pc.if_else(pc.less(times, arrived), times, arrived)).as_py()
    return found


def _now() -> int:
    return (dt.datetime.now(dt.UTC) - EPOCH) // dt.timedelta(microseconds=1)


def _moment(microseconds: int) -> dt.datetime:
    return EPOCH + dt.timedelta(microseconds=max(0, microseconds))
