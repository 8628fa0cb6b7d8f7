"""What became of the records that ``live`` took in: the mart ``ops/live_by_minute``."""

import datetime as dt

import pyarrow as pa
from pyspark.sql.types import LongType

from jobs.engine.deduplicate import Sifted
from jobs.marts import Mart, Measure


def _counted(name: str, description: str) -> Measure:
    return Measure(name, f"sum({name})", LongType(), "records", description)


INTAKE_BY_MINUTE = Mart(
    name="live_by_minute",
    layer="ops",
    description="What became of the records that `live` took in, per minute of processing and entity.",
    window="minute",
    width=dt.timedelta(minutes=1),
    dimensions={"entity": "The topic, <domain>.<entity>."},
    measures=(
        _counted("input", "Records read from Kafka."),
        _counted("accepted", "Valid events, written to silver."),
        _counted("refused", "Records written to quarantine."),
        _counted("late", "Valid events dropped because they came later than the watermark."),
        _counted("duplicates", "Valid events dropped because an event of the same identity came before."),
    ),
    facts=lambda records: records,
)


def intake(entity: str, sifted: Sifted, *, at: dt.datetime) -> pa.Table:
    """The row of one micro-batch, with the mart's columns in order."""
    row = {
        "minute": at.replace(second=0, microsecond=0),
        "entity": entity,
        "input": len(sifted.arrivals),
        "accepted": sifted.accepted,
        "refused": sifted.refused,
        "late": sifted.late,
        "duplicates": sifted.duplicates,
    }
    return pa.Table.from_pylist([row])
