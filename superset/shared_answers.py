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
import os
import signal
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from http import HTTPStatus
from io import BytesIO
from threading import Lock
from typing import Any

import rights
import sessions
import trino_connection
from answer_maker import AnswerMaker
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
LARGEST = 2**16
"""Bytes of a question that is looked at; a dashboard's have a tenth of it."""
REMEMBERED_SECONDS = 60.0
"""How long it is remembered what somebody may see, if nobody says that rights have changed."""
PERIOD = 5.0
"""Seconds for which viewers are counted."""
CROWD = 3
"""How many viewers of one process in one period are not many yet. While there are no more, whoever comes first after an
answer's time waits for a new one, as the only viewer of a dashboard does whenever it refreshes."""
REST = 1
"""After making an answer, how many times its processor time to wait: a process takes half of one at most."""
EXTENSION = "shared-answers"
PENDING = "sluice.pending"
"""The WSGI variable of a request that nobody waits for: the answer that it makes."""

log = logging.getLogger(__name__)


Roles = tuple[int, ...]


@dataclass(frozen=True)
class Access:
    """What decides about the rows of a dataset that a set of roles sees, and how long Superset keeps its data."""

    is_shared: bool
    row_rules: tuple[str, ...] = ()
    kept_seconds: float = 0.0


@dataclass(frozen=True)
class Pending:
    """An answer that is being made: its key, the key that says so, and since when, by ``time.monotonic``."""

    key: str
    mark: str
    dataset: int
    access: Access
    since: float


class Viewers:
    """Who asks, and what they may see as long as nobody changes that."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._period = 0
        self._before = 0
        self._asking: set[str] = set()
        self._rights: bytes | None = None
        self._until = 0.0
        self._roles: dict[str, Roles] = {}
        self._access: dict[tuple[Roles, int], Access] = {}

    def are_many(self) -> bool:
        """Whether many ask, in this period or in the one before."""
        with self._lock:
            return max(len(self._asking), self._before) > CROWD

    def is_asking(self, session_id: str) -> None:
        """Count a viewer, once in a period."""
        with self._lock:
            if (period := int(time.monotonic() / PERIOD)) > self._period:
                self._before = len(self._asking) if period == self._period + 1 else 0
                self._period, self._asking = period, set()
            self._asking.add(session_id)

    def roles(self, session_id: str) -> Roles | None:
        """The roles of a session's user, if they are known."""
        with self._lock:
            return self._roles.get(session_id)

    def access(self, roles: Roles | None, dataset: int) -> Access | None:
        """What these roles may see of a dataset, if that is known."""
        with self._lock:
            return None if roles is None else self._access.get((roles, dataset))

    def access_of(self, session_id: str, dataset: int | None) -> Access | None:
        """What a session's user may see of a dataset, if that is known."""
        return None if dataset is None else self.access(self.roles(session_id), dataset)

    def hold(self, token: bytes | None) -> bool:
        """Whether what is known holds under this token of the rights; it is forgotten if it does not."""
        with self._lock:
            if token == self._rights and time.monotonic() < self._until:
                return True
            self._rights, self._until = token, time.monotonic() + REMEMBERED_SECONDS
            self._roles, self._access = {}, {}
            return False

    def remember(self, session_id: str, roles: Roles, dataset: int, access: Access, token: bytes | None) -> None:
        """Keep what was found out after the rights had this token, unless they have another by now."""
        with self._lock:
            if token == self._rights:
                self._roles[session_id] = roles
                self._access[roles, dataset] = access


class SharedAnswers:
    """Whole answers to browsers, in a store that all processes of a web server share."""

    def __init__(self, app: Flask, store: "Redis[bytes]") -> None:
        self._app = app
        self._next = app.wsgi_app
        self._store = store
        self._viewers = Viewers()
        self._maker: AnswerMaker | None = None

    def start_maker(self, begin: Callable[[], None]) -> None:
        """Start a process that makes answers anew, so that old ones may be shown meanwhile; it calls `begin` first."""
        self._maker = AnswerMaker(begin, self._revalidate)

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Answer before Flask does anything, which takes three times as long, if who asks is known already."""
        size = int(environ.get("CONTENT_LENGTH") or 0)
        if environ["REQUEST_METHOD"] == "POST" and environ["PATH_INFO"] == PATH and 0 < size < LARGEST:
            body = environ["wsgi.input"].read(size)
            environ["wsgi.input"] = BytesIO(body)
            session_id = parse_cookie(environ).get(self._app.config["SESSION_COOKIE_NAME"], "")
            dataset = _dataset(body)
            access = self._viewers.access_of(session_id, dataset)
            found = self._look_up(session_id, dataset, access, environ, body) if access and dataset else None
            # Unless another request has seen meanwhile that rights have changed: then what was known is no more.
            if found and self._viewers.access_of(session_id, dataset) is access:
                return found(environ, start_response)
        return self._next(environ, start_response)

    def answer(self) -> Response | None:
        """Before a request: the answer that somebody else got, if it is good enough."""
        if pending := request.environ.get(PENDING):
            g.pending = pending
            return None
        if request.method != "POST" or request.path != PATH or "_user_id" not in session:
            return None
        body = request.get_data()
        dataset = _dataset(body)
        if dataset is None:
            return None
        token = self._store.get(rights.KEY)
        rights.see(token)
        self._viewers.hold(token)
        roles = self._viewers.roles(session.sid) or _roles()
        access = self._viewers.access(roles, dataset) or _access(roles, dataset)
        self._viewers.remember(session.sid, roles, dataset, access, token)
        if found := self._look_up(session.sid, dataset, access, request.environ, body):
            return found
        if not access.is_shared:
            return None
        key = _key(access, body)
        pending = Pending(key, f"{key}_making", dataset, access, time.monotonic())
        if self._is_first(pending):
            g.pending = pending
        elif made := self._wait(pending):
            return _response(made, WAITED)
        return None

    def _look_up(
        self, session_id: str, dataset: int, access: Access, environ: dict[str, Any], body: bytes
    ) -> Response | None:
        """An answer that is there, if the session is still there, too, and the rights are those that were found out."""
        if not access.is_shared:
            return None
        key, questions = _key(access, body), self._store.pipeline(transaction=False)
        questions.get(key).pttl(key).get(rights.KEY)
        kept, milliseconds, token, is_logged_in = sessions.prolong(self._app, session_id, questions).execute()
        if not self._viewers.hold(token) or not is_logged_in:
            return None
        self._viewers.is_asking(session_id)
        if not kept:
            return None
        fresh_seconds = milliseconds / 1000 - STALE_SECONDS
        if fresh_seconds >= 0:
            return _response(kept, HIT)
        if not self._maker or not self._viewers.are_many():
            return None
        pending = Pending(key, f"{key}_queued", dataset, access, time.monotonic())
        if self._is_first(pending) and not self._maker.submit(pending, _copy(environ), body):
            log.error("there is nobody to make answers anew; this worker ends, and the next one has a maker")
            self._maker = None
            os.kill(os.getpid(), signal.SIGTERM)
            return None
        return _response(kept, f"{HIT}; ttl={fresh_seconds:.0f}")

    def keep(self, response: Response) -> Response:
        """After a request: leave the answer for others."""
        pending: Pending | None = g.get("pending")
        if pending is None:
            return response
        if response.status_code == HTTPStatus.OK and _row_rules(pending.dataset) == pending.access.row_rules:
            fresh_until = pending.since + min(pending.access.kept_seconds, SHARED_SECONDS)
            left = fresh_until - time.monotonic() + STALE_SECONDS
            self._store.set(pending.key, response.get_data(), px=max(1, int(1000 * left)))
        else:
            self._store.delete(pending.key)
        self._store.delete(pending.mark)
        return response

    def _is_first(self, pending: Pending) -> bool:
        return bool(self._store.set(pending.mark, b"", px=int(1000 * MAKING_SECONDS), nx=True))

    def _wait(self, pending: Pending) -> bytes | None:
        """The answer that somebody else is making, if it is one for all."""
        while time.monotonic() < pending.since + MAKING_SECONDS:
            if not self._store.exists(pending.mark):
                return self._store.get(pending.key)
            time.sleep(0.02)
        return None

    def _revalidate(self, pending: Pending, environ: dict[str, Any], body: bytes) -> None:
        """Ask again what a user asked, with that user's rights; and rest."""
        if time.monotonic() > pending.since + MAKING_SECONDS:
            return  # somebody asks anew, if anybody is still there
        began = time.thread_time()
        question = json.loads(body)
        # What Superset keeps for long, `cache_warm_up.py` makes anew.
        question["force"] = pending.access.kept_seconds <= SHARED_SECONDS
        # Superset would read the chart and who may see it, only to know how long it is kept.
        if isinstance(question.get("form_data"), dict):
            question["form_data"].pop("slice_id", None)
        body = json.dumps(question).encode()
        again = environ | {"CONTENT_LENGTH": str(len(body)), "wsgi.input": BytesIO(body), PENDING: pending}
        try:
            with self._app.request_context(again):
                self._app.full_dispatch_request()
        except Exception:
            log.exception("an answer could not be made anew")
        time.sleep(REST * (time.thread_time() - began))


def install(app: Flask, store: "Redis[bytes]") -> None:
    """Let an application share answers through a store, in which its sessions are as well."""
    answers = SharedAnswers(app, store)
    rights.announce_changes(store)
    app.before_request(answers.answer)
    app.after_request(answers.keep)
    app.wsgi_app = answers
    app.extensions[EXTENSION] = answers


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


def _roles() -> Roles:
    """The roles of the session's user."""
    from superset import security_manager as security

    if current_user.get_id() != session["_user_id"]:
        return ()
    return tuple(sorted(role.id for role in security.get_user_roles(current_user)))


def _access(roles: Roles, dataset: int) -> Access:
    """What who asks, and all who have the same roles, may see of a dataset."""
    from superset.connectors.sqla.models import SqlaTable

    from superset import db
    from superset import security_manager as security

    g.user = current_user  # as Flask-AppBuilder does, before every request but after this
    table = db.session.get(SqlaTable, dataset)
    # For a virtual dataset, the rules of other tables hold as well.
    if not roles or table is None or table.is_virtual:
        return Access(is_shared=False)
    # Trino decides about a vendor's rows by the vendor's name, which is not in the key.
    if trino_connection.ADDRESS and trino_connection.rows_of(current_user) != trino_connection.STAFF:
        return Access(is_shared=False)
    may_see = security.can_access_schema(table) and security.can_access("can_read", "Chart")
    seconds = table.cache_timeout or current_app.config["DATA_CACHE_CONFIG"]["CACHE_DEFAULT_TIMEOUT"]
    return Access(may_see and seconds > 0, _row_rules(dataset), seconds)


def _row_rules(dataset: int) -> tuple[str, ...]:
    """The rules that hold for who asks now; those that a query of this request had."""
    from superset.connectors.sqla.models import SqlaTable

    from superset import db
    from superset import security_manager as security

    return tuple(security.get_rls_cache_key(db.session.get(SqlaTable, dataset)))


def _key(access: Access, body: bytes) -> str:
    return f"superset_answer_{hashlib.sha256(repr(access.row_rules).encode() + body).hexdigest()}"


def _response(kept: bytes, status: str) -> Response:
    # Not all of them pass Talisman, which sets the second.
    headers = {STATUS: status, "X-Content-Type-Options": "nosniff", "Vary": "Cookie"}
    return Response(kept, mimetype="application/json", headers=headers)


def _copy(environ: dict[str, Any]) -> dict[str, Any]:
    """What of a WSGI request outlives it: its CGI variables, which are in capitals, and its scheme."""
    return {name: value for name, value in environ.items() if name.isupper() or name == "wsgi.url_scheme"}
