"""``python -m bench.users``: many users look at live dashboards of the running system; how fast, and at what cost.

Each user has a session and a connection of its own and asks for what a browser asks for: the data of every chart of a
dashboard, again every 2 s. They begin spread over those 2 s. All share the machine with the system. Before they come
and while they are there, the age of the newest event in gold is taken twice a second.
"""

import datetime as dt
import json
import re
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from threading import Event
from typing import Annotated, Any
from urllib.parse import urlsplit

import numpy as np
import requests
import typer
from urllib3 import HTTPConnectionPool
from urllib3.exceptions import HTTPError

from bench import machine, report
from bench.__main__ import DOCS, RESULTS
from jobs.settings import Settings, settings
from stack import dashboard, supervision

LIVE = ("live-sales", "operations-live", "travel")
ROLES = ("business_user", "executive", "analyst")
BUSY = "live-marketplace.clickstream"
"""The query of a topic that always has new events, so that their age is the pipeline's doing."""
REFRESH = 2.0
"""Seconds between two refreshes of the live dashboards."""
LOOK_EVERY = 0.5
LOGIN_EVERY = 3.1
"""Seconds: Superset lets an address log in 20 times a minute."""
JSON = {"Content-Type": "application/json"}
CACHE_STATUS = re.compile(r"Superset; hit(; ttl=-(?P<late>\d+))?")
QUANTILES = {"p50": 0.5, "p95": 0.95, "max": 1.0}
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
def looking(settings: Settings, logins: Sequence[requests.Session]) -> Iterator[list[Future[Seen]]]:
    """Let users look at live dashboards before and meanwhile; gives what each of them met, once they have left."""
    boards = [[json.dumps(query).encode() for query in chart_queries(settings, logins[0], slug)] for slug in LIVE]
    ended, begin = Event(), time.monotonic() + REFRESH

    def look(number: int) -> Seen:
        # Each dashboard is seen in each role.
        queries = boards[number // len(ROLES) % len(LIVE)]
        first = begin + REFRESH * number / len(logins)
        return _look(settings, _visitor(settings, logins[number]), queries, first, ended)

    with ThreadPoolExecutor(len(logins)) as threads:
        try:
            found = [threads.submit(look, number) for number in range(len(logins))]
            time.sleep(REFRESH + WARM_UP)
            yield found
        finally:
            ended.set()


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


def ages(settings: Settings, seconds: float) -> list[float]:
    """For so long, the age of the newest event of a busy topic that is in gold, seconds."""
    found = []
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        latest = json.loads((settings.home / "progress" / f"{BUSY}.json").read_text())["latest_event_time"]
        found.append((dt.datetime.now(dt.UTC) - dt.datetime.fromisoformat(latest)).total_seconds())
        time.sleep(LOOK_EVERY)
    return found


def log_in(settings: Settings, users: int) -> list[requests.Session]:
    """So many users, each with a session, all roles in turn; takes 3 s for each."""
    found = []
    for number in range(users):
        time.sleep(LOGIN_EVERY)
        found.append(dashboard.browser_session(settings, ROLES[number % len(ROLES)]))
    return found


def measure(settings: Settings, *, users: int, minutes: float) -> dict[str, Any]:
    """Take the jobs' freshness without users, then let them look."""
    logins = log_in(settings, users)
    alone = ages(settings, minutes * 60)
    with looking(settings, logins) as found:
        watched = ages(settings, minutes * 60)
    seen = [user.result() for user in found]
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
        "freshness": {name: _quantiles(found) for name, found in (("alone", alone), ("with_users", watched))},
        "demo_rate": settings.demo_rate,
        "measured_at": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "machine": machine.describe(),
    }


def _quantiles(found: list[float]) -> dict[str, float]:
    return {name: float(np.quantile(found, q)) for name, q in QUANTILES.items()}


def main(
    users: Annotated[int, typer.Option(help="How many look at the same time.")] = 50,
    minutes: Annotated[float, typer.Option(help="For how long, and as long without them before.")] = 10,
) -> None:
    """Measure the running system and write the report."""
    ours = settings()
    if not supervision.is_running(ours):
        sys.exit("error: the system does not run; run `make up`, and give it some minutes to warm up")
    result = measure(ours, users=users, minutes=minutes)
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / report.USERS).write_text(json.dumps(result) + "\n")
    print(json.dumps({key: value for key, value in result.items() if key != "machine"}, indent=1))
    report.write(RESULTS, DOCS)


if __name__ == "__main__":
    typer.run(main)
