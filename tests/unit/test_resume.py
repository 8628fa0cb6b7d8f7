"""Where a query goes on after Kafka, contracts, checkpoints or tables have changed."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import DeltaTable
from pyspark.sql.types import LongType, StructField, StructType

from jobs.engine.accidents import ACCIDENTS
from jobs.engine.batch import Batch
from jobs.engine.checkpoint import Checkpoint
from jobs.engine.commit import Appender
from jobs.engine.exceptions import OlderTablesError
from jobs.engine.offsets import Offsets
from jobs.engine.positions import Fence, Position, Positions
from jobs.engine.query import expired
from jobs.engine.resume import Written, carry_on, resume, rewind
from jobs.engine.table import Table
from jobs.engine.topics import Kept

ORDERS, CLICKS = "shop.orders", "shop.clicks"
LAST = Position(
    query_id="query",
    batch=7,
    start={ORDERS: {"0": 70, "1": 7}},
    end={ORDERS: {"0": 80, "1": 8}},
    header="",
    topic_ids={ORDERS: "a", CLICKS: "c"},
    retired={CLICKS: {"0": 5}},
    filled=6,
)
KEPT = Kept(ids={ORDERS: "a"}, beginnings={ORDERS: {"0": 0, "1": 0}}, ends={ORDERS: {"0": 90, "1": 90}})
BOTH = Kept(
    ids={ORDERS: "a", CLICKS: "c"},
    beginnings={**KEPT.beginnings, CLICKS: {"0": 0}},
    ends={**KEPT.ends, CLICKS: {"0": 9}},
)


def gone_on(last: Position, kept: Kept, *, is_done: bool = True) -> tuple[Position, list[tuple[Any, ...]]]:
    position, found = carry_on("bronze", last, kept, is_done=is_done)
    return position, [(one.kind, one.topic, one.partition, one.from_offset, one.to_offset) for one in found]


@pytest.mark.parametrize("is_done", [True, False])
def test_where_nothing_happened_nothing_changes(is_done: bool) -> None:
    assert gone_on(LAST, KEPT, is_done=is_done) == (LAST, [])


@pytest.mark.parametrize(("is_done", "offsets"), [(True, {"0": 80, "1": 8}), (False, {"0": 70, "1": 7})])
def test_a_topic_that_is_not_read_any_more_is_remembered_where_it_was(is_done: bool, offsets: dict[str, int]) -> None:
    kept = Kept({CLICKS: "c"}, {CLICKS: {"0": 0}}, {CLICKS: {"0": 9}})

    position, lost = gone_on(replace(LAST, retired={}), kept, is_done=is_done)

    assert (position.start, position.end, position.retired) == ({}, {}, {ORDERS: offsets})
    assert (position.topic_ids, lost) == (LAST.topic_ids, [])


@pytest.mark.parametrize("is_done", [True, False])
def test_a_topic_that_is_put_back_goes_on_where_it_was(is_done: bool) -> None:
    position, lost = gone_on(LAST, BOTH, is_done=is_done)

    assert position.start == {**LAST.start, CLICKS: {"0": 5}}
    assert position.end == {**LAST.end, CLICKS: {"0": 5}}
    assert (position.retired, lost) == ({}, [])


def test_a_topic_that_a_plan_left_out_is_remembered_too() -> None:
    stuck = replace(LAST, start={**LAST.start, CLICKS: {"0": 5}}, retired={})

    assert gone_on(stuck, KEPT, is_done=False) == (LAST, [])
    position, _ = gone_on(stuck, BOTH, is_done=False)
    assert position.end == {**LAST.end, CLICKS: {"0": 5}}


@pytest.mark.parametrize(("is_done", "unread"), [(True, (80, 8)), (False, (70, 7))])
def test_a_topic_that_was_made_anew_is_read_from_its_beginning(is_done: bool, unread: tuple[int, int]) -> None:
    position, lost = gone_on(LAST, replace(KEPT, ids={ORDERS: "b"}), is_done=is_done)

    assert (position.start, position.end) == ({}, {})
    assert position.topic_ids[ORDERS] == "b"
    # Some of it may have been taken for the old one's before anybody noticed.
    assert position.replayed_until == KEPT.ends
    assert lost == [("made anew", ORDERS, part, offset, None) for part, offset in enumerate(unread)]


def test_a_retired_topic_that_was_made_anew_is_read_from_its_beginning() -> None:
    position, lost = gone_on(LAST, replace(BOTH, ids={ORDERS: "a", CLICKS: "d"}))

    assert (position.end, position.retired) == (LAST.end, {})
    assert lost == [("made anew", CLICKS, 0, 5, None)]


def test_without_identifiers_a_topic_with_less_than_was_read_was_made_anew() -> None:
    kept = Kept({}, KEPT.beginnings, {ORDERS: {"0": 3, "1": 90}})
    position, lost = gone_on(replace(LAST, topic_ids={}), kept)

    assert position.end == {}
    assert [kind for kind, *_ in lost] == ["made anew", "made anew"]


def test_what_kafka_deleted_is_passed_at_once() -> None:
    position, lost = gone_on(LAST, replace(KEPT, beginnings={ORDERS: {"0": 85, "1": 8}}))

    assert position.end == {ORDERS: {"0": 85, "1": 8}}
    assert lost == [("expired", ORDERS, 0, 80, 85)]


def test_of_a_batch_that_runs_again_only_what_is_lost_as_a_whole_is_passed() -> None:
    position, lost = gone_on(LAST, replace(KEPT, beginnings={ORDERS: {"0": 75, "1": 50}}), is_done=False)

    assert (position.start, position.end) == ({ORDERS: {"0": 70, "1": 50}}, {ORDERS: {"0": 80, "1": 50}})
    # What is missing of the rest shows when it is read.
    assert lost == [("expired", ORDERS, 1, 7, 50)]


@pytest.mark.parametrize(("is_done", "starts"), [(True, 79), (False, 70)])
def test_the_same_topic_with_less_than_was_read_is_read_from_its_end(is_done: bool, starts: int) -> None:
    position, lost = gone_on(LAST, replace(KEPT, ends={ORDERS: {"0": 79, "1": 90}}), is_done=is_done)

    assert (position.start["shop.orders"]["0"], position.end["shop.orders"]["0"]) == (starts, 79)
    assert lost == [("cut off", ORDERS, 0, 79, 80)]


BATCH = Batch("query", 8, start={ORDERS: {"0": 80, "1": 8}}, end={ORDERS: {"0": 90, "1": 8, "2": 4}})


def found(received: Offsets, first: int) -> list[tuple[int | None, ...]]:
    rows = expired("bronze", BATCH, received, lambda asked: {ORDERS: {"0": first}} if ORDERS in asked else {})
    return [(row.partition, row.from_offset, row.to_offset) for row in rows]


@pytest.mark.parametrize(
    ("received", "first", "lost"),
    [
        ({"0": 80}, None, []),
        ({"0": 83}, 83, [(0, 80, 83)]),
        # What transactions and compaction leave out.
        ({"0": 83}, 0, []),
        ({"0": 83}, 82, [(0, 80, 82)]),
        ({}, 85, [(0, 80, 85)]),
        ({}, 200, [(0, 80, 90)]),
        ({}, 0, []),
    ],
)
def test_only_what_kafka_deleted_is_lost(
    received: dict[str, int], first: int | None, lost: list[tuple[int, int, int]]
) -> None:
    def never(asked: Offsets) -> Offsets:
        raise AssertionError("Kafka is asked though all came")

    if first is None:
        assert expired("bronze", BATCH, {ORDERS: {**received, "2": 0}}, never) == []
    else:
        assert found({ORDERS: {**received, "2": 0}}, first) == lost


TABLE = Table("ops", "numbers", StructType([StructField("number", LongType())]), "")
WRITTEN = Written(counted=TABLE, events=[TABLE])
HEADER = 'v1\n{"batchWatermarkMs":0,"batchTimestampMs":1795996652662,"conf":{}}'


class Run:
    """A query that reads ten records of one topic per micro-batch, as it leaves its files."""

    def __init__(self, lake: Path) -> None:
        self.root = lake
        self.lake = str(lake)
        self.positions, self.checkpoint = Positions("bronze", self.lake), Checkpoint("bronze", self.lake)
        self.kept = Kept({ORDERS: "a"}, {ORDERS: {"0": 0}}, {ORDERS: {"0": 1000}})

    def start(self) -> Fence:
        return resume("bronze", WRITTEN, self.kept, self.lake)

    def position(self, number: int, query: str = "query") -> Position:
        start = {ORDERS: {"0": 10 * number}} if number else {}
        return Position(query, number, start, {ORDERS: {"0": 10 * number + 10}}, HEADER)

    def process(
        self, number: int, fence: Fence, *, query: str = "query", writes: bool = True, ends: bool = True
    ) -> bool:
        """A micro-batch; returns whether it was told that tables may have some of its records already."""
        position = self.position(number, query)
        self.checkpoint.write(position, is_done=False)
        batch = Batch(query, number, start=position.start, end=position.end)
        is_replay = fence.enter(batch, HEADER)
        if writes:
            self.write(number, query)
        if ends:
            self.checkpoint.write(position, is_done=True)
        fence.leave(batch, had_records=True)
        return is_replay

    def write(self, number: int, query: str = "query") -> None:
        Appender(TABLE, self.lake).append(pa.table({"number": [number]}), Batch(query, number))

    def next_batch(self) -> tuple[int, Offsets]:
        """The micro-batch with which Spark would go on, and where it begins."""
        position = self.checkpoint.position()
        assert position is not None
        is_done = self.checkpoint.is_done(position.batch)
        return (position.batch + 1, position.end) if is_done else (position.batch, position.start)

    def kinds(self) -> list[str]:
        if not DeltaTable.is_deltatable(ACCIDENTS.url(self.lake)):
            return []
        kinds: list[str] = DeltaTable(ACCIDENTS.url(self.lake)).to_pyarrow_table()["kind"].to_pylist()
        return kinds


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """A query that has done micro-batches 0 to 4."""
    made = Run(tmp_path)
    fence = made.start()
    for number in range(5):
        assert not made.process(number, fence)
    return made


def offset(number: int) -> Offsets:
    return {ORDERS: {"0": number}}


def test_a_query_goes_on_where_it_ended(run: Run) -> None:
    run.start()
    assert run.next_batch() == (5, offset(50))
    assert run.kinds() == []


def test_a_batch_that_was_not_finished_runs_again(run: Run) -> None:
    run.process(5, run.start(), writes=False, ends=False)
    run.start()
    assert run.next_batch() == (5, offset(50))

    run.write(5)
    # That it is in the table says nothing of other tables.
    run.start()
    assert run.next_batch() == (5, offset(50))
    assert run.kinds() == []


def test_a_plan_without_a_position_is_dropped(run: Run) -> None:
    (run.root / "_checkpoints/bronze/offsets/5").write_text(HEADER + '\n{"shop.orders":{"0":3}}')
    run.start()
    assert run.next_batch() == (5, offset(50))
    assert run.kinds() == []


def test_a_lost_checkpoint_is_rebuilt_under_the_same_query_id(run: Run) -> None:
    shutil.rmtree(run.root / "_checkpoints")
    run.start()
    assert run.next_batch() == (5, offset(50))
    position = run.checkpoint.position()
    assert position is not None
    assert position.query_id == "query"
    assert run.kinds() == ["rebuilt"]


@pytest.mark.parametrize(
    "there", [Position("query", 2, {}, offset(30), HEADER), Position("x", 4, {}, offset(50), HEADER)]
)
def test_an_older_or_foreign_checkpoint_is_rebuilt(run: Run, there: Position) -> None:
    run.checkpoint.write(there, is_done=True)
    run.start()
    assert run.next_batch() == (5, offset(50))
    assert run.kinds() == ["rebuilt"]


def test_tables_that_are_newer_than_all_notes_are_held_against_what_is_read_again(run: Run) -> None:
    fence = run.start()
    for number in range(5, 9):
        run.process(number, fence)
    run.positions.delete_after(4)
    run.checkpoint.write(run.position(4), is_done=True)

    fence = run.start()

    assert run.kinds() == ["read again"]
    assert run.next_batch() == (4, offset(40))
    position = run.checkpoint.position()
    assert position is not None
    assert position.query_id != "query"
    # Nor does it begin once more.
    run.start()
    assert run.checkpoint.position() == position
    assert run.process(4, fence, query=position.query_id)
    assert run.process(5, run.start(), query=position.query_id)
    assert run.kinds() == ["read again"]


def test_without_any_notes_tables_are_held_against_what_is_read_again(run: Run) -> None:
    for folder in ("_positions", "_checkpoints"):
        shutil.rmtree(run.root / folder)
    assert run.process(0, run.start(), query="new")
    assert run.process(1, run.start(), query="new")
    assert run.kinds() == ["read again"]


def test_a_query_id_without_offsets_is_not_used_again(run: Run) -> None:
    shutil.rmtree(run.root / "_positions")
    shutil.rmtree(run.root / "_checkpoints/bronze/offsets")
    run.start()
    assert not (run.root / "_checkpoints/bronze/metadata").exists()


def test_an_installation_that_has_no_positions_yet_goes_on_from_its_checkpoint(run: Run) -> None:
    shutil.rmtree(run.root / "_positions")
    fence = run.start()
    assert run.next_batch() == (5, offset(50))
    assert not run.process(5, fence)
    assert run.kinds() == []


def test_tables_that_are_older_than_their_query_are_refused_until_it_is_rewound(run: Run) -> None:
    table, backup = run.root / "ops/numbers", run.root / "backup"
    fence = run.start()
    run.process(5, fence)
    shutil.copytree(table, backup)
    for number in range(6, 9):
        run.process(number, fence)
    shutil.rmtree(table)
    shutil.copytree(backup, table)

    for _ in range(2):
        with pytest.raises(OlderTablesError, match=r"ops\.numbers ends with micro-batch 5.*`sluice rewind bronze`"):
            run.start()
    assert rewind("bronze", WRITTEN, run.lake) == 5
    run.start()

    # The very same, for other tables may have it.
    assert run.next_batch() == (6, offset(60))
    assert not run.process(6, run.start())


def test_older_tables_are_noticed_though_every_batch_had_a_process_of_its_own(tmp_path: Path) -> None:
    run = Run(tmp_path)
    for number in range(4):
        run.process(number, run.start())
        if number == 1:
            shutil.copytree(tmp_path / "ops/numbers", tmp_path / "backup")
    shutil.rmtree(tmp_path / "ops/numbers")
    shutil.copytree(tmp_path / "backup", tmp_path / "ops/numbers")

    with pytest.raises(OlderTablesError, match="ends with micro-batch 1"):
        run.start()


def test_a_query_is_rewound_further_where_positions_are_thinned_out(run: Run) -> None:
    table, backup = run.root / "ops/numbers", run.root / "backup"
    shutil.copytree(table, backup)
    fence = run.start()
    for number in range(5, 9):
        run.process(number, fence)
    for number in (3, 4, 5, 6):
        (run.root / f"_positions/bronze/{number:020}.json").unlink()
    shutil.rmtree(table)
    shutil.copytree(backup, table)

    assert rewind("bronze", WRITTEN, run.lake) == 4
    fence = run.start()

    assert run.next_batch() == (2, offset(20))
    position = run.checkpoint.position()
    assert position is not None
    assert position.query_id != "query"
    assert [run.process(number, fence, query=position.query_id) for number in (2, 3, 8, 9)] == [True, True, True, False]


def test_tables_that_are_gone_are_refused(run: Run) -> None:
    shutil.rmtree(run.root / "ops/numbers")
    with pytest.raises(OlderTablesError, match=r"ops\.numbers has none of them"):
        run.start()
    assert rewind("bronze", WRITTEN, run.lake) == -1
    run.start()
    assert run.next_batch() == (0, {})
