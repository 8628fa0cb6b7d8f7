"""Disorderly orders that are sent in real time, and the ledger of the truth about them."""

import datetime as dt
import json
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from kafka import KafkaProducer

from jobs.maintain import maintain
from jobs.marts.marketplace import PULSE_BY_SECOND, SALES_BY_MINUTE
from jobs.settings import Settings
from quality.judgement import rule_of
from schemas import load_contracts
from tests.stack.order_traffic import Message, order_messages
from tests.stack.pipeline import TOPIC, Jobs, Lake

PULSE, SALES = "gold/marketplace_pulse_by_second", "gold/marketplace_sales_by_minute"
SILVER = "silver/marketplace_orders"

Key = tuple[dt.datetime, str, str, str, str]


@dataclass
class Ledger:
    """What was produced, judged by the letter of the contract and independently of the code under test."""

    produced: int = 0
    refused: int = 0
    late: int = 0
    late_duplicates: int = 0
    duplicates: int = 0
    events: dict[str, dict[str, Any]] = field(default_factory=dict)

    def enter(self, message: Message) -> None:
        self.produced += 1
        event = valid_event(message.value)
        if event is None:
            self.refused += 1
        # The traffic is at most two minutes late, or an hour; the watermark's delay is ten minutes.
        elif message.at - event["event_time"].timestamp() > 1800:
            self.late += 1
            self.late_duplicates += event["event_id"] in self.events
            self.events.setdefault(event["event_id"], event)
        elif event["event_id"] in self.events:
            self.duplicates += 1
        else:
            self.events[event["event_id"]] = event

    def counts(self) -> dict[str, int]:
        """What ``live`` must count, by the columns of ``ops/live_by_minute``."""
        late = self.late - self.late_duplicates
        return {
            "input": self.produced,
            "accepted": len(self.events) - late,
            "refused": self.refused,
            "late": self.late,
            "duplicates": self.duplicates,
            "late_accepted": late,
            "late_duplicates": self.late_duplicates,
        }

    def sales(self) -> dict[Key, dict[str, Any]]:
        """The mart of sales by minute, by its key."""
        cells: dict[Key, dict[str, Any]] = defaultdict(empty_cell)
        for event in self.events.values():
            if event["event_type"] not in ("placed", "cancelled", "returned"):
                continue
            minute = event["event_time"].replace(second=0, microsecond=0)
            for category in {line["category"] for line in event["lines"]}:
                lines = [line for line in event["lines"] if line["category"] == category]
                cell = cells[(minute, event["vendor_id"], category, event["country"], event["channel"])]
                if event["event_type"] == "placed":
                    value = sum((line["quantity"] * Decimal(line["unit_price"]) for line in lines), Decimal(0))
                    cell["orders"] += 1
                    cell["units"] += sum(line["quantity"] for line in lines)
                    cell["gross"] += value
                    cell["values"].append(value)
                else:
                    cell[event["event_type"]] += 1
        return cells


def empty_cell() -> dict[str, Any]:
    return {"orders": 0, "units": 0, "gross": Decimal(0), "cancelled": 0, "returned": 0, "values": []}


def valid_event(value: bytes) -> dict[str, Any] | None:
    try:
        event: dict[str, Any] = json.loads(value)
        event["event_time"] = dt.datetime.fromisoformat(event["event_time"])
        prices = [Decimal(line["unit_price"]) for line in event["lines"]]
    except (ValueError, ArithmeticError):
        return None
    quantities = [line["quantity"] for line in event["lines"]]
    is_known = event["event_type"] in {"placed", "paid", "shipped", "delivered", "cancelled", "returned"}
    return event if is_known and event["vendor_id"] and min(*prices, *quantities, 0) >= 0 else None


class Traffic:
    """Sends disorderly traffic in real time until it is stopped, and keeps the ledger."""

    def __init__(self, kafka: KafkaProducer, *, rate: float) -> None:
        self.ledger = Ledger()
        self._rate = rate
        self._kafka = kafka
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._flow, daemon=True)

    def send(self, messages: Iterator[Message], until: float) -> None:
        for message in messages:
            if message.at > until:
                break
            self._kafka.send(TOPIC, key=message.key, value=message.value)
            self.ledger.enter(message)
        self._kafka.flush()

    def begin(self, jobs: Jobs, lake: Lake) -> None:
        """Start the jobs on a first batch, and go on."""
        self.send(order_messages(rate=self._rate, start=time.time() - 30), time.time() - 5)
        jobs.start()
        lake.wait_for(self.ledger.produced, jobs)
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()

    def _flow(self) -> None:
        for message in order_messages(rate=self._rate, start=time.time()):
            if self._stop.wait(max(0.0, message.at - time.time())):
                break
            self._kafka.send(TOPIC, key=message.key, value=message.value)
            self.ledger.enter(message)
        self._kafka.flush()


@contextmanager
def maintained(settings: Settings) -> Iterator[None]:
    """Maintain the lake again and again."""
    done, contracts = threading.Event(), load_contracts()

    def go_on() -> None:
        # Jobs yield to other processes: without a pause they would hardly run.
        while not done.wait(5):
            assert not [done for done in maintain(contracts, settings) if done.error]

    with ThreadPoolExecutor(1) as thread:
        maintenance = thread.submit(go_on)
        try:
            yield
        finally:
            done.set()
        maintenance.result()


def assert_equal_to_the_truth(lake: Lake, ledger: Ledger) -> None:
    counts = {name: lake.intake(name) for name in ledger.counts()}
    print(f"\n{counts}")
    assert counts == ledger.counts()
    assert ledger.late > 0
    assert ledger.duplicates > 0
    assert ledger.refused > 0

    bronze = lake.table("bronze/events", ["partition", "offset"]).to_pandas()
    assert len(bronze) == len(bronze.drop_duplicates()) == ledger.produced
    assert sorted(lake.table(SILVER, ["event_id"])["event_id"].to_pylist()) == sorted(ledger.events)
    assert lake.count("quarantine/marketplace_orders") == ledger.refused

    refused = lake.table("quarantine/marketplace_orders", ["reasons"])["reasons"].to_pylist()
    rules = lake.table("ops/quality_by_minute", ["rule", "refused"]).group_by("rule").aggregate([("refused", "sum")])
    counted = dict(zip(rules["rule"].to_pylist(), rules["refused_sum"].to_pylist(), strict=True))
    reasons = Counter(rule_of(reason) for reasons in refused for reason in reasons)
    assert {rule: count for rule, count in counted.items() if count} == reasons

    rows = lake.mart(SALES_BY_MINUTE).to_pylist()
    cells = ledger.sales()
    in_gold = {(r["minute"], r["vendor_id"], r["category"], r["country"], r["channel"]): r for r in rows}
    assert len(in_gold) == len(rows) == len(cells)
    for key, cell in cells.items():
        row, values = in_gold[key], cell.pop("values")
        assert {name: row[name] for name in cell} == cell, key
        assert row["order_value_min"] == min(values, default=None)
        assert row["order_value_max"] == max(values, default=None)
        assert row["order_value_sum_of_squares"] == sum(value * value for value in values)

    pulse = lake.mart(PULSE_BY_SECOND).to_pylist()
    assert sum(row["events"] for row in pulse) == len(ledger.events)
    assert sum(row["gross"] for row in pulse) == sum(cell["gross"] for cell in cells.values())
