"""What the tables must hold, kept up to date as messages are sent, and held against them cell by cell."""

import datetime as dt
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from jobs.marts import MARTS, SNAPSHOTS, Mart, Snapshot
from jobs.tables import views
from schemas import load_contracts
from stack.demo.message import Event, Message
from tests.stack.pipeline import Lake
from tests.stack.truth import TRUTH, Cell, Key, add
from tests.stack.view_truth import VIEW_TRUTH

CONTRACTS = {contract.topic: contract for contract in load_contracts()}
"""By topic."""


@dataclass
class Truth:
    """Every event once, and every cell of every mart and snapshot, whatever came late or twice."""

    events: dict[str, list[Event]] = field(default_factory=lambda: defaultdict(list))
    """By topic, each once, in the order of arrival."""
    counts: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    """By topic: ``input``, ``refused``, ``late``, and ``events`` for those that are to be in silver."""
    marts: dict[str, dict[Key, Cell]] = field(default_factory=lambda: defaultdict(dict))
    newest: dict[str, dict[Any, Event]] = field(default_factory=lambda: defaultdict(dict))
    _known: set[str] = field(default_factory=set)

    def enter(self, message: Message, arrived: float) -> None:
        """Take note of a message, and of its timestamp in Kafka, seconds since 1970."""
        counts = self.counts[message.topic]
        counts["input"] += 1
        if message.fate == "refused":
            counts["refused"] += 1
            return
        event, contract = message.event, CONTRACTS[message.topic]
        happened = dt.datetime.fromisoformat(event[contract.event_time]).timestamp()
        counts["late"] += happened < arrived - contract.watermark_delay.total_seconds()
        if event[contract.key] in self._known:
            return
        self._known.add(event[contract.key])
        counts["events"] += 1
        self.events[message.topic].append(event)
        for mart in MARTS.get(message.topic, ()):
            for key, cell in TRUTH[mart.name](event):
                add(self.marts[mart.name], key, cell)
        for snapshot in SNAPSHOTS.get(message.topic, ()):
            newest, about = self.newest[snapshot.name], thing(snapshot, event)
            if about not in newest or moment(newest[about]) <= moment(event):
                newest[about] = event

    def differences(self, lake: Lake) -> list[str]:
        """Everything in which counts, silver, marts and snapshots are other than they must be."""
        found = self._counts(lake)
        for topic, contract in CONTRACTS.items():
            wanted = Counter(event[contract.key] for event in self.events[topic])
            seen = Counter(lake.table(f"silver/{contract.name}", [contract.key])[contract.key].to_pylist())
            found += unlike(f"silver/{contract.name}", wanted, seen)
            for mart in MARTS.get(topic, ()):
                found += unlike(f"gold/{mart.name}", self.mart(mart), rows_of(lake, mart))
            for snapshot in SNAPSHOTS.get(topic, ()):
                found += self._snapshot(snapshot, lake)
        return found

    def views(self, lake: Lake) -> list[str]:
        """Everything in which views, which have just been computed, are other than they must be."""
        found = []
        for view in (view for view in views() if view.name in VIEW_TRUTH):
            rows = lake.table(f"gold/{view.name}").to_pylist()
            wanted = VIEW_TRUTH[view.name](self.events)
            names = {name for cell in wanted.values() for name in cell}
            seen = {tuple(row[key] for key in view.keys): {name: row[name] for name in names} for row in rows}
            found += unlike(f"gold/{view.name}", wanted, seen)
        return found

    def mart(self, mart: Mart) -> dict[Key, Cell]:
        """Its cells with every measure: what no event added to is 0, or empty where it is a minimum or maximum."""
        return {key: whole(mart, cell) for key, cell in self.marts[mart.name].items()}

    def _counts(self, lake: Lake) -> list[str]:
        seen: dict[str, Counter[str]] = defaultdict(Counter)
        for row in lake.table("ops/live_by_minute").to_pylist():
            seen[row["entity"]].update({name: value for name, value in row.items() if isinstance(value, int)})
        found = []
        for topic, wanted in self.counts.items():
            counts = seen[topic]
            are = {name: counts[name] for name in ("input", "refused", "late")}
            are["events"] = counts["accepted"] + counts["late_accepted"]
            if are != (must := {name: wanted[name] for name in are}):
                found.append(f"ops/live_by_minute: {topic} has {are} in place of {must}")
            outcomes = sum(counts[name] for name in ("accepted", "refused", "late", "duplicates"))
            if counts["input"] != outcomes:
                found.append(f"ops/live_by_minute: the counts of {topic} do not add up: {counts}")
            if (refused := lake.count(f"quarantine/{CONTRACTS[topic].name}")) != wanted["refused"]:
                found.append(f"quarantine of {topic}: {refused} rows in place of {wanted['refused']}")
        return found

    def _snapshot(self, snapshot: Snapshot, lake: Lake) -> list[str]:
        rows = {thing(snapshot, row): row for row in lake.table(f"gold/{snapshot.name}").to_pylist()}
        wanted = {}
        for key, event in self.newest[snapshot.name].items():
            names = rows.get(key, {}).keys() & event.keys()
            said = {
                name: Decimal(event[name]) if isinstance(rows[key][name], Decimal) else event[name] for name in names
            }
            wanted[key] = {**said, "updated_at": moment(event)}
        seen = {key: {name: row[name] for name in wanted.get(key, row)} for key, row in rows.items()}
        return unlike(f"gold/{snapshot.name}", wanted, seen)


def thing(snapshot: Snapshot, row: Mapping[str, Any]) -> Key:
    """What an event or a row of a snapshot is about."""
    return tuple(row[key] for key in snapshot.keys)


def rows_of(lake: Lake, mart: Mart) -> dict[Key, Cell]:
    """What a mart says, by its key."""
    measures = [measure.name for measure in mart.measures]
    return {
        tuple(row[name] for name in (mart.window, *mart.dimensions)): {name: row[name] for name in measures}
        for row in lake.mart(mart).to_pylist()
    }


def unlike(table: str, wanted: Mapping[Any, Any], seen: Mapping[Any, Any]) -> list[str]:
    """What differs between two tables, by their keys."""
    found = [f"{table}: {key} is missing" for key in wanted.keys() - seen.keys()]
    found += [f"{table}: {key} should not be" for key in seen.keys() - wanted.keys()]
    both = wanted.keys() & seen.keys()
    return found + [f"{table}: {key} is {seen[key]}, not {wanted[key]}" for key in both if seen[key] != wanted[key]]


def whole(mart: Mart, cell: Cell) -> Cell:
    """A cell with every measure of its mart."""
    extremes = {"min": min, "max": max}
    return {
        measure.name: cell.get(measure.name, 0)
        if measure.merge == "sum"
        else extremes[measure.merge](cell.get(measure.name, ()), default=None)
        for measure in mart.measures
    }


def moment(event: Event) -> dt.datetime:
    """When it happened."""
    return dt.datetime.fromisoformat(event["event_time"])


def short(differences: Sequence[str]) -> str:
    """The first of them, to be read."""
    return "\n".join(difference[:300] for difference in [f"{len(differences)} differ:", *differences[:20]])
