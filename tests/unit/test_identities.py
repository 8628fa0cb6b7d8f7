import numpy as np
import pyarrow as pa

from jobs.engine.identities import Identities, IdentitySet

MINUTE = 60_000_000


def identities(*keys: str) -> Identities:
    return Identities.of(pa.chunked_array([pa.array(keys, pa.string())]))


def raw(*pairs: tuple[int, int]) -> Identities:
    high, low = zip(*pairs, strict=True)
    return Identities(np.array(high, dtype=np.uint64), np.array(low, dtype=np.uint64))


def at_minute(*minutes: int) -> np.ndarray:
    return np.array(minutes, dtype=np.int64) * MINUTE


def test_what_was_added_is_known() -> None:
    seen = IdentitySet(MINUTE)
    seen.add(identities("a", "b"), at_minute(1, 2))
    seen.add(identities("c"), at_minute(1))

    assert seen.known(identities("c", "x", "a", "b", "")).tolist() == [True, False, True, True, False]


def test_many_are_found_among_many() -> None:
    keys = [f"event-{number}" for number in range(20_000)]
    seen = IdentitySet(MINUTE)
    for part in range(0, 20_000, 1_000):
        seen.add(identities(*keys[part : part + 1_000 : 2]), at_minute(*[part // 5_000] * 500))

    assert seen.known(identities(*keys)).tolist() == [True, False] * 10_000


def test_a_bucket_is_forgotten_when_it_ends() -> None:
    seen = IdentitySet(MINUTE)
    seen.add(identities("a", "b", "c"), at_minute(1, 2, 3))

    seen.forget(3 * MINUTE - 1)

    assert seen.known(identities("a", "b", "c")).tolist() == [False, True, True]
    assert seen.floor(3 * MINUTE - 1) == 2 * MINUTE


def test_times_before_the_epoch_have_buckets_too() -> None:
    seen = IdentitySet(MINUTE)
    seen.add(identities("a"), at_minute(-5))

    assert seen.known(identities("a")).tolist() == [True]


def test_identities_that_share_half_of_their_hash_are_told_apart() -> None:
    seen = IdentitySet(MINUTE)
    seen.add(raw((7, 1), (7, 2), (7, 3), (9, 1)), at_minute(0, 0, 0, 0))

    assert seen.known(raw((7, 3), (7, 4), (9, 1), (9, 2), (8, 1), (7, 1))).tolist() == [
        True,
        False,
        True,
        False,
        False,
        True,
    ]


def test_the_first_of_each_identity_is_the_first_in_order() -> None:
    order = (np.array([5, 4, 9, 1]), np.array([0, 0, 0, 1]))

    assert identities("a", "a", "b", "a").first(order).tolist() == [False, True, True, False]


def test_an_empty_column_has_no_identities() -> None:
    none = identities()

    assert IdentitySet(MINUTE).known(none).tolist() == []
    assert none.first((np.array([], dtype=np.int64),)).tolist() == []
