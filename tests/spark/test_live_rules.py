"""The rules of a suite, in ``live``: refused, marked, noted, or the job stops."""

import datetime as dt
import json
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pytest
from deltalake import DeltaTable
from pyspark.errors import StreamingQueryException
from pyspark.sql import DataFrame, SparkSession

from jobs.engine.deduplicate import Sifted
from jobs.engine.progress import report
from jobs.entity import quarantine_table, silver_table
from jobs.intake import QUALITY_BY_MINUTE
from jobs.judge import Judge
from jobs.judged import JudgedBySpark, JudgedInMemory, Plans
from jobs.settings import Settings
from jobs.status import job_status
from quality.judgement import rule_names
from quality.rules import Rule, rules
from schemas import Contract
from stack.produce import producer
from tests.spark.conftest import RECORD, review, start_live
from tests.stack.pipeline import running_broker

LOW_WITHOUT_TEXT = {
    "type": "expect_column_values_to_not_be_null",
    "severity": "critical",
    "description": "Who rates low says why.",
    "kwargs": {
        "column": "text",
        "row_condition": {"type": "comparison", "column": {"name": "rating"}, "operator": "<=", "parameter": 2},
    },
}
SHORT = {
    "type": "expect_column_value_lengths_to_be_between",
    "severity": "warning",
    "description": "A text has three letters.",
    "kwargs": {"column": "text", "min_value": 3},
}
ONE_SHOP = {
    "type": "unexpected_rows_expectation",
    "severity": "info",
    "meta": {"rule": "other_shop"},
    "description": "There is one vendor.",
    "kwargs": {"unexpected_rows_query": "SELECT * FROM {batch} WHERE vendor_id <> 'vendor-1' AND `offset` >= 0"},
}
RULES = rules([LOW_WITHOUT_TEXT, SHORT, ONE_SHOP])
MISSING = "values_to_not_be_null: text"
LENGTH = "value_lengths_to_be_between: text"


@pytest.fixture
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    with running_broker(tmp_path_factory.mktemp("rules"), partitions=1) as settings:
        yield settings


EVENTS = (
    review(1),
    review(2, rating=1, text=None),
    review(3, rating=5, text="ok", vendor_id="vendor-2"),
    review(4, rating=9, text=None),
    review(5, rating=2, text=""),
)


def records(spark: SparkSession, contract: Contract, values: list[bytes]) -> DataFrame:
    """Kafka records of now."""
    now = dt.datetime.now(dt.UTC)
    return spark.createDataFrame(
        [(b"key", value, None, contract.topic, 0, n, now) for n, value in enumerate(values)], RECORD
    )


def send(contract: Contract, settings: Settings) -> None:
    with producer(settings) as kafka:
        for event in EVENTS:
            kafka.send(contract.topic, json.dumps(event).encode())


def run(spark: SparkSession, contract: Contract, found: tuple[Rule, ...], settings: Settings) -> None:
    send(contract, settings)
    query = start_live(spark, settings, contract, rules=found)
    assert query.stream.awaitTermination(120)


def test_rules_refuse_mark_and_count(spark: SparkSession, broker: Settings, reviews: Contract) -> None:
    run(spark, reviews, RULES, broker)

    silver = DeltaTable(silver_table(reviews).url(broker.lake_url)).to_pyarrow_table().to_pylist()
    assert {row["event_id"]: row["marks"] for row in silver} == {
        "event-1": None,
        "event-3": [f"{LENGTH} (***)"],
        "event-5": [f"{LENGTH} (***)"],
    }
    quarantine = DeltaTable(quarantine_table(reviews).url(broker.lake_url)).to_pyarrow_table().to_pylist()
    # What the contract refuses is not held against the suite.
    assert sorted(row["reasons"] for row in quarantine) == [["above_maximum: rating (9)"], [f"{MISSING} (null)"]]

    counts = DeltaTable(QUALITY_BY_MINUTE.table.url(broker.lake_url)).to_pyarrow_table().to_pylist()
    assert {row["rule"] for row in counts} == set(rule_names(reviews, RULES))
    outcomes = {row["rule"]: (row["refused"], row["marked"], row["noted"], row["passed"]) for row in counts}
    assert outcomes[MISSING] == (1, 0, 0, 4)
    assert outcomes[LENGTH] == (0, 2, 0, 3)
    assert outcomes["other_shop"] == (0, 0, 1, 4)
    assert outcomes["missing: order_id"] == (0, 0, 0, 5)
    assert {row["judged"] for row in counts} == {5}


def test_a_rule_may_stop_the_job_before_anything_is_written(
    spark: SparkSession, broker: Settings, reviews: Contract
) -> None:
    send(reviews, broker)
    stopping = rules([SHORT | {"on_failure": "stop"}])
    query = start_live(spark, broker, reviews, rules=stopping)
    with pytest.raises(StreamingQueryException, match=r"2 records of marketplace.reviews break the rule 'value_len"):
        query.stream.awaitTermination(120)
    report(query, broker)
    (status,) = job_status(broker)
    assert status["state"] == "failed"
    assert status["error"].startswith(
        "2 records of marketplace.reviews break the rule 'value_lengths_to_be_between: text'"
    )

    assert DeltaTable(silver_table(reviews).url(broker.lake_url)).to_pyarrow_table().num_rows == 0

    # Once the rule is mended, the job goes on where it stopped.
    query = start_live(spark, broker, reviews)
    assert query.stream.awaitTermination(120)
    assert DeltaTable(silver_table(reviews).url(broker.lake_url)).to_pyarrow_table().num_rows == 4


def test_both_ways_to_hold_a_batch_count_alike(spark: SparkSession, reviews: Contract) -> None:
    values = [json.dumps(event).encode() for event in EVENTS]
    judge = Judge(reviews, RULES, key=b"key")
    arrived, plans = records(spark, reviews, values), Plans(spark, judge, (), few=10)

    in_memory = JudgedInMemory(arrived.toArrow(), plans).broken_rules()

    assert in_memory == JudgedBySpark(arrived, plans).broken_rules()
    assert in_memory["marked"] == {LENGTH: 2}


def test_what_sql_has_no_answer_to_breaks_nothing(spark: SparkSession, reviews: Contract) -> None:
    conditions = ("1 / (rating - 4) > 0", "1 / (rating - 4) < 0", "cast(text as int) > 0", "rating * 2147483647 < 0")
    found = rules(
        {
            "type": "unexpected_rows_expectation",
            "severity": severity,
            "meta": {"rule": f"{severity}_{number}"},
            "description": "",
            "kwargs": {"unexpected_rows_query": f"SELECT * FROM {{batch}} WHERE {condition}"},
        }
        for severity in ("critical", "warning", "info")
        for number, condition in enumerate(conditions)
    )
    events = (review(1), review(2, rating=5, text="7"), review(3, rating=0))
    values = [json.dumps(event).encode() for event in events]
    judge, arrived = Judge(reviews, found, key=b"key"), records(spark, reviews, values)

    thorough = {row["offset"]: (row["reasons"], row["marks"], row["noted"]) for row in judge.judge(arrived).collect()}
    screened = {row["offset"]: row["reasons"] for row in judge.screen(arrived).collect()}

    assert thorough[0] == ([], None, None)
    assert thorough[1] == (["critical_0", "critical_2"], None, None)
    # The contract alone is what is said of an event that it refuses.
    assert thorough[2] == (["below_minimum: rating (0)"], None, None)
    assert screened == {0: [], 1: None, 2: None}


def test_a_large_batch_collects_what_is_small_in_it(
    spark: SparkSession, reviews: Contract, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobs.judged.IN_MEMORY_BYTES", 1_000)
    values = [json.dumps(review(0)).encode(), b"x" * 2_000]
    judge = Judge(reviews, (), key=b"key")
    judged = JudgedBySpark(records(spark, reviews, values), Plans(spark, judge, (), few=10))
    is_new = np.array([True, False])
    sifted = Sifted(judged.arrivals(), is_new, ~is_new & False)

    assert judged.size > 2_000
    assert isinstance(judged.silver(sifted), pa.Table)
    refused = judged.quarantine(sifted)
    assert isinstance(refused, DataFrame)
    assert [bytes(row["value"]) for row in refused.collect()] == values[1:]
