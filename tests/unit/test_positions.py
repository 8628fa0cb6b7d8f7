"""One meaning for each micro-batch, whatever becomes of drivers and of checkpoints."""

import time
from pathlib import Path

import pytest

from jobs.engine import positions as module
from jobs.engine.batch import Batch
from jobs.engine.checkpoint import Checkpoint
from jobs.engine.exceptions import FencedError, TurnedBackError
from jobs.engine.offsets import Offsets
from jobs.engine.positions import Fence, Position, Positions

TOPIC = "shop.orders"
HEADER = 'v1\n{"batchWatermarkMs":0,"batchTimestampMs":1795996652662,"conf":{}}'


def at(offset: int, topic: str = TOPIC) -> Offsets:
    return {topic: {"0": offset}}


def batch(number: int, end: int, query: str = "query") -> Batch:
    return Batch(query, number, start=at(10 * number), end=at(end))


class Driver:
    """A driver of one query that goes on after a position."""

    def __init__(self, lake: Path, last: Position | None = None, replayed_until: Offsets | None = None) -> None:
        self.positions = Positions("bronze", str(lake))
        self.fence = Fence(self.positions, {TOPIC: "id"}, last, replayed_until or {})

    def enter(self, batch: Batch) -> bool:
        return self.fence.enter(batch, HEADER)


def test_a_batch_that_runs_again_may_enter_again(tmp_path: Path) -> None:
    Driver(tmp_path).enter(batch(3, 40))
    Driver(tmp_path).enter(batch(3, 40))

    newest = Positions("bronze", str(tmp_path)).newest()
    assert newest is not None
    assert (newest.batch, newest.start, newest.end, newest.topic_ids) == (3, at(30), at(40), {TOPIC: "id"})


@pytest.mark.parametrize("other", [batch(3, 41), batch(3, 40, query="another")])
def test_of_two_drivers_with_other_offsets_one_is_kept_out(tmp_path: Path, other: Batch) -> None:
    first, second = Driver(tmp_path), Driver(tmp_path)
    first.enter(batch(3, 40))

    with pytest.raises(FencedError, match="another driver"):
        second.enter(other)
    first.enter(batch(4, 50))


def test_a_driver_that_wakes_up_after_another_went_on_is_kept_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frozen, other = Driver(tmp_path), Driver(tmp_path)
    frozen.enter(batch(3, 40))
    other.enter(batch(3, 40))
    other.enter(batch(4, 50))

    # The batch at which it froze is as it was, and long done.
    with pytest.raises(FencedError, match="another driver"):
        frozen.enter(batch(3, 40))

    # Or its position has been deleted since.
    Path(tmp_path, f"_positions/bronze/{3:020}.json").unlink()
    now = module.boot_time()
    monkeypatch.setattr(module, "boot_time", lambda: now + 3600)
    with pytest.raises(FencedError, match="another driver"):
        frozen.enter(batch(3, 40))


def test_a_batch_that_ends_before_it_begins_enters_nowhere(tmp_path: Path) -> None:
    driver = Driver(tmp_path)
    with pytest.raises(TurnedBackError, match=r"shop\.orders, partition 0, was read up to offset 30"):
        driver.enter(batch(3, 29))
    assert driver.positions.newest() is None


def test_batches_are_replays_until_they_have_passed_what_the_tables_may_have(tmp_path: Path) -> None:
    driver = Driver(tmp_path, replayed_until=at(45))
    assert driver.enter(batch(3, 40))
    assert driver.enter(batch(4, 50))

    # Who starts in between knows it, too.
    again = Driver(tmp_path, driver.positions.newest())
    assert again.enter(batch(4, 50))
    assert not again.enter(batch(5, 60))
    assert again.positions.of(5).replayed_until == {}


def test_a_position_says_which_batch_before_it_had_records(tmp_path: Path) -> None:
    driver = Driver(tmp_path)
    for number in range(4):
        driver.enter(batch(number, 10 * number + 10))
        driver.fence.leave(batch(number, 10 * number + 10), had_records=number != 2)

    assert [driver.positions.of(number).filled for number in range(4)] == [-1, 0, 1, 1]


def test_old_positions_are_thinned_out_to_one_an_hour(tmp_path: Path) -> None:
    driver = Driver(tmp_path)
    for number in range(301):
        driver.enter(batch(number, 10 * number + 10))
        driver.fence.leave(batch(number, 10 * number + 10), had_records=True)

    first, *others = driver.positions.batches()
    assert first == 0
    assert set(range(201, 301)) <= set(others)
    assert len(others) <= 102


def test_a_position_costs_little(tmp_path: Path) -> None:
    many = {f"shop.topic-{number}": {str(part): 10**9 + part for part in range(12)} for number in range(11)}
    driver = Driver(tmp_path)
    began = time.perf_counter()
    for number in range(50):
        driver.enter(Batch("query", number, start=many, end=many))
    each = (time.perf_counter() - began) / 50
    print(f"\n{1000 * each:.2f} ms for a position of {11 * 12} partitions")
    assert each < 0.02


def test_a_checkpoint_is_written_as_it_is_read(tmp_path: Path) -> None:
    position = Position("query", 7, at(70), at(80), HEADER)
    folder = tmp_path / "_checkpoints" / "bronze"
    (folder / "offsets").mkdir(parents=True)
    for name in ("offsets/9", "offsets/.9.crc", ".metadata.crc"):
        (folder / name).write_text("of an accident")
    checkpoint = Checkpoint("bronze", str(tmp_path))
    assert checkpoint.position() is None
    assert not checkpoint.leads_to(position, is_done=False)

    checkpoint.write(position, is_done=False)

    assert checkpoint.position() == position
    assert checkpoint.leads_to(position, is_done=False)
    assert not checkpoint.leads_to(position, is_done=True)
    files = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert files == {"metadata", "offsets/6", "offsets/7", "commits/6"}
    assert (folder / "offsets/7").read_text() == HEADER + '\n{"shop.orders":{"0":80}}'

    checkpoint.write(position, is_done=True)
    assert checkpoint.leads_to(position, is_done=True)
