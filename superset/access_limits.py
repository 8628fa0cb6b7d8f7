"""How often and how long: what a user may ask of SQL Lab, and what a password must be."""

from flask import request, session
from flask_appbuilder.exceptions import PasswordComplexityValidationError
from flask_jwt_extended import decode_token
from flask_jwt_extended.exceptions import JWTExtendedException
from flask_limiter.util import get_remote_address
from jwt import PyJWTError

# Questions that nobody foresaw, and guesses of passwords; the login form has a limit of its own.
COUNTED = ("/api/v1/sqllab/execute/", "/api/v1/sqllab/export", "/api/v1/sqllab/estimate/", "/api/v1/security/login")
SHORTEST_PASSWORD = 12


def is_unlimited() -> bool:
    """Whether a request needs no limit: charts are cached, and a live dashboard asks for dozens in a second."""
    return not request.path.startswith(COUNTED)


def who_asks() -> str:
    """The user whom a request is counted for; the address of who is nobody."""
    if "_user_id" in session:
        return f"user {session['_user_id']}"
    try:
        # Not by `verify_jwt_in_request`: Superset calls it later, and then it would not make the user known.
        return f"user {decode_token(request.headers.get('Authorization', '').removeprefix('Bearer '))['sub']}"
    except (PyJWTError, JWTExtendedException):
        return str(get_remote_address())


def check_password(password: str) -> None:
    """Refuse a short password; length is what makes one hard to guess (NIST SP 800-63B).

    Raises:
        PasswordComplexityValidationError: with what is wrong.
    """
    if len(password) < SHORTEST_PASSWORD:
        raise PasswordComplexityValidationError(f"A password has at least {SHORTEST_PASSWORD} characters.")
