"""Where a query goes on when it starts: what its positions, its checkpoint, its tables and Kafka say together.

The newest position is the truth: the checkpoint is written anew where it says something else, and both are changed
where Kafka is not what it was (docs/decisions/0061).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from deltalake import DeltaTable

from jobs.engine import accidents
from jobs.engine.accidents import Accident, Kind
from jobs.engine.batch import Batch
from jobs.engine.checkpoint import Checkpoint
from jobs.engine.exceptions import OlderTablesError
from jobs.engine.offsets import Offsets, changed, each, offset_of, without
from jobs.engine.positions import NONE, Fence, Position, Positions, renewed
from jobs.engine.table import Table
from jobs.engine.topics import Kept


@dataclass(frozen=True)
class Written:
    """The tables of a query.

    ``counted`` is written last, in every micro-batch that has records; ``events`` keep what came.
    """

    counted: Table
    events: Sequence[Table]

    def last_batch(self, query_id: str, lake: str) -> int:
        """The last micro-batch of a query that they have, or -1."""
        url = self.counted.url(lake)
        if not DeltaTable.is_deltatable(url):
            return NONE
        last = DeltaTable(url).transaction_version(Batch(query_id, 0).application(self.counted.name))
        return NONE if last is None else last

    def have_rows(self, lake: str) -> bool:
        """Whether there are events in them."""
        urls = [table.url(lake) for table in self.events]
        return any(DeltaTable.is_deltatable(url) and DeltaTable(url).file_uris() for url in urls)


def resume(query: str, written: Written, kept: Kept, lake: str) -> Fence:
    """Bring the checkpoint of a query, which does not run, to where it goes on, and note what was lost.

    Args:
        query: its name.
        written: its tables.
        kept: what Kafka has of the topics that it reads.
        lake: root of the lake.

    Returns:
        what notes its micro-batches from now on.

    Raises:
        OlderTablesError: the tables lack micro-batches that it has finished.
    """
    positions, checkpoint = Positions(query, lake), Checkpoint(query, lake)
    noted = positions.newest()
    known = noted or checkpoint.position()
    if known is None:
        # An id alone, without offsets, would let the tables skip what comes.
        checkpoint.clear()
        return Fence(positions, kept.ids, None, _read_again(query, 0, kept, lake) if written.have_rows(lake) else {})
    last = written.last_batch(known.query_id, lake)
    if last < known.filled:
        raise _older_tables(query, written, last)
    found: list[Accident] = []
    if last > known.batch or (noted is None and last == NONE and written.have_rows(lake)):
        # Under its old id, the tables would skip what comes next.
        known = renewed(known, _read_again(query, known.batch, kept, lake))
        last = NONE
    elif noted:
        checkpoint.drop_plan_of(known.batch + 1)
        found += [] if _is_at(checkpoint, known) else [Accident(query, "rebuilt", known.batch)]
    is_done = last >= known.batch and (bool(found) or checkpoint.is_done(known.batch))
    position, lost = carry_on(query, known, kept, is_done=is_done)
    accidents.note([*found, *lost], lake)
    if position != noted:
        positions.write(position)
    if not checkpoint.leads_to(position, is_done=is_done):
        checkpoint.write(position, is_done=is_done)
    # What the tables have had records.
    return Fence(positions, kept.ids, replace(position, filled=max(position.filled, last)), {})


def rewind(query: str, written: Written, lake: str) -> int:
    """Let a query, which does not run, go on from where its tables are; returns the micro-batch that they end with.

    Where its positions do not reach back so exactly, it reads more of Kafka again, and leaves out what its tables have.

    Raises:
        OlderTablesError: no position is as old as the tables.
    """
    positions = Positions(query, lake)
    newest = positions.newest()
    if newest is None:
        raise OlderTablesError(f"there are no positions of {query}: it goes on from its checkpoint, if it has one.")
    last = written.last_batch(newest.query_id, lake)
    # Some tables may have the micro-batch after it: the one that counts is written last.
    reached = [batch for batch in positions.batches() if batch <= last + 1]
    if not reached:
        raise OlderTablesError(
            f"no position of {query} is as old as its tables. Delete _checkpoints/{query} and _positions/{query} in "
            "the lake: then it reads all that Kafka has, and leaves out what its tables have."
        )
    if reached[-1] < last:
        position = positions.of(reached[-1])
        until = changed(changed(position.end, newest.end), newest.replayed_until)
        positions.write(renewed(position, until))
    positions.delete_after(reached[-1])
    return last


def carry_on(query: str, last: Position, kept: Kept, *, is_done: bool) -> tuple[Position, list[Accident]]:
    """The last position of a query as Kafka asks for it now, and what accidents took.

    Args:
        query: its name.
        last: the newest position.
        kept: what Kafka has of the topics that it is to read.
        is_done: whether the micro-batch of the position is done; otherwise it will run again.

    Returns:
        the position from which it goes on: without topics that it does not read any more, whose offsets are
        remembered; with those that it reads again; without those that were made anew, which it reads from their
        beginning; and without what Kafka has lost.
    """
    # Of a plan that was made after a contract had gone, and that nobody could carry out.
    dropped = {topic: offsets for topic, offsets in last.start.items() if topic not in last.end}
    last = replace(last, start=without(last.start, dropped), retired={**last.retired, **dropped})
    unread = last.end if is_done else last.start
    topics = kept.beginnings.keys()
    retired, anew = last.end.keys() - topics, {topic for topic in topics if _is_another(topic, last, kept)}
    back = {topic: last.retired[topic] for topic in topics & last.retired.keys() - anew}
    gone = {topic: unread.get(topic) or last.retired.get(topic) or {} for topic in sorted(anew)}
    found = [Accident(query, "made anew", last.batch, topic, int(part), offset) for topic, part, offset in each(gone)]
    position = replace(
        last,
        start=changed(without(last.start, retired | anew), back),
        end=changed(without(last.end, retired | anew), back),
        topic_ids={**last.topic_ids, **kept.ids},
        retired=without(last.retired, topics) | {topic: unread[topic] for topic in retired & unread.keys()},
        replayed_until=without(last.replayed_until, retired) | {topic: kept.ends[topic] for topic in sorted(anew)},
    )
    for topic, partition, _ in list(each(position.end)):
        position, lost = _within(query, position, topic, partition, kept, is_done=is_done)
        found += lost
    return position, found


def _within(
    query: str, position: Position, topic: str, partition: str, kept: Kept, *, is_done: bool
) -> tuple[Position, list[Accident]]:
    """A position inside what Kafka has of one partition, and what is lost by that."""
    end = position.end[topic][partition]
    start = end if is_done else offset_of(position.start, topic, partition)
    first, beyond = (offset_of(of, topic, partition) or 0 for of in (kept.beginnings, kept.ends))
    if first <= end <= beyond:
        return position, []
    kind: Kind
    if first > end:
        kind, lost, moved = "expired", (end if start is None else start, first), (first, first)
    else:
        kind, lost, moved = "cut off", (beyond, end), (beyond if start is None else min(start, beyond), beyond)
    starts, ends = ({topic: {partition: offset}} for offset in moved)
    if start is not None:
        position = replace(position, start=changed(position.start, starts))
    position = replace(position, end=changed(position.end, ends))
    return position, [Accident(query, kind, position.batch, topic, int(partition), *lost)]


def _is_another(topic: str, last: Position, kept: Kept) -> bool:
    """Whether a topic is not the one any more that the query read."""
    before, now = last.topic_ids.get(topic), kept.ids.get(topic)
    if before and now:
        return before != now
    read = last.end.get(topic) or last.retired.get(topic) or {}
    return any((kept.ends[topic].get(partition) or 0) < offset for partition, offset in read.items())


def _is_at(checkpoint: Checkpoint, position: Position) -> bool:
    there = checkpoint.position()
    if there is None:
        return False
    return (there.query_id, there.batch, there.end) == (position.query_id, position.batch, position.end)


def _read_again(query: str, batch: int, kept: Kept, lake: str) -> Offsets:
    """Note that a query reads records again; returns up to where, at most."""
    accidents.note([Accident(query, "read again", batch)], lake)
    return kept.ends


def _older_tables(query: str, written: Written, last: int) -> OlderTablesError:
    table = f"{written.counted.layer}.{written.counted.name}"
    has = f"ends with micro-batch {last:,}" if last >= 0 else "has none of them"
    return OlderTablesError(
        f"{query} has finished later micro-batches than its tables have: {table} {has}. Were tables brought back from "
        f"a backup without _checkpoints and _positions? `sluice rewind {query}` lets it go on from where they are."
    )
