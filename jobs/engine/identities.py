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

    def first(self, order: tuple[NDArray[np.int64], ...]) -> Flags:
        """Which rows are the first of their identity, by some columns, the most significant last."""
        rows = np.lexsort((*order, self.low, self.high))
        high, low = self.high[rows], self.low[rows]
        is_first = np.ones(len(rows), dtype=np.bool_)
        is_first[1:] = (high[1:] != high[:-1]) | (low[1:] != low[:-1])
        flags = np.empty(len(rows), dtype=np.bool_)
        flags[rows] = is_first
        return flags


@dataclass
class IdentitySet:
    """Identities in buckets by event time.

    Each bucket is sorted, 16 bytes per identity; it grows by copying, which at these sizes is quicker than any
    structure of Python's own.
    """

    bucket_width: int
    """Microseconds."""
    _buckets: dict[int, Identities] = field(default_factory=dict)

    def floor(self, time: int) -> int:
        """Start of the bucket of a time, in microseconds: what ``forget`` with this time leaves in the set."""
        return time // self.bucket_width * self.bucket_width

    def add(self, identities: Identities, times: Times) -> None:
        """Add identities with their event times, in microseconds."""
        buckets = times // self.bucket_width
        for bucket in np.unique(buckets):
            new = identities[buckets == bucket]
            new = new[np.argsort(new.high)]
            old = self._buckets.get(int(bucket))
            self._buckets[int(bucket)] = _merged(old, new) if old is not None else new

    def forget(self, before: int) -> None:
        """Forget the buckets that end at or before a time, in microseconds."""
        first = before // self.bucket_width
        self._buckets = {bucket: ids for bucket, ids in self._buckets.items() if bucket >= first}

    def known(self, identities: Identities) -> Flags:
        """Which of these identities are in the set."""
        order = np.argsort(identities.high)  # Neighbours lie close together: far fewer cache misses.
        ordered = identities[order]
        found = np.zeros(len(order), dtype=np.bool_)
        for bucket in self._buckets.values():
            found |= _in_bucket(ordered, bucket)
        flags = np.empty(len(order), dtype=np.bool_)
        flags[order] = found
        return flags


def _merged(old: Identities, new: Identities) -> Identities:
    places = np.searchsorted(old.high, new.high)
    return Identities(np.insert(old.high, places, new.high), np.insert(old.low, places, new.low))


def _in_bucket(identities: Identities, bucket: Identities) -> Flags:
    found = np.zeros(len(identities), dtype=np.bool_)
    places = np.searchsorted(bucket.high, identities.high)
    open_ = np.arange(len(identities))
    # Nearly always one step: only identities that share 64 bits of their hash need another.
    while len(open_):
        inside = places[open_] < len(bucket)
        open_ = open_[inside]
        open_ = open_[bucket.high[places[open_]] == identities.high[open_]]
        hit = bucket.low[places[open_]] == identities.low[open_]
        found[open_[hit]] = True
        open_ = open_[~hit]
        places[open_] += 1
    return found
