"""Tells the user what is under way and how long it takes."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from queue import Queue
from threading import Thread


class Progress:
    """Prints a line when a step begins and when it ends; steps may overlap."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._lock = threading.Lock()

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        """Report a step around the statements in its body."""
        began = time.monotonic()
        self.say(f"{title} …")
        yield
        self.say(f"{title}: done in {time.monotonic() - began:.1f} s")

    def say(self, text: str) -> None:
        """Print a line with the time since the beginning."""
        with self._lock:
            print(f"[{time.monotonic() - self._began:5.0f} s] {text}", flush=True)


def in_parallel(*tasks: Callable[[], None]) -> None:
    """Run the tasks at the same time; raise the first error at once, without waiting for the others."""
    ended: Queue[Exception | None] = Queue()

    def run(task: Callable[[], None]) -> None:
        try:
            task()
        except Exception as error:
            ended.put(error)
        else:
            ended.put(None)

    for task in tasks:
        # Daemons, so that neither an error nor Ctrl-C has to wait for the slowest task.
        Thread(target=run, args=(task,), daemon=True).start()
    for _ in tasks:
        if (error := ended.get()) is not None:
            raise error
