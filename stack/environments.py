"""Python environments from hash-locked requirements, made by uv.

Only the standard library is imported here: ``make`` runs this module with the system's Python, before any
environment exists (``python -m stack.environments jobs``).
"""

import fcntl
import hashlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, TextIO, get_args

from stack.exceptions import StackError

CHECKOUT = Path(__file__).resolve().parents[1]
LOCKS = CHECKOUT / "stack" / "locks"
STAMP = "sluice-lock.sha256"
Environment = Literal["jobs", "runtime", "superset"]
"""``runtime`` is ``jobs`` without what only developers need."""
SUPPORTED = ((3, 11), (3, 12))


def directory(name: Environment, cache: Path) -> Path:
    """Where an environment lies."""
    return cache / "environments" / name


def is_current(name: Environment, cache: Path) -> bool:
    """Whether the environment was made from the lock as it is now."""
    return _has_stamp(directory(name, cache), _digest(*_sources(name)))


def ensure(name: Environment, cache: Path) -> Path:
    """Make the environment match its lock and return its directory; touches no network when it does already.

    Raises:
        StackError: uv or the package index failed; the message ends with their own words.
    """
    home = directory(name, cache)
    if is_current(name, cache):
        return home
    with exclusive(cache / f"{name}.lock"):
        if is_current(name, cache):
            return home
        uv = _uv(cache)
        (home / STAMP).unlink(missing_ok=True)
        if not (home / "bin" / "python").exists():
            _run([uv, "venv", "--clear", "--python", _base_python(), home])
        python = home / "bin" / "python"
        _run([uv, "pip", "sync", "--require-hashes", "--python", python, LOCKS / f"{name}.txt"])
        if name != "superset":
            _install_checkout(uv, python)
        (home / STAMP).write_text(_digest(*_sources(name)))
    return home


@contextmanager
def exclusive(path: Path) -> Iterator[TextIO]:
    """Hold a lock file, so that whatever it guards is done by one process after the other.

    A child that inherits the file holds the lock too, even when its parent is gone.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield lock


def _uv(cache: Path) -> Path:
    tools, lock = cache / "tools", LOCKS / "tools.txt"
    if not _has_stamp(tools, _digest(lock)):
        if not (tools / "bin" / "pip").exists():
            _run([_base_python(), "-m", "venv", "--clear", tools])
        pip: list[str | Path] = [tools / "bin" / "python", "-m", "pip", "install", "--quiet"]
        _run([*pip, "--disable-pip-version-check", "--require-hashes", "--requirement", lock])
        (tools / STAMP).write_text(_digest(lock))
    return tools / "bin" / "uv"


def _install_checkout(uv: Path, python: Path) -> None:
    # The build backend is locked too, or an editable install would fetch whatever version is newest.
    constraints: list[str | Path] = ["--build-constraints", LOCKS / "build.txt"]
    _run([uv, "pip", "install", "--python", python, "--no-deps", *constraints, "--editable", CHECKOUT])


def _sources(name: Environment) -> list[Path]:
    if name == "superset":
        return [LOCKS / "superset.txt"]
    return [LOCKS / f"{name}.txt", LOCKS / "build.txt", CHECKOUT / "pyproject.toml"]


def _digest(*files: Path) -> str:
    digest = hashlib.sha256(str(CHECKOUT).encode() if len(files) > 1 else b"")
    for file in files:
        digest.update(file.read_bytes())
    return digest.hexdigest()


def _has_stamp(home: Path, digest: str) -> bool:
    stamp = home / STAMP
    return (home / "bin" / "python").exists() and stamp.is_file() and stamp.read_text() == digest


def _base_python() -> str:
    """The interpreter itself, also when this one runs inside a virtual environment."""
    return str(getattr(sys, "_base_executable", sys.executable))


def _run(command: Sequence[str | Path]) -> None:
    arguments = [str(part) for part in command]
    environment = {**os.environ, "UV_PYTHON_DOWNLOADS": "never"}
    environment.pop("VIRTUAL_ENV", None)
    finished = subprocess.run(
        arguments, cwd=CHECKOUT, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    if finished.returncode == 0:
        return
    hint = "\nOn Debian and Ubuntu: apt install python3-venv" if "ensurepip" in finished.stdout else ""
    raise StackError(f"`{' '.join(arguments)}` failed:\n{finished.stdout.strip()[-3000:]}{hint}")


def main(names: Sequence[Environment]) -> int:
    """Make the environments named on the command line; returns the exit code."""
    if sys.version_info[:2] not in SUPPORTED:
        print(f"error: Sluice needs Python 3.11 or 3.12, not {sys.version.split()[0]}", file=sys.stderr)
        return 1
    cache = Path(os.environ.get("SLUICE_CACHE") or CHECKOUT / ".sluice" / "cache").absolute()
    for name in names:
        if is_current(name, cache):
            continue
        print(f"Making the Python environment {name!r} (a minute or two)", flush=True)
        started = time.monotonic()
        try:
            ensure(name, cache)
        except StackError as error:
            print(f"error: {error}", file=sys.stderr)
            return 1
        print(f"Made it in {time.monotonic() - started:.0f} s", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main([name for name in get_args(Environment) if name in sys.argv[1:]]))
