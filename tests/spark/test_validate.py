import datetime as dt
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import DeltaTable
from pyspark.sql import SparkSession

from jobs.engine.batch import Batch
from jobs.engine.commit import Appender
from jobs.entity import silver_table
from jobs.settings import Settings
from jobs.validate import RESULTS, Report, validate
from schemas import Contract
from tests.spark.conftest import review

NOON = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)
REVIEWS = "silver.marketplace_reviews"


def kept(number: int, **changes: Any) -> dict[str, Any]:
    """A review as silver keeps it."""
    place = {"partition": 0, "offset": number, "timestamp": dt.datetime.now(dt.UTC)}
    return review(number, **{"event_time": NOON, "customer_id": None, **place, **changes})


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path)


def run(spark: SparkSession, settings: Settings, contract: Contract, *rows: dict[str, Any]) -> Report:
    batch = Batch("query", 0, NOON)
    Appender(silver_table(contract), settings.lake_url).append(pa.Table.from_pylist(list(rows)), batch)
    return validate(spark, [], settings)


def test_right_rows_are_as_expected(spark: SparkSession, settings: Settings, reviews: Contract) -> None:
    report = run(spark, settings, reviews, kept(1), kept(2, rating=1), kept(3, customer_id="c", text=None))

    assert [verdict for verdict in report.verdicts if not verdict.success] == []
    assert {verdict.table for verdict in report.verdicts} == {REVIEWS}


def test_wrong_rows_are_counted_per_rule(spark: SparkSession, settings: Settings, reviews: Contract) -> None:
    report = run(
        spark,
        settings,
        reviews,
        kept(1),
        kept(1),
        kept(2, rating=7),
        kept(3, event_type="burned"),
        kept(4, rating=1, text=None),
        kept(5, vendor_id=None),
        kept(6, event_time=NOON + dt.timedelta(hours=2), timestamp=NOON),
    )

    failed = {verdict.description: verdict for verdict in report.verdicts if not verdict.success}
    assert {description: verdict.unexpected for description, verdict in failed.items()} == {
        "Every event is in silver once.": 2,
        "No event is more than 1:00:00 ahead of its arrival.": 1,
        "event_type is one of those that the contract lists.": 1,
        "Every event has vendor_id.": 1,
        "rating is within the limits of the contract.": 1,
        "Who rates low says why.": 1,
        "A review's order is known; it may come up to 15 minutes later.": 1,
    }
    assert failed["Who rates low says why."].severity == "info"
    assert all(verdict.error is None for verdict in report.verdicts)


def test_a_reference_may_come_later_but_must_come(
    spark: SparkSession, settings: Settings, reviews: Contract, orders: Contract
) -> None:
    order = {"event_id": "e", "event_time": NOON, "order_id": "order-1", "partition": 0, "offset": 0, "timestamp": NOON}
    Appender(silver_table(orders), settings.lake_url).append(pa.Table.from_pylist([order]), Batch("query", 0, NOON))
    known, ghost, late = kept(1, timestamp=NOON), kept(2, order_id="x", timestamp=NOON), kept(3, order_id="x")
    Appender(silver_table(reviews), settings.lake_url).append(
        pa.Table.from_pylist([known, ghost, late]), Batch("query", 0, NOON)
    )

    report = validate(spark, [REVIEWS], settings)

    (failed,) = (verdict for verdict in report.verdicts if not verdict.success)
    assert failed.description.startswith("A review's order is known")
    assert (failed.severity, failed.unexpected) == ("warning", 1)


def test_verdicts_are_kept_with_the_version_of_the_table(
    spark: SparkSession, settings: Settings, reviews: Contract
) -> None:
    report = run(spark, settings, reviews, kept(1, rating=7))

    rows = DeltaTable(RESULTS.url(settings.lake_url)).to_pyarrow_table().to_pylist()
    assert len(rows) == len(report.verdicts)
    (rating,) = (row for row in rows if row["description"].startswith("rating"))
    assert (rating["success"], rating["unexpected"], rating["evaluated"], rating["version"]) == (False, 1, 1, 1)


def test_data_docs_show_every_suite_and_result(spark: SparkSession, settings: Settings, reviews: Contract) -> None:
    report = run(spark, settings, reviews, kept(1, rating=7))

    assert "marketplace_reviews" in report.data_docs.read_text()
    pages = list((report.data_docs.parent / "validations").rglob("*.html"))
    assert len(pages) == 1
    assert "Who rates low says why." in pages[0].read_text()


def test_kept_results_show_no_value_of_a_table_about_persons(
    spark: SparkSession, settings: Settings, reviews: Contract
) -> None:
    report = run(
        spark, settings, reviews, *(kept(number, customer_id="a1b2", event_type="burned") for number in (1, 1))
    )

    assert sum(not verdict.success for verdict in report.verdicts) >= 2
    files = [path for path in (settings.home / "quality").rglob("*") if path.is_file()]
    assert len(files) > 3
    for value in ("burned", "a1b2", "event-1"):
        assert [path for path in files if value in path.read_text(errors="replace")] == []


def test_only_the_tables_that_are_named_are_validated(
    spark: SparkSession, settings: Settings, reviews: Contract
) -> None:
    run(spark, settings, reviews, kept(1))

    assert validate(spark, ["silver.marketplace_orders"], settings).verdicts == ()
