"""The Spark session of a job."""

import os
from pathlib import Path

from pyspark.sql import SparkSession

from jobs.engine.scratch import scratch_folder
from jobs.settings import Settings

DELTA_EXTENSION = "io.delta.sql.DeltaSparkSessionExtension"
DELTA_CATALOG = "org.apache.spark.sql.delta.catalog.DeltaCatalog"
CHECKPOINT_FILES = "org.apache.spark.sql.execution.streaming.checkpointing.FileSystemBasedCheckpointFileManager"
LOGGING = Path(__file__).with_name("log4j2.properties")
ROCKSDB = "org.apache.spark.sql.execution.streaming.state.RocksDBStateStoreProvider"


OBJECT_STORE = "s3"
"""The folder of the jars that an object store needs."""

OPTIONS = {
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.shuffle.partitions": "2",
    "spark.scheduler.mode": "FAIR",
    # A micro-batch is small: adapting its plan costs more than it saves.
    "spark.sql.adaptive.enabled": "false",
    # Python asks the JVM some six times per expression where it stands in the code, which tells a failure's line.
    "spark.python.sql.dataFrameDebugging.enabled": "false",
    # The text of every plan is for the web interface, which is off.
    "spark.sql.ui.explainMode": "simple",
    # A dozen queries have several hundred pieces of generated code; what does not fit is compiled for every batch.
    "spark.sql.codegen.cache.maxEntries": "4000",
    # A micro-batch is cached for a second or so: compressing it costs more than it saves.
    "spark.sql.inMemoryColumnarStorage.compressed": "false",
    # Records of a megabyte each must fit into memory by the batch.
    "spark.sql.inMemoryColumnarStorage.batchSize": "500",
    # Rows that come from Python stay local whatever they weigh: what is planned once takes them from there.
    "spark.sql.execution.arrow.localRelationThreshold": "1g",
    "spark.sql.extensions": DELTA_EXTENSION,
    "spark.sql.catalog.spark_catalog": DELTA_CATALOG,
    "spark.sql.streaming.stateStore.providerClass": ROCKSDB,
    "spark.sql.streaming.stateStore.rocksdb.changelogCheckpointing.enabled": "true",
    "spark.sql.streaming.checkpoint.fileChecksum.enabled": "false",
    # The default one forks a `chmod` for every checkpoint file on a local disk.
    "spark.sql.streaming.checkpointFileManagerClass": CHECKPOINT_FILES,
    "spark.databricks.delta.snapshotPartitions": "2",
}
"""What every session has, unless ``SLUICE_SPARK_CONF`` says otherwise."""


OBJECT_STORE_OPTIONS = {
    "spark.hadoop.fs.s3.impl": "org.apache.hadoop.fs.s3a.S3AFileSystem",
    "spark.delta.logStore.s3.impl": "sluice.ConditionalLogStore",
    # The default one takes a file for broken that is replaced while it reads, as `_last_checkpoint` is.
    "spark.hadoop.fs.s3a.input.stream.type": "classic",
    "spark.hadoop.fs.s3a.change.detection.mode": "none",
}


def _object_store_options() -> dict[str, str]:
    """What Spark needs for a lake in an object store, by the variables ``AWS_…`` that delta-rs reads too."""
    found = dict(OBJECT_STORE_OPTIONS)
    if endpoint := os.environ.get("AWS_ENDPOINT_URL"):
        found["spark.hadoop.fs.s3a.endpoint"] = endpoint
        found["spark.hadoop.fs.s3a.path.style.access"] = "true"
    if region := os.environ.get("AWS_REGION"):
        found["spark.hadoop.fs.s3a.endpoint.region"] = region
    return found


def spark_session(settings: Settings, *, name: str = "sluice") -> SparkSession:
    """Start a Spark session that reads Kafka, keeps state in RocksDB and writes Delta, in UTC.

    Raises:
        FileNotFoundError: the jars are not in ``SLUICE_CACHE/jars/spark``.
    """
    jars = []
    for folder in ("spark", OBJECT_STORE) if settings.is_in_object_store else ("spark",):
        home = settings.cache / "jars" / folder
        found = sorted(map(str, home.glob("*.jar")))
        if not found:
            raise FileNotFoundError(f"no jars in {home}; run `make jars`")
        jars += found
    options = OPTIONS | {
        "spark.driver.memory": settings.driver_memory,
        # Deep plans overflow the JVM's default stack when a query is stopped.
        "spark.driver.extraJavaOptions": "-Xss8m -XX:+UseG1GC -XX:MaxGCPauseMillis=100 -Duser.timezone=UTC "
        f"-Dlog4j2.configurationFile={LOGGING.as_uri()}",
        "spark.jars": ",".join(jars),
        "spark.local.dir": str(scratch_folder(settings.home / "tmp")),
    }
    if settings.is_in_object_store:
        options |= _object_store_options()
    if settings.spark_master:
        options["spark.master"] = settings.spark_master
    if settings.spark_master.startswith("local"):
        # The driver itself is the executor: it cannot be lost, and an error in Spark's metrics ends its heartbeats.
        options["spark.storage.blockManagerHeartbeatTimeoutMs"] = "365d"
    builder = SparkSession.builder.appName(name)
    for key, value in (options | settings.spark_conf).items():
        builder = builder.config(key, value)
    return builder.getOrCreate()
