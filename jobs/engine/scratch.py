"""A folder of its own for what a process keeps on disk while it lives.

Spark's blocks hold records as they came. A driver that was killed cannot delete them; whoever comes next does.
"""

import fcntl
import os
import shutil
from functools import cache
from pathlib import Path
from typing import IO
from uuid import uuid4

LOCK = ".lock"


_locks: list[IO[str]] = []
"""Held until the process ends, however it ends."""


@cache
def scratch_folder(root: Path) -> Path:
    """The folder of this process below ``root``; those of processes that are gone are deleted."""
    root.mkdir(parents=True, exist_ok=True)
    delete_abandoned(root)
    folder = root / uuid4().hex
    # First the lock: a folder without one belongs to nobody.
    lock = folder.with_suffix(LOCK).open("w")
    fcntl.flock(lock, fcntl.LOCK_EX)
    _locks.append(lock)
    folder.mkdir()
    return folder


def delete_abandoned(root: Path) -> int:
    """Delete the folders whose process is gone; returns how many."""
    deleted = 0
    for folder in root.iterdir() if root.exists() else ():
        if folder.is_dir() and not _is_in_use(folder.with_suffix(LOCK)):
            shutil.rmtree(folder, ignore_errors=True)
            folder.with_suffix(LOCK).unlink(missing_ok=True)
            deleted += 1
    return deleted


def _is_in_use(path: Path) -> bool:
    try:
        lock = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(lock)
    return False
