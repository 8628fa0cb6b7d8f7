"""What supervisord is told about one program."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class Program:
    """A program that supervisord starts, restarts when it dies, and stops.

    Programs with a lower `priority` are stopped later. `stop_group` sends the stop signal to all processes of
    the program's process group instead of to the first one only.
    """

    name: str
    command: list[str]
    priority: int
    environment: Mapping[str, str] = field(default_factory=dict)
    start_seconds: int = 1
    stop_signal: str = "TERM"
    stop_seconds: int = 30
    stop_group: bool = True
