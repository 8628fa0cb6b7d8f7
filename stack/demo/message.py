"""What the simulation sends."""

from dataclasses import dataclass
from typing import Any, Literal

Event = dict[str, Any]
Fate = Literal["accepted", "duplicate", "late", "refused"]


@dataclass(frozen=True, slots=True)
class Message:
    """A Kafka message, and what must become of it.

    Attributes:
        at: when it is sent, seconds since 1970.
        topic: ``<domain>.<entity>``.
        key: of the Kafka message.
        value: as it is sent, broken or whole.
        fate: what a right pipeline makes of it.
        event: what the value says where it is whole.
    """

    at: float
    topic: str
    key: bytes
    value: bytes
    fate: Fate
    event: Event
