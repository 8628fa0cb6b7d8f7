"""Many who look at the same live dashboards share answers, instead of each having them computed."""

from bench.users import measure
from tests.scale import scaled
from tests.system.conftest import System

USERS = 50
"""With few, most answers are made for somebody, for they are as fresh as the data then."""
PEOPLE = scaled(small=9, full=50)
"""Each takes 3 s to log in. More than are many for one process."""


def test_many_users_share_answers_and_meet_no_error(system: System) -> None:
    found = measure(system.settings, users=USERS, people=PEOPLE, minutes=scaled(small=1, full=60) / 6)
    assert found["errors"] == 0, found["first_errors"]
    assert found["cache_hit_rate"] > 0.7
