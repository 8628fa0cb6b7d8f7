"""The pipeline that the documentation of Spark and Delta Lake teaches: three hops, each a streaming query.

Kafka ▸ bronze (Delta sink) ▸ silver (Delta source, decode, judge, dedupe, Delta sink)
▸ gold (Delta source, watermarked windows in update mode, ``foreachBatch`` with MERGE)

It has Sluice's session, contract, decoding, judgement and mart, so that only the way of the data differs.
Every order of the bench has one line, so ``explode`` suffices here to count an order once per category.
"""

import signal
import threading

from delta.tables import DeltaTable
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.streaming.query import StreamingQuery

from jobs.bronze import EVENTS
from jobs.engine.kafka import records
from jobs.engine.session import spark_session
from jobs.engine.table import Table
from jobs.entity import silver_table
from jobs.judge import Judge
from jobs.judged import silver_rows
from jobs.marts.marketplace import SALES_BY_MINUTE
from jobs.settings import Settings, settings
from schemas import Contract, load_contracts

KEY = b"bench"
RECORDS_PER_BATCH = 1_000_000
"""More than ever wait: like most such pipelines, it takes whatever there is."""


def delay(contract: Contract) -> str:
    """The watermark delay as Spark reads it."""
    return f"{contract.watermark_delay.total_seconds():.0f} seconds"


def bronze_rows(session: SparkSession, contract: Contract, settings: Settings) -> DataFrame:
    """First hop: the records of the topic as they come."""
    arrived = records(session, [contract.topic], settings, most=RECORDS_PER_BATCH)
    return arrived.withColumn("arrival_date", F.to_date("timestamp"))


def valid_events(bronze: DataFrame, contract: Contract) -> DataFrame:
    """Second hop: valid events, each once."""
    valid = silver_rows(Judge(contract, (), key=KEY).judge(bronze), contract)
    return valid.withWatermark(contract.event_time, delay(contract)).dropDuplicatesWithinWatermark([contract.key])


def sales(silver: DataFrame, contract: Contract) -> DataFrame:
    """Third hop: the mart's measures per window and dimensions."""
    facts = (
        silver.withWatermark(contract.event_time, delay(contract))
        .withColumn("line", F.explode("lines"))
        .withColumn("category", F.col("line.category"))
        .withColumn("units", F.col("line.quantity"))
        .withColumn("value", F.expr("cast(line.quantity * line.unit_price as decimal(18,4))"))
        .withColumn("discount", F.coalesce("line.discount", F.lit(0)))
    )
    window = F.window(contract.event_time, "1 minute")
    measures = [
        F.expr(f"cast({measure.formula} as {measure.data_type.simpleString()})").alias(measure.name)
        for measure in SALES_BY_MINUTE.measures
    ]
    measured = facts.groupBy(window, *SALES_BY_MINUTE.dimensions).agg(*measures)
    return measured.withColumn("minute", F.col("window.start")).drop("window")


def merge(batch: DataFrame, _batch_id: int, *, gold: str) -> None:
    """Upsert the windows that changed."""
    keys = ["minute", *SALES_BY_MINUTE.dimensions]
    same = " and ".join(f"gold.{key} = batch.{key}" for key in keys)
    merged = DeltaTable.forPath(batch.sparkSession, gold).alias("gold").merge(batch.alias("batch"), same)
    merged.whenMatchedUpdateAll().whenNotMatchedInsertAll().execute()


def sink(rows: DataFrame, table: Table, lake: str) -> StreamingQuery:
    """Start a query that appends to a Delta table."""
    writer = rows.writeStream.format("delta").queryName(table.name).outputMode("append")
    return writer.option("checkpointLocation", f"{lake}/_checkpoints/{table.name}").start(table.url(lake))


def start(session: SparkSession, contract: Contract, settings: Settings) -> None:
    """Create the tables and start the three queries."""
    lake = settings.lake_url
    bronze, silver, gold = EVENTS, silver_table(contract), SALES_BY_MINUTE.table
    for table in (bronze, silver, gold):
        table.create(lake)

    def read(table: Table) -> DataFrame:
        return session.readStream.format("delta").load(table.url(lake))

    sink(bronze_rows(session, contract, settings), bronze, lake)
    sink(valid_events(read(bronze), contract), silver, lake)
    writer = sales(read(silver), contract).writeStream.queryName(gold.name).outputMode("update")
    writer = writer.option("checkpointLocation", f"{lake}/_checkpoints/{gold.name}")
    writer.foreachBatch(lambda batch, batch_id: merge(batch, batch_id, gold=gold.url(lake))).start()


def main() -> None:
    """Run until SIGTERM, or until a query fails."""
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    session = spark_session(settings(), name="textbook")
    [contract] = [contract for contract in load_contracts() if contract.topic == "marketplace.orders"]
    start(session, contract, settings())
    while not ended.wait(1):
        for query in session.streams.active:
            if error := query.exception():
                raise error
        if len(session.streams.active) < 3:
            raise RuntimeError("a query has ended")
    for query in session.streams.active:
        query.stop()
    session.stop()


if __name__ == "__main__":
    main()
