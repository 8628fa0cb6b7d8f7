"""What a mart's declaration says of its rows, as expectations."""

from collections.abc import Iterator

from pyspark.sql.types import LongType

from jobs.marts.mart import Mart
from quality.contract_rules import Expectation, critical


def mart_expectations(mart: Mart) -> Iterator[Expectation]:
    """Expectations of a mart's table: its grain holds, every sum is there, and no count is negative."""
    grain = [mart.window, *mart.dimensions]
    if len(grain) > 1:
        message = "There is one row per window and dimensions."
        yield critical("expect_compound_columns_to_be_unique", message, column_list=grain)
    else:
        yield critical("expect_column_values_to_be_unique", "There is one row per window.", column=mart.window)
    sums = [measure for measure in mart.measures if measure.merge == "sum"]
    for name in [*grain, *(measure.name for measure in sums)]:
        yield critical("expect_column_values_to_not_be_null", f"Every row has {name}.", column=name)
    for measure in sums:
        if isinstance(measure.data_type, LongType):
            message = f"{measure.name} is never negative."
            yield critical("expect_column_values_to_be_between", message, column=measure.name, min_value=0)
