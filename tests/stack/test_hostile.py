"""Hostile records of every contract, each between two good ones: every record is kept as it was sent, or refused."""

import datetime as dt
import json
import random
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, repeat, zip_longest
from pathlib import Path
from statistics import median
from typing import Any

import pyarrow.compute as pc
from deltalake import DeltaTable

from jobs.definitions import definitions
from jobs.pseudonyms import pseudonym_key
from quality.protection import pseudonym
from quality.rules import Rule
from schemas import Contract
from stack.produce import Headers, sender
from tests.hostile_values import Case, cases, example
from tests.scale import scaled
from tests.stack.pipeline import Jobs, Lake, running_broker
from tests.verdict import same, verdict

RECORDS = scaled(small=5_000, full=1_000_000)
CASES = scaled(small=270, full=10_000)
"""At most so many of each contract in a round."""
PACE = 1_000
"""Records per second: micro-batches have much the same size, so that how long one takes says something."""
WARM = 100_000
"""Records after which that is looked at: a JVM is slow at first."""
KEY = "hostile-00000000"
KEYS = (b"", b"k", b"\xff\xfe", b"\0" * 1000)
HEADERS: tuple[Headers, ...] = (
    (),
    [("", b"")],
    [("h", b"\xff\xfe"), ("h", b"")],
    [("é" * 1000, b"\0" * 10_000)],
    [("traceparent", b"00-0-0-00")] * 100,
)
TIMESTAMPS = (None, 0.0, 1.0, 4e9)
"""Of which the broker of these topics takes none."""


@dataclass(frozen=True)
class Fate:
    """What must become of a record: what silver has of it, or the reasons for which it is refused; else a duplicate."""

    name: str
    kept: Mapping[str, Any] | None = None
    reasons: tuple[str, ...] = ()


class Stream:
    """One topic with one partition, and what must become of its records."""

    def __init__(self, contract: Contract, rules: Sequence[Rule], secret: bytes) -> None:
        self.contract = contract
        self.sent = 0
        """Which is the offset of the next."""
        self.counts: Counter[str] = Counter()
        """As in ``ops/live_by_minute``; ``events`` are those that silver has."""
        self._secret = secret
        self._critical = [rule.name for rule in rules if rule.severity == "critical"]
        self._fates: dict[int, Fate] = {}
        self._known: dict[str, list[dt.datetime]] = defaultdict(list)

    def values(self, chance: random.Random) -> Iterator[bytes | None]:
        """A round of values: hostile ones, each between two good ones."""
        contract, now = self.contract, dt.datetime.now(dt.UTC)
        event = example(contract) | {contract.key: KEY, contract.event_time: now.isoformat()}
        text = json.dumps(event)
        good = Case("good", text.encode(), verdict(contract, text, arrived=now)[1])
        hostile = list(cases(contract, event, now))
        for case in chance.sample(hostile, min(CASES, len(hostile))):
            yield self._send(good, now)
            yield self._send(case, now)
        yield self._send(good, now)

    def problems(self, lake: Lake) -> list[str]:
        """What is wrong with the records that were sent since this was asked last."""
        first, name = min(self._fates), self.contract.name
        kept, refused = (_rows(f"{lake.root}/{layer}/{name}", first) for layer in ("silver", "quarantine"))
        self.counts += Counter(events=sum(map(len, kept.values())), refused=sum(map(len, refused.values())))
        found = []
        for offset, fate in self._fates.items():
            if problem := self._problem(fate, kept.pop(offset, []), refused.pop(offset, [])):
                found.append(f"{self.contract.topic} {offset}: {fate.name}: {problem}")
        self._fates.clear()
        return found + [f"{self.contract.topic}: nobody sent {offset}" for offset in (*kept, *refused)]

    def miscounted(self, lake: Lake) -> list[str]:
        """What ``ops/live_by_minute`` says other than was sent."""
        counted: Counter[str] = Counter()
        for row in lake.table("ops/live_by_minute").to_pylist():
            if row["entity"] == self.contract.topic:
                counted.update({name: value for name, value in row.items() if isinstance(value, int)})
        counted["events"] = counted["accepted"] + counted["late_accepted"]
        duplicates = counted["duplicates"] + counted["late_duplicates"]
        found = []
        if self.sent != counted["input"] or self.sent != counted["events"] + counted["refused"] + duplicates:
            found.append(f"{self.contract.topic}: {self.sent} were sent: {counted}")
        return found + [
            f"{self.contract.topic}: {name} is {counted[name]} in place of {count}"
            for name, count in self.counts.items()
            if counted[name] != count
        ]

    def _send(self, case: Case, now: dt.datetime) -> bytes | None:
        key = f"hostile-{self.sent:08d}"
        self._fates[self.sent] = self._fate(case, key, now)
        self.sent += 1
        return case.value and case.value.replace(KEY.encode(), key.encode())

    def _fate(self, case: Case, key: str, now: dt.datetime) -> Fate:
        if case.kept is None:
            return Fate(case.name, reasons=case.reasons)
        contract, kept = self.contract, dict(case.kept)
        kept[contract.key] = str(kept[contract.key]).replace(KEY, key)
        time, times = kept[contract.event_time], self._known[kept[contract.key]]
        if any(abs(time - other) <= contract.watermark_delay for other in times):
            return Fate(case.name)
        times.append(time)
        kept |= {field.name: self._protected(field.protection, kept[field.name]) for field in contract.fields}
        return Fate(case.name, kept)

    def _protected(self, protection: str | None, value: Any) -> Any:
        if protection is None or value is None:
            return value
        if protection == "hash":
            return pseudonym(value, self._secret)
        host = f"@{value.rpartition('@')[2]}" if "@" in value else ""
        return f"{value[:1]}***{host}"

    def _problem(self, fate: Fate, kept: list[dict[str, Any]], refused: list[dict[str, Any]]) -> str | None:
        """What is wrong with what became of a record."""
        if len(kept) + len(refused) != bool(fate.kept or fate.reasons):
            return f"{len(kept)} times in silver and {len(refused)} times in quarantine"
        reasons = [reason for row in refused for reason in row["reasons"]]
        wanted = fate.reasons or (self._rules_about(fate) if refused else ())
        if (
            bool(refused) != bool(reasons)
            or len(reasons) != len(wanted)
            or not all(map(str.startswith, reasons, wanted))
        ):
            return f"{reasons} in place of {wanted}"
        wrong = [name for row in kept for name, value in (fate.kept or {}).items() if not same(row[name], value)]
        return "; ".join(f"{name} is {kept[0][name]!r}, and {fate.kept[name]!r} was sent" for name in wrong)

    def _rules_about(self, fate: Fate) -> Sequence[str]:
        """The rules of the suite that may refuse what the contract allows: those about the field that was changed."""
        field = fate.name.split(" ")[0]
        return [rule for rule in self._critical if field in rule.partition(": ")[2].split(", ")]


def _rows(url: str, first: int) -> dict[int, list[dict[str, Any]]]:
    """The rows of a table by their offset, from one on."""
    found: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for row in DeltaTable(url).to_pyarrow_dataset().to_table(filter=pc.field("offset") >= first).to_pylist():
        found[row["offset"]].append(row)
    return found


def _seconds(lake: Lake, query: str) -> dict[int, float]:
    """How long each of the last micro-batches took, from its plan to its commit."""
    checkpoint = Path(lake.root, "_checkpoints", query)
    began, ended = (
        {int(file.name): file.stat().st_mtime for file in (checkpoint / log).iterdir() if file.name.isdigit()}
        for log in ("offsets", "commits")
    )
    return {batch: ended[batch] - began[batch] for batch in began.keys() & ended.keys()}


def _in_turn(streams: Sequence[Stream], chance: random.Random) -> Iterator[tuple[Stream, bytes | None]]:
    """A round of values of all topics, at ``PACE``."""
    rounds = zip_longest(*(zip(repeat(stream), stream.values(chance), strict=False) for stream in streams))
    began = time.monotonic()
    for number, one in enumerate(filter(None, chain.from_iterable(rounds))):
        time.sleep(max(0.0, began + number / PACE - time.monotonic()))
        yield one


def test_every_record_is_kept_as_it_was_sent_or_refused_with_its_reason(tmp_path: Path) -> None:
    chance, found = random.Random(20260301), definitions()
    with running_broker(tmp_path, partitions=1) as settings, Jobs(settings) as jobs:
        jobs.start()
        lake, secret = Lake(settings.lake_url), pseudonym_key(settings)
        streams = [Stream(contract, found.rules[contract.topic], secret) for contract in found.contracts]
        seconds: dict[tuple[str, int], float] = {}
        while (sent := sum(stream.sent for stream in streams)) < RECORDS:
            with sender(settings) as kafka:
                for stream, value in _in_turn(streams, chance):
                    # The client refuses to send a record that has neither key nor value.
                    key = chance.choice(KEYS if value is None else (None, *KEYS))
                    headers, at = chance.choice(HEADERS), chance.choice(TIMESTAMPS)
                    kafka.send(stream.contract.topic, key=key, value=value, headers=headers, at=at)
            lake.wait_for(sum(stream.sent for stream in streams), jobs, seconds=900)
            wrong = [problem for stream in streams for problem in stream.problems(lake)]
            assert not wrong, "\n".join(problem[:400] for problem in [f"{len(wrong)} wrong", *wrong[:50]])
            for query in ("live-marketplace", "live-travel") if sent >= WARM else ():
                seconds |= {(query, batch): took for batch, took in _seconds(lake, query).items()}
        assert jobs.stop() == 0, jobs.log
        assert [problem for stream in streams for problem in stream.miscounted(lake)] == []
    if seconds:
        took = sorted(seconds.values())
        print(f"{sent:,} records; a micro-batch took {median(took):.1f} s, at most {took[-1]:.1f} s")
