import datetime as dt
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from typer.testing import CliRunner

from jobs.cli import app
from jobs.engine.batch import Batch
from jobs.engine.commit import Appender
from jobs.entity import quarantine_table
from jobs.quarantine import newest_records, summarize
from jobs.settings import settings
from schemas import Contract, load_contracts

NOON = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)


@pytest.fixture(scope="module")
def orders() -> Contract:
    return next(contract for contract in load_contracts() if contract.topic == "marketplace.orders")


def refused(offset: int, *reasons: str, value: bytes | None = b"{}") -> dict[str, Any]:
    return {
        "key": b"k",
        "value": value,
        "headers": None,
        "topic": "marketplace.orders",
        "partition": 0,
        "offset": offset,
        "timestamp": NOON + dt.timedelta(minutes=offset),
        "reasons": list(reasons),
        "arrival_date": NOON.date(),
    }


@pytest.fixture
def lake(tmp_path: Path, orders: Contract, monkeypatch: pytest.MonkeyPatch) -> str:
    """A lake with four refused orders, which the command line reads."""
    monkeypatch.setenv("SLUICE_HOME", str(tmp_path))
    settings.cache_clear()
    root = settings().lake_url
    rows = [
        refused(1, "missing: vendor_id (null)"),
        refused(2, "missing: vendor_id (null)", "below_minimum: lines.quantity (-1)"),
        refused(4, "not_json: the value is not JSON", value=b"\xff{"),
        refused(3, "empty: the record has no value", value=None),
    ]
    Appender(quarantine_table(orders), root).append(pa.Table.from_pylist(rows), Batch("query", 0, NOON))
    return root


@pytest.fixture(autouse=True)
def _forget_settings() -> Any:
    yield
    settings.cache_clear()


def test_a_summary_counts_records_and_rules(lake: str, orders: Contract) -> None:
    summary = summarize(orders, lake)

    assert summary.records == 4
    assert (summary.oldest, summary.newest) == (NOON + dt.timedelta(minutes=1), NOON + dt.timedelta(minutes=4))
    assert summary.rules["missing: vendor_id"] == 2
    assert summary.rules["below_minimum: lines.quantity"] == 1


def test_an_entity_without_a_table_has_no_records(tmp_path: Path, orders: Contract) -> None:
    assert summarize(orders, str(tmp_path / "nothing")).records == 0


def test_the_newest_come_first_and_may_be_chosen_by_rule(lake: str, orders: Contract) -> None:
    assert [record["offset"] for record in newest_records(orders, lake, count=3)] == [4, 3, 2]
    assert [record["offset"] for record in newest_records(orders, lake, count=9, rule="missing")] == [2, 1]


def test_list_names_every_entity(lake: str) -> None:
    result = CliRunner().invoke(app, ["quarantine", "list"])

    assert result.exit_code == 0
    (line,) = (line for line in result.output.splitlines() if line.startswith("marketplace.orders"))
    assert line.split()[1] == "4"
    assert "missing: vendor_id (2)" in line
    assert "travel.bookings" in result.output


def test_show_gives_reasons_and_the_record_as_it_came(lake: str) -> None:
    result = CliRunner().invoke(app, ["quarantine", "show", "marketplace.orders", "--limit", "2"])

    assert result.output.splitlines() == [
        "2026-03-01 12:04:00  partition 0, offset 4",
        "  not_json: the value is not JSON",
        "  \\xff{",
        "",
        "2026-03-01 12:03:00  partition 0, offset 3",
        "  empty: the record has no value",
        "  no value",
        "",
    ]


def test_an_entity_that_does_not_exist_is_named(lake: str) -> None:
    result = CliRunner().invoke(app, ["quarantine", "show", "marketplace.magic"])

    assert result.exit_code == 2
    assert "there is no contract for marketplace.magic" in result.output
