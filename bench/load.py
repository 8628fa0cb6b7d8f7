"""Load generator: events at a steady rate, with the wall clock as event time.

Runs in an environment of its own (see ``bench.environment``), so it imports nothing of the project::

    python load.py BOOTSTRAP SOURCE RATE SECONDS LOG LATE

``SOURCE`` is a topic, which gets placed orders, or a file of ``bench.tape``, whose events are sent again and again.
``LOG`` gets one line per tick, ``<event time in epoch ms> <events>``: every event of a tick has this event
time, but for the share ``LATE`` of them, which happened minutes to months before. The last line of standard output is a
JSON object with the events sent and the CPU seconds taken.
"""

import json
import random
import resource
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import accumulate, count, cycle
from pathlib import Path

from confluent_kafka import Producer  # type: ignore[import-not-found]

TICK = 0.01
LATENESS = (15 * 60_000, 3 * 86_400_000, 60 * 86_400_000)
"""By how much late events are, milliseconds: 15 minutes, 3 days, 60 days."""
TEMPLATES = 20_000
CATEGORIES = [
    *("Electronics", "Books", "Fashion", "Home", "Garden", "Sports"),
    *("Toys", "Beauty", "Grocery", "Health", "Automotive", "Music"),
]
COUNTRIES = ["DE", "FR", "NL", "ES", "IT", "PL", "AT", "BE"]
CHANNELS = ["web", "app", "partner"]
VENDORS = [f"vendor-{number:02}" for number in range(1, 41)]


class Popular:
    """Picks from a list by Zipf's law: the n-th is picked n times less often than the first."""

    def __init__(self, values: list[str]) -> None:
        self.values = values
        self.weights = list(accumulate(1 / rank for rank in range(1, len(values) + 1)))

    def pick(self, chance: random.Random) -> str:
        """One of the values."""
        return chance.choices(self.values, cum_weights=self.weights)[0]


def endings(chance: random.Random, count: int = TEMPLATES) -> list[bytes]:
    """What follows the order's id in its JSON: the rest of ``count`` orders of one line each."""
    vendors, categories, countries, channels = map(Popular, (VENDORS, CATEGORIES, COUNTRIES, CHANNELS))
    return [
        json.dumps(
            {
                "customer_id": f"customer-{chance.randrange(20_000):05}",
                "vendor_id": vendors.pick(chance),
                "country": countries.pick(chance),
                "channel": channels.pick(chance),
                "currency": "EUR",
                "lines": [
                    {
                        "product_id": f"product-{chance.randrange(5_000):04}",
                        "category": categories.pick(chance),
                        "quantity": chance.randint(1, 4),
                        "unit_price": f"{chance.randint(199, 29_999) / 100:.2f}",
                    }
                ],
            },
            separators=(",", ":"),
        )[1:].encode()
        for _ in range(count)
    ]


def timestamp(milliseconds: int) -> bytes:
    """ISO 8601 in UTC with milliseconds."""
    seconds, rest = divmod(milliseconds, 1000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest:03}Z".encode()


def orders(topic: str) -> Iterator[tuple[str, bytes, bytes]]:
    """Topic, key, and the members of a placed order but its time and identity, without end."""
    rest_of_order = cycle(endings(random.Random(1)))
    for number in count():
        key = b"order-%010d" % number
        yield topic, key, b'"event_type":"placed","order_id":"%b",%b' % (key, next(rest_of_order))


def replayed(tape: Path) -> Iterator[tuple[str, bytes, bytes]]:
    """Topic, key, and the members of a recorded event but its time and identity, without end."""
    lines = [line.split(b"\t", 2) for line in tape.read_bytes().splitlines()]
    return cycle([(topic.decode(), key, rest) for topic, key, rest in lines])


def head(milliseconds: int) -> bytes:
    """How the event of a moment begins."""
    return b'{"event_time":"%b","event_id":"event-' % timestamp(milliseconds)


def produce(producer: Producer, source: str, rate: float, seconds: float, log_path: str, late: float) -> int:
    """Send events until the time is over; returns how many."""
    every = round(1 / late) if late else sys.maxsize
    tape = Path(source)
    events = replayed(tape) if tape.is_file() else orders(source)
    sent, started = 0, time.monotonic()
    with open(log_path, "w") as log:  # noqa: PTH123
        while (elapsed := time.monotonic() - started) < seconds:
            milliseconds = time.time_ns() // 1_000_000
            on_time, *lates = map(head, (milliseconds, *(milliseconds - by for by in LATENESS)))
            due = int(elapsed * rate)
            for number in range(sent, due):
                topic, key, rest = next(events)
                begin = on_time if (number + 1) % every else lates[number // every % len(lates)]
                producer.produce(topic, b'%b%010d",%b' % (begin, number, rest), key)
            if due > sent:
                log.write(f"{milliseconds} {due - sent}\n")
            sent = due
            producer.poll(0)
            time.sleep(max(0.0, TICK - (time.monotonic() - started - elapsed)))
    return sent


def main(bootstrap: str, source: str, rate: str, seconds: str, log_path: str, late: str) -> None:
    """Produce, and print what it took."""
    failed = 0

    def delivered(error: object, _message: object) -> None:
        nonlocal failed
        failed += error is not None

    producer = Producer(
        {
            "bootstrap.servers": bootstrap,
            "linger.ms": 10,
            "batch.size": 262_144,
            "compression.type": "lz4",
            "acks": 1,
            "queue.buffering.max.messages": 1_000_000,
            "error_cb": lambda error: print(error, file=sys.stderr),
            "delivery.report.only.error": True,
            "on_delivery": delivered,
        }
    )
    sent = produce(producer, source, float(rate), float(seconds), log_path, float(late))
    failed += producer.flush(60)
    used = resource.getrusage(resource.RUSAGE_SELF)
    print(json.dumps({"sent": sent, "failed": failed, "cpu_seconds": used.ru_utime + used.ru_stime}))


if __name__ == "__main__":
    main(*sys.argv[1:])
