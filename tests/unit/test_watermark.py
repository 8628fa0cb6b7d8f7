"""Windows close by arrival, whatever the clocks of producers say."""

import datetime as dt
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from jobs.engine.batch import EPOCH
from jobs.engine.deduplicate import Arrivals, Sifted
from jobs.engine.identities import Identities
from jobs.engine.watermark import Watermark, newest_event_time

NOON = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)
DELAY = dt.timedelta(minutes=10)
SECOND = dt.timedelta(seconds=1)
Moments = list[tuple[dt.datetime, dt.datetime]]
"""When events arrived, and their event times."""


def minutes(number: float) -> dt.datetime:
    return NOON + dt.timedelta(minutes=number)


def arrivals(moments: Moments) -> Arrivals:
    arrived, times = (
        np.array([(moment - EPOCH) // dt.timedelta(microseconds=1) for moment in column], np.int64)
        for column in zip(*moments, strict=True)
    )
    return Arrivals(
        partitions=np.zeros(len(moments), np.int64),
        offsets=np.arange(len(moments)),
        arrived=arrived,
        times=times,
        identities=Identities.of(pa.chunked_array([[str(number) for number in range(len(moments))]])),
        is_accepted=np.ones(len(moments), np.bool_),
    )


def take(watermark: Watermark, moments: Moments, *, new: bool = True) -> dt.datetime:
    """The watermark of a batch whose events are all new, or all duplicates."""
    found = arrivals(moments)
    before = watermark.before(found)
    watermark.advance(Sifted(found, is_new=np.full(len(moments), new), is_late=np.zeros(len(moments), np.bool_)))
    return before


def test_windows_are_closed_a_delay_before_the_oldest_arrival_of_the_batch() -> None:
    watermark = Watermark(DELAY)

    assert take(watermark, [(minutes(0), minutes(-1)), (minutes(1), minutes(1))]) == minutes(-10)
    assert take(watermark, [(minutes(2), minutes(-30))]) == minutes(-8)


def test_an_event_ahead_of_its_arrival_moves_nothing() -> None:
    """An hour ahead: a producer that writes its local time with a Z."""
    watermark = Watermark(DELAY)

    take(watermark, [(minutes(0), minutes(60))])

    assert take(watermark, [(minutes(1), minutes(1))]) == minutes(-9)
    assert watermark.newest == minutes(1)


def test_a_partition_that_lies_behind_moves_nothing_back() -> None:
    watermark = Watermark(DELAY)
    take(watermark, [(minutes(5), minutes(5))])

    assert take(watermark, [(minutes(0), minutes(0))]) == minutes(-5)


def test_duplicates_are_no_newer_events() -> None:
    watermark = Watermark(DELAY)
    take(watermark, [(minutes(0), minutes(0))])

    take(watermark, [(minutes(5), minutes(5))], new=False)

    assert watermark.newest == NOON


@pytest.mark.parametrize("arrived", [dt.datetime(9999, 1, 1, tzinfo=dt.UTC), NOON - dt.timedelta(days=40_000)])
def test_a_producer_that_sets_the_time_of_arrival_fails_nothing(arrived: dt.datetime) -> None:
    watermark = Watermark(DELAY)

    take(watermark, [(arrived, NOON)])

    now = dt.datetime.now(dt.UTC)
    assert watermark.current <= now - DELAY
    assert watermark.newest is not None
    assert watermark.newest <= now


def test_the_newest_event_is_known_after_a_restart(tmp_path: Path) -> None:
    moment = pa.timestamp("us", "UTC")
    for arrived, happened in ((0, -1), (7, 5), (8, 60)):
        times = {"timestamp": pa.array([minutes(arrived)], moment), "event_time": pa.array([minutes(happened)], moment)}
        write_deltalake(tmp_path, pa.table(times), mode="append")

    assert newest_event_time(DeltaTable(tmp_path), "event_time") == minutes(8)


def test_without_events_there_is_none(tmp_path: Path) -> None:
    write_deltalake(tmp_path, pa.table({"event_time": pa.array([], pa.timestamp("us", "UTC"))}))

    assert newest_event_time(DeltaTable(tmp_path), "event_time") is None
