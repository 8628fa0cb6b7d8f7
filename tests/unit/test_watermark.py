"""How late an event may be follows from the events before it, whatever process saw them."""

import datetime as dt
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from jobs.engine.batch import EPOCH
from jobs.engine.deduplicate import Arrivals, Sifted
from jobs.engine.identities import Identities
from jobs.engine.watermark import Watermark, newest_event_time, watermark_of

NOON = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)
DELAY = dt.timedelta(minutes=10)


def minutes(number: float) -> dt.datetime:
    return NOON + dt.timedelta(minutes=number)


def rows(times: dict[int, dt.datetime]) -> pa.Table:
    """Rows of silver by offset."""
    return pa.table(
        {
            "partition": pa.array([0] * len(times), pa.int32()),
            "offset": pa.array(list(times), pa.int64()),
            "event_time": pa.array(list(times.values()), pa.timestamp("us", "UTC")),
        }
    )


@pytest.fixture
def silver(tmp_path: Path) -> DeltaTable:
    """Three batches; the newest event is in the second."""
    path = tmp_path / "silver"
    for batch in ({0: minutes(0), 1: minutes(3)}, {2: minutes(9), 3: minutes(1)}, {4: minutes(4)}):
        write_deltalake(path, rows(batch), mode="append")
    return DeltaTable(path)


def sifted(times: dict[int, dt.datetime], *, new: bool = True) -> Sifted:
    """Arrivals that are all new, or all duplicates."""
    moments = [int((time - EPOCH) / dt.timedelta(microseconds=1)) for time in times.values()]
    arrivals = Arrivals(
        partitions=np.zeros(len(times), np.int64),
        offsets=np.array(list(times), np.int64),
        times=np.array(moments, np.int64),
        identities=Identities.of(pa.chunked_array([[str(offset) for offset in times]])),
        is_accepted=np.ones(len(times), np.bool_),
        oldest=0,
        released={},
    )
    every = np.full(len(times), new)
    return Sifted(arrivals, is_new=every, is_late=np.zeros(len(times), np.bool_))


def watermark(silver: DeltaTable) -> Watermark:
    return Watermark(silver, event_time="event_time", delay=DELAY)


@pytest.mark.parametrize(
    ("before", "newest"), [(0, None), (1, minutes(0)), (2, minutes(3)), (4, minutes(9)), (9, minutes(9))]
)
def test_only_earlier_rows_count(silver: DeltaTable, before: int, newest: dt.datetime | None) -> None:
    def is_earlier(found: pa.Table) -> np.ndarray:
        return found["offset"].to_numpy() < before

    assert newest_event_time(silver, "event_time", is_earlier) == newest


def test_a_process_that_starts_has_the_watermark_of_the_one_that_died(silver: DeltaTable) -> None:
    died = watermark(silver)
    second = sifted({2: minutes(9), 3: minutes(1)})
    died.before(second.arrivals)
    died.advance(second)
    batch = sifted({4: minutes(4)})
    expected = died.before(batch.arrivals)

    assert watermark(silver).before(batch.arrivals) == expected


def test_it_follows_new_events_and_never_goes_back(silver: DeltaTable) -> None:
    mark = watermark(silver)
    assert mark.before(sifted({5: minutes(5)}).arrivals) == minutes(9) - DELAY

    mark.advance(sifted({5: minutes(5)}))
    assert mark.before(sifted({6: minutes(6)}).arrivals) == minutes(9) - DELAY

    mark.advance(sifted({6: minutes(12)}))
    assert mark.before(sifted({7: minutes(7)}).arrivals) == minutes(12) - DELAY


def test_duplicates_do_not_move_it(silver: DeltaTable) -> None:
    mark = watermark(silver)
    mark.before(sifted({5: minutes(5)}).arrivals)
    mark.advance(sifted({5: minutes(30)}, new=False))

    assert mark.before(sifted({6: minutes(6)}).arrivals) == minutes(9) - DELAY


def test_before_any_event_it_is_the_epoch() -> None:
    assert watermark_of(None, DELAY) == EPOCH
    assert watermark_of(EPOCH + dt.timedelta(minutes=1), DELAY) == EPOCH


def test_it_is_in_whole_milliseconds() -> None:
    assert watermark_of(NOON.replace(microsecond=123_456), DELAY) == (NOON - DELAY).replace(microsecond=123_000)
