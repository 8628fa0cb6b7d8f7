"""When a nightly command runs."""

import datetime as dt

import pytest
from pydantic import ValidationError

from jobs.cli.common import seconds_until
from jobs.settings import Settings

HOUR = 3600.0


@pytest.mark.parametrize(
    ("now", "hours"),
    [("01:30", 0.5), ("02:00", 24), ("02:30", 23.5), ("23:00", 3)],
)
def test_it_waits_until_the_next_night(now: str, hours: float) -> None:
    moment = dt.datetime.fromisoformat(f"2026-03-01T{now}:00+00:00")

    assert seconds_until(dt.time(2), moment) == hours * HOUR


@pytest.mark.parametrize("wrong", ["24:00", "2:00", "02:60", "at two"])
def test_a_time_that_is_none_is_refused(wrong: str) -> None:
    with pytest.raises(ValidationError, match="reconcile_at"):
        Settings(reconcile_at=wrong)
