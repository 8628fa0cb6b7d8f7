"""The key of the pseudonyms that stand for personal data in silver and gold."""

import contextlib
import os
import secrets
from pathlib import Path
from tempfile import NamedTemporaryFile

from jobs.settings import Settings

KEY_BYTES = 32


def pseudonym_key(settings: Settings) -> bytes:
    """The key of this installation, from ``SLUICE_PSEUDONYM_KEY_FILE``; made when there is none.

    Whoever has the key can tell from a pseudonym whether it is that of a given value. Without it, new events get other
    pseudonyms than old ones.

    Raises:
        ValueError: if the file is empty.
    """
    path = Path(settings.pseudonym_key_file) if settings.pseudonym_key_file else settings.home / "pseudonym.key"
    if not path.exists():
        _make(path)
    key = path.read_bytes().strip()
    if not key:
        raise ValueError(f"{path} is empty; put the key of the pseudonyms back, or remove the file to get a new one")
    return key


def _make(path: Path) -> None:
    """Make the file whole at once: other processes may look for it, and make it, at the same time."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # Only its owner can read a temporary file.
    with NamedTemporaryFile(dir=path.parent, prefix=path.name) as new:
        new.write(secrets.token_hex(KEY_BYTES).encode())
        new.flush()
        with contextlib.suppress(FileExistsError):
            os.link(new.name, path)
