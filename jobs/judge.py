"""Judge records against the contract of their topic and the rules of its suite.

Nearly every record is right. To see that takes an expression a fifth as large as to find out what is wrong, and Spark
plans and generates code for the whole of it in every micro-batch, however few records that has. So a stream screens its
records, and what is left in doubt is judged apart.
"""

from collections.abc import Sequence
from functools import cached_property

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from jobs.bronze import RECORD
from jobs.engine.deduplicate import ORIGIN
from quality.first_sight import decode, is_right
from quality.judgement import no_reasons, reasons_of
from quality.protection import protect, protected_fields
from quality.rules import Rule, is_any_broken
from quality.suite import SEVERITIES
from quality.thorough import judged
from schemas import Contract

ENVELOPE = tuple(field.name for field in RECORD)


class Judge:
    """Judges the records of one topic, and protects what is personal in them.

    Its columns are made once: in every micro-batch, that would take longer than to judge.

    Args:
        contract: what the events should be.
        rules: what else they should be.
        key: of the pseudonyms.
    """

    def __init__(self, contract: Contract, rules: Sequence[Rule], *, key: bytes) -> None:
        self.contract = contract
        by_severity = {severity: [rule for rule in rules if rule.severity == severity] for severity in SEVERITIES}
        self._texts = [*map(F.col, ENVELOPE), F.col("value").cast("string").alias("text")]
        self._decoded = [
            F.struct(*ENVELOPE, "text").alias("record"),
            decode(contract, F.col("value"), F.col("text")).alias("event"),
            *map(F.col, ORIGIN),
        ]
        record, event = F.col("record"), F.col("event")
        self._is_right = is_right(contract, event=event, text=record["text"], arrival=record["timestamp"])
        # Rules name the columns of silver; the record's other columns must not stand beside them.
        self._fields = [event[field.name].alias(field.name) for field in contract.fields]
        self._critical = by_severity["critical"]
        accepted = F.coalesce(F.size("reasons") == 0, F.lit(False))
        self._verdict = [
            *(F.when(accepted, protect(f.name, f.protection, key)).alias(f.name) for f in contract.fields),
            F.col("reasons"),
            *(
                F.when(accepted & is_any_broken(found), reasons_of(found, protected_fields(contract))).alias(name)
                for name, found in (("marks", by_severity["warning"]), ("noted", by_severity["info"]))
            ),
            *map(F.col, ORIGIN),
            *(F.when(~accepted, record[name]).alias(name) for name in ENVELOPE if name not in ORIGIN),
            F.coalesce(F.octet_length(record["value"]), F.lit(0)).alias("bytes"),
        ]

    def judge(self, records: DataFrame) -> DataFrame:
        """Judge records; gives the columns of ``Judged``."""
        found = self._decode(records).select("record", self._found.alias("found"), *ORIGIN)
        events = found.select("record", "found.event", "found.reasons", *ORIGIN)
        # Rules are about what a contract accepts.
        reasons = F.when(F.size("reasons") > 0, F.col("reasons")).otherwise(reasons_of(self._critical))
        return self._with_verdict(events, reasons)

    def screen(self, records: DataFrame) -> DataFrame:
        """The same for records that are right at first sight; the ``reasons`` of all others are null."""
        right = self._is_right & ~is_any_broken(self._critical)
        return self._with_verdict(self._decode(records), F.when(right, no_reasons()))

    @cached_property
    def _found(self) -> Column:
        # Not before a record is in doubt: of a dozen topics it takes many seconds, which would delay the first event.
        record, event = F.col("record"), F.col("event")
        seen = F.struct(*(event[field.name].alias(field.name) for field in self.contract.fields))
        return F.when(self._is_right, F.struct(seen.alias("event"), no_reasons().alias("reasons"))).otherwise(
            judged(self.contract, text=record["text"], arrival=record["timestamp"])
        )

    def _decode(self, records: DataFrame) -> DataFrame:
        return records.select(*self._texts).select(*self._decoded)

    def _with_verdict(self, events: DataFrame, reasons: Column) -> DataFrame:
        return events.select("*", *self._fields).withColumn("reasons", reasons).select(*self._verdict)
