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


def known(seen: IdentitySet, some: Identities, minute: int = 0, within: int = 1000) -> list[bool]:
    """Which of some events of a minute are known, so many minutes around it."""
    found: list[bool] = seen.known(some, at_minute(*[minute] * len(some)), within=within * MINUTE).tolist()
    return found


def test_what_was_added_is_known() -> None:
    seen = IdentitySet(MINUTE)
    seen.add(identities("a", "b"), at_minute(1, 2))
    seen.add(identities("c"), at_minute(1))

    assert known(seen, identities("c", "x", "a", "b", "")) == [True, False, True, True, False]


def test_many_are_found_among_many() -> None:
    keys = [f"event-{number}" for number in range(20_000)]
    seen = IdentitySet(MINUTE)
    for part in range(0, 20_000, 1_000):
        seen.add(identities(*keys[part : part + 1_000 : 2]), at_minute(*[part // 5_000] * 500))

    assert known(seen, identities(*keys)) == [True, False] * 10_000


def test_a_bucket_is_forgotten_when_it_ends() -> None:
    seen = IdentitySet(MINUTE)
    seen.add(identities("a", "b", "c"), at_minute(1, 2, 3))

    seen.forget(3 * MINUTE - 1)

    assert known(seen, identities("a", "b", "c")) == [False, True, True]
    assert seen.floor(3 * MINUTE - 1) == 2 * MINUTE


def test_times_before_the_epoch_have_buckets_too() -> None:
    seen = IdentitySet(MINUTE)
    seen.add(identities("a"), at_minute(-5))

    assert known(seen, identities("a")) == [True]


def test_identities_that_share_half_of_their_hash_are_told_apart() -> None:
    seen = IdentitySet(MINUTE)
    seen.add(raw((7, 1), (7, 2), (7, 3), (9, 1)), at_minute(0, 0, 0, 0))

    assert known(seen, raw((7, 3), (7, 4), (9, 1), (9, 2), (8, 1), (7, 1))) == [
        True,
        False,
        True,
        False,
        False,
        True,
    ]


def test_the_first_of_each_identity_is_the_first_in_order() -> None:
    order = (np.array([5, 4, 9, 1]), np.array([0, 0, 0, 1]))

    together, apart = at_minute(0, 0, 0, 0), at_minute(0, 1, 0, 3)
    keys = identities("a", "a", "b", "a")
    assert keys.first(together, order, within=2 * MINUTE).tolist() == [False, True, True, False]
    assert keys.first(apart, order, within=2 * MINUTE).tolist() == [False, True, True, False]
    assert keys.first(apart, order, within=1 * MINUTE).tolist() == [False, True, True, True]


def test_of_three_the_third_may_be_near_the_first_alone() -> None:
    order = (np.arange(3),)

    assert identities("a", "a", "a").first(at_minute(0, 5, 1), order, within=2 * MINUTE).tolist() == [True, True, False]


def test_an_identity_is_known_around_its_time() -> None:
    seen = IdentitySet(MINUTE)
    seen.add(identities("a", "a", "a"), at_minute(10, 20, -5))

    assert [known(seen, identities("a"), minute, within=2)[0] for minute in (7, 8, 12, 13, 18, -3, -8)] == [
        *(False, True, True, False, True, True, False)
    ]


def test_an_empty_column_has_no_identities() -> None:
    none = identities()

    assert known(IdentitySet(MINUTE), none) == []
    assert none.first(at_minute(), (at_minute(),), within=MINUTE).tolist() == []
