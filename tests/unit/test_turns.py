import time

from jobs.engine.turns import Turns


def seconds_to_rest(turns: Turns, query: str, most: float = 9) -> float:
    began = time.monotonic()
    turns.rest(query, began, most=most)
    return time.monotonic() - began


def test_a_query_alone_never_rests() -> None:
    turns = Turns(5)

    assert seconds_to_rest(turns, "orders") < 1
    assert seconds_to_rest(turns, "orders") < 1


def test_the_more_queries_the_longer_each_rests() -> None:
    turns = Turns(0.1)
    for query in ("orders", "payments"):
        seconds_to_rest(turns, query)

    assert 0.2 <= seconds_to_rest(turns, "orders") < 0.3
    assert 0.3 <= seconds_to_rest(turns, "reviews") < 0.4
    assert 0.1 <= seconds_to_rest(turns, "reviews", most=0.1) < 0.2


def test_a_batch_that_took_its_time_is_followed_at_once() -> None:
    turns = Turns(0.1)
    turns.rest("orders", time.monotonic(), most=9)

    began = time.monotonic()
    turns.rest("payments", began - 1, most=9)
    assert time.monotonic() - began < 0.1
