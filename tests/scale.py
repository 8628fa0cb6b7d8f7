"""How large the tests are that count kills, rows or users: SLUICE_TEST_SCALE is small (`make test`) or full."""

import os

FULL = os.environ.get("SLUICE_TEST_SCALE", "small") == "full"


def scaled(*, small: int, full: int) -> int:
    """The number for the scale of this run."""
    return full if FULL else small
