"""Commands of quarantine."""

from typing import Annotated

import typer

from jobs.cli.common import contract_of
from jobs.cli.output import counted, moment, table
from jobs.settings import settings
from schemas import load_contracts


def list_() -> None:
    """Count what was refused of each entity, with the most frequent reasons."""
    from jobs.quarantine import summarize

    summaries = [summarize(contract, settings().lake_url) for contract in load_contracts()]
    rows = [
        {
            "entity": summary.topic,
            "waiting": f"{summary.records:,}",
            "released": f"{summary.released:,}",
            "oldest": moment(summary.oldest),
            "newest": moment(summary.newest),
            "reasons": ", ".join(f"{rule} ({count:,})" for rule, count in summary.rules.most_common(3)) or None,
        }
        for summary in summaries
    ]
    typer.echo(table(rows, {name: name for name in rows[0]}))


def show(
    entity: Annotated[str, typer.Argument(metavar="DOMAIN.ENTITY")],
    limit: Annotated[int, typer.Option(min=1, help="How many, the newest first.")] = 20,
    rule: Annotated[str | None, typer.Option(help="Only reasons that begin so: missing, 'missing: vendor_id'.")] = None,
) -> None:
    """Show refused records as they came, with their reasons."""
    from jobs.quarantine import newest_records

    contract = contract_of(entity)
    for record in newest_records(contract, settings().lake_url, count=limit, rule=rule):
        value = record["value"]
        typer.echo(f"{moment(record['timestamp'])}  partition {record['partition']}, offset {record['offset']:,}")
        for reason in record["reasons"]:
            typer.echo(f"  {reason}")
        typer.echo(f"  {'no value' if value is None else value.decode(errors='backslashreplace')}\n")


def release(
    entity: Annotated[str, typer.Argument(metavar="DOMAIN.ENTITY")],
    rule: Annotated[str | None, typer.Option(help="Only reasons that begin so: missing, 'missing: vendor_id'.")] = None,
) -> None:
    """Send refused records to Kafka again, to be judged by the rules of today; none is counted twice."""
    from stack.release import release

    released = release(contract_of(entity), settings(), rule=rule)
    typer.echo(f"{counted(released, 'record')} of {entity} released. What is refused again waits in quarantine again.")
