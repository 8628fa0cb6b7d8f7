"""Growth, what is expected, and who moved, on few rows."""

import datetime as dt

from pyspark.sql import SparkSession

from jobs.marts.growth_views import GROWTH_NOW, MOVERS_NOW, OUTLOOK_BY_HOUR
from tests.spark.view_rows import at, figures, line, order, silver


def test_growth_says_when_history_is_too_short(spark: SparkSession) -> None:
    # A day before, 25 hours of history; the last order is the moment that counts as now.
    orders = silver(
        spark,
        "marketplace.orders",
        *(order("a", hours, price) for hours, price in ((0, "5"), (6, "10"), (29.5, "30"), (30, "10"))),
    )

    found = {(row["period"], row["compared_with"]): row for row in figures(GROWTH_NOW, orders)}

    hour = found["last hour", "same time yesterday"]
    assert (hour["net"], hour["net_before"], hour["net_growth"]) == (80, 20, 3)
    assert (hour["orders"], hour["orders_before"], hour["orders_growth"], hour["note"]) == (2, 1, 1, "")
    day = found["last 24 hours", "same time yesterday"]
    assert (day["net"], day["net_before"], day["orders_before"]) == (80, None, None)
    assert day["note"] == "history is too short: it begins 2026-03-01 00:00 UTC"
    assert len(found) == 4


def test_what_is_expected_is_what_was_sold_at_that_hour(spark: SparkSession) -> None:
    orders = silver(
        spark,
        "marketplace.orders",
        *(order("a", hours, price) for hours, price in ((0.5, "5"), (2.5, "10"), (25.5, "30"), (26.2, "20"))),
    )

    found = {row["hour"].replace(tzinfo=dt.UTC): row for row in figures(OUTLOOK_BY_HOUR, orders)}

    assert sorted(found) == [at(hour) for hour in range(50)]
    assert (found[at(25)]["net"], found[at(25)]["net_day_before"], found[at(25)]["expected"]) == (60, 0, None)
    # The first hour is partly known, so it is no measure of its like.
    assert found[at(24)]["net_day_before"] is None
    now = found[at(26)]
    assert (now["net"], now["net_day_before"], now["expected"]) == (40, 20, 20)
    assert now["method"] == "as a day ago, for history is shorter than a week"
    assert (found[at(49)]["net"], found[at(49)]["expected"]) == (None, 60)


def test_without_a_day_of_history_the_mean_is_expected(spark: SparkSession) -> None:
    orders = silver(spark, "marketplace.orders", order("a", 0.5, "10"), order("a", 2.5, "10"))

    _, over, now, *_ = figures(OUTLOOK_BY_HOUR, orders)

    assert (over["net"], over["expected"], over["method"]) == (0, None, None)
    assert (now["net"], now["expected"], now["net_day_before"]) == (20, 20, None)
    assert now["method"] == "mean of all hours, for history is shorter than a day"


def test_movers_are_compared_over_as_long_as_history_allows(spark: SparkSession) -> None:
    orders = silver(
        spark,
        "marketplace.orders",
        order("a", 0, "50", country="DE"),
        order("a", 1.5, "10", country="DE"),
        order("a", 2.9, "30", country="FR"),
        order("a", 3, "10", country="DE", lines=[line("10", discount="5")]),
    )

    found = {(row["kind"], row["name"]): row for row in figures(MOVERS_NOW, orders)}

    assert {row["compared"] for row in found.values()} == {"last 1 h with the 1 h before"}
    germany, france = found["country", "DE"], found["country", "FR"]
    assert (germany["net"], germany["net_before"], germany["change"], germany["growth"]) == (15, 20, -5, -0.25)
    assert (france["net"], france["net_before"], france["change"], france["growth"]) == (60, 0, 60, None)
    assert (france["place"], germany["place"]) == (1, 2)
    assert found["category", "Books"]["change"] == 55
    assert {kind for kind, _ in found} == {"category", "country", "product", "vendor"}
