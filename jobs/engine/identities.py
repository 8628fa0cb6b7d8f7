"""A set of identities that is searched and grown by the thousand, and forgets those whose time has passed."""

from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pandas.util import hash_array

# An identity is hashed to 128 bits, so that two different ones are never taken for the same: among a billion, the
# chance is below 1e-20. Each half has a key of its own (16 bytes, as SipHash wants).
HASH_KEYS = ("sluice identity1", "sluice identity2")

Halves = NDArray[np.uint64]
Times = NDArray[np.int64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Identities:
    """Hashed identities, in the order of what they identify."""

    high: Halves
    low: Halves

    @classmethod
    def of(cls, keys: pa.ChunkedArray) -> "Identities":
        """Hash a column of strings; null is an identity like any other."""
        strings = keys.fill_null("").to_numpy().astype(object)
        high, low = (hash_array(strings, hash_key=key, categorize=False) for key in HASH_KEYS)
        return cls(high, low)

    def __len__(self) -> int:
        return len(self.high)

    def __getitem__(self, rows: Flags | NDArray[np.intp]) -> "Identities":
        return Identities(self.high[rows], self.low[rows])

    def first(self, times: Times, order: tuple[NDArray[np.int64], ...], *, within: int) -> Flags:
        """Which rows are the first of their identity; again the first when so much later or earlier than those before.

        Args:
            times: event times, microseconds.
            order: columns by which a row is before another, the most significant last.
            within: microseconds up to which two of the same identity are the same.
        """
        rows = np.lexsort((*order, self.low, self.high))
        high, low = self.high[rows], self.low[rows]
        is_next = np.zeros(len(rows), dtype=np.bool_)
        is_next[1:] = (high[1:] == high[:-1]) & (low[1:] == low[:-1])
        flags = np.ones(len(rows), dtype=np.bool_)
        kept: list[int] = []
        # Few identities come twice in a batch.
        for place in np.flatnonzero(is_next):
            if not is_next[place - 1]:
                kept = [int(times[rows[place - 1]])]
            time = int(times[rows[place]])
            if any(abs(time - other) <= within for other in kept):
                flags[rows[place]] = False
            else:
                kept.append(time)
        return flags


@dataclass(frozen=True)
class _Bucket:
    """Identities and their event times, sorted by the first half."""

    identities: Identities
    times: Times

    @classmethod
    def of(cls, identities: Identities, times: Times) -> "_Bucket":
        order = np.argsort(identities.high)
        return cls(identities[order], times[order])

    def merged(self, other: "_Bucket") -> "_Bucket":
        mine, theirs = self.identities, other.identities
        places = np.searchsorted(mine.high, theirs.high)
        high, low = np.insert(mine.high, places, theirs.high), np.insert(mine.low, places, theirs.low)
        return _Bucket(Identities(high, low), np.insert(self.times, places, other.times))

    def known(self, identities: Identities, times: Times, within: int) -> Flags:
        """Which of these it has, at most ``within`` apart."""
        own = self.identities
        found = np.zeros(len(identities), dtype=np.bool_)
        places = np.searchsorted(own.high, identities.high)
        open_ = np.arange(len(identities))
        # Nearly always one step: only what shares 64 bits of its hash needs another.
        while len(open_):
            open_ = open_[places[open_] < len(own)]
            open_ = open_[own.high[places[open_]] == identities.high[open_]]
            at = places[open_]
            is_near = np.abs(self.times[at] - times[open_]) <= within
            hit = (own.low[at] == identities.low[open_]) & is_near
            found[open_[hit]] = True
            open_ = open_[~hit]
            places[open_] += 1
        return found


@dataclass
class IdentitySet:
    """Identities in buckets by event time.

    Each bucket is sorted, 24 bytes per identity; it grows by copying, which at these sizes is quicker than any
    structure of Python's own.
    """

    bucket_width: int
    """Microseconds."""
    _buckets: dict[int, _Bucket] = field(default_factory=dict)

    def floor(self, time: int) -> int:
        """Start of the bucket of a time, in microseconds: what ``forget`` with this time leaves in the set."""
        return time // self.bucket_width * self.bucket_width

    def add(self, identities: Identities, times: Times) -> None:
        """Add identities with their event times, in microseconds."""
        buckets = times // self.bucket_width
        for bucket in np.unique(buckets):
            is_inside = buckets == bucket
            new = _Bucket.of(identities[is_inside], times[is_inside])
            old = self._buckets.get(int(bucket))
            self._buckets[int(bucket)] = old.merged(new) if old is not None else new

    def forget(self, before: int) -> None:
        """Forget the buckets that end at or before a time, in microseconds."""
        first = before // self.bucket_width
        self._buckets = {bucket: ids for bucket, ids in self._buckets.items() if bucket >= first}

    def known(self, identities: Identities, times: Times, *, within: int) -> Flags:
        """Which of these identities are in the set with an event time that is at most ``within`` microseconds away."""
        order = np.argsort(identities.high)  # Neighbours lie close together: far fewer cache misses.
        ordered, ordered_times = identities[order], times[order]
        found = np.zeros(len(order), dtype=np.bool_)
        for bucket in self._buckets.values():
            found |= bucket.known(ordered, ordered_times, within)
        flags = np.empty(len(order), dtype=np.bool_)
        flags[order] = found
        return flags
