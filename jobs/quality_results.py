"""The table ``ops/quality_results``."""

from pyspark.sql.types import BooleanType, LongType, StringType, StructType, TimestampType

from jobs.engine.table import Table, column

RESULTS = Table(
    layer="ops",
    name="quality_results",
    schema=StructType(
        [
            column("validated_at", TimestampType(), "When the run began, UTC; the same for all of its results."),
            column("table", StringType(), "The table, <layer>.<name>."),
            column("version", LongType(), "Version of the table that was validated."),
            column("expectation", StringType(), "Type of the expectation, as Great Expectations calls it."),
            column("severity", StringType(), "critical, warning or info."),
            column("description", StringType(), "The rule in a sentence."),
            column("arguments", StringType(), "Arguments of the expectation, as JSON."),
            column("success", BooleanType(), "Whether the table is as expected."),
            column("evaluated", LongType(), "Rows that were looked at; empty for an expectation of the whole table."),
            column("unexpected", LongType(), "Rows that are not as expected."),
            column("error", StringType(), "Why the expectation could not be evaluated; empty where it could."),
        ]
    ),
    description="What Great Expectations found in each table, one row per run and expectation.",
)
