"""When the late lane works, and when it rests."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from jobs.late import EVENTS_PER_TURN, LateLane
from jobs.settings import Settings
from tests.stack.pipeline import eventually

TURN = 0.05
"""Seconds."""


class Scripted:
    """Turns of an entity that find so many events one after the other, and none after that; or fail."""

    topic = "shop.orders"

    def __init__(self, *found: int | OSError) -> None:
        self.taken = 0
        self._found = iter(found)

    def take(self) -> int:
        self.taken += 1
        time.sleep(TURN)
        found = next(self._found, 0)
        if isinstance(found, OSError):
            raise found
        return found


@pytest.fixture
def turns() -> Scripted:
    return Scripted()


@pytest.fixture
def lane(turns: Scripted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LateLane]:
    monkeypatch.setattr("jobs.late.Turns", lambda *_: turns)
    monkeypatch.setattr("jobs.late.RETRY_AFTER", TURN)
    lane = LateLane("live-shop", [cast("Any", None)], cast("Any", None), Settings(home=tmp_path))
    lane.start()
    yield lane
    lane.stop()


def taken(turns: Scripted, count: int) -> None:
    eventually(lambda: turns.taken == count, what=f"{count} turns", seconds=10)


def test_a_busy_stream_leaves_most_of_the_time_to_others(lane: LateLane, turns: Scripted) -> None:
    began = time.monotonic()
    while (passed := time.monotonic() - began) < 40 * TURN:
        lane.notice(10)
        time.sleep(TURN / 10)
    assert 2 <= turns.taken <= passed / TURN / 10 + 1


def test_a_late_event_of_a_quiet_stream_is_taken_at_once(lane: LateLane, turns: Scripted) -> None:
    taken(turns, 1)
    lane.notice(0)
    time.sleep(20 * TURN)
    assert turns.taken == 1

    lane.notice(1)

    eventually(lambda: turns.taken == 2, what="a turn", seconds=5)


@pytest.mark.parametrize("turns", [Scripted(EVENTS_PER_TURN, EVENTS_PER_TURN, 7, 7)])
def test_where_there_are_many_it_goes_on(lane: LateLane, turns: Scripted) -> None:
    taken(turns, 3)
    time.sleep(20 * TURN)
    assert turns.taken == 3


@pytest.mark.parametrize("turns", [Scripted(OSError("no space left on device"))])
def test_what_failed_is_tried_again(lane: LateLane, turns: Scripted) -> None:
    taken(turns, 2)
