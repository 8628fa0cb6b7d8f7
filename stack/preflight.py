"""Checks before anything starts; each failure says what to do."""

import shutil
import socket
from collections.abc import Callable, Collection, Mapping
from pathlib import Path

import psutil

from jobs.settings import Settings
from stack import java
from stack.exceptions import StackError

GIB = 2**30
MEMORY = 6 * GIB
DISK = 5 * GIB


def check(settings: Settings, running: Collection[str] = ()) -> None:
    """Check Java, memory, disk and ports.

    Args:
        settings: of this installation.
        running: programs of ours that run already: their ports are taken by right, and with any of them
            running the memory has been given out already.

    Raises:
        StackError: all that is wrong, in one message.
    """
    problems = []
    checks: list[Callable[[], None]] = [
        java.check,
        lambda: check_disk(settings.home),
        lambda: check_ports(ports(settings), running),
    ]
    if not running:
        checks.append(check_memory)
    for one in checks:
        try:
            one()
        except StackError as error:
            problems.append(str(error))
    if problems:
        raise StackError("\n".join(problems))


def check_memory(available: int | None = None, needed: int = MEMORY) -> None:
    """Raise StackError when less than `needed` bytes of memory are available."""
    available = psutil.virtual_memory().available if available is None else available
    if available < needed:
        raise StackError(
            f"{available / GIB:.1f} GiB of memory are available, Sluice needs about {needed / GIB:.0f} GiB. "
            "End other programs, or lower SLUICE_DRIVER_MEMORY and run `make up` again on a larger machine."
        )


def check_disk(home: Path, needed: int = DISK) -> None:
    """Raise StackError when the disk that holds `home` has less than `needed` bytes left."""
    existing = next(path for path in (home, *home.absolute().parents) if path.exists())
    free = shutil.disk_usage(existing).free
    if free < needed:
        raise StackError(
            f"{free / GIB:.1f} GiB are free on the disk of {existing}, Sluice needs about "
            f"{needed / GIB:.0f} GiB. Free some space, or set SLUICE_HOME to a folder on another disk."
        )


def ports(settings: Settings) -> dict[str, tuple[str, list[int]]]:
    """For each program that listens: the setting that changes its port, and its ports."""
    broker = {} if settings.kafka else {"broker": ("kafka_port", [settings.kafka_port, settings.kafka_port + 1])}
    return broker | {
        "metadata-database": ("postgres_port", [settings.postgres_port]),
        "cache": ("redis_port", [settings.redis_port]),
        "mail": ("mail_port", [settings.mail_port]),
        "superset": ("superset_port", [settings.superset_port]),
    }


def check_ports(wanted: Mapping[str, tuple[str, list[int]]], running: Collection[str] = ()) -> None:
    """Raise StackError for each port that somebody else listens on."""
    problems = [
        f"Port {port} (for the {program}) is taken{_owner(port)}. "
        f"End that program, or choose another port: SLUICE_{setting.upper()}={numbers[0] + 1000} make up"
        for program, (setting, numbers) in wanted.items()
        if program not in running
        for port in numbers
        if _is_taken(port)
    ]
    if problems:
        raise StackError("\n".join(problems))


def _is_taken(port: int) -> bool:
    with socket.socket() as probe:
        # As every server does it: a connection that lingers in TIME_WAIT does not count as taken.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return True
    return False


def _owner(port: int) -> str:
    try:
        for connection in psutil.net_connections("tcp"):
            if connection.status == psutil.CONN_LISTEN and connection.laddr[1:] == (port,) and connection.pid:
                return f" by {psutil.Process(connection.pid).name()} (process {connection.pid})"
    except psutil.Error:
        pass  # only root sees everybody's sockets
    return ""
