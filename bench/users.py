"""``python -m bench.users``: many users look at live dashboards of the running system; how fast, and at what cost.

Each user has a connection of its own and asks for what a browser asks for: the data of every chart of a dashboard,
again every 2 s. They begin spread over those 2 s. All share the machine with the system. Before they come and while
they are there, the age of the newest event in gold is taken twice a second.
"""

import datetime as dt
import json
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Annotated, Any

import numpy as np
import requests
import typer

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
WARM_UP = 30.0
"""Seconds of users that do not count: the first queries open files and compile code."""


@dataclass
class Seen:
    """What users met: the seconds and the cache's part of each answer, and the answers that were errors."""

    seconds: list[float] = field(default_factory=list)
    cached: int = 0
    parts: int = 0
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


def look(
    settings: Settings, login: requests.Session, queries: list[dict[str, Any]], begin: float, end: float, seen: Seen
) -> None:
    """Be one user with a connection of its own, from a moment to another (both by ``time.monotonic``)."""
    with requests.Session() as session:
        session.headers.update(login.headers)
        session.cookies.update(login.cookies)
        for due in _refreshes(begin, end):
            for query in queries:
                _ask(settings, session, query, seen if due >= begin + WARM_UP else Seen())


def _refreshes(begin: float, end: float) -> Iterator[float]:
    """The moments at which a dashboard refreshes; as a browser does, no sooner than the last one is done."""
    due = begin
    while due < end:
        time.sleep(max(0.0, due - time.monotonic()))
        yield due
        due = max(due + REFRESH, time.monotonic())


def _ask(settings: Settings, session: requests.Session, query: dict[str, Any], seen: Seen) -> None:
    began = time.monotonic()
    try:
        answer = session.post(dashboard.api(settings, "chart/data"), json=query, timeout=60)
    except requests.RequestException as error:
        seen.errors.append(type(error).__name__)
        return
    if not answer.ok:
        seen.errors.append(f"{answer.status_code} {answer.text[:100]}")
        return
    seen.seconds.append(time.monotonic() - began)
    is_shared = "hit" in answer.headers.get("Cache-Status", "")
    for part in answer.json()["result"]:
        seen.parts += 1
        seen.cached += bool(is_shared or part["is_cached"])


def ages(settings: Settings, seconds: float) -> list[float]:
    """For so long, the age of the newest event of a busy topic that is in gold, seconds."""
    found = []
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        latest = json.loads((settings.home / "progress" / f"{BUSY}.json").read_text())["latest_event_time"]
        found.append((dt.datetime.now(dt.UTC) - dt.datetime.fromisoformat(latest)).total_seconds())
        time.sleep(LOOK_EVERY)
    return found


def measure(settings: Settings, *, users: int, minutes: float) -> dict[str, Any]:
    """Take the jobs' freshness without users, then let them look."""
    alone = ages(settings, minutes * 60)
    # Superset lets one address log in 20 times a minute, so users share an account for each role.
    logins = [dashboard.browser_session(settings, role) for role in ROLES]
    queries = [chart_queries(settings, logins[-1], slug) for slug in LIVE]
    seen = [Seen() for _ in range(users)]
    begin = time.monotonic() + 10
    end = begin + WARM_UP + minutes * 60
    threads = [
        threading.Thread(
            target=look,
            args=(
                settings,
                logins[number % len(ROLES)],
                # Each dashboard is seen in each role.
                queries[number // len(ROLES) % len(LIVE)],
                begin + REFRESH * number / users,
                end,
                seen[number],
            ),
        )
        for number in range(users)
    ]
    for thread in threads:
        thread.start()
    time.sleep(max(0.0, begin + WARM_UP - time.monotonic()))
    watched = ages(settings, minutes * 60)
    for thread in threads:
        thread.join()
    seconds = np.array([s for user in seen for s in user.seconds])
    errors = [error for user in seen for error in user.errors]
    return {
        "users": users,
        "minutes": minutes,
        "answers": len(seconds),
        "answers_per_second": len(seconds) / (minutes * 60),
        "seconds": {name: float(np.quantile(seconds, q)) for name, q in (("p50", 0.5), ("p95", 0.95), ("max", 1))},
        "cache_hit_rate": sum(user.cached for user in seen) / max(1, sum(user.parts for user in seen)),
        "errors": len(errors),
        "first_errors": errors[:3],
        "freshness": {name: _quantiles(found) for name, found in (("alone", alone), ("with_users", watched))},
        "demo_rate": settings.demo_rate,
        "measured_at": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "machine": machine.describe(),
    }


def _quantiles(found: list[float]) -> dict[str, float]:
    return {name: float(np.quantile(found, q)) for name, q in (("p50", 0.5), ("p95", 0.95))}


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
