"""``python -m bench.soak``: hours of events of all topics, to see that nothing grows without limit.

`sluice maintain` runs beside, as often as in a system of its own. Every few minutes the size of everything that could
grow is noted: memory, files and log of each table, checkpoints, and the time that a micro-batch takes.
"""

import json
import shutil
import statistics
import subprocess
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any

import typer
from deltalake import DeltaTable

from bench import environment, report, topics
from bench.freshness import read_production
from bench.publish import publish
from bench.rig import environment_of, fresh, play, running
from bench.run import COMMANDS
from bench.usage import Usage
from jobs.settings import Settings, settings
from schemas import load_contracts

Sample = dict[str, Any]
MAINTAIN_MINUTES = 10


def main(
    minutes: Annotated[float, typer.Option(help="Minutes of load.")] = 120,
    rate: Annotated[int, typer.Option(help="Events per second, of all topics.")] = 500,
    every: Annotated[float, typer.Option(help="Minutes between two samples.")] = 5,
) -> None:
    """Run under load for hours, note what could grow, and write the report."""
    publish(report.SOAK, soak(rate, minutes, every, settings()))


def soak(rate: int, minutes: float, every: float, at: Settings) -> Sample:
    """Run the jobs under load and take a sample every few minutes.

    Raises:
        BenchError: a process ended, or an event is missing.
    """
    own = fresh(at, "soak")
    python, home = environment.ensure(own.cache), own.home
    contracts, log = load_contracts(), home / "production.log"
    samples: list[Sample] = []
    ended = threading.Event()
    with ExitStack() as stack:
        pipeline = stack.enter_context(topics.reading(contracts, COMMANDS["sluice"], own))
        maintain = [COMMANDS["sluice"][0], "maintain", "--every", str(MAINTAIN_MINUTES)]
        stack.enter_context(running(maintain, home / "maintain.log", environment_of(own)))
        usage = stack.enter_context(Usage(pipeline.pid))

        def watch() -> None:
            while not ended.wait(60 * every):
                samples.append(_sample(own, usage))
                print(json.dumps(samples[-1]), flush=True)

        watcher = threading.Thread(target=watch)
        watcher.start()
        stack.callback(watcher.join)
        stack.callback(ended.set)
        events = home / topics.TAPE
        play(python, events, rate=rate, seconds=60 * minutes, log=log, settings=own, pipeline=pipeline)
        produced = read_production(log.read_text()).total
        found = topics.wait_for_all(contracts, produced, pipeline, own)
    shutil.rmtree(home / "kafka", ignore_errors=True)
    shutil.rmtree(home / "lake", ignore_errors=True)
    return {
        "rate": rate,
        "minutes": minutes,
        "produced": produced,
        "in_silver": found,
        "samples": samples,
    }


def _sample(own: Settings, usage: Usage) -> Sample:
    """The size of everything that could grow, now."""
    lake = Path(own.lake_url)
    logs = [log for log in lake.glob("*/*/_delta_log") if any(log.glob("*.json"))]
    files = [len(DeltaTable(log.parent).file_uris()) for log in logs]
    batches = [json.loads(path.read_text())["batch_seconds"] for path in (own.home / "progress").glob("live-*.json")]
    checkpoints = [path for path in (lake / "_checkpoints").rglob("*") if path.is_file()]
    since = usage.samples[0][0]
    recent = usage.samples[-60:]
    return {
        "minute": round((time.time() - since) / 60, 1),
        "memory_mib": round(statistics.median(sample[2] for sample in recent) / 2**20),
        "cores": round((recent[-1][1] - recent[0][1]) / (recent[-1][0] - recent[0][0]), 2),
        "batch_seconds": round(max(batches, default=0.0), 2),
        "most_files_of_a_table": max(files, default=0),
        "files_of_all_tables": sum(files),
        "most_log_files_of_a_table": max((len(list(log.iterdir())) for log in logs), default=0),
        "checkpoint_files": len(checkpoints),
        "lake_mib": _mib(lake),
    }


def _mib(directory: Path) -> int:
    """Disk space, which files that vanish meanwhile do not spoil."""
    told = subprocess.run(["du", "-sk", directory], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    return int(told.stdout.split()[0]) // 1024


if __name__ == "__main__":
    typer.run(main)
