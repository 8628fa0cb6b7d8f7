"""``python -m stack.background NICE COMMAND...``: become a command that works while nobody waits for the processors.

Linux divides the processors between sessions before it looks at the nice values inside each (autogroups, man 7 sched).
The whole system is one session under supervisord and a user's browser is another: only in a session of its own, with a
nice value for the session, does a job yield to both.
"""

import os
import sys
import time
from pathlib import Path

STREAM = 10
"""A tenth of what others get, where they want it; everything where they do not."""
SCHEDULED = 15
"""A third of what the stream gets: enough for views to be there minutes after the start."""

AUTOGROUP = Path("/proc/self/autogroup")


def yield_to_others(nice: int) -> None:
    """Give this process, and what it starts, a session of its own with the share of the processors of a nice value."""
    # A leader of a process group, which supervisord makes of each program, cannot open a session.
    os.setpgid(0, os.getpgid(os.getppid()))
    os.setsid()
    os.nice(nice)
    while AUTOGROUP.exists():
        try:
            AUTOGROUP.write_text(str(nice))
            break
        except BlockingIOError:
            time.sleep(0.1)  # of all users but root, Linux takes ten of these a second


if __name__ == "__main__":
    yield_to_others(int(sys.argv[1]))
    os.execvp(sys.argv[2], sys.argv[2:])
