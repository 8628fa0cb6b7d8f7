"""Find the records that make a micro-batch fail, by halving it."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import pyarrow as pa
from pyspark.sql import DataFrame

from jobs.engine.commit import Rows

REASON = "unprocessable: the record"
"""The rule that such a record breaks."""
LONGEST_ERROR = 200
MOST = 64
"""When so many fail and none does not, it is not the records that are wrong."""
RECORDS_AT_ONCE = 1_000
"""Of a batch that Spark holds."""

Attempt = Callable[[pa.Table], bool]
"""Does with some records what a micro-batch does, but writes nothing; raises what they make it raise.

Says whether there was an event among them that could have failed at every step.
"""


@dataclass
class Isolation:
    """The records, with their columns, that an attempt fails at, and the reason for each."""

    attempt: Attempt
    found: list[pa.Table] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)
    _is_any_right: bool = False

    def search(self, records: Rows) -> None:
        """Search records, of one topic.

        Raises:
            Exception: the attempt fails without any record, or at all of very many: that is no record's fault.
        """
        for part in _parts(records):
            if not self.found:
                self.attempt(_some(part, 0, 0))
            self._search(part)

    def _search(self, part: pa.Table) -> None:
        if not part.num_rows:
            return
        try:
            self._is_any_right |= self.attempt(part)
        except Exception as error:
            if part.num_rows == 1:
                if len(self.found) >= MOST and not self._is_any_right:
                    raise
                self.found.append(part)
                self.reasons.append(f"{REASON} ({_line(error)})")
            else:
                half = part.num_rows // 2
                self._search(_some(part, 0, half))
                self._search(_some(part, half, part.num_rows))

    def without(self, records: Rows) -> Rows:
        """The records, without those that were found."""
        places = {_places(one)[0] for one in self.found}
        if isinstance(records, DataFrame):
            found = " OR ".join(f"(partition = {partition} AND offset = {offset})" for partition, offset in places)
            return records.where(f"NOT ({found})")
        return _taken(records, [row for row, place in enumerate(_places(records)) if place not in places])


def _parts(records: Rows) -> Iterator[pa.Table]:
    if isinstance(records, pa.Table):
        yield records
        return
    places = sorted(tuple(row) for row in records.select("partition", "offset").collect())
    for start in range(0, len(places), RECORDS_AT_ONCE):
        part = places[start : start + RECORDS_AT_ONCE]
        first, last = part[0], part[-1]
        place = "struct(partition, offset)"
        limits = [f"struct({partition}, {offset}L)" for partition, offset in (first, last)]
        yield records.where(f"{place} >= {limits[0]} AND {place} <= {limits[1]}").toArrow()


def _some(part: pa.Table, start: int, end: int) -> pa.Table:
    return _taken(part, range(start, end))


def _taken(records: pa.Table, rows: Sequence[int]) -> pa.Table:
    # Copied: Arrow does not hand every slice of nested columns on, nor columns without a piece.
    return records.take(pa.array(rows, pa.int64()))


def _places(records: pa.Table) -> list[tuple[int, int]]:
    return list(zip(records["partition"].to_pylist(), records["offset"].to_pylist(), strict=True))


def _line(error: Exception) -> str:
    """What an error says of itself, in a line."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0] if lines else ''}"[:LONGEST_ERROR]
