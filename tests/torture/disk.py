"""A disk that can be made full."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOM = "8g"
A_LITTLE = 64 * 1024
"""Bytes that are free on a full disk; less than a micro-batch needs."""


@dataclass(frozen=True)
class Disk:
    """A file system in memory, mounted on a folder."""

    folder: Path

    @contextmanager
    def full(self) -> Iterator[None]:
        """There is no room meanwhile."""
        state = os.statvfs(self.folder)
        self._resize(str((state.f_blocks - state.f_bfree) * state.f_frsize + A_LITTLE))
        try:
            yield
        finally:
            self._resize(ROOM)

    def _resize(self, size: str) -> None:
        subprocess.run(["mount", "-o", f"remount,size={size}", self.folder], check=True)


@contextmanager
def disk(folder: Path) -> Iterator[Disk | None]:
    """A disk mounted on a folder; None where this user must not mount one, or there is no such thing."""
    folder.mkdir(parents=True, exist_ok=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={ROOM}", "tmpfs", folder]
    if not shutil.which("mount") or subprocess.run(mount, capture_output=True).returncode:
        yield None
        return
    try:
        yield Disk(folder)
    except BaseException:
        # For whoever looks into what went wrong.
        shutil.copytree(folder, folder.with_name(f"{folder.name}-as-it-was"))
        raise
    finally:
        # Lazily: what reads in it still may go on.
        subprocess.run(["umount", "--lazy", folder], check=True)
