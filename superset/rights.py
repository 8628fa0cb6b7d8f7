"""What roles may do, remembered: for one chart's answer, Superset asks its metadata a dozen times.

Whoever changes users' roles, what roles may do or which rows they see leaves a new token in Redis after the commit,
whichever process it is. What was found out under another token holds no more.
"""

import re
import time
from functools import lru_cache
from typing import Any
from uuid import uuid4

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


class SecurityManager(SupersetSecurityManager):
    """Superset's, which asks for each right of a set of roles once in a period."""

    def __init__(self, appbuilder: Any) -> None:
        self._remembered = lru_cache(maxsize=10_000)(self._exists)
        super().__init__(appbuilder)

    def exist_permission_on_roles(self, view_name: str, permission_name: str, role_ids: list[int]) -> bool:
        """Whether any of the roles has a permission."""
        period = int(time.monotonic() / SECONDS)
        return self._remembered(view_name, permission_name, tuple(role_ids), _token, period)

    def _exists(self, view_name: str, permission_name: str, role_ids: tuple[int, ...], *_: Any) -> bool:
        return bool(super().exist_permission_on_roles(view_name, permission_name, list(role_ids)))
