"""What a micro-batch knows of itself while it is being processed."""

import datetime as dt
from dataclasses import dataclass
from typing import Any

from pyspark.sql import SparkSession

EPOCH = dt.datetime.fromtimestamp(0, tz=dt.UTC)


@dataclass(frozen=True)
class Batch:
    """One micro-batch of one query.

    ``watermark`` is the one that the batch was planned with: rows at or before it cannot arrive any more in later
    batches. A batch that runs again after a failure has the same id, input and watermark.
    """

    query_id: str
    id: int
    watermark: dt.datetime

    def application(self, table: str) -> str:
        """The application id under which this batch's query commits to a table (Delta's ``txn`` action)."""
        return f"{self.query_id}/{table}"


@dataclass(frozen=True)
class Dropped:
    """Rows that deduplication within the watermark dropped from a batch."""

    late: int
    duplicates: int


def current_batch(session: SparkSession, batch_id: int) -> Batch:
    """The batch that the calling ``foreachBatch`` function is given."""
    query_id = session.sparkContext.getLocalProperty("sql.streaming.queryId")
    assert query_id is not None, "called outside foreachBatch"
    milliseconds = _execution(session, query_id).offsetSeqMetadata().batchWatermarkMs()
    return Batch(query_id, batch_id, EPOCH + dt.timedelta(milliseconds=milliseconds))


def dropped(session: SparkSession, batch: Batch) -> Dropped:
    """What deduplication dropped; known once the batch's rows have been computed.

    Spark reports these figures with the query's progress, but only after the batch has been committed, where a
    kill would lose them; the plan's metrics have them in time to commit them with the batch.
    """
    plan = _execution(session, batch.query_id).executedPlan()
    deduplication = _find(plan, "StreamingDeduplicateWithinWatermark")
    metrics = deduplication.metrics()
    return Dropped(
        late=metrics.apply("numRowsDroppedByWatermark").value(),
        duplicates=metrics.apply("numDroppedDuplicateRows").value(),
    )


def _execution(session: SparkSession, query_id: str) -> Any:
    query = session.streams.get(query_id)
    assert query is not None, "the query runs while its batch does"
    return query._jsq.streamingQuery().lastExecution()


def _find(plan: Any, name: str) -> Any:
    if plan.nodeName() == name:
        return plan
    children = plan.children()
    for index in range(children.size()):
        found = _find(children.apply(index), name)
        if found is not None:
            return found
    return None
