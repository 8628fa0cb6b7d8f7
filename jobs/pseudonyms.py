"""The key of the pseudonyms that stand for personal data in silver and gold."""

import os
import secrets
from pathlib import Path

from jobs.settings import Settings

KEY_BYTES = 32


def pseudonym_key(settings: Settings) -> bytes:
    """The key of this installation, from ``SLUICE_PSEUDONYM_KEY_FILE``; made when there is none.

    Whoever has the key can tell from a pseudonym whether it is that of a given value. Without it, new events get other
    pseudonyms than old ones.
    """
    path = Path(settings.pseudonym_key_file) if settings.pseudonym_key_file else settings.home / "pseudonym.key"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return path.read_bytes().strip()
    with os.fdopen(file, "wb") as new:
        new.write(secrets.token_hex(KEY_BYTES).encode())
    return path.read_bytes()
