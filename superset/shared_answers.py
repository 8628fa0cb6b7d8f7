"""One answer for all who look at the same chart with the same rights.

Superset answers from its cache in 30 ms of processor time, nearly all of which goes into 29 queries of its metadata
about who may ask: fifty viewers of live dashboards would need seven processors. So whole answers are kept as long as
their data are, by what was asked and by the roles of who asked. Roles decide what a user sees: layers, dashboards, and
the rows of row-level security. Who sees a dataset for another reason, such as owning it, leaves no answer behind.
"""

import datetime as dt
import hashlib
from typing import Any

from flask import Flask, Response, current_app, g, request
from flask_login import current_user
from redis import Redis

PATH = "/api/v1/chart/data"
STATUS = "Cache-Status"
HIT = "Superset; hit"
"""As RFC 9211 writes it."""


def install(app: Flask, store: "Redis[bytes]") -> None:
    """Let an application share answers through a store."""

    def answer() -> Response | None:
        if not _can_be_shared():
            return None
        g.shared_answer = _key()
        if (kept := store.get(g.shared_answer)) is None:
            return None
        return Response(kept, mimetype="application/json", headers={STATUS: HIT})

    def keep(response: Response) -> Response:
        key = g.get("shared_answer")
        if key and response.status_code == 200 and STATUS not in response.headers and (left := _milliseconds(response)):
            store.set(key, response.get_data(), px=left)
        return response

    app.before_request(answer)
    app.after_request(keep)


def _can_be_shared() -> bool:
    """Whether a browser asks for a chart's data, to show them, and takes them from a cache."""
    if request.path != PATH or not request.is_json or not current_user.is_authenticated:
        return False
    asked = request.get_json(silent=True) or {}
    shows = asked.get("result_format", "json") == "json" and asked.get("result_type", "full") == "full"
    return shows and not asked.get("force")


def _key() -> str:
    from superset import security_manager as security

    roles = sorted(role.id for role in security.get_user_roles(current_user))
    return f"superset_answer_{hashlib.sha256(repr(roles).encode() + request.get_data()).hexdigest()}"


def _milliseconds(response: Response) -> int:
    """How much longer an answer may be shown; 0 if it is for this user only."""
    from superset.connectors.sqla.models import SqlaTable

    from superset import db
    from superset import security_manager as security

    dataset = db.session.get(SqlaTable, request.get_json()["datasource"]["id"])
    if dataset is None or not security.can_access_schema(dataset):
        return 0
    seconds = dataset.cache_timeout or current_app.config["DATA_CACHE_CONFIG"]["CACHE_DEFAULT_TIMEOUT"]
    age = max((_age(part) for part in response.get_json()["result"]), default=0.0)
    return max(0, int(1000 * (seconds - age)))


def _age(part: dict[str, Any]) -> float:
    if not part.get("cached_dttm"):
        return 0.0
    since = dt.datetime.fromisoformat(part["cached_dttm"]).replace(tzinfo=dt.UTC)
    return (dt.datetime.now(dt.UTC) - since).total_seconds()
