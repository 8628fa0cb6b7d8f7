"""Plan a query, start it, and stop it between two micro-batches."""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any, Protocol, TypedDict

from kafka.errors import KafkaError
from pyspark.sql import DataFrame
from pyspark.sql.streaming.query import StreamingQuery

from jobs.engine import accidents
from jobs.engine.accidents import Accident
from jobs.engine.batch import Batch, current_batch
from jobs.engine.checkpoint import Checkpoint
from jobs.engine.exceptions import MadeAnewError
from jobs.engine.offsets import Offsets, each, gathered, offset_of
from jobs.engine.positions import Fence
from jobs.engine.resume import Written, resume
from jobs.engine.topics import Topics
from jobs.engine.watermark import Watermark
from jobs.settings import Settings

POOL = "spark.scheduler.pool"
LOOK_EVERY = 0.02
"""Seconds between two looks whether a micro-batch is in the checkpoint."""

Write = Callable[[DataFrame, Batch], Offsets]
"""Writes a micro-batch to every table that lacks it; returns the first offset that it got of each partition."""


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


@dataclass
class _Writing:
    """What lets a query end between two micro-batches."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    """Held while one is written."""
    is_over: bool = False
    last: int = -1
    """The last micro-batch that was written, or -1."""


@dataclass
class Query:
    """A running query that hands each micro-batch to a function.

    ``timed_by_producers`` are topics whose records have the time that their producer says, as of the last look.
    """

    stream: StreamingQuery
    watermarks: Mapping[str, Watermark]
    timed_by_producers: Sequence[str]
    _topics: Topics
    _topic_ids: Mapping[str, str]
    _writing: _Writing
    lane: Lane | None = None

    def look_at_topics(self) -> None:
        """See whether the topics are still those that it began to read, and who sets the time of their records.

        Raises:
            MadeAnewError: one is not.
            MissingTopicError: one was deleted.
        """
        try:
            found, timed_by_producers = self._topics.ids(), self._topics.timed_by_producers()
        except KafkaError:
            # Whoever cannot ask Kafka cannot read from it either; that is for Spark to say.
            return
        if anew := [topic for topic, known in self._topic_ids.items() if found.get(topic) != known]:
            raise MadeAnewError(f"{', '.join(anew)} was made anew; the query goes on with it when it starts again.")
        self.timed_by_producers = timed_by_producers

    def stop(self) -> None:
        """Let the micro-batch that is being written finish, in every table and in the checkpoint, then end."""
        self._writing.is_over = True
        with self._writing.lock:
            pass
        # Until the checkpoint has it, whoever compares tables knows them without it, and it would run once more.
        while self.stream.isActive and self._last_committed() < self._writing.last:
            time.sleep(LOOK_EVERY)
        self.stream.stop()
        if self.lane is not None:
            self.lane.stop()
        self._topics.close()

    def _last_committed(self) -> int:
        """The last micro-batch that is in the checkpoint; Spark reports it after that."""
        progress = self.stream.lastProgress
        return -1 if progress is None else progress.batchId


@dataclass(frozen=True)
class Plan:
    """A query that can start: hands each micro-batch to ``write``, with its checkpoint in ``_checkpoints/<name>``."""

    frame: DataFrame
    name: str
    write: Write
    settings: Settings
    trigger: Trigger
    topics: Sequence[str]
    written: Written
    watermarks: Mapping[str, Watermark] = field(default_factory=dict)
    """Of each entity that it writes, by the name under which it reports; without any, it reports as a whole."""
    lane: Lane | None = None

    def start(self) -> Query:
        """Start it where it ended, whatever has become of Kafka and of its checkpoint since.

        Raises:
            MissingTopicError: Kafka lacks a topic.
            OlderTablesError: its tables lack micro-batches that it has finished.
        """
        topics = Topics(self.settings, self.topics)
        kept = topics.kept()
        fence = resume(self.name, self.written, kept, self.settings.lake_url)
        writing = _Writing()
        take = self._taking(fence, topics)

        def take_unless_stopped(frame: DataFrame, batch_id: int) -> None:
            with writing.lock:
                if writing.is_over:
                    raise StoppedError(f"{self.name} has been told to stop")
                take(frame, current_batch(self.frame.sparkSession, batch_id))
                writing.last = batch_id

        writer = self.frame.writeStream.queryName(self.name).foreachBatch(take_unless_stopped)
        writer = writer.option("checkpointLocation", f"{self.settings.lake_url}/_checkpoints/{self.name}")
        arguments: dict[str, Any] = {"availableNow": True} if self.trigger.get("availableNow") else dict(self.trigger)
        context = self.frame.sparkSession.sparkContext
        # A pool of its own: the tasks of one query do not wait for those of another. Its thread inherits the property.
        context.setLocalProperty(POOL, self.name)
        stream = (writer.trigger(**arguments) if arguments else writer).start()
        context.setLocalProperty(POOL, None)  # type: ignore[arg-type]
        if self.lane is not None:
            self.lane.start()
        return Query(stream, self.watermarks, topics.timed_by_producers(), topics, kept.ids, writing, self.lane)

    def _taking(self, fence: Fence, topics: Topics) -> Callable[[DataFrame, Batch], None]:
        """What notes where each micro-batch begins and ends, writes it, and notes what Kafka did not have of it."""
        lake = self.settings.lake_url
        header = cache(Checkpoint(self.name, lake).header)

        def take(frame: DataFrame, batch: Batch) -> None:
            batch = replace(batch, is_replay=fence.enter(batch, header()))
            received = self.write(frame, batch)
            accidents.note(expired(self.name, batch, received, topics.beginnings), lake)
            fence.leave(batch, had_records=bool(received))

        return take


def expired(query: str, batch: Batch, received: Offsets, beginnings: Callable[[Offsets], Offsets]) -> list[Accident]:
    """What Kafka had deleted of a micro-batch before it was read.

    Args:
        query: the query's name.
        batch: between which offsets it lies.
        received: the first offset that came of each partition.
        beginnings: asks Kafka for the first offset that it keeps of each partition; not asked where all is well.

    Returns:
        a row for each partition. What transactions and compaction leave out is no loss.
    """
    spans = [(topic, part, offset_of(batch.start, topic, part), end) for topic, part, end in each(batch.end)]
    came = {(topic, part): offset_of(received, topic, part) for topic, part, *_ in spans}
    short = [
        (topic, part, start, end if (first := came[topic, part]) is None else first)
        for topic, part, start, end in spans
        if start is not None and start < end and came[topic, part] != start
    ]
    if not short:
        return []
    kept = beginnings(gathered((topic, part, start) for topic, part, start, _ in short))
    return [
        Accident(query, "expired", batch.id, topic, int(part), start, min(kept[topic][part], until))
        for topic, part, start, until in short
        if kept[topic][part] > start
    ]
