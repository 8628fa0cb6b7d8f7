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
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from http import HTTPStatus
from io import BytesIO
from threading import Lock
from typing import Any

import rights
import sessions
from flask import Flask, Response, current_app, g, request, session
from flask_login import current_user
from redis import Redis
from werkzeug.http import parse_cookie

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
HEADERS = [("Content-Type", "application/json"), ("X-Content-Type-Options", "nosniff"), ("Vary", "Cookie")]
LARGEST = 2**16
"""Bytes of a question that is looked at; a dashboard's have a tenth of it."""
CROWD = 3
"""How many viewers of one process in one period are not many yet. While there are no more, whoever comes first after an
answer's time waits for a new one, as the only viewer of a dashboard does whenever it refreshes."""
REST = 4
"""After making an answer, how many times its processor time to wait before the next one, so that a process spends no
more than a fifth of its time with those that nobody waits for; the stream needs the rest."""
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
    """Who asks for answers, in this period and in the one before, and what they may see; by session."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._period = 0
        self._before: set[str] = set()
        self._now: set[str] = set()
        self._seen: dict[tuple[str, int], Seen] = {}

    def are_many(self, viewer: str) -> bool:
        """Whether there are many, this one included."""
        with self._lock:
            self._turn(rights.period())
            self._now.add(viewer)
            return max(len(self._now), len(self._before)) > CROWD

    def recall(self, viewer: str, dataset: int) -> Seen | None:
        """What one may see of a dataset, if that was found out in this period."""
        with self._lock:
            self._turn(rights.period())
            return self._seen.get((viewer, dataset))

    def remember(self, viewer: str, dataset: int, seen: Seen) -> None:
        """Keep what one may see of a dataset, for this period."""
        with self._lock:
            self._seen[viewer, dataset] = seen

    def _turn(self, period: int) -> None:
        if period > self._period:
            self._before, self._now = self._now if period == self._period + 1 else set(), set()
            self._period, self._seen = period, {}


class SharedAnswers:
    """Whole answers to browsers, in a store that all processes of a web server share."""

    def __init__(self, app: Flask, store: "Redis[bytes]") -> None:
        self._app = app
        self._next = app.wsgi_app
        self._store = store
        self._viewers = Viewers()
        # It has no thread before a worker, forked from the process that made it, has use for one.
        self._background = ThreadPoolExecutor(max_workers=1)

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Answer before Flask does anything, which takes three times as long, if who asks is known already."""
        size = int(environ.get("CONTENT_LENGTH") or 0)
        if environ["REQUEST_METHOD"] == "POST" and environ["PATH_INFO"] == PATH and 0 < size < LARGEST:
            body = environ["wsgi.input"].read(size)
            environ["wsgi.input"] = BytesIO(body)
            viewer = parse_cookie(environ).get(self._app.config["SESSION_COOKIE_NAME"], "")
            dataset = _dataset(body)
            seen = self._viewers.recall(viewer, dataset) if dataset is not None else None
            if seen and (found := self._find(viewer, seen, environ, body)):
                kept, status = found
                start_response("200 OK", [*HEADERS, ("Content-Length", str(len(kept))), (STATUS, status)])
                return [kept]
        return self._next(environ, start_response)

    def answer(self) -> Response | None:
        """Before a request: the answer that somebody else got, if it is good enough."""
        if making := request.environ.get(MAKING):
            g.making = making
            return None
        if request.method != "POST" or request.path != PATH or "_user_id" not in session:
            return None
        body = request.get_data()
        dataset = _dataset(body)
        if dataset is None:
            return None
        seen = _seen(_roles(session.sid, session["_user_id"], rights.period()), dataset, rights.period())
        self._viewers.remember(session.sid, dataset, seen)
        if not seen.is_shared:
            return None
        if found := self._find(session.sid, seen, request.environ, body):
            return _response(*found)
        key = _key(seen, body)
        making = Making(key, f"{key}_making", dataset, seen, time.monotonic())
        if self._is_first(making):
            g.making = making
        elif made := self._wait(making):
            return _response(made, WAITED)
        return None

    def _find(self, viewer: str, seen: Seen, environ: dict[str, Any], body: bytes) -> tuple[bytes, str] | None:
        """An answer that is there, with its status, if the viewer's session is still there, too."""
        is_crowd = self._viewers.are_many(viewer)
        if not seen.is_shared:
            return None
        key, questions = _key(seen, body), self._store.pipeline(transaction=False)
        questions.get(key).pttl(key)
        kept, milliseconds, is_logged_in = sessions.prolong(self._app, viewer, questions).execute()
        if not kept or not is_logged_in:
            return None
        fresh_seconds = milliseconds / 1000 - STALE_SECONDS
        if fresh_seconds >= 0:
            return kept, HIT
        if not is_crowd:
            return None
        making = Making(key, f"{key}_queued", _dataset(body) or 0, seen, time.monotonic())
        if self._is_first(making):
            self._background.submit(self._make, making, _copy(environ), body)
        return kept, f"{HIT}; ttl={fresh_seconds:.0f}"

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

    def _make(self, making: Making, environ: dict[str, Any], body: bytes) -> None:
        """Ask again what a user asked, with that user's rights; and rest."""
        if time.monotonic() > making.since + MAKING_SECONDS:
            return  # somebody asks anew, if anybody is still there
        began = time.thread_time()
        question = json.loads(body)
        # What Superset keeps for long, `cache_warm_up.py` makes anew.
        question["force"] = making.seen.kept_seconds <= SHARED_SECONDS
        # Superset would read the chart and who may see it, only to know how long it is kept.
        if isinstance(question.get("form_data"), dict):
            question["form_data"].pop("slice_id", None)
        body = json.dumps(question).encode()
        again = environ | {"CONTENT_LENGTH": str(len(body)), "wsgi.input": BytesIO(body), MAKING: making}
        try:
            with self._app.request_context(again):
                self._app.full_dispatch_request()
        except Exception:
            log.exception("an answer could not be made anew")
        time.sleep(REST * (time.thread_time() - began))


def install(app: Flask, store: "Redis[bytes]") -> None:
    """Let an application share answers through a store, in which its sessions are as well."""
    answers = SharedAnswers(app, store)
    app.before_request(answers.answer)
    app.after_request(answers.keep)
    app.wsgi_app = answers


@lru_cache(maxsize=1000)
def _dataset(body: bytes) -> int | None:
    """Whose data a browser asks for, to show them in a chart, if it may take them from a cache."""
    try:
        question = json.loads(body)
    except ValueError:
        return None
    match question:
        case {"datasource": {"id": int(dataset), "type": "table"}, "queries": [*queries], **asked}:
            shows = asked.get("result_format", "json") == "json" and asked.get("result_type", "full") == "full"
            # Annotations are another dataset's.
            is_alone = not any(query.get("annotation_layers") for query in queries if isinstance(query, dict))
            return dataset if shows and is_alone and not asked.get("force") else None
    return None


@lru_cache(maxsize=rights.REMEMBERED)
def _roles(viewer: str, user: str, period: int) -> tuple[int, ...]:
    """The roles of who asks, asked for once in a period."""
    from superset import security_manager as security

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


def _key(seen: Seen, body: bytes) -> str:
    return f"superset_answer_{hashlib.sha256(repr(seen.row_rules).encode() + body).hexdigest()}"


def _response(kept: bytes, status: str) -> Response:
    return Response(kept, mimetype="application/json", headers={STATUS: status})


def _copy(environ: dict[str, Any]) -> dict[str, Any]:
    """What of a WSGI request outlives it: its CGI variables, which are in capitals, and its scheme."""
    return {name: value for name, value in environ.items() if name.isupper() or name == "wsgi.url_scheme"}
