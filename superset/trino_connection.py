"""Superset's connection to Trino, for lakes that are too large for DuckDB: as whom it asks, which decides about rows.

Trino enforces by the name of a user what row-level security in Superset says (`helm/sluice/files/trino/rules.json`):
``staff:NAME`` reads all rows, a vendor's name those of the vendor, and any other name none. Superset logs in with a
password of its own, which no user knows, and asks in the name of whoever looks.
"""

import os
import re
import sys
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

import access
import embedding

if TYPE_CHECKING:
    from sqlalchemy.engine.url import URL

ADDRESS = os.environ.get("SLUICE_TRINO_URL", "")
"""``trino://USER@HOST:PORT/CATALOGUE``; empty: DuckDB serves gold."""
STAFF = "staff"
VENDOR = re.compile(r"[A-Za-z0-9_-]+")
NOBODY = "(nobody)"
"""A name that Superset may not ask in."""


def name_of(user: Any, security: Any) -> str:
    """The name under which Trino knows a user of Superset, whose roles `security` tells.

    A guest of a portal is the vendor whose rows its token names.
    """
    if user is None or user.is_anonymous:
        return NOBODY
    if security.is_guest_user(user):
        return _vendor(embedding.vendor(user.rls))
    if access.restricted_roles() & {role.name for role in security.get_user_roles(user)}:
        return _vendor(user.username)
    return f"{STAFF}:{quote(user.username, safe='@')}"


def _vendor(name: str | None) -> str:
    return name if name and VENDOR.fullmatch(name) else NOBODY


def rows_of(user: Any) -> str:
    """Whose rows a user sees: with those, answers may be shared."""
    from superset import security_manager as security

    name = name_of(user, security)
    return STAFF if name.startswith(f"{STAFF}:") else name


def is_ours(uri: "URL") -> bool:
    """Whether an address is that of our Trino, which gets our password."""
    ours = urlsplit(ADDRESS)
    return bool(ADDRESS) and (uri.drivername, uri.host, uri.port) == (ours.scheme, ours.hostname, ours.port)


def arguments(name: str) -> dict[str, Any]:
    """Arguments of the driver: logged in as Superset, in the name of somebody."""
    from trino.auth import BasicAuthentication

    return {
        "user": name,
        "auth": BasicAuthentication(urlsplit(ADDRESS).username, os.environ["SLUICE_TRINO_PASSWORD"]),
        "http_scheme": "https",
        "verify": os.environ["SLUICE_TRINO_AUTHORITY"],
        "source": "superset",
        # Or literals without a zone mean that of the machine.
        "timezone": "UTC",
    }


def arguments_of_user(security: Any) -> dict[str, Any]:
    """Arguments of the driver, in the name of who looks."""
    from flask import g

    return arguments(name_of(getattr(g, "user", None), security))


def entry() -> dict[str, Any]:
    """What the entry of the database in Superset has in place of DuckDB's address; nothing while DuckDB serves gold."""
    return {"sqlalchemy_uri": ADDRESS, "impersonate_user": True} if ADDRESS else {}


def install() -> None:
    """Let Superset see Trino as DuckDB: permissions without catalogues; and cache answers by whose rows they have."""
    from superset.db_engine_specs.trino import TrinoEngineSpec

    TrinoEngineSpec.supports_catalog = False
    TrinoEngineSpec.supports_dynamic_catalog = False
    TrinoEngineSpec.supports_cross_catalog_queries = False
    TrinoEngineSpec.get_default_catalog = classmethod(lambda *_: None)
    TrinoEngineSpec.get_impersonation_key = classmethod(lambda _, user: rows_of(user))


def wait() -> None:
    """Wait until Trino answers; its Service leads to it when it has the lake's tables."""
    import trino

    address = urlsplit(ADDRESS)
    while True:
        try:
            login = arguments(str(address.username))
            with trino.dbapi.connect(host=address.hostname, port=address.port, **login) as connection:
                connection.cursor().execute("SELECT 1").fetchall()
            return
        except (trino.exceptions.Error, trino.exceptions.HttpError) as error:
            print(f"waiting for Trino: {error}", file=sys.stderr, flush=True)
            time.sleep(2)


if __name__ == "__main__":
    wait()
