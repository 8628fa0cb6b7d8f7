"""What roles may do, remembered for some seconds: for one chart's answer, Superset asks its metadata a dozen times."""

import time
from functools import lru_cache
from typing import Any

from superset.security import SupersetSecurityManager

SECONDS = 5
"""How long a right that was taken away may still hold."""


def period() -> int:
    """The number of the current period: what is remembered is remembered for one."""
    return int(time.monotonic() / SECONDS)


class SecurityManager(SupersetSecurityManager):
    """Superset's, which asks for each right of a set of roles once in a period."""

    def __init__(self, appbuilder: Any) -> None:
        self._remembered = lru_cache(maxsize=10_000)(self._exists)
        super().__init__(appbuilder)

    def exist_permission_on_roles(self, view_name: str, permission_name: str, role_ids: list[int]) -> bool:
        """Whether any of the roles has a permission."""
        return self._remembered(view_name, permission_name, tuple(role_ids), period())

    def _exists(self, view_name: str, permission_name: str, role_ids: tuple[int, ...], _: int) -> bool:
        return bool(super().exist_permission_on_roles(view_name, permission_name, list(role_ids)))
