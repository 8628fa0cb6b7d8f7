"""Commands for a cluster: probes, what must be there first, and jobs sent from a laptop."""

import datetime as dt
import time
from pathlib import Path
from typing import Annotated

import typer

from jobs.cli.output import counted, table
from jobs.kafka_security import python_options
from jobs.settings import settings
from schemas import load_contracts

Release = Annotated[str, typer.Option(help="Release of the chart.")]
Namespace = Annotated[str, typer.Option("--namespace", "-n", help="Its namespace; default: the kubeconfig's.")]
Context = Annotated[str, typer.Option(help="Cluster, as the kubeconfig calls it; default: the current one.")]
Name = Annotated[str, typer.Argument(metavar="JOB", help="As `sluice jobs list` has it.")]


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
    security = python_options(ours)
    while not broker.is_ready(ours.bootstrap_servers, security):
        typer.echo(f"waiting for Kafka at {ours.bootstrap_servers}")
        time.sleep(1)
    created = broker.create_topics(
        ours.bootstrap_servers,
        [contract.topic for contract in load_contracts()],
        partitions=ours.topic_partitions,
        replicas=ours.topic_replicas,
        retention_hours=ours.topic_retention_hours,
        security=security,
    )
    for topic in created:
        typer.echo(f"created {topic}")


def await_tables() -> None:
    """Wait until the lake has every table that a dataset of Superset reads."""
    from stack.superset_server import tables_exist

    while not tables_exist(settings()):
        typer.echo(f"waiting for the tables of {settings().lake_url}")
        time.sleep(2)


def submit(
    job: Annotated[
        list[str],
        typer.Argument(metavar="JOB...", help="`run live`, or what else sluice does; or a Python file."),
    ],
    name: Annotated[str, typer.Option(help="What the job's name in the cluster begins with.")] = "",
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Show its log until it ends; end as it does.")] = False,
    release: Release = "sluice",
    namespace: Namespace = "",
    context: Context = "",
) -> None:
    """Send a job to Kubernetes, where it runs with image, settings, volumes and rights of the release's driver."""
    from stack import submit as cluster

    first, *rest = job
    module = Path(first) if first.endswith(".py") else None
    if module is not None and not module.is_file():
        raise typer.BadParameter(f"there is no file {module}")
    target = cluster.Target(release, namespace, context)
    sent = cluster.submit(target, rest if module else job, module=module, name=name)
    typer.echo(f"Sent {sent}. Its log: sluice jobs follow {sent}")
    if follow and not cluster.follow(target, sent):
        raise typer.Exit(1)


def list_(release: Release = "sluice", namespace: Namespace = "", context: Context = "") -> None:
    """Show what was sent, and how it goes."""
    from stack import submit as cluster

    found = cluster.submitted(cluster.Target(release, namespace, context))
    rows = [vars(one) for one in found]
    if not rows:
        typer.echo("Nothing was sent, or it ended more than a day ago.")
        return
    typer.echo(table(rows, {name: name for name in rows[0]}))
    typer.echo(counted(len(rows), "job"))


def follow(job: Name, release: Release = "sluice", namespace: Namespace = "", context: Context = "") -> None:
    """Show a job's log until it ends; ends as the job does."""
    from stack import submit as cluster

    if not cluster.follow(cluster.Target(release, namespace, context), job):
        raise typer.Exit(1)


def stop(job: Name, release: Release = "sluice", namespace: Namespace = "", context: Context = "") -> None:
    """Stop a job between two micro-batches."""
    from stack import submit as cluster

    cluster.stop(cluster.Target(release, namespace, context), job)
    typer.echo(f"Stopped {job}.")
