"""Commands of the whole system: start it, end it, watch it."""

import json
from typing import Annotated, Any

import typer

from jobs.cli.output import table
from jobs.settings import settings

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


def up() -> None:
    """Set up what is missing and start the whole system; returns when the dashboard shows data."""
    from stack.up import up

    up()


def down() -> None:
    """Stop the whole system; a later `up` goes on where it stopped."""
    from stack.up import down

    down()


def logs(
    program: Annotated[str | None, typer.Argument(help="Only this program's log; `sluice status` names them.")] = None,
    lines: Annotated[int, typer.Option(help="How many of the last lines.")] = 50,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until interrupted.")] = False,
) -> None:
    """Show the logs of the local system's programs."""
    from stack.up import logs

    logs(program, lines, follow)


def status(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Show how each process and each job is doing: rates, offsets behind, freshness, refused, late, accidents."""
    from jobs.status import job_status, remarks
    from stack.supervision import processes

    found: dict[str, list[Any]] = {
        "processes": [vars(process) for process in processes()],
        "jobs": job_status(settings()),
        "remarks": remarks(settings()),
    }
    if as_json:
        typer.echo(json.dumps(found, default=str))
        return
    typer.echo(table(found["processes"], {"name": "process", "state": "state", "pid": "pid", "restarts": "restarts"}))
    typer.echo()
    typer.echo(table(found["jobs"], COLUMNS))
    for job in found["jobs"]:
        if job["error"]:
            typer.echo(f"\n{job['job']} failed: {job['error']}")
    for remark in found["remarks"]:
        typer.echo(f"\n{remark}")
