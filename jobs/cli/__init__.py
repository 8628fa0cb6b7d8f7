"""The command line `sluice`."""

import sys

import typer

from jobs.cli import bi, cluster, definitions, lake, quarantine, stream, system
from jobs.engine.exceptions import IncompatibleTableError, MadeAnewError, MissingTopicError, OlderTablesError
from schemas import DefinitionError
from stack.exceptions import StackError

app = typer.Typer(
    name="sluice",
    help="Kafka events to live dashboards: Spark keeps Delta tables, Superset shows them.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
COMMANDS = (
    *(system.up, system.down, system.logs, system.status),
    *(stream.run, stream.rewind, stream.produce, stream.incident),
    definitions.check,
    *(cluster.alive, cluster.topics, cluster.await_tables),
    *(lake.refresh, lake.validate, lake.reconcile, lake.maintain, lake.forget),
)
for command in COMMANDS:
    app.command()(command)

# What follows the job belongs to it: sluice submit --follow run live --domain travel.
app.command(context_settings={"allow_interspersed_args": False})(cluster.submit)

of_quarantine = typer.Typer(no_args_is_help=True, help="Show what was refused and why; send it again.")
of_quarantine.command("list")(quarantine.list_)
of_quarantine.command()(quarantine.show)
of_quarantine.command()(quarantine.release)
app.add_typer(of_quarantine, name="quarantine")

of_jobs = typer.Typer(no_args_is_help=True, help="What `sluice submit` sent to Kubernetes.")
of_jobs.command("list")(cluster.list_)
of_jobs.command()(cluster.follow)
of_jobs.command()(cluster.stop)
app.add_typer(of_jobs, name="jobs")

of_bi = typer.Typer(no_args_is_help=True, help="Bring what users built in Superset back to YAML.")
of_bi.command()(bi.export)
# One command alone would lose its name.
of_bi.callback()(lambda: None)
app.add_typer(of_bi, name="bi")


TOLD = (StackError, DefinitionError, IncompatibleTableError, MadeAnewError, MissingTopicError, OlderTablesError)
"""What a user must mend, or know."""


def main() -> None:
    """Run the command line; what a user must mend, or know, is told without a traceback."""
    try:
        app()
    except TOLD as error:
        sys.exit(f"sluice: {error}")
