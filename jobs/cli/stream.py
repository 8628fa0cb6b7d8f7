"""Commands of the stream: run its jobs, send events."""

import datetime as dt
from pathlib import Path
from typing import Annotated

import typer

from jobs.cli.output import moment, table
from jobs.settings import settings
from schemas import load_contracts


def run(
    jobs: Annotated[list[str], typer.Argument(help="Jobs to run: bronze, live.", metavar="JOB...")],
    domain: Annotated[str | None, typer.Option(help="Run live for this domain only, such as marketplace.")] = None,
    available_now: Annotated[bool, typer.Option("--available-now", help="Process what is there, then end.")] = False,
) -> None:
    """Run jobs in one Spark application, in the foreground, until SIGTERM or Ctrl-C."""
    from jobs.run import JOBS, run

    unknown = [name for name in jobs if name not in JOBS]
    if unknown:
        raise typer.BadParameter(f"there is no job {', '.join(unknown)}; there are {', '.join(JOBS)}")
    if domain is not None and domain not in (domains := sorted({contract.domain for contract in load_contracts()})):
        raise typer.BadParameter(f"there is no domain {domain}; there are {', '.join(domains)}")
    if settings().metrics_port:
        from jobs.metrics import serve_metrics

        serve_metrics(settings())
    run(jobs, settings(), domain=domain, available_now=available_now)


def rewind(
    query: Annotated[str, typer.Argument(help="bronze, or live-<domain>.")],
) -> None:
    """Let a query that does not run go on from where its tables are, after these came back from a backup."""
    from jobs.rewind import rewind

    queries = ["bronze", *sorted({f"live-{contract.domain}" for contract in load_contracts()})]
    if query not in queries:
        raise typer.BadParameter(f"there is no query {query}; there are {', '.join(queries)}")
    last = rewind(query, settings())
    place = f"after micro-batch {last:,}" if last >= 0 else "from its first micro-batch: its tables have none"
    typer.echo(f"{query} goes on {place}.")


def produce(
    entities: Annotated[list[str] | None, typer.Argument(metavar="[DOMAIN.ENTITY]...", help="Default: all.")] = None,
    rate: Annotated[
        float | None,
        typer.Option(help="Events per second, all entities together; default 50, and no limit for a file."),
    ] = None,
    duration: Annotated[float | None, typer.Option(help="Seconds; default: until Ctrl-C.")] = None,
    history: Annotated[float, typer.Option(help="Seconds of past traffic to send first to empty topics.")] = 0,
    file: Annotated[Path | None, typer.Option(exists=True, help="Send a .parquet, .csv or .jsonl file's rows.")] = None,
    seed: Annotated[int | None, typer.Option(help="Makes the demo traffic repeatable.")] = None,
    pace: Annotated[float, typer.Option(help="How many times faster than in life orders and trips live.")] = 60,
) -> None:
    """Send demo traffic to Kafka, or a file whose columns are the fields of the entity's contract."""
    from stack.demo import TOPICS
    from stack.produce import produce_file, produce_traffic

    contracts = {contract.topic: contract for contract in load_contracts()}
    topics = entities or list(TOPICS)
    unknown = [topic for topic in topics if topic not in contracts]
    if unknown:
        raise typer.BadParameter(f"there is no contract for {', '.join(unknown)}; there are {', '.join(contracts)}")
    if file is not None:
        if entities is None or len(entities) != 1:
            raise typer.BadParameter("name the one entity whose events the file holds")
        typer.echo(f"Sent {produce_file(file, contracts[topics[0]], settings(), rate=rate):,} events.")
        return
    if silent := [topic for topic in topics if topic not in TOPICS]:
        raise typer.BadParameter(f"there is no demo traffic of {', '.join(silent)}; send a file: --file")
    sent = produce_traffic(
        topics, settings(), rate=rate or 50, duration=duration, history=history, seed=seed, pace=pace
    )
    typer.echo(f"Sent {sent:,} messages.")


def incident(
    kind: Annotated[str | None, typer.Argument(help="Default: say which there are.")] = None,
    minutes: Annotated[float, typer.Option(min=0.1, help="How long it lasts.")] = 5,
) -> None:
    """Let the demo traffic have an incident: a payment outage, a viral product, a spike."""
    from stack.demo import DESCRIPTIONS
    from stack.produce import request_incident

    known = {name: name for name in DESCRIPTIONS}
    if kind is None:
        rows = [{"incident": name, "what happens": description} for name, description in DESCRIPTIONS.items()]
        typer.echo(table(rows, {name: name for name in rows[0]}))
    elif kind not in known:
        raise typer.BadParameter(f"there is no incident {kind}; there are {', '.join(known)}")
    else:
        until = dt.datetime.fromtimestamp(request_incident(known[kind], settings(), seconds=60 * minutes).end, dt.UTC)
        typer.echo(f"{DESCRIPTIONS[known[kind]]} Until {moment(until)} UTC.")
