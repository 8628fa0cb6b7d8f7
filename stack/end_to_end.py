"""``python -m stack.end_to_end``: whether an event comes through, from Kafka to Superset; gold stays as it is.

Needs ``SLUICE_KAFKA``, ``SLUICE_SUPERSET_URL`` and ``SLUICE_SUPERSET_USERS``, the users with their passwords as JSON.
"""

import json
import os
import sys
import time
from collections.abc import Mapping
from typing import Any

import requests

from jobs.settings import Settings, settings
from stack.exceptions import StackError
from stack.produce import sender

TOPIC = "marketplace.orders"
PATIENCE = 120.0
REFUSED = f"SELECT COALESCE(SUM(refused), 0) AS refused FROM ops.live_by_minute WHERE entity = '{TOPIC}'"


class Superset:
    """Superset's API for one user.

    Args:
        url: where the web server is.
        user: ``username`` and ``password``.

    Raises:
        requests.RequestException: it does not answer, or refuses the password.
    """

    def __init__(self, url: str, user: Mapping[str, str]) -> None:
        self._api = f"{url.rstrip('/')}/api/v1"
        self._session = requests.Session()
        login = {**user, "provider": "db"}
        token = self._json(self._session.post(f"{self._api}/security/login", json=login, timeout=60))
        self._session.headers["Authorization"] = f"Bearer {token['access_token']}"
        csrf = self._json(self._session.get(f"{self._api}/security/csrf_token/", timeout=60))["result"]
        self._session.headers.update({"X-CSRFToken": csrf, "Referer": self._api})

    def select(self, sql: str, *, most: int = 1000) -> list[dict[str, Any]]:
        """The rows of a query in SQL Lab, at most so many.

        Raises:
            requests.RequestException: Superset does not answer, or refuses.
        """
        query = {"database_id": 1, "sql": sql, "runAsync": False, "queryLimit": most}
        rows: list[dict[str, Any]] = self._json(
            self._session.post(f"{self._api}/sqllab/execute/", json=query, timeout=120)
        )["data"]
        return rows

    @staticmethod
    def _json(answer: requests.Response) -> dict[str, Any]:
        if not answer.ok:
            raise requests.HTTPError(f"{answer.status_code} {answer.text[:500]}", response=answer)
        content: dict[str, Any] = answer.json()
        return content


def end_to_end(settings: Settings, superset: Superset) -> float:
    """Send a record that no contract accepts and wait until Superset counts it as refused; returns the seconds.

    Raises:
        StackError: it does not arrive.
    """
    (before,) = superset.select(REFUSED)
    with sender(settings) as kafka:
        kafka.send(TOPIC, key=b"end-to-end", value=b"a record that no contract accepts")
    sent = time.monotonic()
    while time.monotonic() - sent < PATIENCE:
        (now,) = superset.select(REFUSED)
        if now["refused"] > before["refused"]:
            return time.monotonic() - sent
        time.sleep(0.5)
    raise StackError(f"A record that was sent to {TOPIC} is not counted after {PATIENCE:.0f} s. See the jobs' log.")


if __name__ == "__main__":
    admin = json.loads(os.environ["SLUICE_SUPERSET_USERS"])["admin"]
    try:
        seconds = end_to_end(settings(), Superset(os.environ["SLUICE_SUPERSET_URL"], admin))
    except (StackError, requests.RequestException) as error:
        sys.exit(f"error: {error}")
    print(f"From Kafka to Superset in {seconds:.1f} s.")
