"""The truth about what was sent, to hold tables against."""

from collections import Counter, defaultdict

from stack.demo.message import Event, Fate, Message


class Ledger:
    """Counts messages by what must become of them, and keeps the events that must be in silver, and the late ones."""

    def __init__(self) -> None:
        self.counts: defaultdict[str, Counter[Fate]] = defaultdict(Counter)
        self.events: defaultdict[str, list[Event]] = defaultdict(list)
        self.late: defaultdict[str, list[Event]] = defaultdict(list)

    def enter(self, message: Message) -> None:
        """Take note of a message that has been sent."""
        self.counts[message.topic][message.fate] += 1
        if message.fate == "accepted":
            self.events[message.topic].append(message.event)
        elif message.fate == "late":
            self.late[message.topic].append(message.event)
