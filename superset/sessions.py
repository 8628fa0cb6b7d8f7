"""Sessions that are kept on the server: logging out ends one wherever its cookie is, and nothing brings it back."""

from typing import Any

from flask import Flask, Response, current_app, session
from flask_login import user_logged_in, user_logged_out


def install(app: Flask) -> None:
    """Begin another session whenever somebody logs in or out, and prolong sessions that are used."""
    for signal in (user_logged_in, user_logged_out):
        signal.connect(_renew, app)
    app.after_request(_prolong)


def prolong(app: Flask, session_id: str, store: Any) -> Any:
    """Let a session last for another while from now on, by a store or its pipeline; one that has ended stays so."""
    return store.expire(f"{app.config['SESSION_KEY_PREFIX']}{session_id}", app.permanent_session_lifetime)


def _renew(app: Flask, **_: Any) -> None:
    """Who gave somebody a cookie before the login would know theirs."""
    app.session_interface.regenerate(session)


def _prolong(response: Response) -> Response:
    """Count from the last request.

    Not by ``SESSION_REFRESH_EACH_REQUEST``, which writes what was read when the request began: a dashboard's last
    question would bring back the session of who has logged out meanwhile.
    """
    prolong(current_app, session.sid, current_app.config["SESSION_REDIS"])
    return response
