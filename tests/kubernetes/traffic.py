"""Orders into the cluster, and what Superset must say of them."""

import datetime as dt
import json
import threading
import time
from collections.abc import Iterable
from decimal import Decimal
from pathlib import Path
from typing import Any

from tests.kubernetes.cluster import Cluster, eventually
from tests.stack.order_ledger import Ledger
from tests.stack.order_traffic import Message, order_messages

IN_POD = (Path(__file__).parent / "in_pod.py").read_text()
TOPIC = "marketplace.orders"
PAGE = 5_000
COUNTS = ("input", "accepted", "refused", "late", "duplicates", "late_accepted", "late_duplicates")
CELL = ("orders", "units", "gross", "cancelled", "returned")


EPOCH = "CAST('1970-01-01 00:00:00 UTC' AS TIMESTAMP WITH TIME ZONE)"


class Traffic:
    """Sends disorderly orders, and keeps the ledger of what was sent."""

    def __init__(self, cluster: Cluster) -> None:
        self.ledger = Ledger()
        self._pod = cluster.open("toolbox", "python", "-c", IN_POD, "send", TOPIC)
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def send(self, messages: Iterable[Message]) -> None:
        """Send messages as fast as they are taken."""
        assert self._pod.stdin
        for message in messages:
            line = [message.key.decode(), message.value.decode(errors="replace")]
            self._pod.stdin.write(f"{json.dumps(line)}\n")
            self.ledger.enter(message)

    def flow(self, rate: float) -> None:
        """Send in real time from now on, until the end; once is enough."""
        if self._thread:
            return

        def go_on() -> None:
            for message in order_messages(rate=rate, start=time.time()):
                if self._stop.wait(max(0.0, message.at - time.time())):
                    break
                self.send([message])

        self._thread = threading.Thread(target=go_on, daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Stop, and wait until Kafka has taken everything."""
        self._stop.set()
        if self._thread:
            self._thread.join()
        out, _ = self._pod.communicate(timeout=300)
        assert self._pod.returncode == 0
        assert int(out) == self.ledger.produced


class Questions:
    """SQL to Superset's API from inside the cluster, as often as one likes; every engine knows it."""

    def __init__(self, cluster: Cluster) -> None:
        self._pod = cluster.open("toolbox", "python", "-c", IN_POD, "ask")

    def ask(self, sql: str) -> list[dict[str, Any]] | None:
        """The rows; None while Superset does not answer."""
        assert self._pod.stdin
        assert self._pod.stdout
        self._pod.stdin.write(f"{json.dumps(sql)}\n")
        answer: list[dict[str, Any]] | None = json.loads(self._pod.stdout.readline())
        return answer

    def counts(self) -> dict[str, int]:
        """What became of the orders."""
        sums = ", ".join(f"CAST(COALESCE(SUM({name}), 0) AS BIGINT) AS {name}" for name in COUNTS)
        rows = self.ask(f"SELECT {sums} FROM ops.live_by_minute WHERE entity = '{TOPIC}'")
        return rows[0] if rows else {}

    def freshness(self) -> float | None:
        """Seconds since the newest event in gold; None while Superset does not answer."""
        age = "date_diff('millisecond', MAX(second), now()) / 1000e0 AS age"
        rows = self.ask(f"SELECT {age} FROM gold.marketplace_pulse_by_second")
        return rows[0]["age"] if rows else None

    def sales(self) -> dict[tuple[Any, ...], dict[str, Any]]:
        """The mart of sales by minute, by its key."""
        cells: dict[tuple[Any, ...], dict[str, Any]] = {}
        key = f"date_diff('millisecond', {EPOCH}, minute) AS at, vendor_id, category, country, channel"
        # What came late is a row of its own until the mart is compacted.
        sums = {name: f"CAST(SUM({name}) AS BIGINT)" for name in CELL} | {"gross": "CAST(SUM(gross) AS VARCHAR)"}
        values = ", ".join(f"{value} AS {name}" for name, value in sums.items())
        while True:
            rows = self.ask(
                f"SELECT {key}, {values} FROM gold.marketplace_sales_by_minute GROUP BY 1, 2, 3, 4, 5 "
                f"ORDER BY 1, 2, 3, 4, 5 OFFSET {len(cells)} LIMIT {PAGE}"
            )
            assert rows is not None
            for row in rows:
                at = dt.datetime.fromtimestamp(row["at"] / 1000, dt.UTC)
                found = (at, row["vendor_id"], row["category"], row["country"], row["channel"])
                cells[found] = {name: row[name] for name in CELL} | {"gross": Decimal(row["gross"])}
            if len(rows) < PAGE:
                return cells

    def end(self) -> None:
        """Stop asking."""
        self._pod.kill()
        self._pod.wait()


def assert_exact(questions: Questions, ledger: Ledger, *, seconds: float = 300) -> None:
    """Wait until everything has been taken in; then nothing is lost or doubled, cell by cell."""

    def is_taken_in() -> bool:
        counts = questions.counts()
        followed = counts.get("late_accepted", 0) + counts.get("late_duplicates", 0)
        return counts.get("input", 0) >= ledger.produced and followed >= counts["late"]

    eventually(is_taken_in, what=f"{ledger.produced} taken in", seconds=seconds)
    assert questions.counts() == ledger.counts()
    found, expected = questions.sales(), ledger.sales()
    assert found.keys() == expected.keys()
    for key, cell in expected.items():
        assert found[key] == {name: cell[name] for name in CELL}, key
