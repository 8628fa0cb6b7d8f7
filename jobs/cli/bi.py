"""The commands of what users built in Superset."""

from pathlib import Path
from typing import Annotated

import typer

from jobs.cli.output import counted
from jobs.settings import settings


def export(
    to: Annotated[
        Path | None, typer.Option(file_okay=False, exists=True, help="A folder of assets; default: superset/assets.")
    ] = None,
) -> None:
    """Write the datasets, charts and dashboards of the running Superset as YAML, known by UUID."""
    from jobs.assets import ASSETS
    from stack.bi import export

    changed = export(settings(), to or ASSETS)
    for path in changed:
        typer.echo(path)
    typer.echo(f"{counted(len(changed), 'file')} changed.")
