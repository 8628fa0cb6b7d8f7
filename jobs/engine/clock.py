"""Time that goes on while the machine sleeps."""

import time


def boot_time() -> float:
    """Seconds since some moment; where the system can tell, those included in which it slept."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))
