"""CPU and memory of a tree of processes."""

import threading
import time
from types import TracebackType
from typing import Self

import psutil


class Usage:
    """Samples a process and its descendants every second, from ``with`` to its end."""

    def __init__(self, pid: int) -> None:
        self._root = psutil.Process(pid)
        self._cpu_by_process: dict[tuple[int, float], float] = {}
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self.samples: list[tuple[float, float, int]] = []
        """Wall clock (epoch seconds), CPU seconds so far, resident bytes."""
        self.machine: list[float] = []
        """At each sample: CPU seconds of everything on the machine since it started."""

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end.set()
        self._thread.join()

    def between(self, start: float, end: float) -> dict[str, float]:
        """CPU seconds, mean cores and most resident MiB between two times, as far as there are samples."""
        inside = [sample for sample in self.samples if start <= sample[0] <= end]
        if len(inside) < 2:
            return {}
        machine = [cpu for (at, *_), cpu in zip(self.samples, self.machine, strict=False) if start <= at <= end]
        seconds = inside[-1][0] - inside[0][0]
        cpu = inside[-1][1] - inside[0][1]
        memory = max(resident for _, _, resident in inside) / 2**20
        return {
            "cpu_seconds": round(cpu, 2),
            "cores": round(cpu / seconds, 3),
            "memory_mib": round(memory),
            "machine_cores": round((machine[-1] - machine[0]) / seconds, 3),
        }

    def _watch(self) -> None:
        while not self._end.is_set():
            self._sample()
            self._end.wait(1)

    def _sample(self) -> None:
        resident = 0
        try:
            tree = [self._root, *self._root.children(recursive=True)]
        except psutil.NoSuchProcess:
            return
        for process in tree:
            try:
                with process.oneshot():
                    times = process.cpu_times()
                    key = (process.pid, process.create_time())
                    # The last value stays when a process ends, or the sum would fall.
                    self._cpu_by_process[key] = times.user + times.system
                    resident += process.memory_info().rss
            except psutil.NoSuchProcess:
                continue
        machine = psutil.cpu_times()
        self.machine.append(sum(machine) - machine.idle - getattr(machine, "iowait", 0.0))
        self.samples.append((time.time(), sum(self._cpu_by_process.values()), resident))
