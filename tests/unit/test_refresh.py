"""When views are computed."""

from jobs.refresh import RETRY_SECONDS, next_turn
from jobs.tables import views

ALL = list(views())
EMPTY = ALL[:2]


def test_what_has_no_rows_yet_is_tried_again_soon() -> None:
    assert next_turn(ALL, EMPTY, seconds=100, every=600) == (EMPTY, RETRY_SECONDS)


def test_what_has_rows_waits_for_its_turn() -> None:
    assert next_turn(ALL, [], seconds=100, every=600) == (ALL, 500)


def test_the_turn_of_all_is_near_enough_to_wait_for() -> None:
    assert next_turn(ALL, EMPTY, seconds=580, every=600) == (ALL, 20)


def test_what_never_has_rows_is_not_tried_for_ever() -> None:
    assert next_turn(ALL, EMPTY, seconds=700, every=600) == (ALL, 500)
