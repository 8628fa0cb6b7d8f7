"""An hour of both businesses, with every disorder and two kills: each table holds what the simulator's ledger says.

What came late is no exception: silver, marts, snapshots and views have it.
"""

import datetime as dt
import random
import time
from decimal import Decimal
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from jobs.cli import app
from jobs.marts import MARTS, SNAPSHOTS, Mart, Snapshot, View
from jobs.settings import Settings
from jobs.settings import settings as settings_of_process
from jobs.tables import views
from schemas import load_contracts
from stack.demo import TOPICS, Disorder, Ledger, simulate
from stack.demo.message import Event
from stack.produce import dated_by_producers, sender
from stack.supervision import variables_of
from tests.scale import scaled
from tests.stack.pipeline import Jobs, Lake, eventually, running_broker
from tests.stack.truth import TRUTH, Cell, cells
from tests.stack.view_truth import VIEW_TRUTH

RATE = scaled(small=8, full=200)
KILLS = scaled(small=1, full=2)
RECORDS_PER_BATCH = 25 * RATE
DISORDER = Disorder(duplicated=0.02, late=0.05, too_late=0.004, malformed=0.005)
HOUR = 3600.0
CONTRACTS = {contract.topic: contract for contract in load_contracts()}


def test_every_table_equals_the_ledger(tmp_path: Path) -> None:
    chance = random.Random(5)
    ledger = Ledger()
    with running_broker(tmp_path) as settings, Jobs(settings) as jobs:
        lake = Lake(settings.lake_url)
        start = time.time() - HOUR
        jobs.start(SLUICE_MAX_OFFSETS_PER_TRIGGER=str(RECORDS_PER_BATCH))
        # An hour is sent at once, so each record brings the moment when it would have come.
        with dated_by_producers(TOPICS, settings), sender(settings) as kafka:
            for message in simulate(rate=RATE, start=start, seed=7, pace=200, disorder=DISORDER):
                if message.at > start + HOUR:
                    break
                kafka.send(message.topic, key=message.key, value=message.value, at=message.at)
                ledger.enter(message)
            kafka.settle()
        produced = sum(fates.total() for fates in ledger.counts.values())
        for _ in range(KILLS):
            go_on(lake, jobs)
            time.sleep(chance.uniform(0, 10))
            jobs.kill()
            jobs.start(SLUICE_MAX_OFFSETS_PER_TRIGGER=str(RECORDS_PER_BATCH))
        lake.wait_for(produced, jobs, seconds=scaled(small=400, full=1800))
        assert jobs.stop() == 0

    assert set(ledger.counts) == set(TOPICS)
    assert_counts_are_true(lake, ledger)
    events = {topic: without_repetitions([*ledger.events[topic], *ledger.late[topic]]) for topic in TOPICS}
    for contract in CONTRACTS.values():
        silver = lake.table(f"silver/{contract.name}", [contract.key])[contract.key].to_pylist()
        assert sorted(silver) == sorted(event[contract.key] for event in events[contract.topic]), contract.topic
    assert {mart.name for marts in MARTS.values() for mart in marts} == set(TRUTH)
    for topic, marts in MARTS.items():
        for mart in marts:
            assert_mart_is_true(lake, mart, events[topic])
    for topic, snapshots in SNAPSHOTS.items():
        for snapshot in snapshots:
            assert_snapshot_is_true(lake, snapshot, events[topic])

    assert sluice(settings, "refresh", *VIEW_TRUTH) == 0
    for view in views():
        if view.name in VIEW_TRUTH:
            assert_view_is_true(lake, view, events)

    assert sluice(settings, "reconcile") == 0


def go_on(lake: Lake, jobs: Jobs) -> None:
    """Wait until the jobs have taken in something."""
    before = lake.intake("input")

    def is_more() -> bool:
        assert jobs.is_alive, f"the jobs ended:\n{jobs.log}"
        return lake.intake("input") > before

    eventually(is_more, what="the jobs go on", seconds=480)


def sluice(settings: Settings, *arguments: str) -> int:
    """Run a command; returns its exit code. In this process: a JVM of its own would be cold each time."""
    settings_of_process.cache_clear()
    found = CliRunner().invoke(app, arguments, env=variables_of(settings) | {"SLUICE_DRIVER_MEMORY": "2g"})
    settings_of_process.cache_clear()
    print(found.output)
    if found.exception and not isinstance(found.exception, SystemExit):
        raise found.exception
    return found.exit_code


def without_repetitions(events: list[Event]) -> list[Event]:
    return list({event["event_id"]: event for event in events}.values())


def assert_counts_are_true(lake: Lake, ledger: Ledger) -> None:
    names = {"accepted": "accepted", "refused": "refused", "late": "late", "duplicates": "duplicate"}
    found: dict[str, dict[str, int]] = {}
    for row in lake.table("ops/live_by_minute").to_pylist():
        counts = found.setdefault(row["entity"], dict.fromkeys(names, 0))
        for name in names:
            counts[name] += row[name]
    truth = {topic: {name: fates[fate] for name, fate in names.items()} for topic, fates in ledger.counts.items()}
    print(f"\n{truth}")
    assert found == truth
    assert sum(counts["late"] for counts in truth.values()) > 0
    assert lake.count("bronze/events") == sum(fates.total() for fates in ledger.counts.values())


def assert_mart_is_true(lake: Lake, mart: Mart, events: list[dict[str, Any]]) -> None:
    truth = cells(contribution for event in events for contribution in TRUTH[mart.name](event))
    found = {tuple(row[name] for name in (mart.window, *mart.dimensions)): row for row in lake.mart(mart).to_pylist()}
    assert found.keys() == truth.keys(), mart.name
    for key, cell in truth.items():
        assert {measure.name: found[key][measure.name] for measure in mart.measures} == whole(mart, cell), (
            mart.name,
            key,
        )


def assert_snapshot_is_true(lake: Lake, snapshot: Snapshot, events: list[Event]) -> None:
    newest: dict[str, Event] = {}
    (key, *_) = snapshot.keys
    for event in events:
        if event[key] not in newest or newest[event[key]]["event_time"] <= event["event_time"]:
            newest[event[key]] = event
    rows = {row[key]: row for row in lake.table(f"gold/{snapshot.name}").to_pylist()}
    assert rows.keys() == newest.keys()
    for row in rows.values():
        event = newest[row[key]]
        assert row["updated_at"] == dt.datetime.fromisoformat(event["event_time"])
        for name in row.keys() & event.keys():
            assert row[name] == event[name] or row[name] == Decimal(event[name]), (snapshot.name, name)


def assert_view_is_true(lake: Lake, view: View, events: dict[str, list[Event]]) -> None:
    found = {tuple(row[key] for key in view.keys): row for row in lake.table(f"gold/{view.name}").to_pylist()}
    truth = VIEW_TRUTH[view.name](events)
    assert found.keys() == truth.keys(), view.name
    for key, cell in truth.items():
        assert {name: found[key][name] for name in cell} == cell, (view.name, key)


def whole(mart: Mart, cell: Cell) -> Cell:
    """A cell with every measure: what no event added to is 0, or empty where it is a minimum or maximum."""
    extremes = {"min": min, "max": max}
    return {
        measure.name: cell.get(measure.name, 0)
        if measure.merge == "sum"
        else extremes[measure.merge](cell.get(measure.name, ()), default=None)
        for measure in mart.measures
    }
