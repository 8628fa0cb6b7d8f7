"""What a micro-batch knows of itself while it is being processed."""

import datetime as dt
import json
from collections.abc import Mapping
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
    that runs again after a failure has the same id, input and watermark. ``spans`` is how many offsets of each topic of
    Kafka it has, those included that Kafka deleted before the query's first batch.
    """

    query_id: str
    id: int
    watermark: dt.datetime = EPOCH
    spans: Mapping[str, int] = field(default_factory=dict)

    @property
    def records(self) -> int:
        """Offsets of all topics."""
        return sum(self.spans.values())

    def application(self, table: str) -> str:
        """The application id under which this batch's query commits to a table (Delta's ``txn`` action)."""
        return f"{self.query_id}/{table}"


def current_batch(session: SparkSession, batch_id: int) -> Batch:
    """The batch that the calling ``foreachBatch`` function is given."""
    query_id = session.sparkContext.getLocalProperty("sql.streaming.queryId")
    assert query_id is not None, "called outside foreachBatch"
    query = session.streams.get(query_id)
    assert query is not None, "the query runs while its batch does"
    return Batch(query_id, batch_id, spans=_spans(query._jsq.streamingQuery()))


def _spans(execution: Any) -> dict[str, int]:
    started, ends = execution.committedOffsets(), execution.availableOffsets()
    return spans_between({} if started.isEmpty() else _offsets(started), _offsets(ends))


def _offsets(progress: Any) -> Offsets:
    """The offsets of a query's one source."""
    offsets: Offsets = json.loads(progress.values().head().json())
    return offsets
