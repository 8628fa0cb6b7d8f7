"""Plan a query, start it, and stop it between two micro-batches."""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypedDict

from pyspark.sql import DataFrame
from pyspark.sql.streaming.query import StreamingQuery

from jobs.engine.watermark import Watermark
from jobs.settings import Settings

POOL = "spark.scheduler.pool"

Write = Callable[[DataFrame, int], None]


class Trigger(TypedDict, total=False):
    """When micro-batches start; empty for as soon as there are new records."""

    processingTime: str
    availableNow: bool


class Lane(Protocol):
    """What goes on beside a query, from its start to its end."""

    def start(self) -> None:
        """Begin."""

    def stop(self) -> None:
        """End, between two pieces of work."""

    def take(self) -> int:
        """Do all that is to be done now; returns how much there was."""


class StoppedError(Exception):
    """A micro-batch began after its query had been told to stop; it runs when the query starts again."""


@dataclass(frozen=True)
class Query:
    """A running query that hands each micro-batch to a function."""

    stream: StreamingQuery
    watermarks: Mapping[str, Watermark]
    _writing: threading.Lock
    _told_to_stop: threading.Event
    lane: Lane | None = None

    def stop(self) -> None:
        """Let the micro-batch that is being written finish, so that every table has it, then end."""
        self._told_to_stop.set()
        with self._writing:
            pass
        self.stream.stop()
        if self.lane is not None:
            self.lane.stop()


@dataclass(frozen=True)
class Plan:
    """A query that can start: hands each micro-batch to ``write``, with its checkpoint in ``_checkpoints/<name>``."""

    frame: DataFrame
    name: str
    write: Write
    settings: Settings
    trigger: Trigger
    watermarks: Mapping[str, Watermark] = field(default_factory=dict)
    """Of each entity that it writes, by the name under which it reports; without any, it reports as a whole."""
    lane: Lane | None = None

    def start(self) -> Query:
        """Start it."""
        writing, told_to_stop = threading.Lock(), threading.Event()

        def write_unless_stopped(batch: DataFrame, batch_id: int) -> None:
            with writing:
                if told_to_stop.is_set():
                    raise StoppedError(f"{self.name} has been told to stop")
                self.write(batch, batch_id)

        writer = self.frame.writeStream.queryName(self.name).foreachBatch(write_unless_stopped)
        writer = writer.option("checkpointLocation", f"{self.settings.lake_url}/_checkpoints/{self.name}")
        arguments: dict[str, Any] = {"availableNow": True} if self.trigger.get("availableNow") else dict(self.trigger)
        context = self.frame.sparkSession.sparkContext
        # A pool of its own: the tasks of one query do not wait for those of another. Its thread inherits the property.
        context.setLocalProperty(POOL, self.name)
        stream = (writer.trigger(**arguments) if arguments else writer).start()
        context.setLocalProperty(POOL, None)  # type: ignore[arg-type]
        if self.lane is not None:
            self.lane.start()
        return Query(stream, self.watermarks, writing, told_to_stop, self.lane)
