import os
import signal
import subprocess
import sys

import psutil
import pytest

from jobs.settings import CHECKOUT
from tests.stack.pipeline import eventually

WORKER = """
import os, sys
from answer_maker import AnswerMaker

def say(*words):
    # One write, or the lines of two processes run into each other.
    os.write(1, " ".join(map(str, words)).encode() + b"\\n")

def begin():
    say("begins", os.getpid(), os.nice(0))

def make(*work):
    say("makes", *work)

maker = AnswerMaker(begin, make)
for line in sys.stdin:
    say("takes" if maker.submit(*line.split()) else "refuses")
"""


@pytest.fixture
def worker() -> "subprocess.Popen[str]":
    variables = os.environ | {"PYTHONPATH": str(CHECKOUT / "superset")}
    return subprocess.Popen(
        [sys.executable, "-c", WORKER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=variables
    )


def read(worker: "subprocess.Popen[str]", lines: int) -> set[str]:
    assert worker.stdout
    return {worker.stdout.readline().strip() for _ in range(lines)}


def ask(worker: "subprocess.Popen[str]", work: str) -> None:
    assert worker.stdin
    print(work, file=worker.stdin, flush=True)


def begun(worker: "subprocess.Popen[str]") -> int:
    """The process that makes answers, once it has begun."""
    (line,) = read(worker, 1)
    word, pid, nice = line.split()
    assert (word, int(nice)) == ("begins", min(19, os.nice(0) + 15))
    return int(pid)


def is_alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_what_is_submitted_is_made_in_a_session_that_yields(worker: "subprocess.Popen[str]") -> None:
    with worker:
        maker = begun(worker)
        assert os.getsid(maker) == maker
        for work in ("one thing", "another"):
            ask(worker, work)
            assert read(worker, 2) == {"takes", f"makes {work}"}
        worker.kill()
        # Who is killed ends nothing; the other looks.
        eventually(lambda: not is_alive(maker), what="the process has ended", seconds=10)


def test_without_its_process_it_takes_nothing(worker: "subprocess.Popen[str]") -> None:
    with worker:
        maker = begun(worker)
        os.kill(maker, signal.SIGKILL)
        eventually(lambda: not is_alive(maker), what="the process has ended", seconds=10)
        ask(worker, "something")
        assert read(worker, 1) == {"refuses"}
        assert worker.stdin
        worker.stdin.close()
        assert worker.wait(10) == 0
