"""Compute views anew from silver: what cannot be kept up to date batch by batch."""

import time
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc
from deltalake import DeltaTable
from pyspark.sql import DataFrame, SparkSession

from jobs.engine.evolve import evolve
from jobs.engine.table import Table
from jobs.entity import silver_table
from jobs.marts import View
from jobs.settings import Settings
from schemas import Contract

RETRY_SECONDS = 60.0
"""How soon a view without rows is computed again, while the stream has just begun."""


@dataclass(frozen=True)
class Refreshed:
    """A view that was replaced; ``seconds`` is how long that took."""

    view: str
    rows: int
    seconds: float


def refresh(
    session: SparkSession, views: Collection[View], contracts: Collection[Contract], settings: Settings
) -> Iterator[Refreshed]:
    """Replace views, one after the other, each in one commit, so that readers see the old rows or the new ones.

    Args:
        session: reads silver and writes the views.
        views: those that are wanted.
        contracts: all there are.
        settings: where the lake is.
    """
    tables = {contract.topic: silver_table(contract) for contract in contracts}
    uses = Counter(topic for view in views for topic in view.sources)
    # Silver has a file per micro-batch since it was compacted, so what several views need is read once.
    silver = {topic: _read(session, tables[topic], settings) for topic in uses}
    shared = [silver[topic].persist() for topic, count in uses.items() if count > 1]
    try:
        for view in views:
            began = time.monotonic()
            view.table.create(settings.lake_url)
            evolve(session, view.table, settings.lake_url)
            url = view.table.url(settings.lake_url)
            rows = view.compute(*(silver[topic] for topic in view.sources))
            # Few rows: a table of one file is read fastest.
            rows.coalesce(1).write.format("delta").mode("overwrite").save(url)
            written = pa.table(DeltaTable(url).get_add_actions(flatten=True))["num_records"]
            yield Refreshed(f"{view.layer}.{view.name}", pc.sum(written).as_py() or 0, time.monotonic() - began)
    finally:
        for frame in shared:
            frame.unpersist()


def next_turn(views: list[View], empty: list[View], *, seconds: float, every: float) -> tuple[list[View], float]:
    """Which views are computed next, and after how many seconds of rest.

    Args:
        views: all that are wanted; their turn is every ``every`` seconds.
        empty: those that had no rows in the last turn. Before the second turn of all, silver may have nothing yet, and
            nobody wants to wait that long; later, there is nothing to wait for.
        seconds: how long ago the first turn began.
        every: seconds.
    """
    rest = every - seconds % every
    if empty and seconds < every and rest > RETRY_SECONDS:
        return empty, RETRY_SECONDS
    return views, rest


def _read(session: SparkSession, table: Table, settings: Settings) -> DataFrame:
    table.create(settings.lake_url)
    return session.read.format("delta").load(table.url(settings.lake_url))
