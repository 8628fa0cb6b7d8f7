"""What a user sees: the charts of the dashboards, asked for through Superset's API."""

import re
from http import HTTPStatus
from typing import Any

import requests

from jobs.settings import Settings
from stack import credentials
from stack.exceptions import StackError

FIRST = "live-sales"
"""The dashboard that a new user is shown."""


def url(settings: Settings) -> str:
    """Address of the first dashboard."""
    return f"{_base(settings)}/superset/dashboard/{FIRST}/"


def empty_charts(settings: Settings, opened: requests.Session, slug: str = FIRST) -> dict[str, str]:
    """Charts of a dashboard that show nothing yet, by name, with the reason.

    Args:
        settings: where Superset is.
        opened: a session; who asks again uses the same one, for logins are limited.
        slug: names the dashboard.

    Raises:
        requests.RequestException: Superset does not answer.
    """
    charts = _get(opened, api(settings, f"dashboard/{slug}/charts"))
    data = {chart["slice_name"]: api(settings, f"chart/{chart['id']}/data/") for chart in charts}
    reasons = {name: _why_empty(opened, address) for name, address in data.items()}
    return {name: reason for name, reason in reasons.items() if reason}


def session(settings: Settings, role: str = "admin", *, posts: bool = False) -> requests.Session:
    """A session with Superset's API of the user that `credentials.json` has for a role.

    Args:
        settings: where Superset is.
        role: the role's name in `credentials.json`.
        posts: whether it may do more than get; takes a request more.

    Raises:
        StackError: Superset refuses the generated password.
        requests.RequestException: Superset does not answer.
    """
    user = credentials.read(settings)["superset"]["users"][role]
    opened = requests.Session()
    answer = opened.post(api(settings, "security/login"), json=user | {"provider": "db"}, timeout=60)
    if answer.status_code == HTTPStatus.UNAUTHORIZED:
        raise StackError(
            f"Superset refuses the password of {user['username']!r} in {credentials.path(settings)}. "
            "If you changed it in Superset, change it there too."
        )
    answer.raise_for_status()
    opened.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"
    if posts:
        _bring_token(settings, opened)
    return opened


def browser_session(settings: Settings, role: str, opened: requests.Session | None = None) -> requests.Session:
    """A session as a browser has one: with a cookie, after a form was filled in.

    Args:
        settings: where Superset is.
        role: whose session.
        opened: a browser that has been there before; a new one if there is none.

    Raises:
        StackError: Superset refuses the generated password.
        requests.RequestException: Superset does not answer.
    """
    user = credentials.read(settings)["superset"]["users"][role]
    form, opened = f"{_base(settings)}/login/", opened or requests.Session()
    token = re.search(r'name="csrf_token".*?value="([^"]+)"', opened.get(form, timeout=60).text, re.DOTALL)
    answer = opened.post(form, data=user | {"csrf_token": token[1] if token else ""}, timeout=60)
    if answer.url == form:
        raise StackError(f"Superset refuses the password of {user['username']!r} in {credentials.path(settings)}.")
    _bring_token(settings, opened)
    return opened


def _bring_token(settings: Settings, opened: requests.Session) -> None:
    token = opened.get(api(settings, "security/csrf_token/"), timeout=60).json()["result"]
    opened.headers.update({"X-CSRFToken": token, "Referer": _base(settings)})


def _get(opened: requests.Session, address: str) -> list[dict[str, Any]]:
    answer = opened.get(address, params={"q": "(page_size:100)"}, timeout=30)
    answer.raise_for_status()
    found: list[dict[str, Any]] = answer.json()["result"]
    return found


def _why_empty(opened: requests.Session, address: str) -> str | None:
    answer = opened.get(address, timeout=60)
    if not answer.ok:
        return f"{answer.status_code} {answer.text.strip()[:300]}"
    rows = [row for result in answer.json()["result"] for row in result["data"]]
    return None if any(value not in (None, 0) for row in rows for value in row.values()) else "no data"


def api(settings: Settings, path: str) -> str:
    """Address of a part of Superset's API."""
    return f"{_base(settings)}/api/v1/{path}"


def _base(settings: Settings) -> str:
    return f"http://127.0.0.1:{settings.superset_port}"
