"""The jobs are killed again and again while disorderly traffic flows; gold must equal the truth all the same."""

import os
import random
import time
from pathlib import Path

from stack.produce import producer
from tests.scale import scaled
from tests.stack.order_ledger import (
    PULSE,
    RATE,
    SALES,
    SILVER,
    Traffic,
    assert_equal_to_the_truth,
    is_active,
    maintained,
)
from tests.stack.order_traffic import order_messages
from tests.stack.pipeline import Jobs, Lake, eventually, running_broker

KILLS = scaled(small=2, full=12)
KILLS_BETWEEN_COMMITS = scaled(small=1, full=3)
CATCH_UP_SECONDS = scaled(small=150, full=600)


def commits(log: Path) -> int:
    return sum(1 for _ in os.scandir(log))


def kill_between_commits(jobs: Jobs, lake: Lake) -> bool:
    """Kill as soon as one table has a commit that another still lacks; whether that was quick enough."""
    logs = [Path(lake.root, name, "_delta_log") for name in (PULSE, SALES, SILVER)]
    start = [commits(log) for log in logs]
    # No pause between looks: the commits lie a few milliseconds apart.
    while not any(commits(log) > length for log, length in zip(logs, start, strict=True)):
        assert jobs.is_alive, f"the jobs ended:\n{jobs.log}"
    jobs.kill()
    return len({lake.batches()[name] for name in (PULSE, SALES, SILVER)}) > 1


def kill_in_the_spark_writer(jobs: Jobs, lake: Lake) -> None:
    """Kill while Spark has written files of a large batch to silver, but not committed them."""
    silver = Path(lake.root, SILVER)
    before = {path.name for path in silver.glob("*.parquet")}
    eventually(
        lambda: any(p.name not in before for p in silver.glob("*.snappy.parquet")), what="Spark writes", seconds=480
    )
    jobs.kill()


def test_gold_equals_the_truth_after_kills(tmp_path: Path) -> None:
    chance = random.Random(4)
    with running_broker(tmp_path) as settings, producer(settings) as kafka, Jobs(settings, "marketplace") as jobs:
        lake, traffic = Lake(settings.lake_url), Traffic(kafka)
        traffic.begin(jobs, lake)
        with maintained(settings):
            for _ in range(KILLS):
                eventually(is_active(lake), what="the jobs took in something", seconds=480)
                time.sleep(chance.uniform(0, 6))
                jobs.kill()
                jobs.start()

            hits = 0
            for _ in range(5 * KILLS_BETWEEN_COMMITS):
                eventually(is_active(lake), what="the jobs took in something", seconds=480)
                hits += kill_between_commits(jobs, lake)
                jobs.start()
                if hits == KILLS_BETWEEN_COMMITS:
                    break
        traffic.stop()
        lake.wait_for(traffic.ledger.produced, jobs)
        assert jobs.stop() == 0
        assert hits == KILLS_BETWEEN_COMMITS

        # Without jobs, traffic piles up to a batch that is too large for one process to collect.
        backlog = order_messages(rate=10 * RATE, start=time.time())
        traffic.send(backlog, time.time() + CATCH_UP_SECONDS / 10)
        jobs.start(SLUICE_IN_MEMORY_RECORDS="10000")
        kill_in_the_spark_writer(jobs, lake)
        jobs.start(SLUICE_IN_MEMORY_RECORDS="10000")
        lake.wait_for(traffic.ledger.produced, jobs)
        assert jobs.stop() == 0

    assert_equal_to_the_truth(lake, traffic.ledger)
