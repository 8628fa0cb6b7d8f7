"""The declaration of a metric: what follows from the rows of a mart, and cannot be a measure, for it does not merge."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Metric:
    """A figure of any set of a table's rows; ``formula`` is standard SQL, an aggregate over the table's columns."""

    name: str
    formula: str
    unit: str
    description: str


def ratio(name: str, part: str, whole: str, unit: str, description: str) -> Metric:
    """The sum of one measure by that of another; null without the latter."""
    return Metric(name, f"CAST(SUM({part}) AS DOUBLE) / NULLIF(SUM({whole}), 0)", unit, description)
