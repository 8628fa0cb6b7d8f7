"""Run jobs: several queries in one Spark application, until they end or are told to stop."""

import signal
import threading
from collections.abc import Callable, Iterator, Sequence

from pyspark.sql import SparkSession

from jobs.bronze import bronze
from jobs.engine.progress import report
from jobs.engine.query import Query, Trigger
from jobs.engine.session import spark_session
from jobs.intake import IntakeWriter
from jobs.live import live
from jobs.settings import Settings
from schemas import Contract, load_contracts

Start = Callable[[SparkSession, Sequence[Contract], Settings, Trigger, str | None], Iterator[Query]]


def _bronze(
    session: SparkSession, contracts: Sequence[Contract], settings: Settings, trigger: Trigger, domain: str | None
) -> Iterator[Query]:
    # Whatever the domain: a query goes on from the offsets of all the topics that it had.
    yield bronze(session, contracts, settings, trigger)


def _live(
    session: SparkSession, contracts: Sequence[Contract], settings: Settings, trigger: Trigger, domain: str | None
) -> Iterator[Query]:
    intake = IntakeWriter(settings.lake_url)
    for contract in contracts:
        if domain in (None, contract.domain):
            yield live(session, contract, settings, trigger, intake)


JOBS: dict[str, Start] = {"bronze": _bronze, "live": _live}
"""The jobs that `sluice run` knows, by name."""

REPORT_EVERY = 1.0


def run(names: Sequence[str], settings: Settings, *, domain: str | None = None, available_now: bool = False) -> None:
    """Run jobs in the foreground.

    Args:
        names: jobs, from ``JOBS``.
        settings: where Kafka and the lake are.
        domain: run ``live`` for this domain's entities only; bronze always takes every topic.
        available_now: process what Kafka holds now, then return; otherwise run until SIGTERM or SIGINT.

    Raises:
        ContractError: a contract is wrong; no event has been read.
        StreamingQueryException: a query failed; the others have been stopped.
    """
    contracts = load_contracts()
    told_to_stop = threading.Event()
    for signum in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signum, lambda *_: told_to_stop.set())
    session = spark_session(settings)
    trigger: Trigger = {"availableNow": True} if available_now else {}
    queries = [query for name in names for query in JOBS[name](session, contracts, settings, trigger, domain)]
    done = all if available_now else any
    try:
        while not told_to_stop.wait(REPORT_EVERY) and not done(not query.stream.isActive for query in queries):
            for query in queries:
                report(query.stream, settings)
    finally:
        failures = [failure for query in queries if (failure := query.stream.exception()) is not None]
        for query in queries:
            query.stop()
            report(query.stream, settings)
    if failures:
        raise failures[0]
    session.stop()
