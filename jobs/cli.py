"""The command line `sluice`."""

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from jobs.settings import settings
from schemas import Contract, ContractError, Problem, load_contract, load_contracts
from stack.exceptions import StackError

app = typer.Typer(
    name="sluice",
    help="Kafka events to live dashboards: Spark keeps Delta tables, Superset shows them.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

COLUMNS = {
    "job": "job",
    "state": "state",
    "input_rows_per_second": "in/s",
    "processed_rows_per_second": "done/s",
    "offsets_behind": "behind",
    "freshness_seconds": "fresh s",
    "rows_quarantined": "refused",
    "rows_late": "late",
    "watermark": "watermark",
}


@app.command()
def up() -> None:
    """Set up what is missing and start the whole system; returns when the dashboard shows data."""
    from stack.up import up

    up()


@app.command()
def down() -> None:
    """Stop the whole system; a later `up` goes on where it stopped."""
    from stack.up import down

    down()


@app.command()
def logs(
    program: Annotated[str | None, typer.Argument(help="Only this program's log; `sluice status` names them.")] = None,
    lines: Annotated[int, typer.Option(help="How many of the last lines.")] = 50,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until interrupted.")] = False,
) -> None:
    """Show the logs of the local system's programs."""
    from stack.up import logs

    logs(program, lines, follow)


@app.command()
def status(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Show how each process and each job is doing: rates, offsets behind, freshness, rows refused and late."""
    from jobs.status import job_status
    from stack.supervision import processes

    found: dict[str, list[dict[str, Any]]] = {
        "processes": [vars(process) for process in processes()],
        "jobs": job_status(settings()),
    }
    if as_json:
        typer.echo(json.dumps(found, default=str))
        return
    typer.echo(_table(found["processes"], {"name": "process", "state": "state", "pid": "pid", "restarts": "restarts"}))
    typer.echo()
    typer.echo(_table(found["jobs"], COLUMNS))


@app.command()
def run(
    jobs: Annotated[list[str], typer.Argument(help="Jobs to run: bronze, live.", metavar="JOB...")],
    domain: Annotated[str | None, typer.Option(help="Only this domain's entities, such as marketplace.")] = None,
    available_now: Annotated[bool, typer.Option("--available-now", help="Process what is there, then end.")] = False,
) -> None:
    """Run jobs in one Spark application, in the foreground, until SIGTERM or Ctrl-C."""
    from jobs.run import JOBS, run

    unknown = [name for name in jobs if name not in JOBS]
    if unknown:
        raise typer.BadParameter(f"there is no job {', '.join(unknown)}; there are {', '.join(JOBS)}")
    run(jobs, settings(), domain=domain, available_now=available_now)


@app.command()
def produce(
    entities: Annotated[list[str] | None, typer.Argument(metavar="[DOMAIN.ENTITY]...", help="Default: all.")] = None,
    rate: Annotated[float | None, typer.Option(help="Events per second; default 50, and no limit for a file.")] = None,
    duration: Annotated[float | None, typer.Option(help="Seconds; default: until Ctrl-C.")] = None,
    history: Annotated[float, typer.Option(help="Seconds of past traffic to send first to an empty topic.")] = 0,
    file: Annotated[Path | None, typer.Option(exists=True, help="Send a .parquet, .csv or .jsonl file's rows.")] = None,
    seed: Annotated[int | None, typer.Option(help="Makes the demo traffic repeatable.")] = None,
) -> None:
    """Send demo traffic to Kafka, or a file whose columns are the fields of the entity's contract."""
    from stack.produce import TRAFFIC, produce_file, produce_traffic

    contracts = {contract.topic: contract for contract in load_contracts()}
    topics = entities or list(TRAFFIC)
    unknown = [topic for topic in topics if topic not in contracts]
    if unknown:
        raise typer.BadParameter(f"there is no contract for {', '.join(unknown)}; there are {', '.join(contracts)}")
    if file is not None:
        if entities is None or len(entities) != 1:
            raise typer.BadParameter("name the one entity whose events the file holds")
        typer.echo(f"Sent {produce_file(file, contracts[topics[0]], settings(), rate=rate):,} events.")
        return
    if len(topics) != 1:
        raise typer.BadParameter("name one entity")
    sent = produce_traffic(topics[0], settings(), rate=rate or 50, duration=duration, history=history, seed=seed)
    typer.echo(f"Sent {sent:,} messages to {topics[0]}.")


@app.command()
def check(
    paths: Annotated[list[Path] | None, typer.Argument(help="Contracts; default: all that ship.")] = None,
) -> None:
    """Check contracts; prints `file:line: what is wrong and how to mend it` and ends with 1 if anything is."""
    problems: list[Problem] = []
    checked: list[Contract] = []
    try:
        if paths is None:
            checked += load_contracts()
    except ContractError as error:
        problems += error.problems
    for path in _contracts(paths or []):
        try:
            checked.append(load_contract(path))
        except ContractError as error:
            problems += error.problems
    for problem in problems:
        typer.echo(problem, err=True)
    if problems:
        raise typer.Exit(1)
    typer.echo(f"{len(checked)} {'contract is' if len(checked) == 1 else 'contracts are'} right.")


def _contracts(paths: list[Path]) -> list[Path]:
    return [file for path in paths for file in (sorted(path.rglob("*.yaml")) if path.is_dir() else [path])]


def _table(rows: list[dict[str, Any]], columns: dict[str, str]) -> str:
    cells = [list(columns.values()), *([_cell(row.get(name)) for name in columns] for row in rows)]
    widths = [max(len(row[index]) for row in cells) for index in range(len(columns))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in cells)


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:,.1f}" if isinstance(value, float) else str(value)


def main() -> None:
    """Run the command line; what a user must mend is told without a traceback."""
    try:
        app()
    except (StackError, ContractError) as error:
        sys.exit(f"sluice: {error}")


if __name__ == "__main__":
    main()
