"""One answer for all who look at the same chart with the same rights.

Superset answers from its cache in 40 ms of processor time, nearly all of which goes into 29 queries of its metadata
about who may ask: fifty viewers of live dashboards would need nine processors. So whole answers are kept, by what was
asked and by what decides about rows. They are shown about as long as their data would be; longer while many ask
(stale-while-revalidate, RFC 5861), so that nobody waits, and answers are made anew as often as the processors allow.
Who sees a dataset for another reason than a role's right to its layer, such as owning it, leaves no answer behind.
"""

import hashlib
import json
import logging
import time
from collections.abc import Hashable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from http import HTTPStatus
from io import BytesIO
from threading import Lock
from typing import Any

import rights
from flask import Flask, Response, current_app, g, request, session
from flask_login import current_user
from redis import Redis

PATH = "/api/v1/chart/data"
STATUS = "Cache-Status"
HIT = "Superset; hit"
WAITED = "Superset; fwd=miss; collapsed"
"""As RFC 9211 writes them."""
SHARED_SECONDS = 10.0
"""How long an answer is shared at most: longer, and it would outlive the one that `cache_warm_up.py` replaces it by."""
STALE_SECONDS = 15.0
"""How long an answer may be shown beyond its time, while a new one is being made."""
MAKING_SECONDS = 10.0
"""How long others count on whoever said that they make an answer."""
CROWD = 3
"""How many viewers of one process in one period are not many yet. While there are no more, whoever comes first after an
answer's time waits for a new one, as the only viewer of a dashboard does whenever it refreshes."""
REST = 2
"""After making an answer, how many times its processor time to wait before the next one, so that a process spends no
more than a third of its time with those that nobody waits for."""
MAKING = "sluice.making"
"""The WSGI variable of a request that nobody waits for: what it makes."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Seen:
    """What decides about the rows of a dataset that a set of roles sees, and how long Superset keeps its data."""

    is_shared: bool
    row_rules: tuple[str, ...] = ()
    kept_seconds: float = 0.0


@dataclass(frozen=True)
class Making:
    """An answer that is being made: its key, the key that says so, and since when, by ``time.monotonic``."""

    key: str
    mark: str
    dataset: int
    seen: Seen
    since: float


class Viewers:
    """Who asks for answers, in this period and in the one before."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._period = 0
        self._before: set[Hashable] = set()
        self._now: set[Hashable] = set()

    def are_many(self, viewer: Hashable, period: int) -> bool:
        """Whether there are many, this one included."""
        with self._lock:
            if period > self._period:
                self._before, self._now = self._now if period == self._period + 1 else set(), set()
                self._period = period
            self._now.add(viewer)
            return max(len(self._now), len(self._before)) > CROWD


class SharedAnswers:
    """Whole answers to browsers, in a store that all processes of a web server share."""

    def __init__(self, app: Flask, store: "Redis[bytes]") -> None:
        self._app = app
        self._store = store
        self._viewers = Viewers()
        # It has no thread before a worker, forked from the process that made it, has use for one.
        self._background = ThreadPoolExecutor(max_workers=1)

    def answer(self) -> Response | None:
        """Before a request: the answer that somebody else got, if it is good enough."""
        if making := request.environ.get(MAKING):
            g.making = making
            return None
        dataset = _dataset()
        if dataset is None:
            return None
        viewer, period = (session.sid, session["_user_id"]), rights.period()
        is_crowd = self._viewers.are_many(viewer, period)
        seen = _seen(_roles(viewer, period), dataset, period)
        if not seen.is_shared:
            return None
        key = f"superset_answer_{hashlib.sha256(repr(seen.row_rules).encode() + request.get_data()).hexdigest()}"
        kept, milliseconds = self._store.pipeline().get(key).pttl(key).execute()
        fresh_seconds = milliseconds / 1000 - STALE_SECONDS
        if kept and fresh_seconds >= 0:
            return _response(kept, HIT)
        if kept and is_crowd:
            making = Making(key, f"{key}_queued", dataset, seen, time.monotonic())
            if self._is_first(making):
                self._background.submit(self._make, making, _copy(request.environ), request.get_json())
            return _response(kept, f"{HIT}; ttl={fresh_seconds:.0f}")
        making = Making(key, f"{key}_making", dataset, seen, time.monotonic())
        if self._is_first(making):
            g.making = making
        elif made := self._wait(making):
            return _response(made, WAITED)
        return None

    def keep(self, response: Response) -> Response:
        """After a request: leave the answer for others."""
        making: Making | None = g.get("making")
        if making is None:
            return response
        if response.status_code == HTTPStatus.OK and _row_rules(making.dataset) == making.seen.row_rules:
            fresh_until = making.since + min(making.seen.kept_seconds, SHARED_SECONDS)
            left = fresh_until - time.monotonic() + STALE_SECONDS
            self._store.set(making.key, response.get_data(), px=max(1, int(1000 * left)))
        else:
            self._store.delete(making.key)
        self._store.delete(making.mark)
        return response

    def _is_first(self, making: Making) -> bool:
        return bool(self._store.set(making.mark, b"", px=int(1000 * MAKING_SECONDS), nx=True))

    def _wait(self, making: Making) -> bytes | None:
        """The answer that somebody else is making, if it is one for all."""
        while time.monotonic() < making.since + MAKING_SECONDS:
            if not self._store.exists(making.mark):
                return self._store.get(making.key)
            time.sleep(0.02)
        return None

    def _make(self, making: Making, environ: dict[str, Any], question: dict[str, Any]) -> None:
        """Ask again what a user asked, with that user's rights; and rest."""
        if time.monotonic() > making.since + MAKING_SECONDS:
            return  # somebody asks anew, if anybody is still there
        began = time.thread_time()
        # What Superset keeps for long, `cache_warm_up.py` makes anew.
        is_forced = making.seen.kept_seconds <= SHARED_SECONDS
        body = json.dumps(question | {"force": is_forced}).encode()
        again = environ | {"CONTENT_LENGTH": str(len(body)), "wsgi.input": BytesIO(body), MAKING: making}
        try:
            with self._app.request_context(again):
                self._app.full_dispatch_request()
        except Exception:
            log.exception("an answer could not be made anew")
        time.sleep(REST * (time.thread_time() - began))


def install(app: Flask, store: "Redis[bytes]") -> None:
    """Let an application share answers through a store."""
    answers = SharedAnswers(app, store)
    app.before_request(answers.answer)
    app.after_request(answers.keep)


def _dataset() -> int | None:
    """Whose data a browser asks for, to show them in a chart, if it may take them from a cache."""
    if request.method != "POST" or request.path != PATH or "_user_id" not in session:
        return None
    match request.get_json(silent=True):
        case {"datasource": {"id": int(dataset), "type": "table"}, "queries": [*queries], **asked}:
            shows = asked.get("result_format", "json") == "json" and asked.get("result_type", "full") == "full"
            # Annotations are another dataset's.
            is_alone = not any(query.get("annotation_layers") for query in queries if isinstance(query, dict))
            return dataset if shows and is_alone and not asked.get("force") else None
    return None


@lru_cache(maxsize=rights.REMEMBERED)
def _roles(viewer: tuple[str, str], period: int) -> tuple[int, ...]:
    """The roles of who asks, asked for once in a period."""
    from superset import security_manager as security

    _, user = viewer
    if current_user.get_id() != user:
        return ()
    return tuple(sorted(role.id for role in security.get_user_roles(current_user)))


@lru_cache(maxsize=rights.REMEMBERED)
def _seen(roles: tuple[int, ...], dataset: int, period: int) -> Seen:
    """What who asks, and all who have the same roles, may see of a dataset; asked for once in a period."""
    from superset.connectors.sqla.models import SqlaTable

    from superset import db
    from superset import security_manager as security

    g.user = current_user  # as Flask-AppBuilder does, before every request but after this
    table = db.session.get(SqlaTable, dataset)
    # For a virtual dataset, the rules of other tables hold as well.
    if not roles or table is None or table.is_virtual:
        return Seen(is_shared=False)
    may_see = security.can_access_schema(table) and security.can_access("can_read", "Chart")
    seconds = table.cache_timeout or current_app.config["DATA_CACHE_CONFIG"]["CACHE_DEFAULT_TIMEOUT"]
    return Seen(may_see and seconds > 0, _row_rules(dataset), seconds)


def _row_rules(dataset: int) -> tuple[str, ...]:
    """The rules that hold for who asks now; those that a query of this request had."""
    from superset.connectors.sqla.models import SqlaTable

    from superset import db
    from superset import security_manager as security

    return tuple(security.get_rls_cache_key(db.session.get(SqlaTable, dataset)))


def _response(kept: bytes, status: str) -> Response:
    return Response(kept, mimetype="application/json", headers={STATUS: status})


def _copy(environ: dict[str, Any]) -> dict[str, Any]:
    """What of a WSGI request outlives it: its CGI variables, which are in capitals, and its scheme."""
    return {name: value for name, value in environ.items() if name.isupper() or name == "wsgi.url_scheme"}
