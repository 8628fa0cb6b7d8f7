"""The jobs, and demo traffic for them."""

import sys

from jobs.settings import Settings
from jobs.status import job_status
from stack import background
from stack.programs import Program

JOBS = "jobs"
TRAFFIC = "traffic"
VIEWS = "views"
QUALITY = "quality"
MAINTENANCE = "maintenance"
RECONCILIATION = "reconciliation"


def jobs_program(settings: Settings) -> Program:
    """Bronze and live in one Spark application, as a supervised program."""
    # Only the driver gets the stop signal: it ends its micro-batches and then the JVM below it.
    return Program(
        name=JOBS,
        command=[*_sluice(background.STREAM), "run", "bronze", "live"],
        priority=30,
        start_seconds=5,
        stop_group=False,
        stop_seconds=120,
    )


def traffic_program(settings: Settings) -> Program:
    """Demo traffic as a supervised program."""
    rate = ["--rate", str(settings.demo_rate), "--history", str(settings.demo_history)]
    return Program(name=TRAFFIC, command=[*_sluice(background.STREAM), "produce", *rate], priority=40)


def views_program(settings: Settings) -> Program:
    """Views computed anew, again and again, as a supervised program."""
    command = [*_sluice(background.SCHEDULED), "refresh", "--every", str(settings.refresh_minutes)]
    return Program(name=VIEWS, command=command, priority=40)


def quality_program(settings: Settings) -> Program:
    """Validation of every table by Great Expectations, again and again, as a supervised program."""
    command = [*_sluice(background.SCHEDULED), "validate", "--every", str(settings.validate_minutes)]
    return Program(name=QUALITY, command=command, priority=40)


def maintenance_program(settings: Settings) -> Program:
    """Maintenance of every table, again and again, as a supervised program."""
    command = [*_sluice(background.SCHEDULED), "maintain", "--every", str(settings.maintain_minutes)]
    return Program(name=MAINTENANCE, command=command, priority=40)


def reconciliation_program(settings: Settings) -> Program:
    """Reconciliation of gold with bronze every night, as a supervised program; what came too late comes in."""
    command = [*_sluice(background.SCHEDULED), "reconcile", "--fix", "--nightly", settings.reconcile_at]
    return Program(name=RECONCILIATION, command=command, priority=40)


def is_running(settings: Settings) -> bool:
    """Whether every query reports progress."""
    states = {status["state"] for status in job_status(settings)}
    return states == {"running"}


def _sluice(nice: int) -> list[str]:
    # A page that somebody waits for goes first: it needs the processors for seconds, the stream is always there.
    return [sys.executable, "-m", "stack.background", str(nice), sys.executable, "-m", "jobs.cli"]
