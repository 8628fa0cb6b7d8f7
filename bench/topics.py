"""A pipeline that reads events of many topics, and the tape of them that is played to it."""

import subprocess
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from bench import commits, tape
from bench.rig import environment_of, running, running_broker, wait_until
from jobs.engine.table import Table
from jobs.entity import silver_table
from jobs.settings import Settings
from schemas import Contract

TAPE = "tape"


@contextmanager
def reading(contracts: Collection[Contract], command: list[str], own: Settings) -> Iterator[subprocess.Popen[bytes]]:
    """A pipeline with a broker and an empty lake, once it is ready; its load lies in ``own.home / TAPE``.

    Args:
        contracts: of the topics whose events are on the tape.
        command: of the pipeline, which writes silver of each.
        own: settings of a fresh home.

    Raises:
        BenchError: it ended, or is not ready in time.
    """
    tape.record(own.home / TAPE, [contract.topic for contract in contracts])
    with running_broker(own), running(command, own.home / "pipeline.log", environment_of(own)) as pipeline:
        logs = [path(silver_table(contract), own) / "_delta_log" for contract in contracts]
        wait_until(lambda: all((log / f"{0:020}.json").exists() for log in logs), pipeline, seconds=240, what="silver")
        yield pipeline


def wait_for_all(
    contracts: Collection[Contract], produced: int, pipeline: subprocess.Popen[bytes], own: Settings
) -> int:
    """Wait until silver has as many events as were produced; returns how many it has, more where any is twice.

    Raises:
        BenchError: the pipeline ended, or they are not there in time.
    """
    wait_until(lambda: _events(contracts, own) >= produced, pipeline, seconds=300, what="the last event")
    return _events(contracts, own)


def path(table: Table, own: Settings) -> Path:
    """Where a table of a lake on this machine lies."""
    return Path(table.url(own.lake_url))


def _events(contracts: Collection[Contract], own: Settings) -> int:
    """Rows of the silver tables of some topics."""
    return sum(commits.rows(path(silver_table(contract), own)) for contract in contracts)
