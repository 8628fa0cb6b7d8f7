"""Run jobs: several queries in one Spark application, until they end or are told to stop."""

import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from itertools import count

from pyspark.sql import SparkSession

from jobs.bronze import bronze
from jobs.definitions import Definitions, definitions
from jobs.engine.accidents import ACCIDENTS
from jobs.engine.evolve import evolve
from jobs.engine.progress import report
from jobs.engine.query import Plan, Trigger
from jobs.engine.session import spark_session
from jobs.intake import INTAKE_BY_MINUTE, QUALITY_BY_MINUTE, IntakeWriter
from jobs.live import live
from jobs.quality_results import RESULTS
from jobs.quarantine import RELEASES
from jobs.reconcile import PARITY
from jobs.settings import Settings
from jobs.tables import views

PlanJob = Callable[[SparkSession, Definitions, Settings, Trigger, str | None], Iterator[Plan]]


def _bronze(
    session: SparkSession, definitions: Definitions, settings: Settings, trigger: Trigger, domain: str | None
) -> Iterator[Plan]:
    # Whatever the domain: a query goes on from the offsets of all the topics that it had.
    yield bronze(session, definitions.contracts, settings, trigger)


def _live(
    session: SparkSession, definitions: Definitions, settings: Settings, trigger: Trigger, domain: str | None
) -> Iterator[Plan]:
    for mart in (INTAKE_BY_MINUTE, QUALITY_BY_MINUTE):
        evolve(session, mart.table, settings.lake_url)
    for table in (ACCIDENTS, RELEASES, RESULTS, PARITY, *(view.table for view in views())):
        table.create(settings.lake_url)
    intake = IntakeWriter(settings.lake_url)
    for chosen in [domain] if domain else definitions.domains:
        yield live(session, chosen, definitions, settings, trigger, intake)


JOBS: dict[str, PlanJob] = {"bronze": _bronze, "live": _live}
"""The jobs that `sluice run` knows, by name."""

LOOK_EVERY = 1.0
"""Seconds between two looks whether a query has ended."""
LOOKS_PER_REPORT = 3
"""A report asks the JVM several questions about each query."""
LOOKS_PER_LOOK_AT_TOPICS = 10
"""Until a topic that was made anew is noticed, records of the new one may be taken for those of the old."""


def run(names: Sequence[str], settings: Settings, *, domain: str | None = None, available_now: bool = False) -> None:
    """Run jobs in the foreground.

    Args:
        names: jobs, from ``JOBS``.
        settings: where Kafka and the lake are.
        domain: run ``live`` for this domain's entities only; bronze always takes every topic.
        available_now: process what Kafka holds now, then return; otherwise run until SIGTERM or SIGINT.

    Raises:
        DefinitionError: a contract or suite is wrong; no event has been read.
        MissingTopicError: Kafka lacks a topic.
        OlderTablesError: tables lack what their query has finished; no event has been read.
        MadeAnewError: a topic was made anew; the queries go on with it when they start again.
        StreamingQueryException: a query failed; the others have been stopped.
    """
    found = definitions()
    told_to_stop = threading.Event()
    for signum in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signum, lambda *_: told_to_stop.set())
    session = spark_session(settings)
    trigger: Trigger = {"availableNow": True} if available_now else {}
    plans = [plan for name in names for plan in JOBS[name](session, found, settings, trigger, domain)]
    # All at once: a query that runs takes the processors that planning the others needs.
    queries = [plan.start() for plan in plans]
    done = all if available_now else any
    try:
        for look in count():
            if told_to_stop.wait(LOOK_EVERY) or done(not query.stream.isActive for query in queries):
                break
            if look % LOOKS_PER_REPORT == 0:
                for query in queries:
                    report(query, settings)
            if look % LOOKS_PER_LOOK_AT_TOPICS == 0:
                for query in queries:
                    query.look_at_topics()
    finally:
        failures = [failure for query in queries if (failure := query.stream.exception()) is not None]
        for query in queries:
            query.stop()
            report(query, settings)
    if failures:
        raise failures[0]
    if available_now:
        for lane in [query.lane for query in queries if query.lane is not None]:
            lane.take()
    session.stop()
