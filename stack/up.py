"""Start and stop the whole system: `sluice up`, `down` and `logs`."""

import fcntl
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache, partial
from threading import Event

from jobs.definitions import definitions
from jobs.kafka_security import python_options
from jobs.settings import Settings, settings
from schemas import load_contracts
from stack import (
    broker,
    cache,
    credentials,
    dashboard,
    environments,
    jars,
    mail,
    metadata_database,
    preflight,
    stream,
    superset_server,
    supervision,
)
from stack.exceptions import StackError
from stack.programs import Program
from stack.progress import Progress, in_parallel


def up() -> None:
    """Set up what is missing, start what does not run, and return when the dashboard shows data.

    Raises:
        StackError: with what the user has to do about it.
        DefinitionError: a contract or suite is wrong; nothing was started.
    """
    ours = settings()
    definitions()
    with _alone(ours):
        progress = Progress()
        running = {process.name for process in supervision.observe(ours) if process.pid}
        preflight.check(ours, running)
        in_parallel(lambda: _jars(ours, progress), lambda: _environment(ours, progress))
        credentials.write(ours)
        supervision.apply(ours, programs(ours))
        tables = Event()
        in_parallel(lambda: _start_stream(ours, progress, tables), lambda: _start_superset(ours, progress, tables))
        # Superset started with the tables of its dashboards; the jobs have made all of them by now.
        if superset_server.tables_exist(ours):
            superset_server.make_catalogue(ours)
        try:
            if ours.demo_rate > 0:
                _wait_for_data(ours, progress)
        finally:
            # Whatever the charts lack, the system runs on.
            _start_scheduled(ours)
        _say_where_to_look(ours)


def down() -> None:
    """Stop everything in order; nothing that has been taken in is lost."""
    ours = settings()
    if not supervision.is_running(ours):
        print("Nothing is running.")
        return
    progress = Progress()
    with progress.step("Stopping"):
        supervision.shut_down(ours)


def logs(program: str | None = None, lines: int = 50, follow: bool = False) -> None:
    """Print the last lines of one program's log, or of all; with `follow` go on until interrupted.

    Raises:
        StackError: there is no such log.
    """
    folder = settings().home / "logs"
    files = sorted(folder.glob("*.log"))
    if program is not None:
        names = ", ".join(file.stem for file in files) or "none: nothing has run yet"
        files = [file for file in files if file.stem == program]
        if not files:
            raise StackError(f"There is no log of {program!r}. There are: {names}.")
    if not files:
        raise StackError(f"There are no logs in {folder}: nothing has run yet.")
    try:
        # -F goes on when supervisord rotates the file.
        subprocess.run(["tail", "-n", str(lines), *(["-F"] if follow else []), *map(str, files)])
    except KeyboardInterrupt:
        return


def programs(settings: Settings) -> list[Program]:
    """Every program of an installation."""
    chosen = [
        metadata_database.program(settings),
        cache.program(settings),
        mail.program(settings),
        *superset_server.programs(settings),
        stream.jobs_program(settings),
    ]
    if not settings.kafka:
        chosen.append(broker.program(settings))
    if settings.demo_rate > 0:
        chosen.append(stream.traffic_program(settings))
    if settings.refresh_minutes > 0:
        chosen.append(stream.views_program(settings))
    if settings.validate_minutes > 0:
        chosen.append(stream.quality_program(settings))
    if settings.maintain_minutes > 0:
        chosen.append(stream.maintenance_program(settings))
    if settings.reconcile_at:
        chosen.append(stream.reconciliation_program(settings))
    return chosen


@contextmanager
def _alone(settings: Settings) -> Iterator[None]:
    settings.home.mkdir(parents=True, exist_ok=True)
    with (settings.home / "up.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StackError("Another `sluice up` is under way; wait for it.") from None
        yield


def _jars(settings: Settings, progress: Progress) -> None:
    needed = jars.needed(settings)
    if not jars.are_complete(settings.cache, needed):
        with progress.step("Fetching jars from Maven"):
            jars.ensure(settings.cache, needed)


def _environment(settings: Settings, progress: Progress) -> None:
    if not environments.is_current("superset", settings.cache):
        with progress.step("Making Superset's Python environment"):
            environments.ensure("superset", settings.cache)


def _start_stream(settings: Settings, progress: Progress, tables: Event) -> None:
    """Start broker, traffic and jobs; `tables` is set when there are tables, or will be none."""
    try:
        _start_broker(settings, progress)
        if settings.demo_rate > 0:
            supervision.start(settings, stream.TRAFFIC)
        with progress.step("Jobs"):
            supervision.start(settings, stream.JOBS)
            _wait_for_jobs(settings, superset_server.tables_exist)
            tables.set()
            _wait_for_jobs(settings, stream.is_running)
    finally:
        tables.set()


def _start_scheduled(settings: Settings) -> None:
    """Start what runs again and again; not before there are data, or the first views would have no rows."""
    scheduled = {
        stream.VIEWS: settings.refresh_minutes > 0,
        stream.QUALITY: settings.validate_minutes > 0,
        stream.MAINTENANCE: settings.maintain_minutes > 0,
        stream.RECONCILIATION: bool(settings.reconcile_at),
    }
    supervision.start(settings, *(name for name, is_wanted in scheduled.items() if is_wanted))


def _start_broker(settings: Settings, progress: Progress) -> None:
    bootstrap = settings.bootstrap_servers
    if not settings.kafka:
        with progress.step("Kafka broker"):
            broker.prepare(settings)
            supervision.start(settings, broker.NAME)
            supervision.wait_until(settings, broker.NAME, lambda: broker.is_ready(bootstrap))
    broker.create_topics(
        bootstrap,
        [contract.topic for contract in load_contracts()],
        partitions=settings.topic_partitions,
        replicas=settings.topic_replicas,
        retention_hours=settings.topic_retention_hours,
        security=python_options(settings),
    )


def _wait_for_jobs(settings: Settings, condition: Callable[[Settings], bool]) -> None:
    supervision.wait_until(settings, stream.JOBS, lambda: condition(settings), timeout=600)


def _start_superset(settings: Settings, progress: Progress, tables: Event) -> None:
    with progress.step("PostgreSQL, Redis, mail sink"):
        metadata_database.prepare(settings)
        cache.prepare(settings)
        names = (metadata_database.NAME, cache.NAME, mail.NAME)
        supervision.start(settings, *names)
        for name, module in zip(names, (metadata_database, cache, mail), strict=True):
            supervision.wait_until(settings, name, partial(module.is_ready, settings))
    with progress.step("Superset's metadata"):
        superset_server.initialize(settings)
    tables.wait()
    if superset_server.tables_exist(settings):
        _serve(settings, progress)


def _serve(settings: Settings, progress: Progress) -> None:
    with progress.step("Superset's web server"):
        superset_server.make_catalogue(settings)
        supervision.start(settings, superset_server.WEB)
        supervision.wait_until(settings, superset_server.WEB, lambda: superset_server.is_ready(settings))
        # Reports can wait; three of Superset's slow starts at the same time would delay the dashboards.
        supervision.start(settings, superset_server.WORKER, superset_server.BEAT)


def _wait_for_data(settings: Settings, progress: Progress, timeout: float = 600) -> None:
    empty: dict[str, str] = {}
    # Of one login, once it succeeds: logins are limited.
    session = lru_cache(partial(dashboard.session, settings))

    def is_shown() -> bool:
        empty.clear()
        empty.update(dashboard.empty_charts(settings, session()))
        return not empty

    with progress.step("Figures on the dashboard"):
        try:
            supervision.wait_until(settings, stream.JOBS, is_shown, timeout=timeout, interval=1)
        except StackError as error:
            reasons = "".join(f"\nThe chart {name!r} is empty: {reason}" for name, reason in empty.items())
            raise StackError(f"{error}{reasons}") from error


def _say_where_to_look(settings: Settings) -> None:
    admin = credentials.read(settings)["superset"]["users"]["admin"]
    print(
        f"""
Sluice is up.

  Dashboard   {dashboard.url(settings)}
  User        {admin["username"]}
  Password    in {credentials.path(settings)} (superset, users, admin)
  Kafka       {settings.bootstrap_servers}
  Mail        {mail.directory(settings)}

  make status, make logs and make down: what runs, what it says, and how to end it."""
    )
