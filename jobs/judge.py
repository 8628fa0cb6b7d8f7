"""Judge records against the contract of their topic and the rules of its suite.

Nearly every record is right. To see that takes an expression a fifth as large as to find out what is wrong, and Spark
plans and generates code for the whole of it in every micro-batch, however few records that has. So a stream screens its
records, and what is left in doubt is judged apart.
"""

from collections.abc import Sequence
from functools import cached_property

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import StringType, StructField, StructType

from jobs.bronze import RECORD
from jobs.engine.deduplicate import ORIGIN
from quality.judgement import CORRUPT, is_right, reasons, reasons_of
from quality.protection import protect, protected_fields
from quality.rules import Rule, is_any_broken
from quality.suite import SEVERITIES
from schemas import Contract

ENVELOPE = tuple(field.name for field in RECORD)
# Spark's default drops every comma from a decimal that is given as text: of "1,5" it makes 15.
DECIMAL_POINT = "de-CH"
"""A locale of decimal points and without commas."""
STRICT = {"allowSingleQuotes": "false", "allowNonNumericNumbers": "false"}
"""By default Spark takes more than JSON."""


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
        schema = StructType([*contract.spark_schema, StructField(CORRUPT, StringType())])
        options = {"columnNameOfCorruptRecord": CORRUPT, "locale": DECIMAL_POINT, **STRICT}
        self._texts = [*map(F.col, ENVELOPE), F.col("value").cast("string").alias("text")]
        self._events = [
            F.struct(*ENVELOPE, "text").alias("record"),
            F.from_json(F.col("text"), schema, options).alias("event"),
            *map(F.col, ORIGIN),
        ]
        record, event = F.col("record"), F.col("event")
        # Rules name the columns of silver; the record's other columns must not stand beside them.
        self._fields = [record, event, *(event[f.name].alias(f.name) for f in contract.fields), *map(F.col, ORIGIN)]
        self._critical = by_severity["critical"]
        self._judged = {"event": event, "text": record["text"], "arrival": record["timestamp"]}
        right = is_right(contract, self._critical, **self._judged)
        self._screened = F.when(right, F.array().cast("array<string>"))
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
        return self._with_verdict(records, self._reasons)

    def screen(self, records: DataFrame) -> DataFrame:
        """The same for records that are right at first sight; the ``reasons`` of all others are null."""
        return self._with_verdict(records, self._screened)

    @cached_property
    def _reasons(self) -> Column:
        # Not before a record is in doubt: of a dozen topics it takes many seconds, which would delay the first event.
        return reasons(self.contract, self._critical, **self._judged)

    def _with_verdict(self, records: DataFrame, verdict: Column) -> DataFrame:
        fields = records.select(*self._texts).select(*self._events).select(*self._fields)
        return fields.withColumn("reasons", verdict).select(*self._verdict)
