"""The checkpoint of a query: Spark's own notes of where it is, read and written as Spark does.

``metadata`` has the query's id, ``offsets/<batch>`` where each micro-batch ends, ``commits/<batch>`` which are done.
"""

import contextlib

import obstore
import orjson

from jobs.engine.offsets import Offsets
from jobs.engine.positions import Position
from jobs.engine.store import store

COMMITTED = b'v1\n{"nextBatchWatermarkMs":0}'
REPLACED = ("offsets", "commits", "metadata", ".metadata.crc")


class Checkpoint:
    """The checkpoint of one query, which does not run.

    Args:
        query: its name.
        lake: root of the lake.
    """

    def __init__(self, query: str, lake: str) -> None:
        self._folder = f"_checkpoints/{query}"
        self._store = store(lake)

    def position(self) -> Position | None:
        """Where the query is by its checkpoint; None where there is none, or none that can be read."""
        query_id, batches = self._query_id(), self._batches("offsets")
        if query_id is None or not batches:
            return None
        last = batches[-1]
        end, start = self._end(last), self._end(last - 1)
        return None if end is None else Position(query_id, last, start or {}, end, self.header())

    def header(self) -> str:
        """What Spark notes of each micro-batch above the offsets: a version, and settings that its state depends on."""
        version, settings, *_ = self._read(f"offsets/{self._batches('offsets')[-1]}").splitlines()
        return f"{version}\n{settings}"

    def is_done(self, batch: int) -> bool:
        """Whether Spark knows that a micro-batch is done."""
        return batch in self._batches("commits")

    def leads_to(self, position: Position, *, is_done: bool) -> bool:
        """Whether the query would start with the micro-batch of a position, or after it if that is done."""
        batch, planned = position.batch, self._batches("offsets")
        if self._query_id() != position.query_id or not planned or planned[-1] != batch:
            return False
        is_known = self._end(batch) == position.end and self.is_done(batch) == is_done
        return is_known and (is_done or not batch or self._end(batch - 1) == position.start)

    def write(self, position: Position, *, is_done: bool) -> None:
        """Let the query start with the micro-batch of a position, or after it if that is done."""
        self.clear()
        if position.batch:
            self._write_offsets(position.batch - 1, position, position.start)
            self._put(f"commits/{position.batch - 1}", COMMITTED)
        self._write_offsets(position.batch, position, position.end)
        if is_done:
            self._put(f"commits/{position.batch}", COMMITTED)
        self._put("metadata", orjson.dumps({"id": position.query_id}))

    def clear(self) -> None:
        """Let the query start from nothing."""
        for path in self._files():
            obstore.delete(self._store, path)

    def drop_plan_of(self, batch: int) -> None:
        """Let Spark plan a micro-batch anew, of which nothing has been written."""
        if batch in self._batches("offsets"):
            for name in (str(batch), f".{batch}.crc"):
                self._delete(f"offsets/{name}")

    def _query_id(self) -> str | None:
        try:
            query_id: str = orjson.loads(self._read("metadata"))["id"]
        except (FileNotFoundError, orjson.JSONDecodeError):
            return None
        return query_id

    def _end(self, batch: int) -> Offsets | None:
        """Where a micro-batch ends; None where that cannot be read."""
        try:
            _, _, offsets, *_ = self._read(f"offsets/{batch}").splitlines()
            found: Offsets = orjson.loads(offsets)
        except (FileNotFoundError, ValueError):
            return None
        return found

    def _batches(self, log: str) -> list[int]:
        files = obstore.list_with_delimiter(self._store, f"{self._folder}/{log}")["objects"]
        return sorted(int(name) for file in files if (name := file["path"].rpartition("/")[2]).isdigit())

    def _files(self) -> list[str]:
        """What ``write`` replaces, with the checksums that Hadoop keeps beside it."""
        paths = [file["path"] for chunk in obstore.list(self._store, self._folder) for file in chunk]
        return [path for path in paths if path.split("/")[2] in REPLACED]

    def _write_offsets(self, batch: int, position: Position, offsets: Offsets) -> None:
        self._put(f"offsets/{batch}", position.header.encode() + b"\n" + orjson.dumps(offsets))

    def _read(self, name: str) -> str:
        return obstore.get(self._store, f"{self._folder}/{name}").bytes().to_bytes().decode()

    def _put(self, name: str, content: bytes) -> None:
        obstore.put(self._store, f"{self._folder}/{name}", content)

    def _delete(self, name: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            obstore.delete(self._store, f"{self._folder}/{name}")
