"""``python -m bench.unjudged``: `sluice run bronze live` without a single rule, to tell what judging costs.

Records are decoded, and each is accepted; no rule is counted.
"""

from typing import Any
from unittest.mock import patch

from pyspark.sql import Column
from pyspark.sql import functions as F

from jobs.intake import IntakeWriter
from jobs.run import run
from jobs.settings import settings


def accept_all(*_contract_and_rules: Any, **_columns: Column) -> Column:
    """Every record is right, whatever it is."""
    return F.lit(True)


def count_nothing(*_counts: Any) -> None:
    """Leave ``ops/quality_by_minute`` as it is."""


if __name__ == "__main__":
    with patch("jobs.judge.is_right", accept_all), patch.object(IntakeWriter, "count_rules", count_nothing):
        run(["bronze", "live"], settings())
