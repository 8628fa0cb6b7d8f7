"""Commands of the lake: hold it against what it should be, and keep it in order."""

import datetime as dt
import sys
import time
from typing import Annotated

import typer

from jobs.cli.common import contract_of, repeat, repeat_daily
from jobs.cli.output import counted
from jobs.settings import settings
from schemas import load_contracts


def validate(
    names: Annotated[list[str] | None, typer.Argument(metavar="[LAYER.TABLE]...", help="Default: all.")] = None,
    every: Annotated[
        float | None, typer.Option(metavar="MINUTES", min=1, help="Again and again, so many minutes apart.")
    ] = None,
) -> None:
    """Hold whole tables against their suites with Great Expectations; ends with 1 if a critical one fails."""
    if every is not None:
        repeat([sys.executable, "-m", "jobs.cli", "validate", *(names or ())], minutes=every)
    from jobs.engine.session import spark_session
    from jobs.validate import suites, validate

    known = suites(load_contracts())
    if unknown := [name for name in names or () if name not in known]:
        raise typer.BadParameter(f"there is no suite for {', '.join(unknown)}; there are {', '.join(known)}")
    session = spark_session(settings(), name="sluice-validate")
    report = validate(session, names or (), settings())
    session.stop()
    failed = [verdict for verdict in report.verdicts if not verdict.success]
    for verdict in failed:
        rows = "failed" if verdict.unexpected is None else counted(verdict.unexpected, "row")
        rows += f" of {verdict.evaluated:,}" if verdict.evaluated else ""
        typer.echo(f"{verdict.severity}: {verdict.table}: {verdict.description} ({verdict.error or rows})")
    held = len(report.verdicts) - len(failed)
    typer.echo(f"{held} of {counted(len(report.verdicts), 'expectation')} hold. Data Docs: {report.data_docs}")
    if any(verdict.severity == "critical" for verdict in failed):
        raise typer.Exit(1)


def reconcile(
    entities: Annotated[list[str] | None, typer.Argument(metavar="[DOMAIN.ENTITY]...", help="Default: all.")] = None,
    since: Annotated[
        dt.datetime | None,
        typer.Option(
            "--from",
            help="Day of arrival to begin with, UTC; 0001-01-01 for all there is. Default: a day before that up to "
            "which all is proven.",
        ),
    ] = None,
    until: Annotated[dt.datetime | None, typer.Option("--to", help="Last day of arrival, UTC; default: today.")] = None,
    fix: Annotated[bool, typer.Option("--fix", help="Put right what differs, beside the running stream.")] = False,
    nightly: Annotated[
        dt.datetime | None,
        typer.Option(metavar="HH:MM", formats=["%H:%M"], help="Every night at this time, UTC."),
    ] = None,
) -> None:
    """Prove silver against bronze and gold against silver (table ops.parity); ends with 1 if anything still differs."""
    if nightly is not None:
        if since or until:
            raise typer.BadParameter("--nightly goes on from the night before; --from and --to do not go with it")
        options = [*(entities or ()), *(["--fix"] if fix else [])]
        repeat_daily([sys.executable, "-m", "jobs.cli", "reconcile", *options], at=nightly.time())
    from jobs.definitions import definitions
    from jobs.engine.session import spark_session
    from jobs.reconcile import OPTIONS, reconcile

    chosen = [contract_of(entity) for entity in entities] if entities else load_contracts()
    rules = definitions().rules
    batch = settings().model_copy(update={"spark_conf": OPTIONS | settings().spark_conf})
    session = spark_session(batch, name="sluice-reconcile")
    failed = []
    holds = True
    for contract in chosen:
        days = {"since": since and since.date(), "until": until and until.date()}
        try:
            found = reconcile(session, contract, rules[contract.topic], settings(), **days, fix=fix)
        except Exception as error:  # what is wrong with one is no reason to leave out those after it
            failed.append(f"{contract.topic}: {error}")
            continue
        for parity in found:
            holds &= parity.holds
            typer.echo(parity)
    session.stop()
    for reason in failed:
        typer.echo(f"error: {reason}", err=True)
    if failed or not holds:
        raise typer.Exit(1)


def maintain(
    every: Annotated[
        float | None, typer.Option(metavar="MINUTES", min=1, help="Again and again, so many minutes apart.")
    ] = None,
) -> None:
    """Compact small files, drop what is past its retention and delete old files, beside running jobs."""
    if every is not None:
        repeat([sys.executable, "-m", "jobs.cli", "maintain"], minutes=every)
    from jobs.maintain import maintain

    failed = 0
    for done in maintain(load_contracts(), settings()):
        if done.error:
            failed += 1
            typer.echo(f"error: {done.table}: {done.error}", err=True)
        if done.files_before != done.files_after or done.deleted:
            files = f"{counted(done.files_before, 'file')} became {done.files_after:,}"
            typer.echo(f"{done.table}: {files}, {counted(done.deleted, 'old file')} deleted")
    if failed:
        raise typer.Exit(1)


def refresh(
    names: Annotated[list[str] | None, typer.Argument(metavar="[VIEW]...", help="Default: all.")] = None,
    every: Annotated[
        float | None, typer.Option(metavar="MINUTES", min=1, help="Again and again, so many minutes apart.")
    ] = None,
) -> None:
    """Compute views anew from silver: payouts, scorecards, customers, visits."""
    from jobs.engine.session import spark_session
    from jobs.refresh import next_turn, refresh
    from jobs.tables import views

    known = {view.name: view for view in views()}
    if unknown := [name for name in names or () if name not in known]:
        raise typer.BadParameter(f"there is no view {', '.join(unknown)}; there are {', '.join(known)}")
    chosen, contracts = [known[name] for name in names or known], load_contracts()
    session = spark_session(settings(), name="sluice-refresh")
    begun = time.monotonic()
    due = chosen
    while True:
        empty = []
        for view, done in zip(due, refresh(session, due, contracts, settings()), strict=True):
            typer.echo(f"{done.view}: {counted(done.rows, 'row')} in {done.seconds:.1f} s")
            empty += [] if done.rows else [view]
        if every is None:
            break
        due, wait = next_turn(chosen, empty, seconds=time.monotonic() - begun, every=60 * every)
        # One process for ever: a new one would spend most of its time on getting warm.
        time.sleep(wait)
    session.stop()


def forget(
    person: Annotated[str | None, typer.Argument(help="As events have it: customer-00317.")] = None,
    again: Annotated[
        bool, typer.Option("--again", help="Everybody on the list of the forgotten: after a backup was restored.")
    ] = False,
) -> None:
    """Remove a person from every table of the lake, and from the files of earlier versions; there is no way back."""
    from jobs.forget import forget, forget_again

    if again == bool(person and person.strip()):
        raise typer.BadParameter("name the person, as events do: customer-00317; or --again for everybody on the list")
    contracts = load_contracts()
    removed = forget_again(contracts, settings()) if person is None else forget(person, contracts, settings())
    for table, rows in removed.items():
        if rows:
            typer.echo(f"{table}: {counted(rows, 'row')} removed")
    total = counted(sum(removed.values()), "row")
    typer.echo(
        f"{total} about {person or 'the forgotten'} removed. "
        "Kafka keeps its records as long as each topic's retention says."
    )
