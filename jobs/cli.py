"""The command line `sluice`."""

import datetime as dt
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, NoReturn, get_args

import typer

from jobs.engine.exceptions import IncompatibleTableError
from jobs.settings import settings
from schemas import (
    Contract,
    DefinitionError,
    Problem,
    broken_promises,
    earlier_contracts,
    load_contracts,
    load_files,
)
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


FIRST_AFTER = 5.0
"""Minutes until the first of what is repeated."""

quarantine = typer.Typer(no_args_is_help=True, help="Show what was refused and why; send it again.")
app.add_typer(quarantine, name="quarantine")


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
    for job in found["jobs"]:
        if job["error"]:
            typer.echo(f"\n{job['job']} failed: {job['error']}")


@app.command()
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
    run(jobs, settings(), domain=domain, available_now=available_now)


@app.command()
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
    sent = produce_traffic(
        topics, settings(), rate=rate or 50, duration=duration, history=history, seed=seed, pace=pace
    )
    typer.echo(f"Sent {sent:,} messages.")


@app.command()
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
        typer.echo(_table(rows, {name: name for name in rows[0]}))
    elif kind not in known:
        raise typer.BadParameter(f"there is no incident {kind}; there are {', '.join(known)}")
    else:
        until = dt.datetime.fromtimestamp(request_incident(known[kind], settings(), seconds=60 * minutes).end, dt.UTC)
        typer.echo(f"{DESCRIPTIONS[known[kind]]} Until {_moment(until)} UTC.")


@app.command()
def check(
    paths: Annotated[
        list[Path] | None, typer.Argument(exists=True, help="Contracts and suites; default: all that ship.")
    ] = None,
    against: Annotated[
        str | None,
        typer.Option(metavar="VERSION", help="Refuse what breaks this earlier version: a git revision or a folder."),
    ] = None,
) -> None:
    """Check contracts and suites; prints `file:line: what is wrong and how to mend it`, ends with 1 if anything is."""
    from jobs.engine.session import spark_session
    from jobs.tables import table_schemas
    from quality.suite import load_suite_files, load_suites
    from quality.suite_check import SparkCheck, check_expectation

    problems: Sequence[Problem] = ()
    try:
        contracts, files = load_contracts(), _definitions(paths or [])
        checked = load_files(files["contract"]) if paths else contracts
        tables = table_schemas(contracts)
        checks = (check_expectation, SparkCheck(lambda: spark_session(settings(), name="sluice-check"), tables))
        suites = load_suite_files(files["suite"], tables, checks) if paths else load_suites(tables, checks=checks)
        if against is not None:
            problems = list(broken_promises(earlier_contracts(against), checked, whole=not paths))
    except DefinitionError as error:
        problems = error.problems
    for problem in problems:
        typer.echo(problem, err=True)
    if problems:
        raise typer.Exit(1)
    typer.echo(f"{_counted(len(checked), 'contract')} and {_counted(len(suites), 'suite')} are right.")


@app.command()
def validate(
    names: Annotated[list[str] | None, typer.Argument(metavar="[LAYER.TABLE]...", help="Default: all.")] = None,
    every: Annotated[
        float | None, typer.Option(metavar="MINUTES", min=1, help="Again and again, so many minutes apart.")
    ] = None,
) -> None:
    """Hold whole tables against their suites with Great Expectations; ends with 1 if a critical one fails."""
    if every is not None:
        _repeat([sys.executable, "-m", "jobs.cli", "validate", *(names or ())], minutes=every)
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
        rows = "failed" if verdict.unexpected is None else _counted(verdict.unexpected, "row")
        rows += f" of {verdict.evaluated:,}" if verdict.evaluated else ""
        typer.echo(f"{verdict.severity}: {verdict.table}: {verdict.description} ({verdict.error or rows})")
    held = len(report.verdicts) - len(failed)
    typer.echo(f"{held} of {_counted(len(report.verdicts), 'expectation')} hold. Data Docs: {report.data_docs}")
    if any(verdict.severity == "critical" for verdict in failed):
        raise typer.Exit(1)


@app.command()
def reconcile(
    entities: Annotated[list[str] | None, typer.Argument(metavar="[DOMAIN.ENTITY]...", help="Default: all.")] = None,
    since: Annotated[
        dt.datetime | None, typer.Option("--from", help="First window, UTC; default: yesterday, 00:00.")
    ] = None,
    until: Annotated[
        dt.datetime | None, typer.Option("--to", help="End of the last window, UTC; default: now.")
    ] = None,
    fix: Annotated[bool, typer.Option("--fix", help="Bring in what came too late for the stream.")] = False,
) -> None:
    """Compute gold once more from bronze, compare cell by cell (table ops.parity); ends with 1 if anything differs."""
    from jobs.engine.session import spark_session
    from jobs.reconcile import reconcile
    from jobs.run import definitions

    now = dt.datetime.now(dt.UTC)
    begin = now.replace(hour=0, minute=0, second=0, microsecond=0) - dt.timedelta(days=1)
    since, until = (_utc(since) if since else begin), (_utc(until) if until else now)
    chosen = [_contract(entity) for entity in entities] if entities else load_contracts()
    rules = definitions().rules
    session = spark_session(settings(), name="sluice-reconcile")
    is_different = False
    for contract in chosen:
        found = reconcile(session, contract, rules[contract.topic], settings(), since=since, until=until, fix=fix)
        for parity in found:
            is_different |= parity.different > 0 and not parity.mended
            result = f"{parity.different:,} differ" if parity.different else "all equal"
            rows = f"{_counted(parity.rows, 'row')} of {parity.measures} measures"
            typer.echo(f"{parity.mart}: {rows}, {result}{', mended' if parity.mended else ''}")
    session.stop()
    if is_different:
        raise typer.Exit(1)


@app.command()
def maintain(
    every: Annotated[
        float | None, typer.Option(metavar="MINUTES", min=1, help="Again and again, so many minutes apart.")
    ] = None,
) -> None:
    """Compact small files, drop what is past its retention and delete old files, beside running jobs."""
    if every is not None:
        _repeat([sys.executable, "-m", "jobs.cli", "maintain"], minutes=every)
    from jobs.maintain import maintain

    for done in maintain(load_contracts(), settings()):
        if done.files_before != done.files_after or done.deleted:
            files = f"{_counted(done.files_before, 'file')} became {done.files_after:,}"
            typer.echo(f"{done.table}: {files}, {_counted(done.deleted, 'old file')} deleted")


@app.command()
def forget(
    person: Annotated[str, typer.Argument(help="As events have it: customer-00317.")],
) -> None:
    """Remove a person from every layer of the lake, and from the files of earlier versions; there is no way back."""
    from jobs.forget import forget

    if not person.strip():
        raise typer.BadParameter("name the person, as events do: customer-00317")
    removed = forget(person, load_contracts(), settings())
    for table, rows in removed.items():
        if rows:
            typer.echo(f"{table}: {_counted(rows, 'row')} removed")
    total = _counted(sum(removed.values()), "row")
    typer.echo(f"{total} about {person} removed. Kafka keeps its records as long as each topic's retention says.")


@quarantine.command("list")
def quarantine_list() -> None:
    """Count what was refused of each entity, with the most frequent reasons."""
    from jobs.quarantine import summarize

    summaries = [summarize(contract, settings().lake_url) for contract in load_contracts()]
    rows = [
        {
            "entity": summary.topic,
            "waiting": f"{summary.records:,}",
            "released": f"{summary.released:,}",
            "oldest": _moment(summary.oldest),
            "newest": _moment(summary.newest),
            "reasons": ", ".join(f"{rule} ({count:,})" for rule, count in summary.rules.most_common(3)) or None,
        }
        for summary in summaries
    ]
    typer.echo(_table(rows, {name: name for name in rows[0]}))


@quarantine.command("show")
def quarantine_show(
    entity: Annotated[str, typer.Argument(metavar="DOMAIN.ENTITY")],
    limit: Annotated[int, typer.Option(min=1, help="How many, the newest first.")] = 20,
    rule: Annotated[str | None, typer.Option(help="Only reasons that begin so: missing, 'missing: vendor_id'.")] = None,
) -> None:
    """Show refused records as they came, with their reasons."""
    from jobs.quarantine import newest_records

    contract = _contract(entity)
    for record in newest_records(contract, settings().lake_url, count=limit, rule=rule):
        value = record["value"]
        typer.echo(f"{_moment(record['timestamp'])}  partition {record['partition']}, offset {record['offset']:,}")
        for reason in record["reasons"]:
            typer.echo(f"  {reason}")
        typer.echo(f"  {'no value' if value is None else value.decode(errors='backslashreplace')}\n")


@quarantine.command("release")
def quarantine_release(
    entity: Annotated[str, typer.Argument(metavar="DOMAIN.ENTITY")],
    rule: Annotated[str | None, typer.Option(help="Only reasons that begin so: missing, 'missing: vendor_id'.")] = None,
) -> None:
    """Send refused records to Kafka again, to be judged by the rules of today; none is counted twice."""
    from stack.release import release

    released = release(_contract(entity), settings(), rule=rule)
    typer.echo(f"{_counted(released, 'record')} of {entity} released. What is refused again waits in quarantine again.")


def _repeat(command: Sequence[str], *, minutes: float) -> NoReturn:
    """Run a command for ever, each time as a process of its own, whose memory is free in between."""
    # First let a system that is starting get warm.
    time.sleep(60 * min(FIRST_AFTER, minutes))
    while True:
        began = time.monotonic()
        subprocess.run(command, check=False)
        time.sleep(max(0.0, began + 60 * minutes - time.monotonic()))


def _contract(entity: str) -> Contract:
    contracts = {contract.topic: contract for contract in load_contracts()}
    if entity not in contracts:
        raise typer.BadParameter(f"there is no contract for {entity}; there are {', '.join(contracts)}")
    return contracts[entity]


def _utc(moment: dt.datetime) -> dt.datetime:
    return moment.astimezone(dt.UTC) if moment.tzinfo else moment.replace(tzinfo=dt.UTC)


def _moment(moment: dt.datetime | None) -> str | None:
    return None if moment is None else f"{moment:%Y-%m-%d %H:%M:%S}"


def _definitions(paths: Sequence[Path]) -> dict[str, list[Path]]:
    """The YAML files at or below some paths: suites, whose folder is a layer of the lake, and contracts."""
    from jobs.engine.table import Layer

    found: dict[str, list[Path]] = {"contract": [], "suite": []}
    for file in [file for path in paths for file in (sorted(path.rglob("*.yaml")) if path.is_dir() else [path])]:
        found["suite" if file.resolve().parent.name in get_args(Layer) else "contract"].append(file)
    return found


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


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
    except (StackError, DefinitionError, IncompatibleTableError) as error:
        sys.exit(f"sluice: {error}")


if __name__ == "__main__":
    main()
