"""Steps that run at the same time."""

import time
from threading import Event

import pytest

from stack.exceptions import StackError
from stack.progress import Progress, in_parallel


def test_tasks_run_at_the_same_time():
    first, second = Event(), Event()

    def one() -> None:
        first.set()
        assert second.wait(5)

    def other() -> None:
        second.set()
        assert first.wait(5)

    in_parallel(one, other)


def test_an_error_does_not_wait_for_the_slowest_task():
    def fail() -> None:
        raise StackError("no cheese")

    began = time.monotonic()
    with pytest.raises(StackError, match="no cheese"):
        in_parallel(lambda: time.sleep(30), fail)
    assert time.monotonic() - began < 5


def test_a_step_tells_its_beginning_and_how_long_it_took(capsys: pytest.CaptureFixture[str]):
    with Progress().step("Kafka broker"):
        pass
    begin, end = capsys.readouterr().out.splitlines()
    assert begin.endswith("Kafka broker …")
    assert "Kafka broker: done in 0.0 s" in end
