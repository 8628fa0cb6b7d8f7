"""Alerts about the stream itself: they fire when they should, and not when all is as always."""

import datetime as dt
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import yaml
from pyspark.sql import SparkSession

from jobs.settings import CHECKOUT

COUNTS = ("input", "late", "refused", "late_accepted", "late_refused", "late_duplicates")
Rows = list[dict[str, Any]]
Fires = Callable[[str, Rows], bool]


def minutes(first: int, last: int, *, entity: str = "shop.orders", **counts: int) -> Rows:
    """A row for each minute, from so many minutes ago to so many."""
    now, ago = dt.datetime.now(dt.UTC).replace(second=0, microsecond=0), range(first, last, -1)
    return [
        {"entity": entity, "minute": now - dt.timedelta(minutes=minute), **dict.fromkeys(COUNTS, 0), **counts}
        for minute in ago
    ]


@pytest.fixture
def fires(spark: SparkSession) -> Iterator[Fires]:
    """Asks an alert's question of some rows, in the engine at hand: its SQL is that of all of them."""

    def ask(alert: str, rows: Rows) -> bool:
        declared = yaml.safe_load((CHECKOUT / "superset" / "reports" / f"{alert}.yaml").read_text())["alert"]
        table = "quality_by_minute" if "quality_by_minute" in declared["sql"] else "live_by_minute"
        spark.createDataFrame(rows).createOrReplaceTempView(table)
        ((found,),) = spark.sql(declared["sql"].replace("ops.", "")).collect()
        return found is not None and bool(found > declared["above"])

    yield ask
    for view in ("quality_by_minute", "live_by_minute"):
        spark.catalog.dropTempView(view)


@pytest.fixture
def always() -> Rows:
    return minutes(600, -1, input=300, late=1, refused=1, late_accepted=1)


@pytest.mark.parametrize(("alert", "what"), [("late_rises", "late"), ("refused_rises", "refused")])
def test_a_rise_is_told(fires: Fires, always: Rows, alert: str, what: str) -> None:
    assert not fires(alert, always)
    assert fires(alert, [*always, *minutes(5, -1, input=300, **{what: 100})])
    assert fires(alert, [*minutes(600, 20, input=300), *minutes(5, -1, input=300, **{what: 100})])


@pytest.mark.parametrize(("alert", "what"), [("late_rises", "late"), ("refused_rises", "refused")])
def test_what_is_always_so_or_of_few_is_no_rise(fires: Fires, alert: str, what: str) -> None:
    bad = minutes(600, -1, input=300, **{what: 100})
    assert not fires(alert, bad)
    assert not fires(alert, [*minutes(600, 20, input=300), *minutes(3, -1, input=10, **{what: 4})])
    # Of a system that has just begun, nobody knows what is usual.
    assert not fires(alert, minutes(5, -1, input=300, **{what: 100}))


def test_unprocessable_records_are_told(fires: Fires) -> None:
    def broken(rule: str, ago: int) -> Rows:
        minute = dt.datetime.now(dt.UTC) - dt.timedelta(minutes=ago)
        return [{"entity": "shop.orders", "rule": rule, "minute": minute, "refused": 1}]

    assert not fires("unprocessable", broken("missing: order_id", 1) + broken("unprocessable: the record", 30))
    assert fires("unprocessable", broken("unprocessable: the record", 1))


def test_late_events_that_wait_are_told(fires: Fires, always: Rows) -> None:
    assert not fires("late_waits", always)
    assert not fires("late_waits", [*always, *minutes(3, 2, input=100, late=100)])
    assert fires("late_waits", [*always, *minutes(8, 7, input=100, late=100)])


def test_a_topic_that_never_rests_falls_silent(fires: Fires) -> None:
    others = minutes(120, -1, entity="shop.payments", input=5)
    sometimes = [row for row in minutes(120, 20, entity="shop.vendors", input=1) if row["minute"].minute % 5 == 0]

    assert not fires("silence", [*others, *sometimes])
    assert fires("silence", [*others, *minutes(120, 12, input=5)])
    assert not fires("silence", [*others, *minutes(120, 5, input=5)])
