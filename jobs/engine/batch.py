"""What a micro-batch knows of itself while it is being processed."""

import datetime as dt
import json
from dataclasses import dataclass, field
from typing import Any

from pyspark.sql import SparkSession

from jobs.engine.offsets import Offsets, spans_between

EPOCH = dt.datetime.fromtimestamp(0, tz=dt.UTC)
MILLISECOND = dt.timedelta(milliseconds=1)


@dataclass(frozen=True)
class Batch:
    """One micro-batch of one query, as one of its tables takes it.

    ``watermark`` is that of the table's entity: rows at or before it cannot arrive any more in later batches. A batch
    that runs again after a failure has the same id, input and watermark. ``start`` and ``end`` are the offsets of Kafka
    between which its records lie; a partition that ``start`` lacks begins with what Kafka has. ``is_replay`` says that
    the table may have some of its records already, by a batch of another id.
    """

    query_id: str
    id: int
    watermark: dt.datetime = EPOCH
    start: Offsets = field(default_factory=dict)
    end: Offsets = field(default_factory=dict)
    is_replay: bool = False

    @property
    def records(self) -> int:
        """Offsets of all topics, those included that Kafka deleted before the query's first batch."""
        return sum(spans_between(self.start, self.end).values())

    def application(self, table: str) -> str:
        """The application id under which this batch's query commits to a table (Delta's ``txn`` action)."""
        return f"{self.query_id}/{table}"


def current_batch(session: SparkSession, batch_id: int) -> Batch:
    """The batch that the calling ``foreachBatch`` function is given."""
    query_id = session.sparkContext.getLocalProperty("sql.streaming.queryId")
    assert query_id is not None, "called outside foreachBatch"
    query = session.streams.get(query_id)
    assert query is not None, "the query runs while its batch does"
    execution = query._jsq.streamingQuery()
    started, ends = execution.committedOffsets(), execution.availableOffsets()
    start: Offsets = {} if started.isEmpty() else _offsets(started)
    return Batch(query_id, batch_id, start=start, end=_offsets(ends))


def _offsets(progress: Any) -> Offsets:
    """The offsets of a query's one source."""
    offsets: Offsets = json.loads(progress.values().head().json())
    return offsets
