"""Slowly changing dimensions of type 2: what was known of a thing, and from when to when."""

from collections.abc import Sequence

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F


def history(events: DataFrame, key: str, attributes: Sequence[str]) -> DataFrame:
    """Every version of every thing; a version begins where one of the attributes changes.

    Args:
        events: silver events, each of which says all that is known of its thing.
        key: names the thing.
        attributes: what is wanted of it.

    Returns:
        The key, version (counts from 1), the attributes, valid_from (null in the first version, which also holds for
        the time before it was known) and valid_to (null in the last).
    """
    said = F.max_by(F.struct(*attributes), "offset").alias("said")
    order = Window.partitionBy(key).orderBy("event_time")
    before = F.lag("said").over(order)
    moments = events.groupBy(key, "event_time").agg(said)
    began = moments.withColumn("_is_same", before.eqNullSafe(F.col("said"))).where("NOT _is_same")
    return began.select(
        key,
        F.row_number().over(order).cast("long").alias("version"),
        "said.*",
        F.when(F.lag("event_time").over(order).isNotNull(), F.col("event_time")).alias("valid_from"),
        F.lead("event_time").over(order).alias("valid_to"),
    )


def as_of(facts: DataFrame, versions: DataFrame, key: str, at: str) -> DataFrame:
    """Facts with what was known of their thing at a moment; with nulls where the thing is unknown.

    Args:
        facts: with the key.
        versions: as ``history`` gives them.
        key: names the thing.
        at: the column of ``facts`` that says when.
    """
    known = versions.withColumnRenamed(key, "_key")
    began = F.col("valid_from").isNull() | (F.col(at) >= F.col("valid_from"))
    lasts = F.col("valid_to").isNull() | (F.col(at) < F.col("valid_to"))
    joined = facts.join(F.broadcast(known), (F.col(key) == F.col("_key")) & began & lasts, "left")
    return joined.drop("_key", "version", "valid_from", "valid_to")
