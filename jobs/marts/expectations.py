"""What the declaration of a mart, snapshot or view says of its rows, as expectations."""

from collections.abc import Iterator

from pyspark.sql.types import LongType

from jobs.marts.mart import Mart
from jobs.marts.snapshot import UPDATED_AT, Snapshot
from jobs.marts.view import View
from quality.contract_rules import Expectation, critical


def snapshot_expectations(snapshot: Snapshot) -> Iterator[Expectation]:
    """Expectations of a snapshot's table: every thing is there once, with its time."""
    yield _is_unique(list(snapshot.keys), "There is one row per thing.")
    for name in [*snapshot.keys, UPDATED_AT]:
        yield critical("expect_column_values_to_not_be_null", f"Every row has {name}.", column=name)


def view_expectations(view: View) -> Iterator[Expectation]:
    """Expectations of a view's table: its keys name one row each."""
    yield _is_unique(list(view.keys), "There is one row per key.")
    for name in view.keys:
        yield critical("expect_column_values_to_not_be_null", f"Every row has {name}.", column=name)


def mart_expectations(mart: Mart) -> Iterator[Expectation]:
    """Expectations of a mart's table: its grain holds, every sum is there, and no count is negative."""
    grain = [mart.window, *mart.dimensions]
    yield _is_unique(grain, "There is one row per window and dimensions.")
    sums = [measure for measure in mart.measures if measure.merge == "sum"]
    for name in [*grain, *(measure.name for measure in sums)]:
        yield critical("expect_column_values_to_not_be_null", f"Every row has {name}.", column=name)
    for measure in sums:
        if isinstance(measure.data_type, LongType):
            message = f"{measure.name} is never negative."
            yield critical("expect_column_values_to_be_between", message, column=measure.name, min_value=0)


def _is_unique(columns: list[str], message: str) -> Expectation:
    if len(columns) == 1:
        return critical("expect_column_values_to_be_unique", message, column=columns[0])
    return critical("expect_compound_columns_to_be_unique", message, column_list=columns)
