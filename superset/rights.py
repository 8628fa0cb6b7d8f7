"""What roles may do, remembered, and which rows they see where nobody has said so.

For one chart's answer, Superset asks its metadata a dozen times what roles may do.

Whoever changes users' roles, what roles may do or which rows they see leaves a new token in Redis after the commit,
whichever process it is. What was found out under another token holds no more.
"""

import re
import time
from functools import lru_cache
from typing import Any, NamedTuple
from uuid import uuid4

import access
from flask import g
from redis import Redis
from sqlalchemy import event
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.pool import Pool
from superset.security import SupersetSecurityManager

KEY = "superset_rights"
"""Where the token is."""
SECONDS = 5
"""How long a right that was taken away may still hold in Superset's own checks."""
TABLES = (
    *("ab_user_role", "ab_user_group", "ab_group_role", "ab_role"),
    *("ab_permission_view_role", "ab_permission_view", "ab_view_menu"),
    *("row_level_security_filters", "rls_filter_roles", "rls_filter_tables", "tables"),
)
CHANGE = re.compile(rf"\s*(INSERT INTO|UPDATE|DELETE FROM) ({'|'.join(TABLES)})\b|\s*UPDATE ab_user SET .*\bactive=")
"""A statement that changes rights; a login is written to its user, too."""

_token: bytes | None = None


def announce_changes(store: "Redis[bytes]") -> None:
    """Leave a new token in a store whenever this process has changed rights."""

    def note(connection: Connection, _: Any, statement: str, *rest: Any) -> None:
        if CHANGE.match(statement):
            connection.info[KEY] = True

    def announce(_: Any, record: Any) -> None:
        if record.info.pop(KEY, False):
            store.set(KEY, uuid4().hex)

    event.listen(Engine, "after_cursor_execute", note)
    # A session gives its connection back once it has committed. SQLAlchemy's event of a commit comes before it: who saw
    # the token then would find the old rights, and remember them under the new token.
    event.listen(Pool, "checkin", announce)


def see(token: bytes | None) -> None:
    """From now on, what was found out under another token holds no more."""
    global _token
    _token = token


class Rule(NamedTuple):
    """A rule of row-level security, as Superset's own."""

    id: int
    group_key: str
    clause: str


class SecurityManager(SupersetSecurityManager):
    """Superset's, which asks for each right of a set of roles once in a period, and shows no rows by mistake."""

    def __init__(self, appbuilder: Any) -> None:
        self._remembered = lru_cache(maxsize=10_000)(self._exists)
        super().__init__(appbuilder)

    def exist_permission_on_roles(self, view_name: str, permission_name: str, role_ids: list[int]) -> bool:
        """Whether any of the roles has a permission."""
        period = int(time.monotonic() / SECONDS)
        return self._remembered(view_name, permission_name, tuple(role_ids), _token, period)

    def get_rls_filters(self, table: Any) -> list[Any]:
        """The rules of a dataset for who asks.

        Until `access.grant` has written some, a dataset shows no row to whoever sees rows of their own only.
        """
        found = super().get_rls_filters(table)
        user = getattr(g, "user", None)
        roles = {role.name for role in self.get_user_roles(user)} if user else set()
        closed = (access.restricted_roles() & roles) - {rule.group_key for rule in found}
        return [*found, *(Rule(0, role, access.NO_ROWS) for role in sorted(closed))]

    def _exists(self, view_name: str, permission_name: str, role_ids: tuple[int, ...], *_: Any) -> bool:
        return bool(super().exist_permission_on_roles(view_name, permission_name, list(role_ids)))
