"""Commands for whoever supervises the system elsewhere than on one machine: probes, and what must be there first."""

import datetime as dt
import time
from typing import Annotated

import typer

from jobs.settings import settings
from schemas import load_contracts


def alive(
    within: Annotated[float, typer.Option(min=1, help="Seconds that a report or a micro-batch may take.")] = 300,
) -> None:
    """End with 1, and say why, if a query of this SLUICE_HOME does not get on; for a liveness probe."""
    from jobs.alive import troubles

    found = list(troubles(settings(), within=dt.timedelta(seconds=within)))
    for trouble in found:
        typer.echo(trouble)
    if found:
        raise typer.Exit(1)


def topics() -> None:
    """Wait for Kafka, and create the topics of the contracts that it lacks."""
    from stack import broker

    ours = settings()
    while not broker.is_ready(ours.bootstrap_servers):
        typer.echo(f"waiting for Kafka at {ours.bootstrap_servers}")
        time.sleep(1)
    created = broker.create_topics(
        ours.bootstrap_servers,
        [contract.topic for contract in load_contracts()],
        partitions=ours.topic_partitions,
        replicas=ours.topic_replicas,
        retention_hours=ours.topic_retention_hours,
    )
    for topic in created:
        typer.echo(f"created {topic}")


def await_tables() -> None:
    """Wait until the lake has every table that a dataset of Superset reads."""
    from stack.superset_server import tables_exist

    while not tables_exist(settings()):
        typer.echo(f"waiting for the tables of {settings().lake_url}")
        time.sleep(2)
