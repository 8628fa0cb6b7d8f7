"""Lets the queries of one application share the processors.

A small micro-batch costs nearly as much as one of a thousand records. So where many queries each took the next few
records at once, the processors would be busy with nothing but planning, and each batch would wait for all others.
"""

import threading
import time

RECENT = 10.0
"""Seconds for which a query that had a batch counts."""


class Turns:
    """Says how long a query that had a small batch rests, the longer the more queries have batches.

    Args:
        seconds: from the start of a batch to that of the next one, per query that has batches.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._seen: dict[str, float] = {}
        self._lock = threading.Lock()

    def rest(self, query: str, began: float, *, most: float) -> None:
        """Wait until this query's next batch may begin.

        Args:
            query: its name.
            began: when its batch did, by ``time.monotonic``.
            most: seconds from there to the next batch, however many queries there are.
        """
        now = time.monotonic()
        with self._lock:
            self._seen[query] = now
            active = sum(now - seen < RECENT for seen in self._seen.values())
        # A query alone never rests: its batches follow one another as before.
        if active > 1:
            time.sleep(max(0.0, began + min(most, active * self._seconds) - now))
