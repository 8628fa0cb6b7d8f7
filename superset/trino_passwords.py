"""Make the file of Trino's users, before Trino starts: `python superset/trino_passwords.py FOLDER`.

Two log in: Superset, with ``SLUICE_TRINO_PASSWORD``, and who keeps Trino's catalogue, with a password that nobody
outside the pod knows. It is in ``FOLDER/registrar``, the hashes of both are in ``FOLDER/password.db``.
"""

import hashlib
import os
import secrets
import sys
from pathlib import Path

SUPERSET = "superset"
REGISTRAR = "registrar"
ITERATIONS = 100_000


def line(user: str, password: str) -> str:
    """A line of Trino's password file: PBKDF2, as ``iterations:salt:hash``."""
    salt = secrets.token_bytes(16)
    digest = hashlib.pbkdf2_hmac("sha1", password.encode(), salt, ITERATIONS, 32)
    return f"{user}:{ITERATIONS}:{salt.hex()}:{digest.hex()}\n"


def main(folder: Path) -> None:
    """Write both files, for the group of the pod only."""
    os.umask(0o077)
    password = secrets.token_urlsafe(32)
    (folder / REGISTRAR).write_text(password)
    users = {SUPERSET: os.environ["SLUICE_TRINO_PASSWORD"], REGISTRAR: password}
    (folder / "password.db").write_text("".join(line(user, password) for user, password in users.items()))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
