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
        dt.datetime | None, typer.Option("--from", help="First window, UTC; default: yesterday, 00:00.")
    ] = None,
    until: Annotated[
        dt.datetime | None, typer.Option("--to", help="End of the last window, UTC; default: now.")
    ] = None,
    fix: Annotated[bool, typer.Option("--fix", help="Bring in what came too late for the stream.")] = False,
    nightly: Annotated[
        dt.datetime | None,
        typer.Option(
            metavar="HH:MM", formats=["%H:%M"], help="Every night at this time, UTC, for yesterday and today."
        ),
    ] = None,
) -> None:
    """Compute gold once more from bronze, compare cell by cell (table ops.parity); ends with 1 if anything differs."""
    if nightly is not None:
        if since or until:
            raise typer.BadParameter("--nightly compares yesterday and today; --from and --to do not go with it")
        options = [*(entities or ()), *(["--fix"] if fix else [])]
        repeat_daily([sys.executable, "-m", "jobs.cli", "reconcile", *options], at=nightly.time())
    from jobs.definitions import definitions
    from jobs.engine.session import spark_session
    from jobs.reconcile import reconcile

    now = dt.datetime.now(dt.UTC)
    begin = now.replace(hour=0, minute=0, second=0, microsecond=0) - dt.timedelta(days=1)
    since, until = (_utc(since) if since else begin), (_utc(until) if until else now)
    chosen = [contract_of(entity) for entity in entities] if entities else load_contracts()
    rules = definitions().rules
    session = spark_session(settings(), name="sluice-reconcile")
    is_different = False
    for contract in chosen:
        found = reconcile(session, contract, rules[contract.topic], settings(), since=since, until=until, fix=fix)
        for parity in found:
            is_different |= parity.different > 0 and not parity.mended
            result = f"{parity.different:,} differ" if parity.different else "all equal"
            rows = f"{counted(parity.rows, 'row')} of {parity.measures} measures"
            typer.echo(f"{parity.mart}: {rows}, {result}{', mended' if parity.mended else ''}")
    session.stop()
    if is_different:
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


def _utc(moment: dt.datetime) -> dt.datetime:
    return moment.astimezone(dt.UTC) if moment.tzinfo else moment.replace(tzinfo=dt.UTC)
