"""What a session of the jobs has."""

from pyspark.sql import SparkSession


def test_a_driver_that_is_its_own_executor_does_not_lose_it(spark: SparkSession) -> None:
    """Spark's heartbeat thread ends at an error in its own metrics; with the executor goes all that it has cached."""
    context = spark.sparkContext

    assert context.master.startswith("local")
    # HeartbeatReceiver, after which an executor is lost.
    waits = context.getConf().get("spark.storage.blockManagerHeartbeatTimeoutMs", "120s")
    assert context._jvm.org.apache.spark.util.Utils.timeStringAsSeconds(waits) > 7 * 24 * 3600
