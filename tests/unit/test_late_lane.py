"""When the late lane works, and when it rests."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobs.late import EVENTS_PER_TURN, LONGEST_REST, LateLane, Turns
from tests.stack.pipeline import eventually

TURN = 0.05
"""Seconds."""


class Scripted(Turns):
    """Turns of an entity that find so many events one after the other, and none after that; or fail."""

    def __init__(self, *found: int | OSError) -> None:
        self.topic = "shop.orders"
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
def longest_rest() -> float:
    return LONGEST_REST


@pytest.fixture
def lane(turns: Scripted, longest_rest: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LateLane]:
    monkeypatch.setattr("jobs.late.LONGEST_REST", longest_rest)
    lane = LateLane("live-shop", [turns], str(tmp_path))
    lane.start()
    yield lane
    lane.stop()


def test_a_busy_stream_leaves_most_of_the_time_to_others(lane: LateLane, turns: Scripted) -> None:
    began = time.monotonic()
    while (passed := time.monotonic() - began) < 40 * TURN:
        lane.notice(10)
        time.sleep(TURN / 10)
    assert 2 <= turns.taken <= passed / TURN / 10 + 1


def test_a_late_event_of_a_quiet_stream_is_taken_at_once(lane: LateLane, turns: Scripted) -> None:
    eventually(lambda: turns.taken == 1, what="a turn", seconds=5)
    lane.notice(0)
    time.sleep(20 * TURN)
    assert turns.taken == 1

    lane.notice(1)

    eventually(lambda: turns.taken == 2, what="a turn", seconds=LONGEST_REST / 2)


@pytest.mark.parametrize("turns", [Scripted(EVENTS_PER_TURN, EVENTS_PER_TURN, 7)])
def test_where_there_are_many_it_goes_on(lane: LateLane, turns: Scripted) -> None:
    eventually(lambda: turns.taken == 3, what="three turns", seconds=LONGEST_REST / 2)


@pytest.mark.parametrize(("turns", "longest_rest"), [(Scripted(OSError("no space left on device")), TURN)])
def test_what_failed_is_tried_again(lane: LateLane, turns: Scripted) -> None:
    eventually(lambda: turns.taken >= 2, what="another turn", seconds=5)
