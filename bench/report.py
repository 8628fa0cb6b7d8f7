"""The report: ``benchmarks.md`` and its plot, from the results of the runs."""

import json
import statistics
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bench.plot import TITLES, plot

Result = Mapping[str, Any]

SCREEN = "screen.json"
USERS = "users.json"
JUDGING = "judging.json"
LATE = "late.json"
SOAK = "soak.json"
TOGETHER = "together"
"""How the names of the results of ``bench.together`` begin."""
PLOT = "benchmarks.svg"
QUARTERS = 4
ORDER = ("textbook", "sluice")
ONE_MART = "one mart per topic"
"""The run of ``bench.together`` that tells what a mart costs."""

FRAME = """\
# Benchmarks

How long after an event happened does a reader of gold see it? `make bench` asks this of two pipelines, one
after the other on the same machine, under the same load, each with a broker and a lake of its own:

- **Textbook**: three streaming queries as the documentation of Spark and Delta Lake teaches them
  (`bench/textbook.py`): Kafka to bronze by the Delta sink; bronze to silver by Delta source and sink;
  silver to gold by Delta source, watermarked windows in update mode and MERGE. It has Sluice's session
  settings, contract, decoding, judgement and mart.
- **Sluice**: `sluice run bronze live`.

{results}
## What judging costs

`make bench` also runs Sluice in pairs under the same load: with every rule of contract and suite and their counts,
and with none (`bench/unjudged.py`).

{judging}
## Late events

`python -m bench.late` runs Sluice in pairs under the same load: with every event on time, and with some that happened
15 minutes, 3 days or 60 days before, a third of each. Seconds count from the arrival in Kafka until gold has the event.

{late}
## All marts together

`python -m bench.together` plays events of all topics as the simulation makes them, and asks how long each mart takes
to have them; and what a mart costs, by a run with one mart per topic.

{together}
## Over hours

`make bench-soak` plays events of all topics for two hours, with `sluice maintain` every ten minutes, and notes the size
of everything that could grow.

{soak}
## On screen

How long does a user wait? `make bench-screen` asks this of the system that `make up` has started, with Chromium.

{screen}
## With many users

`make bench-users` lets many users look at the live dashboards of the system that `make up` has started, each asking
for the data of every chart again every 2 s. They run at the stream's priority, for real users bring processors of their
own. From event to gold counts from when Kafka has an event, for every click of the demo traffic.

{users}
## How it is measured

- Every event is a placed order with one line. Its event time is the wall clock when it was produced; events
  of one 10 ms tick share it. Vendors (40), categories (12), countries (8) and channels (3) are picked by
  Zipf's law.
- Nothing watches the run. Afterwards the log of the Delta table `gold/marketplace_sales_by_minute` tells
  when each version became visible and how many orders it holds. The k-th event, in order of event time, is
  visible from the first version that holds at least k orders; every event counts in every percentile.
- The load runs for a warm-up first, in which the JVM compiles its code; the warm-up does not count.
  Percentiles are over all events of the minutes after it.
- CPU and memory are those of the pipeline's processes (memory: the largest sum of resident sets, sampled
  every second). The broker and the load generator share the machine; their shares are listed too.
- "Lost or doubled" compares the events produced, warm-up included, with the sum of `orders` in gold.
- On screen, everything shares the two cores: jobs, broker, demo traffic, Superset and the browser itself. A
  first load is a new browser's, from the request to the moment when all eight charts are drawn. A warm load is one
  with Superset open already: from the click on the dashboard in the list of dashboards, which keeps the page's
  scripts running; a reload starts these anew. From event to screen counts from the event time of an order to the
  change of the figure "Gross sales", with a dashboard that refreshes every 2 s. Others look at the live dashboards
  as described below.

Run it again with `make bench`; `python -m bench --help` lists the options. Raw results are in
`bench/results/`.
"""


def write(results: Path, directory: Path) -> Path:
    """Write ``benchmarks.md`` and its plot into a directory, from a directory of results; returns the page's path."""
    runs = [json.loads(path.read_text()) for path in sorted(results.glob("*-*.json"))]
    together = [json.loads(path.read_text()) for path in sorted(results.glob(f"{TOGETHER}.*.json"))]
    named = {name.removesuffix(".json"): _read(results / name) for name in (SCREEN, USERS, JUDGING, LATE, SOAK)}
    return write_page(runs, directory, together=together, **named)


def _read(path: Path) -> Result | None:
    return json.loads(path.read_text()) if path.is_file() else None


def write_page(
    results: Iterable[Result],
    directory: Path,
    *,
    screen: Result | None = None,
    users: Result | None = None,
    judging: Result | None = None,
    late: Result | None = None,
    soak: Result | None = None,
    together: Sequence[Result] = (),
) -> Path:
    """Write ``benchmarks.md`` and ``benchmarks.svg`` into a directory; returns the path of the former."""
    others = {
        "screen": _screen(screen),
        "users": _users(users),
        "judging": _judging(judging),
        "late": _late(late),
        "soak": _soak(soak),
        "together": _together(together),
    }
    ordered = sorted(results, key=lambda result: (result["rate"], ORDER.index(result["pipeline"])))
    measured = [result for result in ordered if "freshness" in result]
    parts = [
        *_conditions(ordered),
        *_table(measured),
        *_bars(measured),
        *_drift(measured),
        *_failures(ordered),
    ]
    if measured:
        plot(measured, directory / PLOT)
        parts += [f"![Freshness over the run]({PLOT})\n"]
    page = directory / "benchmarks.md"
    page.write_text(FRAME.format(results="\n".join(parts), **others))
    return page


def _conditions(results: list[Result]) -> list[str]:
    machines = []
    for result in results:
        machine = result["machine"]
        if machine not in machines:
            machines.append(machine)
    lines = ["## Results\n"]
    for machine in machines:
        versions = ", ".join(f"{name} {value}" for name, value in machine.items() if name not in _HARDWARE)
        lines.append(
            f"Machine: {machine['cores']} cores ({machine['processor']}), {machine['memory_gib']} GiB, "
            f"{machine['system']}. Versions: {versions}. "
            "The broker and the load generator ran on the same cores.\n"
        )
    dates = sorted({result["measured_at"][:10] for result in results})
    spans = sorted({(result["minutes"], result["warmup_seconds"]) for result in results})
    runs = "; ".join(f"{minutes:g} minutes after a warm-up of {warmup:g} s" for minutes, warmup in spans)
    return [*lines, f"Measured on {', '.join(dates)}; each run {runs}.\n"]


_HARDWARE = ("cores", "processor", "memory_gib", "system")


def _table(results: list[Result]) -> list[str]:
    if not results:
        return []
    rows: list[tuple[str, list[str]]] = [
        ("event time to gold, p50", [_seconds(r["freshness"]["p50"]) for r in results]),
        ("p95", [_seconds(r["freshness"]["p95"]) for r in results]),
        ("p99", [_seconds(r["freshness"]["p99"]) for r in results]),
        ("max", [_seconds(r["freshness"]["max"]) for r in results]),
        ("produced, events/s", [f"{r['load']['events_per_second']:,.0f}" for r in results]),
        ("became visible, events/s", [f"{r['gold_events_per_second']:,.0f}" for r in results]),
        ("commits to gold", [f"{r['gold_commits']:,}" for r in results]),
        ("CPU of the pipeline, cores", [f"{r['usage']['cores']:.2f}" for r in results]),
        ("CPU-s per 1,000 events", [f"{r['usage']['cpu_seconds_per_1000_events']:.3f}" for r in results]),
        ("memory of the pipeline, MiB", [f"{r['usage']['memory_mib']:,.0f}" for r in results]),
        ("CPU of broker / generator, cores", [_others(r) for r in results]),
        ("CPU of everything else on the machine, cores", [_rest(r) for r in results]),
        ("events produced, warm-up included", [f"{r['produced']:,}" for r in results]),
        ("lost or doubled", [_lost(r) for r in results]),
    ]
    heads = [f"{TITLES[r['pipeline']]}, {r['rate']:,}/s" for r in results]
    lines = [_row("", heads), _row("---", ["---:"] * len(results))]
    return ["\n".join([*lines, *(_row(name, cells) for name, cells in rows)]) + "\n"]


def _judging(result: Result | None) -> str:
    if result is None:
        return "Not measured yet.\n"
    seconds = result["cpu_seconds_per_1000_events"]
    pairs = list(zip(seconds["unjudged"], seconds["sluice"], strict=True))
    rows = [_row("pair", ["no rules, CPU-s per 1,000 events", "all rules", "more"]), _row("---", ["---:"] * 3)]
    rows += [
        _row(str(number), [f"{without:.3f}", f"{judged:.3f}", f"{judged / without - 1:+.0%}"])
        for number, (without, judged) in enumerate(pairs, start=1)
    ]
    more = statistics.median(judged / without - 1 for without, judged in pairs)
    told = f"{result['rate']:,} events/s, {result['minutes']:g} minutes per run after the warm-up; median: {more:+.0%}."
    return "\n".join([*rows, "", f"Measured on {result['measured_at'][:10]}; {told}"]) + "\n"


def _late(result: Result | None) -> str:
    if result is None:
        return "Not measured yet.\n"
    names = ["CPU-s per 1,000 events", "on time: p50", "p99", "late: p50", "p99", "max"]
    rows = [_row("late", names), _row("---", ["---:"] * len(names))]
    for run in result["runs"]:
        on_time, late = run["events_on_time"], run.get("late_events")
        cells = [f"{run['cpu_seconds_per_1000_events']:.3f}", *(_seconds(on_time[name]) for name in ("p50", "p99"))]
        rows.append(
            _row(f"{run['late']:.0%}", cells + [_seconds(late[n]) if late else "" for n in ("p50", "p99", "max")])
        )
    told = f"{result['rate']:,} events/s, {result['minutes']:g} minutes per run after the warm-up; 0 lost or doubled."
    return "\n".join([*rows, "", f"Measured on {result['measured_at'][:10]}; {told}"]) + "\n"


def _row(name: str, cells: Iterable[str]) -> str:
    return f"| {' | '.join([name, *cells])} |"


def _seconds(value: float | None) -> str:
    return "never" if value is None else f"{value:.2f} s"


def _others(result: Result) -> str:
    broker = result["broker"].get("cores")
    return f"{'?' if broker is None else f'{broker:.2f}'} / {result['load']['cores']:.2f}"


def _rest(result: Result) -> str:
    known = result["usage"]["cores"] + result["broker"].get("cores", 0) + result["load"]["cores"]
    return f"{max(0.0, result['usage']['machine_cores'] - known):.2f}"


def _lost(result: Result) -> str:
    difference = result["in_gold"] - result["produced"]
    return "0" if difference == 0 else f"{difference:+,}"


def _bars(results: list[Result]) -> list[str]:
    """How many times fresher Sluice is, per rate."""
    lines = []
    by_key = {(result["pipeline"], result["rate"]): result["freshness"] for result in results}
    for rate in sorted({result["rate"] for result in results}):
        ours, theirs = by_key.get(("sluice", rate)), by_key.get(("textbook", rate))
        if not ours or not theirs:
            continue
        ratios = [f"{name} {_ratio(theirs[name], ours[name])}" for name in ("p50", "p95", "p99")]
        lines.append(f"- At {rate:,} events/s Sluice is fresher by a factor of: {', '.join(ratios)}.")
    return ["\n".join(lines) + "\n"] if lines else []


def _ratio(theirs: float | None, ours: float | None) -> str:
    return "without bound" if theirs is None else "none" if not ours else f"{theirs / ours:.1f}"


def _drift(results: list[Result]) -> list[str]:
    """Freshness minute by minute, to see whether it drifts."""
    if not any(len(result["by_minute"]) > 1 for result in results):
        return []
    count = max(len(result["by_minute"]) for result in results)
    lines = [
        "Minute by minute, p50 / p99 in seconds:\n",
        _row("run", [str(minute) for minute in range(1, count + 1)]),
        _row("---", ["---:"] * count),
    ]
    for result in results:
        cells = [_pair(minute) for minute in result["by_minute"]]
        lines.append(_row(f"{TITLES[result['pipeline']]}, {result['rate']:,}/s", cells + [""] * (count - len(cells))))
    lines.append("")
    lines += [line for result in results if (line := _slope(result))]
    return ["\n".join(lines) + "\n"]


def _pair(minute: Mapping[str, float | None]) -> str:
    return " / ".join("never" if minute[name] is None else f"{minute[name]:.2f}" for name in ("p50", "p99"))


def _slope(result: Result) -> str | None:
    """The trend of the median by least squares over the minutes."""
    medians = [minute["p50"] for minute in result["by_minute"]]
    if len(medians) < 2 or None in medians:
        return None
    slope = statistics.linear_regression(range(len(medians)), medians).slope
    name = f"{TITLES[result['pipeline']]} at {result['rate']:,} events/s"
    change = medians[-1] - medians[0]
    return f"- {name}: p50 {change:+.2f} s from the first to the last minute; trend {slope:+.3f} s per minute."


def _screen(result: Result | None) -> str:
    if result is None:
        return "Not measured yet.\n"
    rows = {
        "first load, new browser": result["first_load"],
        "warm load, from the list of dashboards": result["warm_load"],
        "reload of the page": result["reload"],
        "event to screen": result["event_to_screen"],
    }
    if others := result.get("others"):
        rows[f"warm load, {others} others looking"] = result["warm_load_beside_others"]
        rows[f"event to screen, {others} others looking"] = result["event_to_screen_beside_others"]
    lines = [_row("", ["runs", "best", "median", "p95"]), _row("---", ["---:"] * 4)]
    for name, seconds in rows.items():
        figures = (min(seconds), statistics.median(seconds), float(np.quantile(seconds, 0.95, method="inverted_cdf")))
        lines.append(_row(name, [str(len(seconds)), *(f"{figure:.1f} s" for figure in figures)]))
    when = f"Measured on {result['measured_at'][:10]}, {result['demo_rate']:g} demo events/s."
    return "\n".join([*lines, "", when]) + "\n"


def _users(result: Result | None) -> str:
    if result is None:
        return "Not measured yet.\n"
    seconds, freshness = result["seconds"], result["freshness"]
    rows = {
        "chart data, p50 / p95 / max": " / ".join(f"{seconds[name]:.2f} s" for name in ("p50", "p95", "max")),
        "answers per second": f"{result['answers_per_second']:.0f}",
        "from the cache": f"{result['cache_hit_rate']:.0%}",
        "kept for longer than a second, because many ask, by p50 / p95": _p50_and_p95(result["late_seconds"]),
        "errors": str(result["errors"]),
        "event to gold without users, p50 / p95": _p50_and_p95(freshness["alone"]),
        "event to gold with users": _p50_and_p95(freshness["with_users"]),
    }
    lines = [_row("", [f"{result['users']} users"]), _row("---", ["---:"])]
    lines += [_row(name, [figure]) for name, figure in rows.items()]
    when = f"Measured on {result['measured_at'][:10]} for {result['minutes']:g} minutes, "
    return "\n".join([*lines, "", f"{when}{result['demo_rate']:g} demo events/s."]) + "\n"


def _p50_and_p95(found: Mapping[str, float]) -> str:
    return f"{found['p50']:.2f} s / {found['p95']:.2f} s"


def _together(results: Sequence[Result]) -> str:
    if not results:
        return "Not measured yet.\n"
    lines = []
    for result in sorted(results, key=lambda result: (result["rate"], -result["gold"])):
        if result["plan"] == ONE_MART:
            continue
        lines += [
            f"{result['plan'].capitalize()}, {result['rate']:,} events/s, {result['minutes']:g} minutes "
            f"({result['measured_at'][:10]}): {result['usage']['cores']:.2f} cores, "
            f"{result['produced']:,} events produced, {result['in_silver'] - result['produced']} lost or doubled.\n",
            _row("mart", ["p50", "p95", "p99", "max"]),
            _row("---", ["---:"] * 4),
        ]
        slowest_first = sorted(result["marts"].items(), key=lambda mart: -(mart[1]["p99"] or 0))
        lines += [
            _row(name, [_seconds(mart[quantile]) for quantile in ("p50", "p95", "p99", "max")])
            for name, mart in slowest_first
        ]
        lines.append("")
    by_plan = {result["plan"]: result for result in results}
    if {ONE_MART, "both"} <= by_plan.keys():
        lines.append(_cost_of_a_mart(by_plan[ONE_MART], by_plan["both"]))
    return "\n".join(lines) + "\n"


def _cost_of_a_mart(one: Result, every: Result) -> str:
    added = every["gold"] - one["first_only"]
    few, many = one["usage"]["cores"], every["usage"]["cores"]
    return (
        f"At {one['rate']:,} events/s, {one['first_only']} marts, one per topic, take {few:.2f} cores, "
        f"and {added} more marts and snapshots {many:.2f}: {(many - few) / added:+.3f} cores per added mart."
    )


SAMPLED = {
    "memory_mib": "memory of the jobs, MiB",
    "cores": "CPU of the jobs, cores",
    "batch_seconds": "a micro-batch, s",
    "most_files_of_a_table": "most files of a table",
    "files_of_all_tables": "files of all tables",
    "most_log_files_of_a_table": "most files in the log of a table",
    "checkpoint_files": "files of the checkpoints",
    "lake_mib": "the lake on disk, MiB",
}


def _soak(result: Result | None) -> str:
    """Each quantity as the median of its samples in each quarter of the run."""
    if result is None or len(result["samples"]) < QUARTERS:
        return "Not measured yet.\n"
    samples = result["samples"]
    quarters = [
        samples[len(samples) * part // QUARTERS : len(samples) * (part + 1) // QUARTERS] for part in range(QUARTERS)
    ]
    lines = [_row("median of", [f"quarter {number}" for number in range(1, QUARTERS + 1)])]
    lines.append(_row("---", ["---:"] * QUARTERS))
    for name, told in SAMPLED.items():
        medians = [statistics.median(sample[name] for sample in quarter) for quarter in quarters]
        lines.append(_row(told, [f"{median:,.2f}" if median < 100 else f"{median:,.0f}" for median in medians]))
    when = f"{result['measured_at'][:10]}, {result['minutes']:g} minutes, {result['rate']:,} events/s"
    lost = result["in_silver"] - result["produced"]
    return "\n".join([*lines, "", f"Measured on {when}; {result['produced']:,} events, {lost} lost or doubled."]) + "\n"


def _failures(results: list[Result]) -> list[str]:
    lines = [
        f"- {TITLES[result['pipeline']]} at {result['rate']:,} events/s gave no figures: {result['error']}"
        for result in results
        if "error" in result
    ]
    return ["\n".join(lines) + "\n"] if lines else []
