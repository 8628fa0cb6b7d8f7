"""What several commands do."""

import datetime as dt
import subprocess
import time
from collections.abc import Sequence
from typing import NoReturn

import typer

from schemas import Contract, load_contracts

FIRST_AFTER = 5.0
"""Minutes until the first of what is repeated."""


def contract_of(entity: str) -> Contract:
    """The contract of an entity that the user names.

    Raises:
        BadParameter: there is none.
    """
    contracts = {contract.topic: contract for contract in load_contracts()}
    if entity not in contracts:
        raise typer.BadParameter(f"there is no contract for {entity}; there are {', '.join(contracts)}")
    return contracts[entity]


def repeat(command: Sequence[str], *, minutes: float) -> NoReturn:
    """Run a command for ever, each time as a process of its own, whose memory is free in between."""
    # First let a system that is starting get warm.
    time.sleep(60 * min(FIRST_AFTER, minutes))
    while True:
        began = time.monotonic()
        subprocess.run(command, check=False)
        time.sleep(max(0.0, began + 60 * minutes - time.monotonic()))


def repeat_daily(command: Sequence[str], *, at: dt.time) -> NoReturn:
    """Run a command every day at a time (UTC) for ever, each time as a process of its own."""
    while True:
        time.sleep(seconds_until(at, dt.datetime.now(dt.UTC)))
        subprocess.run(command, check=False)


def seconds_until(at: dt.time, now: dt.datetime) -> float:
    """How long it is until the next time of day ``at``, UTC; a whole day when it is that time now."""
    today = dt.datetime.combine(now.date(), at, tzinfo=dt.UTC)
    return (today - now).total_seconds() if today > now else (today + dt.timedelta(days=1) - now).total_seconds()
