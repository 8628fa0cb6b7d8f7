import datetime as dt
from collections import Counter, defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pytest
from deltalake import DeltaTable

from jobs.engine.batch import Batch
from jobs.engine.deduplicate import Arrivals, Sifted
from jobs.engine.identities import Identities
from jobs.entity import Taken
from jobs.intake import INTAKE_BY_MINUTE, QUALITY_BY_MINUTE, IntakeWriter
from jobs.judged import OUTCOMES, Broken, Judged
from jobs.marts import Mart
from schemas import load_contracts

PROMISED = dt.timedelta(seconds=5)
THREE_SECONDS_AGO = int((dt.datetime.now(dt.UTC).timestamp() - 3) * 1_000_000)
FIRST_ARRIVALS = {"shop.orders": THREE_SECONDS_AGO}
CONTRACT = load_contracts()[0]
ONE_RULE: defaultdict[str, list[str]] = defaultdict(lambda: ["missing: vendor"])


@pytest.fixture
def sifted() -> Sifted:
    """Four records: two new events, one late, one refused."""
    numbers = np.arange(4)
    arrivals = Arrivals(
        partitions=numbers * 0,
        offsets=numbers,
        arrived=numbers + THREE_SECONDS_AGO,
        times=numbers,
        identities=Identities.of(pa.chunked_array([["a", "b", "c", "d"]])),
        is_accepted=np.array([True, True, True, False]),
    )
    is_late = np.array([False, False, True, False])
    return Sifted(arrivals, is_new=np.array([True, True, False, False]), is_late=is_late)


def taken(topic: str, sifted: Sifted) -> Taken:
    """The records of a topic, of which none breaks a rule."""
    domain, entity = topic.split(".")
    contract = replace(CONTRACT, domain=domain, entity=entity, topic=topic, freshness=PROMISED)
    none: Broken = {outcome: Counter() for outcome in OUTCOMES.values()}
    return Taken(contract, cast("Judged", None), sifted, none, Batch("query", 0), {})


def seconds_since_arrival() -> float:
    return dt.datetime.now(dt.UTC).timestamp() - THREE_SECONDS_AGO / 1_000_000


def rows(mart: Mart, lake: Path) -> list[dict[str, Any]]:
    """The mart's rows, without their minutes, which the clock gives."""
    table = DeltaTable(mart.table.url(str(lake))).to_pyarrow_table()
    sums = table.group_by(list(mart.dimensions)).aggregate([(measure.name, measure.merge) for measure in mart.measures])
    renamed = sums.rename_columns([*mart.dimensions, *(measure.name for measure in mart.measures)])
    return sorted(renamed.to_pylist(), key=lambda row: row.get("rule", row["entity"]))


def test_records_are_counted_by_what_became_of_them(tmp_path: Path, sifted: Sifted) -> None:
    writer = IntakeWriter(str(tmp_path))
    before = seconds_since_arrival()

    for number in range(2):
        writer.count(
            [taken("shop.orders", sifted)], Batch("query", number), rules=ONE_RULE, first_arrivals=FIRST_ARRIVALS
        )

    (row,) = rows(INTAKE_BY_MINUTE, tmp_path)
    assert before <= row.pop("slowest_seconds") <= seconds_since_arrival()
    assert row == {
        "entity": "shop.orders",
        "input": 8,
        "accepted": 4,
        "refused": 2,
        "late": 2,
        "duplicates": 0,
        "late_accepted": 0,
        "late_refused": 0,
        "late_duplicates": 0,
        "promised_seconds": 5,
    }


def test_nobody_can_tell_how_long_records_took_that_producers_timed(tmp_path: Path, sifted: Sifted) -> None:
    writer = IntakeWriter(str(tmp_path))

    for number, topics in enumerate((["shop.orders", "shop.payments"], ["shop.payments"])):
        writer.count(
            [taken(topic, sifted) for topic in topics],
            Batch("query", number),
            rules=ONE_RULE,
            first_arrivals=FIRST_ARRIVALS,
        )

    orders, payments = rows(INTAKE_BY_MINUTE, tmp_path)
    assert orders["slowest_seconds"] >= 3
    assert payments["slowest_seconds"] is None


def test_a_batch_that_runs_again_counts_once(tmp_path: Path, sifted: Sifted) -> None:
    batch = Batch("query", 7)

    broken = {"refused": Counter({"missing: vendor": 3}), "marked": Counter({"long: name": 1}), "noted": Counter()}
    one = replace(taken("shop.orders", sifted), broken=broken)

    for writer in (IntakeWriter(str(tmp_path)), IntakeWriter(str(tmp_path))):
        writer.count(
            [one],
            batch,
            rules={"shop.orders": ["missing: vendor", "below_minimum: price"]},
            first_arrivals=FIRST_ARRIVALS,
        )

    nothing = {"entity": "shop.orders", "refused": 0, "marked": 0, "noted": 0}
    assert rows(QUALITY_BY_MINUTE, tmp_path) == [
        {**nothing, "rule": "below_minimum: price", "passed": 4, "judged": 4},
        {**nothing, "rule": "long: name", "marked": 1, "passed": 3, "judged": 4},
        {**nothing, "rule": "missing: vendor", "refused": 3, "passed": 1, "judged": 4},
    ]


def test_queries_of_one_application_count_at_the_same_time(tmp_path: Path, sifted: Sifted) -> None:
    writer = IntakeWriter(str(tmp_path))

    def count(entity: str) -> None:
        for number in range(20):
            writer.count(
                [taken(entity, sifted)], Batch(f"live-{entity}", number), rules=ONE_RULE, first_arrivals=FIRST_ARRIVALS
            )

    with ThreadPoolExecutor() as threads:
        for done in [threads.submit(count, entity) for entity in ("shop.orders", "shop.payments", "trip.bookings")]:
            done.result()

    assert [row["input"] for row in rows(INTAKE_BY_MINUTE, tmp_path)] == [80, 80, 80]


def test_the_minute_is_that_of_processing(tmp_path: Path, sifted: Sifted) -> None:
    before = dt.datetime.now(dt.UTC).replace(second=0, microsecond=0)

    IntakeWriter(str(tmp_path)).count(
        [taken("shop.orders", sifted)], Batch("query", 0), rules=ONE_RULE, first_arrivals=FIRST_ARRIVALS
    )

    (row,) = DeltaTable(INTAKE_BY_MINUTE.table.url(str(tmp_path))).to_pyarrow_table().to_pylist()
    assert before <= row["minute"] <= dt.datetime.now(dt.UTC)


def test_what_became_of_late_events_is_counted_once(tmp_path: Path, sifted: Sifted) -> None:
    writer = IntakeWriter(str(tmp_path))
    writer.count([taken("shop.orders", sifted)], Batch("query", 0), rules=ONE_RULE, first_arrivals=FIRST_ARRIVALS)

    for _ in range(2):
        writer.count_late("shop.orders", Batch("late-shop.orders", 0), accepted=2, refused=1, duplicates=1)

    (row,) = rows(INTAKE_BY_MINUTE, tmp_path)
    assert (row["input"], row["late"]) == (4, 1)
    assert (row["late_accepted"], row["late_refused"], row["late_duplicates"]) == (2, 1, 1)
    assert row["promised_seconds"] == 5
    refused = {row["rule"]: row["refused"] for row in rows(QUALITY_BY_MINUTE, tmp_path)}
    assert refused["unprocessable: the record"] == 1
