"""Start a query."""

from collections.abc import Callable
from typing import Any, TypedDict

from pyspark.sql import DataFrame
from pyspark.sql.streaming.query import StreamingQuery

from jobs.settings import Settings


class Trigger(TypedDict, total=False):
    """When micro-batches start; empty for as soon as there are new records."""

    processingTime: str
    availableNow: bool


def start(
    frame: DataFrame, name: str, write: Callable[[DataFrame, int], None], settings: Settings, trigger: Trigger
) -> StreamingQuery:
    """Start a query that hands each micro-batch to ``write``, with its checkpoint in ``<lake>/_checkpoints/<name>``."""
    writer = frame.writeStream.queryName(name).foreachBatch(write)
    writer = writer.option("checkpointLocation", f"{settings.lake_url}/_checkpoints/{name}")
    arguments: dict[str, Any] = {"availableNow": True} if trigger.get("availableNow") else dict(trigger)
    return (writer.trigger(**arguments) if arguments else writer).start()
