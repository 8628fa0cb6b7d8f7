"""Apache Superset: its web server, Celery worker and beat, and what it needs before its first start."""

import hashlib
import json
import os
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import requests
import yaml
from deltalake import DeltaTable

from jobs.settings import CHECKOUT, Settings
from stack import cache, credentials, environments, metadata_database
from stack.environments import exclusive
from stack.exceptions import StackError
from stack.programs import Program
from stack.supervision import log_file, log_tail, variables_of

WEB = "superset"
WORKER = "superset-worker"
BEAT = "superset-beat"
SOURCE = CHECKOUT / "superset"
SETUP_LOG = "superset-setup"


def programs(settings: Settings) -> list[Program]:
    """Web server, worker and beat as supervised programs."""
    variables = environment(settings)
    celery = [_binary(settings, "celery"), "--app", "superset.tasks.celery_app:app"]
    beat_files = ["--pidfile", "", "--schedule", str(_directory(settings) / "celerybeat-schedule")]
    web = [_binary(settings, "gunicorn"), "--config", str(SOURCE / "gunicorn_config.py")]
    return [
        Program(name=WEB, command=[*web, "superset.app:create_app()"], priority=20, environment=variables),
        # Celery's own advice: the signal to the parent only, which lets its children finish.
        Program(
            name=WORKER,
            command=[*celery, "worker", "--loglevel", "INFO"],
            priority=21,
            environment=variables,
            stop_group=False,
        ),
        Program(
            name=BEAT,
            command=[*celery, "beat", "--loglevel", "INFO", *beat_files],
            priority=22,
            environment=variables,
        ),
    ]


def environment(settings: Settings) -> dict[str, str]:
    """Environment variables that every Superset process needs, beside those of the settings."""
    return {
        # Not the checkout: its folder `superset` is no package, but it has that package's name.
        "PYTHONPATH": str(SOURCE),
        "SUPERSET_CONFIG_PATH": str(SOURCE / "superset_config.py"),
        "SUPERSET_HOME": str(_directory(settings)),
        "SLUICE_SUPERSET_SECRET_KEY": credentials.secrets(settings)["superset_secret_key"],
        "SLUICE_METADATA_URL": metadata_database.url(settings),
        "SLUICE_REDIS_URL": cache.url(settings),
        "TZ": "UTC",
        "PATH": f"{Path(_binary(settings, 'python')).parent}{os.pathsep}{os.environ['PATH']}",
    }


def initialize(settings: Settings) -> None:
    """Migrate the metadata, write users, roles and `superset/assets/`; only when these changed."""
    stamp, digest = _stamp(settings), _sources_digest(settings)
    if stamp.is_file() and stamp.read_text() == digest:
        return
    users = credentials.read(settings)["superset"]["users"]
    _run(settings, [SOURCE / "initialize.py"], {"SLUICE_SUPERSET_USERS": json.dumps(users)})
    stamp.write_text(digest)


def make_catalogue(settings: Settings) -> None:
    """Show Superset the tables that the lake has by now."""
    _directory(settings).mkdir(parents=True, exist_ok=True)
    _run(settings, [SOURCE / "catalogue.py", settings.lake_url, _directory(settings) / "lake.duckdb"])


def tables_exist(settings: Settings) -> bool:
    """Whether every table that a dataset reads exists in the lake."""
    return all(DeltaTable.is_deltatable(table) for table in _tables(settings))


def is_ready(settings: Settings) -> bool:
    """Whether the web server answers."""
    return requests.get(f"http://127.0.0.1:{settings.superset_port}/health", timeout=10).ok


def _tables(settings: Settings) -> Iterator[str]:
    for file in sorted((SOURCE / "assets" / "datasets").rglob("*.yaml")):
        dataset = yaml.safe_load(file.read_text())
        if dataset["sql"] is None:
            yield f"{settings.lake_url}/{dataset['schema']}/{dataset['table_name']}"


def _run(settings: Settings, script: Sequence[str | Path], secrets: dict[str, str] | None = None) -> None:
    command = [_binary(settings, "python"), *map(str, script)]
    variables = os.environ | variables_of(settings) | environment(settings) | (secrets or {})
    file = log_file(settings, SETUP_LOG)
    # The child inherits the lock: when `up` is interrupted, the next one waits for what is still under way.
    with exclusive(settings.home / "run" / "superset-setup.lock") as lock, file.open("a") as log:
        inherited = [lock.fileno()]
        finished = subprocess.run(command, env=variables, stdout=log, stderr=subprocess.STDOUT, pass_fds=inherited)
    if finished.returncode != 0:
        raise StackError(f"`{' '.join(command)}` failed.\n{log_tail(settings, SETUP_LOG)}")


def _sources_digest(settings: Settings) -> str:
    digest = hashlib.sha256((environments.LOCKS / "superset.txt").read_bytes())
    digest.update(settings.portals.encode())
    writers = [SOURCE / name for name in ("initialize.py", "access.py", "embedding.py", "report_schedules.py")]
    for file in [*writers, *sorted(SOURCE.rglob("*.yaml"))]:
        digest.update(f"{file.relative_to(SOURCE)}\n".encode() + file.read_bytes())
    return digest.hexdigest()


def _stamp(settings: Settings) -> Path:
    # Beside the database that it speaks of: who deletes the one deletes the other.
    return metadata_database.directory(settings) / "superset.sha256"


def _directory(settings: Settings) -> Path:
    return settings.home / "superset"


def _binary(settings: Settings, name: str) -> str:
    return str(environments.directory("superset", settings.cache) / "bin" / name)
