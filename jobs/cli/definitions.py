"""The command that checks definitions."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, get_args

import typer

from jobs.cli.output import counted
from jobs.settings import settings
from schemas import DefinitionError, Problem, broken_promises, earlier_contracts, load_contracts, load_files


def check(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(exists=True, help="Contracts, suites, assets; default: all that ship."),
    ] = None,
    against: Annotated[
        str | None,
        typer.Option(metavar="VERSION", help="Refuse what breaks this earlier version: a git revision or a folder."),
    ] = None,
) -> None:
    """Check contracts, suites, marts and Superset's assets.

    Prints `file:line: what is wrong and how to mend it`; ends with 1 if anything is.
    """
    from jobs.assets import ASSETS, check_assets
    from jobs.engine.session import spark_session
    from jobs.gold_check import check_gold
    from jobs.tables import table_schemas
    from quality.suite import load_suite_files, load_suites
    from quality.suite_check import SparkCheck, check_expectation

    problems: Sequence[Problem] = ()
    try:
        contracts, files = load_contracts(), _definitions(paths or [])
        checked = load_files(files["contract"]) if paths else contracts
        tables = table_schemas(contracts)
        session = partial(spark_session, settings(), name="sluice-check")
        checks = (check_expectation, SparkCheck(session, tables))
        suites = load_suite_files(files["suite"], tables, checks) if paths else load_suites(tables, checks=checks)
        if not paths:
            check_gold(contracts, session())
        charts = sum(check_assets(tables, root) for root in (files["assets"] if paths else [ASSETS]))
        if against is not None:
            problems = list(broken_promises(earlier_contracts(against), checked, whole=not paths))
    except DefinitionError as error:
        problems = error.problems
    for problem in problems:
        typer.echo(problem, err=True)
    if problems:
        raise typer.Exit(1)
    found = (counted(len(checked), "contract"), counted(len(suites), "suite"), counted(charts, "chart"))
    typer.echo(f"{found[0]}, {found[1]} and {found[2]} are right.")


def _definitions(paths: Sequence[Path]) -> dict[str, list[Path]]:
    """The YAML files at or below some paths: suites, whose folder is a layer of the lake, and contracts.

    And the folders of assets that hold such a file, for an asset is right or wrong among the others.
    """
    from jobs.assets import root_of
    from jobs.engine.table import Layer

    found: dict[str, list[Path]] = {"contract": [], "suite": [], "assets": []}
    for file in [file for path in paths for file in (sorted(path.rglob("*.yaml")) if path.is_dir() else [path])]:
        if (root := root_of(file)) is None:
            found["suite" if file.resolve().parent.name in get_args(Layer) else "contract"].append(file)
        elif root not in found["assets"]:
            found["assets"].append(root)
    return found
