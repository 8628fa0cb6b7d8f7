"""A person is gone from every table that there is, however it was written, and stays away."""

import datetime as dt
import json
import shutil
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable, write_deltalake
from deltalake.transaction import AddAction, RemoveAction
from typer.testing import CliRunner

from jobs import forget as module
from jobs.cli import app
from jobs.engine import data_file
from jobs.engine.compact import compact_appended
from jobs.entity import quarantine_table, silver_table
from jobs.forget import forget, forget_again
from jobs.forgotten import FORGOTTEN, forgotten, without_forgotten
from jobs.pseudonyms import pseudonym_key
from jobs.reconcile import PARITY
from jobs.settings import Settings
from quality.protection import pseudonym
from schemas import load_contracts

CONTRACTS = load_contracts()
(ORDERS,) = (contract for contract in CONTRACTS if contract.topic == "marketplace.orders")
ADA, BOB = "customer-ada", "customer-bob"
NOW = dt.datetime.now(dt.UTC)
HOUR = dt.timedelta(hours=1)
RECORD = pa.schema(
    {
        "key": pa.binary(),
        "value": pa.binary(),
        "headers": pa.list_(pa.struct({"key": pa.string(), "value": pa.binary()})),
        "topic": pa.string(),
        "partition": pa.int32(),
        "offset": pa.int64(),
        "timestamp": pa.timestamp("us", "UTC"),
        "arrival_date": pa.date32(),
    }
)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path)


def alias(person: str, settings: Settings) -> str:
    return pseudonym(person, pseudonym_key(settings))


def write(settings: Settings, name: str, *rows: dict[str, Any], schema: pa.Schema | None = None) -> None:
    """Append each row to a table in a commit of its own."""
    for row in rows:
        write_deltalake(f"{settings.lake_url}/{name}", pa.Table.from_pylist([row], schema=schema), mode="append")


def record(customer: str, at: dt.datetime = NOW, **changes: Any) -> dict[str, Any]:
    value = json.dumps({"event_id": "e-1", "customer_id": customer, "event_time": at.isoformat()}).encode()
    envelope = {"topic": "marketplace.orders", "partition": 0, "offset": 0, "key": None, "headers": []}
    return {**envelope, "value": value, "timestamp": at, "arrival_date": at.date(), **changes}


def bronze(settings: Settings, *rows: dict[str, Any]) -> None:
    for row in rows:
        write_deltalake(
            f"{settings.lake_url}/bronze/events",
            pa.Table.from_pylist([row], schema=RECORD),
            mode="append",
            partition_by=["arrival_date"],
        )


def rows(settings: Settings, name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = DeltaTable(f"{settings.lake_url}/{name}").to_pyarrow_table().to_pylist()
    return found


def assert_no_trace(settings: Settings, *texts: str) -> None:
    """No file of the lake has one of the texts: neither rows, nor footers, nor logs; the list is left out."""
    for path in Path(settings.lake_url).rglob("*"):
        if path.is_file() and not path.is_relative_to(FORGOTTEN.url(settings.lake_url)):
            content = path.read_bytes().decode("latin-1")
            if path.suffix == ".parquet":
                content += str(pq.read_table(path, partitioning=None).to_pylist())
            assert not [text for text in texts if text in content], path


def test_every_table_is_looked_into_whatever_its_columns_are_called(settings: Settings) -> None:
    ada, bob = alias(ADA, settings), alias(BOB, settings)
    people = [{"buyer": person, "minute": NOW, "orders": 1} for person in (ada, bob)]
    write(settings, "gold/buyers_by_minute", *people)
    write(
        settings, "gold/things", *({"thing": person[:5], "about": {"said": [{"by": person}]}} for person in (ada, bob))
    )
    write(settings, "gold/plain", *({"customer_id": person} for person in (ADA, BOB)))
    write(settings, "late/marketplace_orders", *({"customer_id": p, "event_time": NOW} for p in (ada, bob)))
    write(settings, "silver/gone_contract", *({"customer_id": p, "event_time": NOW} for p in (ada, bob)))
    cells = ({"mart": "m", "dimensions": json.dumps({"buyer": p})} for p in (ada, bob))
    write(settings, "ops/parity", *cells)
    write(settings, "ops/quality_results", *({"error": f"cannot cast '{p}' to a date"} for p in (ada, bob)))
    write(settings, "gold/nothing_of_persons", {"country": "DE"})

    removed = forget(ADA, CONTRACTS, settings)

    assert removed == {
        "late.marketplace_orders": 1,
        "silver.gone_contract": 1,
        "gold.buyers_by_minute": 1,
        "gold.nothing_of_persons": 0,
        "gold.plain": 1,
        "gold.things": 1,
        "ops.parity": 1,
        "ops.quality_results": 1,
    }
    assert_no_trace(settings, ADA, ada, ada[:32])
    assert rows(settings, "gold/things") == [{"thing": bob[:5], "about": {"said": [{"by": bob}]}}]
    assert not any(forget(ADA, CONTRACTS, settings).values())


def test_tables_of_records_are_read_in_every_topic(settings: Settings) -> None:
    bronze(
        settings,
        record(ADA),
        record(BOB),
        record(ADA, topic="a.topic.without.contract"),
        record(BOB, topic="marketplace.vendors", value=None, key=ADA.encode()),
        record(BOB, topic="marketplace.inventory", headers=[{"key": "by", "value": ADA.encode()}]),
    )
    assert forget(ADA, CONTRACTS, settings)["bronze.events"] == 4
    assert_no_trace(settings, ADA)
    assert [row["value"] for row in rows(settings, "bronze/events")] == [record(BOB)["value"]]


def test_a_quoting_reason_goes_with_its_record(settings: Settings) -> None:
    schema = RECORD.append(pa.field("reasons", pa.list_(pa.string())))
    refused = [
        record(
            person,
            reasons=[f"wrong_type: customer_id ({person})"],
            value=b'{"customer_id": {"id": "%b"}}' % person.encode(),
        )
        for person in (ADA, BOB)
    ]
    write(settings, "quarantine/marketplace_orders", *refused, schema=schema)
    assert forget(ADA, CONTRACTS, settings)["quarantine.marketplace_orders"] == 1
    assert_no_trace(settings, ADA)
    assert len(rows(settings, "quarantine/marketplace_orders")) == 1


def test_the_log_says_nothing_of_removed_files(settings: Settings) -> None:
    ada, bob = alias(ADA, settings), alias(BOB, settings)
    silver = silver_table(ORDERS)
    table = silver.create(settings.lake_url)
    files = data_file.storage(table.table_uri)
    for number in range(20):
        of = ("of Ada", "of Bob")[number % 2]
        row = {"event_id": f"{number} {of}", "customer_id": (ada, bob)[number % 2], "event_time": NOW}
        added = data_file.write(pa.Table.from_pylist([row]), files)
        table.create_write_transaction([added], mode="append", schema=table.schema())
        table.update_incremental()
        if number in (3, 11):
            table.create_checkpoint()
    compact_appended(silver, settings.lake_url)
    log = Path(silver.url(settings.lake_url), "_delta_log")
    (log / f"{4:020}.crc").write_text(ada)
    before = {path.name: path.stat().st_size for path in log.glob("*.json")}

    assert forget(ADA, CONTRACTS, settings)["silver.marketplace_orders"] == 10

    assert_no_trace(settings, ada, ada[:32], "of Ada")
    after = {path.name: path.stat().st_size for path in log.glob("*.json")}
    assert before.items() <= after.items(), "a commit that is gone, or shorter, misleads who saw it before"
    table.update_incremental()
    assert table.to_pyarrow_table().num_rows == DeltaTable(table.table_uri).to_pyarrow_table().num_rows == 10
    written = data_file.write(pa.Table.from_pylist([{"event_id": "e-20", "event_time": NOW}]), files)
    table.create_write_transaction([written], mode="append", schema=table.schema())
    assert DeltaTable(table.table_uri).to_pyarrow_table().num_rows == 11


def test_a_lost_race_repeats_a_group_of_files_only(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    bronze(settings, *(record((ADA, BOB)[number % 2], offset=number) for number in range(40)))
    url = f"{settings.lake_url}/bronze/events"
    commits, looked_at = [], []
    commit, look = module._commit, module._without_rows

    def compacted_before(table: str, found: Any) -> int:
        commits.append(len(found))
        if len(commits) == 1:
            DeltaTable(url).optimize.compact()
        return commit(table, found)

    def noted(path: str, *rest: Any) -> Any:
        looked_at.append(path)
        return look(path, *rest)

    monkeypatch.setattr(module, "_commit", compacted_before)
    monkeypatch.setattr(module, "_without_rows", noted)
    assert forget(ADA, CONTRACTS, settings)["bronze.events"] == 20
    assert len(looked_at) == len(set(looked_at)) == 42, (
        "what was compacted is looked at again, as one file; and its rest"
    )
    assert commits == [16, 4, 1]
    assert {row["offset"] for row in rows(settings, "bronze/events")} == set(range(1, 40, 2))
    assert_no_trace(settings, ADA)


def test_a_file_that_somebody_replaced_is_not_brought_back(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """As live does with the file of a mart's open windows, between the look at a file and the commit."""
    ada, bob = alias(ADA, settings), alias(BOB, settings)
    url = f"{settings.lake_url}/gold/buyers"
    write_deltalake(url, pa.table({"buyer": [ada, bob], "orders": [1, 1]}))
    commit = module._commit

    def replaced_before(table: str, found: Any) -> int:
        if (delta := DeltaTable(url)).version() == 0:
            added: list[AddAction | RemoveAction] = [
                data_file.write(pa.table({"buyer": [ada, bob], "orders": [2, 2]}), data_file.storage(url))
            ]
            removed = [data_file.remove(path) for path in delta.to_pyarrow_table and [found[0].path]]
            delta.create_write_transaction([*removed, *added], mode="append", schema=delta.schema())
        return commit(table, found)

    monkeypatch.setattr(module, "_commit", replaced_before)
    assert forget(ADA, CONTRACTS, settings)["gold.buyers"] == 1
    assert rows(settings, "gold/buyers") == [{"buyer": bob, "orders": 2}]
    assert_no_trace(settings, ada)


def test_a_restored_backup_brings_nobody_back(settings: Settings) -> None:
    ada, bob, eva = (alias(person, settings) for person in (ADA, BOB, "eva/1"))
    lake, backup = Path(settings.lake_url), settings.home / "backup"
    escaped = record("x", value=rb'{"customer_id": "\u0065va\/1"}')
    bronze(settings, record(ADA), record(BOB), escaped, record(BOB, value=None, key=ADA.encode()))
    write(settings, "silver/marketplace_orders", *({"customer_id": p, "event_time": NOW} for p in (ada, bob, eva)))
    write(settings, "gold/things", *({"who": p, "updated_at": NOW} for p in (ada, bob, eva)))
    shutil.copytree(lake, backup)
    assert not any(forget_again(CONTRACTS, settings).values()), "nobody is on the list"
    forget(ADA, CONTRACTS, settings)
    forget("eva/1", CONTRACTS, settings)
    shutil.copytree(FORGOTTEN.url(settings.lake_url), backup / "ops" / "forgotten")
    shutil.rmtree(lake)
    shutil.copytree(backup, lake)
    assert len(rows(settings, "gold/things")) == 3

    removed = forget_again(CONTRACTS, settings)

    assert removed == {"bronze.events": 3, "silver.marketplace_orders": 2, "gold.things": 2}
    assert_no_trace(settings, ADA, "eva", ada, eva, ada[:32], eva[:32])
    assert [row["who"] for row in rows(settings, "gold/things")] == [bob]


def test_the_list_names_nobody(settings: Settings) -> None:
    assert forgotten(settings) == {}
    before = dt.datetime.now(dt.UTC)
    forget(ADA, CONTRACTS, settings)
    forget(BOB, CONTRACTS, settings)
    assert forgotten(settings).keys() == {alias(ADA, settings), alias(BOB, settings)}
    first = forgotten(settings)[alias(ADA, settings)]
    assert before < first < dt.datetime.now(dt.UTC)
    assert forgotten(settings) is forgotten(settings), "not read again while nothing was written"
    forget(ADA, CONTRACTS, settings)
    assert forgotten(settings)[alias(ADA, settings)] > first
    for path in Path(FORGOTTEN.url(settings.lake_url)).rglob("*.*"):
        assert ADA.encode() not in path.read_bytes()


def test_who_comes_back_is_new(settings: Settings) -> None:
    forget(ADA, CONTRACTS, settings)
    ada, bob = alias(ADA, settings), alias(BOB, settings)
    before, after = NOW - HOUR, dt.datetime.now(dt.UTC) + HOUR
    bronze(settings, record(ADA, before), record(ADA, after), record(ADA, before, timestamp=after, offset=3))
    events = [
        {"customer_id": person, "event_time": at, "timestamp": arrived}
        for person in (ada, bob, None)
        for at, arrived in ((before, before), (before, after), (after, after))
    ]
    write(settings, "silver/marketplace_orders", *events)
    write(settings, "gold/things", {"who": ada, "updated_at": before}, {"who": ada, "updated_at": after})

    assert forget_again(CONTRACTS, settings) == {
        "bronze.events": 2,
        "silver.marketplace_orders": 2,
        "gold.things": 1,
    }
    left = without_forgotten(pa.Table.from_pylist(events), ORDERS, settings)
    assert [(row["customer_id"], row["event_time"]) for row in left.to_pylist()] == [
        (ada, after),
        *((person, at) for person in (bob, None) for at in (before, before, after)),
    ]


def test_kept_results_and_mails_that_show_a_pseudonym_go(settings: Settings) -> None:
    ada, bob = alias(ADA, settings), alias(BOB, settings)
    for folder in ("quality/gx/uncommitted/validations/run", "mail/new"):
        (settings.home / folder).mkdir(parents=True)
    for name, text in (("ada", ada), ("bob", bob)):
        (settings.home / "quality/gx/uncommitted/validations/run" / f"{name}.json").write_text(json.dumps([text]))
        mail = EmailMessage()
        mail.set_content("Your report")
        mail.add_attachment(f"customer,orders\n{text},1\n".encode(), "text", "csv", filename="report.csv")
        (settings.home / "mail/new" / name).write_bytes(mail.as_bytes())
    forget(ADA, CONTRACTS, settings)
    kept = {path.name for path in settings.home.rglob("*") if path.is_file()}
    assert kept >= {"bob.json", "bob"}
    assert not kept & {"ada.json", "ada"}


def test_tables_of_all_contracts_can_be_looked_into(settings: Settings) -> None:
    for contract in CONTRACTS:
        silver_table(contract).create(settings.lake_url)
        quarantine_table(contract).create(settings.lake_url)
    PARITY.create(settings.lake_url)
    assert set(forget(ADA, CONTRACTS, settings).values()) == {0}


@pytest.mark.parametrize("arguments", [[], [" "], [ADA, "--again"]])
def test_the_command_wants_a_person_or_the_list(arguments: list[str]) -> None:
    outcome = CliRunner().invoke(app, ["forget", *arguments])
    assert outcome.exit_code == 2
    assert "name the person" in outcome.output
