"""The lake in an S3-compatible store: written, maintained and compared there, and read by Superset's connection."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from deltalake import DeltaTable

from jobs.cut import finished
from jobs.engine.batch import Batch
from jobs.settings import CHECKOUT
from schemas import load_contracts
from stack import environments, jars
from stack.produce import producer
from tests.object_store import BUCKET, object_store
from tests.scale import FULL, scaled
from tests.stack.order_ledger import (
    SALES,
    SILVER,
    Traffic,
    assert_equal_to_the_truth,
    maintained,
)
from tests.stack.order_traffic import order_messages
from tests.stack.pipeline import TOPIC, Jobs, Lake, running_broker
from tests.store_proxy import StoreProxy

RATE = scaled(small=100, full=400)
KILLS = scaled(small=1, full=6)
TROUBLES = scaled(small=4, full=10)
"""Of each kind at least."""
LONGEST = scaled(small=300, full=1800)
"""Seconds until there were as many."""
CATCH_UP_SECONDS = scaled(small=20, full=600)
IN_MEMORY_RECORDS = scaled(small=100_000, full=5_000)
"""A batch of more is written by Spark, which takes minutes for the first; `reconcile` commits by Spark at any scale."""

QUESTION = """
import lake_connection
from sql_guard import ReadOnlyConnection

bare = lake_connection.cursor()
guarded = ReadOnlyConnection(lake_connection.cursor())
print(guarded.execute("SELECT sum(orders)::BIGINT FROM gold.marketplace_sales_by_minute").fetchone()[0])
silver = "delta_scan('{lake}/silver/marketplace_orders')"
for connection, source in (
    (guarded, silver),
    (guarded, "duckdb_secrets()"),
    (guarded, "'{lake}/silver/x.parquet'"),
    (bare, "'{lake}/silver/x.parquet'"),
    (bare, silver),
):
    try:
        print(connection.execute("SELECT * FROM " + source).fetchall())
    except Exception as error:
        print(type(error).__name__)
"""


@pytest.fixture
def proxy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StoreProxy]:
    """Stands before a store with an empty bucket, whose keys and own address are in the environment."""
    with object_store(tmp_path) as variables, StoreProxy(variables["AWS_ENDPOINT_URL"]) as proxy:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        yield proxy


def test_gold_in_an_object_store_equals_the_truth(proxy: StoreProxy, tmp_path: Path) -> None:
    lake = Lake(f"s3://{BUCKET}/lake")
    with running_broker(tmp_path) as here, producer(here) as kafka:
        settings = here.model_copy(update={"lake": lake.root})
        jars.ensure(settings.cache, jars.needed(settings))
        variables = {"SLUICE_LAKE": lake.root, "SLUICE_IN_MEMORY_RECORDS": str(IN_MEMORY_RECORDS)}
        jobs = Jobs(settings, "marketplace", variables)
        traffic = Traffic(kafka, rate=RATE)
        with jobs:
            traffic.begin(jobs, lake)
            with maintained(settings):
                for _ in range(KILLS):
                    lake.wait_for_more(jobs)
                    jobs.kill()
                    jobs.start()
                lake.wait_for(traffic.ledger.produced, jobs)
                _stop_while_it_writes(jobs, lake)
                _go_on_through(proxy, jobs, lake)
                backlog = order_messages(rate=10 * RATE, start=time.time())
                traffic.send(backlog, time.time() + CATCH_UP_SECONDS / 10)
                lake.wait_for(traffic.ledger.produced, jobs)
            traffic.stop()
            lake.wait_for(traffic.ledger.produced, jobs)
            assert jobs.stop() == 0
        assert_equal_to_the_truth(lake, traffic.ledger)
        assert lake.writers(SILVER) >= {"sluice", *(["Apache-Spark"] if FULL else [])}

        variables = os.environ | variables | {"SLUICE_HOME": str(tmp_path), "PYTHONPATH": str(CHECKOUT)}
        reconcile = [sys.executable, "-m", "jobs.cli", "reconcile", "marketplace.orders"]
        # An event is lost: Spark appends it.
        DeltaTable(f"{lake.root}/{SILVER}").delete(f"event_id = '{min(traffic.ledger.events)}'")
        print(mended := _run([*reconcile, "--fix"], variables))
        assert "1 mended" in mended
        if FULL:
            assert "differ" not in _run(reconcile, variables)

        python = environments.ensure("superset", settings.cache) / "bin" / "python"
        catalogue = tmp_path / "superset" / "lake.duckdb"
        catalogue.parent.mkdir()
        views = _run([python, "superset/catalogue.py", lake.root, catalogue], variables).split()
        assert "gold.marketplace_sales_by_minute" in views
        assert not [view for view in views if view.startswith("silver.")]
        script = [python, "-c", QUESTION.format(lake=lake.root)]
        answers = _run(script, variables | {"PYTHONPATH": str(CHECKOUT / "superset")}).split()
        orders = sum(lake.table(SALES, ["orders"])["orders"].to_pylist())
        assert answers == [str(orders), *["PermissionException"] * 5]


def _go_on_through(proxy: StoreProxy, jobs: Jobs, lake: Lake) -> None:
    """Let the jobs ask a store in trouble, and go on when it is over."""
    jobs.environment |= {"AWS_ENDPOINT_URL": proxy.url}
    jobs.start()
    lake.wait_for_more(jobs)
    with proxy.in_trouble():
        jobs.supervise(
            lambda: min(proxy.did.values()) >= TROUBLES, what="trouble of every kind", seconds=300 * TROUBLES
        )
    print(f"the store: {proxy.did}")
    before = lake.intake("input")
    jobs.supervise(lambda: lake.intake("input") > before, what="they go on", seconds=300)


def _stop_while_it_writes(jobs: Jobs, lake: Lake) -> None:
    """The micro-batch that every table has is in the checkpoint too: who compares tables goes by that."""
    lake.wait_for_more(jobs)
    silver = DeltaTable(f"{lake.root}/{SILVER}")
    before = silver.version()
    # No pause between looks.
    while silver.version() == before:
        silver.update_incremental()
        assert jobs.is_alive, jobs.log
    assert jobs.stop() == 0
    contract = next(contract for contract in load_contracts() if contract.topic == TOPIC)
    done = finished(contract, jobs.settings)
    assert done is not None
    silver.update_incremental()
    assert silver.transaction_version(Batch(done.query_id, 0).application(contract.name)) == done.batch


def _run(command: list[str | Path], variables: dict[str, str]) -> str:
    ended = subprocess.run(
        command, cwd=CHECKOUT, env=variables, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    assert ended.returncode == 0, ended.stdout
    return ended.stdout
