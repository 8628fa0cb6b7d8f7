"""Every row of a real shop's year goes through Kafka, Spark and Delta, and gold equals pandas to the cent."""

from collections.abc import Iterator
from pathlib import Path

import orjson
import pandas as pd
import pytest

from stack.produce import sender
from tests.stack import retail
from tests.stack.pipeline import TOPIC, Jobs, Lake, running_broker

pytestmark = pytest.mark.skipif(not retail.FILE.exists(), reason=f"needs {retail.FILE.name} in ../shared/data")


@pytest.fixture(scope="module")
def lines() -> pd.DataFrame:
    return retail.invoice_lines()


@pytest.fixture(scope="module")
def lake(lines: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lake]:
    """The lake after every row has been produced and taken in, while the jobs ran."""
    home: Path = tmp_path_factory.mktemp("retail")
    with running_broker(home) as settings, Jobs(settings, "marketplace") as jobs:
        jobs.start()
        with sender(settings) as kafka:
            for event in retail.order_events(lines):
                kafka.send(TOPIC, key=event["order_id"].encode(), value=orjson.dumps(event))
        lake = Lake(settings.lake_url)
        lake.wait_for(retail.ROWS, jobs, seconds=600)
        assert jobs.stop() == 0
        yield lake


@pytest.fixture(scope="module")
def sales(lake: Lake) -> pd.DataFrame:
    table = lake.table("gold/marketplace_sales_by_minute").to_pandas()
    table["day"] = table.minute.dt.strftime("%Y-%m-%d")
    table["gross"] = [int(value * 10_000) for value in table.gross]
    return table


@pytest.fixture(scope="module")
def truth(lines: pd.DataFrame) -> pd.DataFrame:
    return retail.truth(lines)


@pytest.mark.parametrize("by", ["country", "day"])
def test_totals_equal_pandas_to_the_cent(sales: pd.DataFrame, truth: pd.DataFrame, by: str) -> None:
    placed = truth[truth.step == "placed"].groupby(by)[["units", "gross"]].sum()
    in_gold = sales.groupby(by)[["units", "gross"]].sum()

    in_gold = in_gold[in_gold.units > 0]

    print(f"\n{len(placed)} totals by {by}, gross of all {placed.gross.sum() / 10_000:,.2f}")
    pd.testing.assert_frame_equal(in_gold, placed, check_dtype=False)


@pytest.mark.parametrize(
    ("measure", "step"), [("orders", "placed"), ("cancelled", "cancelled"), ("returned", "returned")]
)
def test_counts_equal_pandas(sales: pd.DataFrame, truth: pd.DataFrame, measure: str, step: str) -> None:
    counted = sales.groupby("country")[measure].sum()
    expected = truth[truth.step == step].groupby("country").size()

    pd.testing.assert_series_equal(counted[counted > 0], expected, check_names=False)


def test_bronze_holds_every_event_once(lake: Lake) -> None:
    bronze = lake.table("bronze/events", ["partition", "offset"]).to_pandas()

    assert len(bronze) == len(bronze.drop_duplicates()) == retail.ROWS


def test_every_event_is_accounted_for(lake: Lake, lines: pd.DataFrame) -> None:
    silver, quarantine = lake.count("silver/marketplace_orders"), lake.count("quarantine/marketplace_orders")
    duplicates, late = lake.intake("late_duplicates"), lake.intake("late")

    print(f"\nsilver {silver:,} + quarantine {quarantine} + duplicates {duplicates:,} = {retail.ROWS:,}, late {late:,}")
    assert silver + quarantine + duplicates == retail.ROWS
    # All of it happened years ago.
    assert late == retail.ROWS - quarantine
    assert quarantine == (lines.UnitPrice < 0).sum()
    assert duplicates == lines.duplicated().sum()


def test_the_profile_of_broken_rules_is_that_of_the_file(lake: Lake, lines: pd.DataFrame) -> None:
    """As docs/data-quality.md explains it."""
    rules = (
        lake.table("ops/quality_by_minute").to_pandas().groupby("rule")[["refused", "marked", "noted", "judged"]].sum()
    )
    broken = rules[rules[["refused", "marked", "noted"]].sum(axis=1) > 0]
    found = {rule: (row.refused, row.marked, row.noted) for rule, row in broken.iterrows()}

    print(f"\n{broken}")
    entered = lines[lines.UnitPrice >= 0]
    assert found == {
        "below_minimum: lines.unit_price": ((lines.UnitPrice < 0).sum(), 0, 0),
        "line_for_nothing": (0, (entered.UnitPrice == 0).sum(), 0),
        "values_to_not_be_in_set: country": (0, (entered.Country == "Unspecified").sum(), 0),
        "very_large_order": (0, (entered.Quantity.abs() * entered.UnitPrice > 50_000).sum(), 0),
        "values_to_not_be_null: customer_id": (0, 0, entered.CustomerID.isna().sum()),
    }
    assert set(rules.judged) == {retail.ROWS}
