"""What a micro-batch knows of itself while it is being processed."""

import datetime as dt
from dataclasses import dataclass

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


def current_batch(session: SparkSession, batch_id: int) -> Batch:
    """The batch that the calling ``foreachBatch`` function is given."""
    query_id = session.sparkContext.getLocalProperty("sql.streaming.queryId")
    assert query_id is not None, "called outside foreachBatch"
    query = session.streams.get(query_id)
    assert query is not None, "the query runs while its batch does"
    milliseconds = query._jsq.streamingQuery().lastExecution().offsetSeqMetadata().batchWatermarkMs()
    return Batch(query_id, batch_id, EPOCH + dt.timedelta(milliseconds=milliseconds))
