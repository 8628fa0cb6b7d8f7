"""``python -m stack.serve PROGRAM``: become one of the servers of one machine, as a container does."""

import os
import sys

from jobs.settings import settings
from stack import broker, mail


def serve(name: str) -> None:
    """Prepare a server, the broker or the mail sink, and become it.

    Raises:
        StackError: it cannot be prepared.
    """
    ours = settings()
    ours.home.mkdir(parents=True, exist_ok=True)
    if name == broker.NAME:
        broker.prepare(ours)
    programs = {module.NAME: module.program for module in (broker, mail)}
    command = programs[name](ours).command
    os.execvp(command[0], command)


if __name__ == "__main__":
    serve(sys.argv[1])
