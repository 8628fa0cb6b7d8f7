"""``python -m bench.users``: many users look at live dashboards of the running system; how fast, and at what cost.

Each user has a session and a connection of its own and asks for what a browser asks for: the data of every chart of a
dashboard, again every 2 s. They begin spread over those 2 s. All share the machine with the system. How long
gold takes to have an event is taken before they come and while they are there.
"""

import datetime as dt
import json
import re
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from multiprocessing import get_context
from multiprocessing.synchronize import Event
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any
from urllib.parse import urlsplit

import numpy as np
import requests
import typer
from urllib3 import HTTPConnectionPool
from urllib3.exceptions import HTTPError

from bench import commits, report
from bench.freshness import Floats
from bench.publish import publish
from jobs.entity import silver_table
from jobs.marts import MARTS
from jobs.settings import Settings, settings
from schemas import load_contracts
from stack import background, dashboard, supervision

LIVE = ("live-sales", "operations-live", "travel")
ROLES = ("business_user", "executive", "analyst")
BUSY = "marketplace.clickstream"
"""A topic that always has new events."""
MART = "marketplace_funnel_by_minute"
"""A mart that counts them."""
REFRESH = 2.0
"""Seconds between two refreshes of the live dashboards."""
LOGIN_EVERY = 3.1
"""Seconds: Superset lets an address log in 20 times a minute."""
JSON = {"Content-Type": "application/json"}
CACHE_STATUS = re.compile(r"Superset; hit(; ttl=-(?P<late>\d+))?")
QUANTILES = {"p50": 0.5, "p95": 0.95, "max": 1.0}
LONGEST_WAIT = 60.0
"""Seconds until gold must have the last events."""
WARM_UP = 30.0
"""Seconds of users that do not count: the first queries open files and compile code."""


@dataclass
class Seen:
    """What a user met.

    ``seconds`` has how long each answer took; ``late_seconds`` has, for those that were there already, how long after
    their time they were shown; ``errors`` has what was no answer.
    """

    seconds: list[float] = field(default_factory=list)
    late_seconds: list[float] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)


def chart_queries(settings: Settings, session: requests.Session, slug: str) -> list[dict[str, Any]]:
    """What a browser posts for each chart of a dashboard."""
    found = session.get(dashboard.api(settings, f"dashboard/{slug}"), timeout=60).json()["result"]
    charts = session.get(dashboard.api(settings, f"dashboard/{slug}/charts"), timeout=60).json()["result"]
    return [_query(settings, session, chart["id"], found["id"]) for chart in charts]


def _query(settings: Settings, session: requests.Session, chart: int, board: int) -> dict[str, Any]:
    stored = session.get(dashboard.api(settings, f"chart/{chart}"), timeout=60).json()["result"]
    query: dict[str, Any] = json.loads(stored["query_context"])
    query["form_data"] |= {"slice_id": chart, "dashboardId": board}
    return query


def _visitor(settings: Settings, login: requests.Session) -> HTTPConnectionPool:
    """A connection of one user, by urllib3, which takes less of the processors that it shares with the system."""
    address = urlsplit(dashboard.api(settings, ""))
    cookies = "; ".join(f"{cookie.name}={cookie.value}" for cookie in login.cookies)
    headers = {name: str(value) for name, value in login.headers.items()} | {"Cookie": cookies, **JSON}
    return HTTPConnectionPool(address.hostname or "", address.port, maxsize=1, headers=headers)


@contextmanager
def looking(settings: Settings, logins: Sequence[requests.Session], users: int) -> Iterator[list[Seen]]:
    """Let users look at live dashboards before and meanwhile; gives what each of them met, once they have left.

    If there are fewer logins than users, some are the same person in several windows. They look in a process that has
    the stream's share of the processors: real ones bring their own.
    """
    boards = [[json.dumps(query).encode() for query in chart_queries(settings, logins[0], slug)] for slug in LIVE]
    fork = get_context("fork")
    ended, begin = fork.Event(), time.monotonic() + REFRESH
    receiver, sender = fork.Pipe(duplex=False)

    def look(number: int) -> Seen:
        # Each dashboard is seen in each role.
        queries = boards[number // len(ROLES) % len(LIVE)]
        first = begin + REFRESH * number / users
        return _look(settings, _visitor(settings, logins[number % len(logins)]), queries, first, ended)

    def look_together() -> None:
        background.yield_to_others(background.STREAM)
        with ThreadPoolExecutor(users) as threads:
            sender.send(list(threads.map(look, range(users))))

    viewers = fork.Process(target=look_together, daemon=True)
    viewers.start()
    sender.close()  # what is left is the users' own, and ends with them
    found: list[Seen] = []
    try:
        time.sleep(REFRESH + WARM_UP)
        yield found
    finally:
        ended.set()
        found += receiver.recv()
        viewers.join()


def _look(settings: Settings, user: HTTPConnectionPool, queries: list[bytes], begin: float, ended: Event) -> Seen:
    """Be one user, from a moment (by ``time.monotonic``) on; what that user met after the warm-up."""
    seen = Seen()
    path = urlsplit(dashboard.api(settings, "chart/data")).path
    due = begin
    while not ended.wait(max(0.0, due - time.monotonic())):
        for query in queries:
            _ask(user, path, query, seen if due >= begin + WARM_UP else Seen())
        # As a browser does, no sooner than the last refresh is done.
        due = max(due + REFRESH, time.monotonic())
    return seen


def _ask(user: HTTPConnectionPool, path: str, query: bytes, seen: Seen) -> None:
    began = time.monotonic()
    try:
        answer = user.request("POST", path, body=query, timeout=60, retries=False)
    except HTTPError as error:
        seen.errors.append(type(error).__name__)
        return
    if answer.status != HTTPStatus.OK:
        seen.errors.append(f"{answer.status} {answer.data[:100]!r}")
        return
    seen.seconds.append(time.monotonic() - began)
    if stored := CACHE_STATUS.fullmatch(answer.headers.get("Cache-Status", "")):
        seen.late_seconds.append(float(stored["late"] or 0))


def freshness(settings: Settings, spans: Mapping[str, tuple[float, float]], logs: Path) -> dict[str, dict[str, float]]:
    """How long gold took to have the events of each span of time (epoch seconds), by what is kept of two tables' logs.

    Raises:
        ValueError: there were no events in a span.
    """
    silver, mart = _watched(settings)
    added = commits.added(silver, logs / silver.name, commits.ARRIVED)
    visible = commits.batches(logs / mart.name)
    waits = {name: commits.waits(added, visible, start=start, end=end) for name, (start, end) in spans.items()}
    if empty := [name for name, found in waits.items() if not len(found)]:
        raise ValueError(f"no event of {BUSY} reached {MART}: {', '.join(empty)}")
    return {name: _quantiles(found) for name, found in waits.items()}


def _watched(settings: Settings) -> tuple[Path, Path]:
    """Where silver has the events of the busy topic, and the mart that counts them."""
    (contract,) = (contract for contract in load_contracts() if contract.topic == BUSY)
    (mart,) = (mart for mart in MARTS[BUSY] if mart.name == MART)
    return Path(silver_table(contract).url(settings.lake_url)), Path(mart.table.url(settings.lake_url))


def log_in(settings: Settings, people: int) -> list[requests.Session]:
    """So many people, each with a session, all roles in turn; takes 3 s for each."""
    found = []
    for number in range(people):
        time.sleep(LOGIN_EVERY)
        found.append(dashboard.browser_session(settings, ROLES[number % len(ROLES)]))
    return found


def measure(settings: Settings, *, users: int, people: int, minutes: float) -> dict[str, Any]:
    """Let so many minutes pass without users, then as many with them, who are so many people."""
    logins = log_in(settings, people)
    spans = {}
    with TemporaryDirectory() as logs:
        with ExitStack() as stack:
            for table in _watched(settings):
                stack.enter_context(commits.keeping(table, Path(logs) / table.name, since=time.time()))
            spans["alone"] = _pass(minutes)
            with looking(settings, logins, users) as seen:
                spans["with_users"] = _pass(minutes)
            _wait_for_gold(settings, spans["with_users"][1])
        fresh = freshness(settings, spans, Path(logs))
    seconds = [second for user in seen for second in user.seconds]
    late = [second for user in seen for second in user.late_seconds]
    errors = [error for user in seen for error in user.errors]
    return {
        "users": users,
        "minutes": minutes,
        "answers": len(seconds),
        "answers_per_second": len(seconds) / (minutes * 60),
        "seconds": _quantiles(seconds),
        "late_seconds": _quantiles(late),
        "cache_hit_rate": len(late) / len(seconds),
        "errors": len(errors),
        "first_errors": errors[:3],
        "freshness": fresh,
        "demo_rate": settings.demo_rate,
    }


def _wait_for_gold(settings: Settings, moment: float) -> None:
    """Until gold has an event that happened after a moment (epoch seconds), and so all that Kafka had by then.

    Raises:
        TimeoutError: it took too long.
    """
    report = settings.home / "progress" / f"live-{BUSY}.json"
    while dt.datetime.fromisoformat(json.loads(report.read_text())["latest_event_time"]).timestamp() < moment:
        if time.time() > moment + LONGEST_WAIT:
            raise TimeoutError(f"gold has no event of {BUSY} of the last {LONGEST_WAIT:g} s")
        time.sleep(1)


def _pass(minutes: float) -> tuple[float, float]:
    """Let so many minutes pass; from when to when (epoch seconds)."""
    start = time.time()
    time.sleep(60 * minutes)
    return start, time.time()


def _quantiles(found: Sequence[float] | Floats) -> dict[str, float]:
    return {name: float(np.quantile(found, q)) for name, q in QUANTILES.items()}


def main(
    users: Annotated[int, typer.Option(help="How many look at the same time.")] = 50,
    minutes: Annotated[float, typer.Option(help="For how long, and as long without them before.")] = 10,
) -> None:
    """Measure the running system and write the report."""
    ours = settings()
    if not supervision.is_running(ours):
        sys.exit("error: the system does not run; run `make up`, and give it some minutes to warm up")
    result = measure(ours, users=users, people=users, minutes=minutes)
    print(json.dumps(result, indent=1))
    publish(report.USERS, result)


if __name__ == "__main__":
    typer.run(main)
