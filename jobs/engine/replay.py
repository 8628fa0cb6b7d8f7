"""Records that come from Kafka a second time."""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.engine.table import Table

PLACE = ("topic", "partition", "offset", "timestamp")
"""Where a record comes from; offsets alone begin anew with a topic, times do not."""


def unseen(records: DataFrame, table: Table, lake: str) -> DataFrame:
    """The records that a table does not have yet, by their place.

    Args:
        records: of a micro-batch, with the columns of ``PLACE``.
        table: has these columns, and the day of arrival in ``arrival_date``. Only the days since the oldest of the
            records are read, and of those the files whose offsets may be theirs.
        lake: root of the lake.
    """
    is_sane = F.max("timestamp") <= F.current_timestamp()
    oldest = F.to_date(F.min("timestamp")).cast("string")
    found = records.agg(F.min("offset"), F.max("offset"), F.when(is_sane, oldest)).collect()
    lowest, highest, first_day = found[0]
    if lowest is None:
        return records
    there = records.sparkSession.read.format("delta").load(table.url(lake))
    there = there.where(F.col("offset").between(lowest, highest))
    # A record cannot arrive before its time, unless its producer made that up.
    if first_day is not None:
        there = there.where(F.col("arrival_date") >= F.to_date(F.lit(first_day)))
    return records.join(there.select(*PLACE), on=list(PLACE), how="left_anti").select(*records.columns)
