"""A process beside a web worker that makes the answers which nobody waits for, after the stream has had its share.

In the worker, such work would go before the stream, as a page does that somebody waits for.
"""

import os
import signal
import time
from collections.abc import Callable
from multiprocessing import get_context
from pathlib import Path
from queue import Empty
from typing import Any

NICE = 15
"""As what is scheduled has: a third of what the stream gets."""
AUTOGROUP = Path("/proc/self/autogroup")
LOOK_EVERY = 1.0
"""Seconds between two looks whether the worker is still there."""


class AnswerMaker:
    """A process, forked from this one and ended with it, that calls a function for whatever is submitted."""

    def __init__(self, begin: Callable[[], None], make: Callable[..., None]) -> None:
        """Start the process, while this one has a single thread.

        Args:
            begin: called there first.
            make: called there with the arguments of each submission.
        """
        fork = get_context("fork")
        self._work = fork.Queue()
        self._process = fork.Process(target=self._run, args=(os.getpid(), begin, make), daemon=True)
        self._process.start()

    def submit(self, *work: Any) -> bool:
        """Have `make` called with these arguments, some time; false if the process has ended."""
        if not self._process.is_alive():
            return False
        self._work.put(work)
        return True

    def _run(self, worker: int, begin: Callable[[], None], make: Callable[..., None]) -> None:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGCHLD, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)  # they were Gunicorn's
        _yield_to_others()
        begin()
        while os.getppid() == worker:
            try:
                work = self._work.get(timeout=LOOK_EVERY)
            except Empty:
                continue
            make(*work)


def _yield_to_others() -> None:
    """Open a session with a nice value, as `stack/background.py` does, which is in another environment."""
    os.setsid()
    os.nice(NICE)
    while AUTOGROUP.exists():
        try:
            AUTOGROUP.write_text(str(NICE))
            break
        except BlockingIOError:
            time.sleep(0.1)  # of all users but root, Linux takes ten of these a second
