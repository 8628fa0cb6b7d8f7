from jobs.proof import MOST_SPANS, Days


def test_days_that_follow_one_another_are_a_span() -> None:
    assert Days.of({7, 3, 4, 9, 5}).spans == ((3, 5), (7, 7), (9, 9))
    assert Days.of(()).spans == ()


def test_many_spans_become_one() -> None:
    assert Days.of(range(0, 2 * MOST_SPANS + 2, 2)).spans == ((0, 2 * MOST_SPANS),)
