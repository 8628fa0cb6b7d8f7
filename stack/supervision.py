"""supervisord: its configuration, and how we talk to it."""

import configparser
import hashlib
import io
import json
import os
import shlex
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast
from xmlrpc.client import Fault, ServerProxy

import psutil
from supervisor.xmlrpc import Faults, SupervisorTransport

from jobs.settings import CHECKOUT, Settings, settings
from stack.credentials import write_private
from stack.exceptions import StackError
from stack.programs import Program
from stack.start import VARIABLE, packed

# A unix socket's path has room for 107 bytes, and supervisord appends its pid while it binds.
_LONGEST_SOCKET_PATH = 95
_LISTENER = "restarts"
_RETRIES = 1_000_000
"""How often what dies at once is started again. The disk may be full for hours; each time it waits a second longer."""


@dataclass(frozen=True)
class Process:
    """A supervised process: supervisord's state, pid, uptime in seconds, how often it died since `up`."""

    name: str
    state: str
    pid: int | None
    uptime: float | None
    restarts: int


def processes() -> list[Process]:
    """All programs of this installation; empty when nothing is supervised."""
    return observe(settings())


def observe(settings: Settings) -> list[Process]:
    """As `processes`, of any installation."""
    try:
        infos: Any = _supervisor(settings).getAllProcessInfo()
    except OSError:
        return []
    counts = _restarts(settings)
    return [_process(info, counts.get(info["name"], 0)) for info in infos if info["name"] != _LISTENER]


def is_running(settings: Settings) -> bool:
    """Whether supervisord of this installation answers."""
    try:
        _supervisor(settings).getState()
    except OSError:
        return False
    return True


def apply(settings: Settings, programs: Iterable[Program]) -> None:
    """Write the configuration and start supervisord with it, or make the running one take it over.

    Starts none of the programs. Those whose configuration changed are stopped.
    """
    write_private(_config_file(settings), render(settings, programs))
    (settings.home / "logs").mkdir(parents=True, exist_ok=True)
    if is_running(settings):
        _reload(settings)
    else:
        _start_supervisord(settings)


def start(settings: Settings, *names: str) -> None:
    """Start those of the programs that do not run, and those that wait for their next try; returns at once."""
    supervisor = _supervisor(settings)
    for name in names:
        if _find(settings, name).state == "BACKOFF":
            supervisor.stopProcess(name)
        try:
            supervisor.startProcess(name, False)
        except Fault as fault:
            # One that died at once is started again; whoever waits for it says why it did not get ready.
            if fault.faultCode not in (Faults.ALREADY_STARTED, Faults.SPAWN_ERROR):
                raise StackError(f"supervisord cannot start {name}: {fault.faultString}") from fault


def wait_until(
    settings: Settings, name: str, ready: Callable[[], bool], *, timeout: float = 120, interval: float = 0.25
) -> None:
    """Wait until a started program does its work.

    Args:
        settings: of the installation.
        name: program to watch meanwhile.
        ready: asked again and again; an OSError counts as no.
        timeout: in seconds.
        interval: between two questions, in seconds.

    Raises:
        StackError: the program gave up or keeps dying, or the time is over; with the tail of its log.
    """
    pids: set[int] = set()
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        if _answers(ready):
            return
        process = _find(settings, name)
        if process.pid:
            pids.add(process.pid)
        if process.state in ("FATAL", "STOPPED", "UNKNOWN") or len(pids) > 3:
            reason = "it died again and again" if len(pids) > 1 else f"it is {process.state.lower()}"
            raise StackError(f"{name} does not start: {reason}.\n{log_tail(settings, name)}")
        time.sleep(interval)
    raise StackError(f"{name} did not get ready within {timeout:.0f} s.\n{log_tail(settings, name)}")


def shut_down(settings: Settings, timeout: float = 240) -> None:
    """Stop every program in turn, then supervisord itself; returns when all are gone.

    Raises:
        StackError: something still runs after `timeout` seconds.
    """
    pid: Any = _supervisor(settings).getPID()
    supervisord = psutil.Process(pid)
    _supervisor(settings).shutdown()
    try:
        supervisord.wait(timeout)
    except psutil.TimeoutExpired as error:
        left = ", ".join(process.name for process in observe(settings) if process.pid)
        raise StackError(f"After {timeout:.0f} s these still run: {left}. See `make logs`.") from error
    folder = socket_path(settings.home).parent
    if folder != settings.home / "run":
        folder.rmdir()


def log_file(settings: Settings, name: str) -> Path:
    """Where the output of a program goes."""
    return settings.home / "logs" / f"{name}.log"


def log_tail(settings: Settings, name: str, lines: int = 25) -> str:
    """The last lines of a program's log, under a heading that names the file."""
    file = log_file(settings, name)
    if not file.exists():
        return f"It has no log yet ({file})."
    with file.open(errors="replace") as stream:
        tail = deque(stream, maxlen=lines)
    return f"Last lines of {file}:\n{''.join(tail).rstrip()}"


def socket_path(home: Path) -> Path:
    """Path of supervisord's socket: in `home`, or in a private folder of /tmp when that path is too long."""
    path = home / "run" / "supervisor.sock"
    if len(os.fsencode(path)) <= _LONGEST_SOCKET_PATH:
        return path
    digest = hashlib.sha256(os.fsencode(home)).hexdigest()[:16]
    return Path("/tmp") / f"sluice-{os.getuid()}-{digest}" / "supervisor.sock"


def render(settings: Settings, programs: Iterable[Program]) -> str:
    """supervisord's configuration for the programs."""
    home = settings.home
    socket = socket_path(home)
    sections: dict[str, dict[str, object]] = {
        "unix_http_server": {"file": socket, "chmod": "0600"},
        "supervisord": {
            "logfile": home / "logs" / "supervisord.log",
            "logfile_maxbytes": "10MB",
            "logfile_backups": 2,
            "pidfile": home / "run" / "supervisord.pid",
            "directory": CHECKOUT,
            "umask": "077",
        },
        "rpcinterface:supervisor": {
            "supervisor.rpcinterface_factory": "supervisor.rpcinterface:make_main_rpcinterface"
        },
        f"eventlistener:{_LISTENER}": {
            "command": shlex.join([sys.executable, "-m", "stack.restarts", str(restarts_file(settings))]),
            "events": "PROCESS_STATE_EXITED,PROCESS_STATE_BACKOFF",
            "startretries": _RETRIES,
            "stderr_logfile": home / "logs" / f"{_LISTENER}.log",
        },
    }
    for program in programs:
        sections[f"program:{program.name}"] = _program(settings, program)
    config = configparser.RawConfigParser()
    config.read_dict({name: _escaped(values) for name, values in sections.items()})
    text = io.StringIO()
    config.write(text)
    return text.getvalue()


def variables_of(settings: Settings) -> dict[str, str]:
    """The settings as environment variables, for programs that must have the same ones."""
    values = settings.model_dump(mode="json").items()
    return {f"SLUICE_{name.upper()}": value if isinstance(value, str) else json.dumps(value) for name, value in values}


def restarts_file(settings: Settings) -> Path:
    """Where the deaths of each program are counted."""
    return settings.home / "run" / "restarts.json"


def _program(settings: Settings, program: Program) -> dict[str, object]:
    # The checkout goes first: the environment may be shared with another checkout.
    environment = variables_of(settings) | {"PYTHONPATH": str(CHECKOUT), "PYTHONUNBUFFERED": "1", "TZ": "UTC"}
    return {
        "command": shlex.join([sys.executable, "-m", "stack.start", *program.command]),
        "environment": f'{VARIABLE}="{packed(environment | dict(program.environment))}"',
        "priority": program.priority,
        "autostart": "false",
        "autorestart": "true",
        "startsecs": program.start_seconds,
        "startretries": _RETRIES,
        "stopsignal": program.stop_signal,
        "stopwaitsecs": program.stop_seconds,
        "stopasgroup": str(program.stop_group).lower(),
        "killasgroup": "true",
        "redirect_stderr": "true",
        "stdout_logfile": log_file(settings, program.name),
        "stdout_logfile_maxbytes": "10MB",
        "stdout_logfile_backups": 3,
    }


def _escaped(values: dict[str, object]) -> dict[str, str]:
    return {name: str(value).replace("%", "%%") for name, value in values.items()}


def _start_supervisord(settings: Settings) -> None:
    _make_socket_folder(socket_path(settings.home).parent)
    restarts_file(settings).unlink(missing_ok=True)
    command = [sys.executable, "-m", "supervisor.supervisord", "-c", str(_config_file(settings))]
    started = subprocess.run(command, capture_output=True, text=True)
    if started.returncode != 0:
        raise StackError(f"supervisord does not start:\n{(started.stdout + started.stderr).strip()}")
    deadline = time.monotonic() + 20
    while not is_running(settings):
        if time.monotonic() > deadline:
            raise StackError(f"supervisord does not answer.\n{log_tail(settings, 'supervisord')}")
        time.sleep(0.05)


def _make_socket_folder(folder: Path) -> None:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if folder.stat().st_uid != os.getuid() or folder.is_symlink():
        raise StackError(f"{folder} belongs to somebody else. Set SLUICE_HOME to a folder with a shorter path.")


def _reload(settings: Settings) -> None:
    supervisor = _supervisor(settings)
    changes: Any = supervisor.reloadConfig()
    [[added, changed, removed]] = changes
    for name in [*changed, *removed]:
        supervisor.stopProcessGroup(name)
        supervisor.removeProcessGroup(name)
    for name in [*added, *changed]:
        supervisor.addProcessGroup(name)


def _supervisor(settings: Settings) -> Any:
    # One connection per question: the transport is not safe to share between threads.
    transport = SupervisorTransport(None, None, f"unix://{socket_path(settings.home)}")
    return ServerProxy("http://127.0.0.1", transport=transport).supervisor


def _config_file(settings: Settings) -> Path:
    return settings.home / "run" / "supervisord.conf"


def _restarts(settings: Settings) -> dict[str, int]:
    try:
        return cast("dict[str, int]", json.loads(restarts_file(settings).read_text()))
    except FileNotFoundError:
        return {}


def _process(info: dict[str, Any], restarts: int) -> Process:
    uptime = float(info["now"] - info["start"]) if info["pid"] else None
    return Process(info["name"], info["statename"], info["pid"] or None, uptime, restarts)


def _find(settings: Settings, name: str) -> Process:
    for process in observe(settings):
        if process.name == name:
            return process
    raise StackError(f"supervisord ended.\n{log_tail(settings, 'supervisord')}")


def _answers(ready: Callable[[], bool]) -> bool:
    try:
        return ready()
    except OSError:
        return False
