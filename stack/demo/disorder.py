"""Events on their way: in time, late, twice, broken, or held up."""

import random
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from simpy import Environment

from schemas import Contract
from stack.demo.incidents import Incidents
from stack.demo.message import Event, Fate, Message


@dataclass(frozen=True)
class Disorder:
    """Shares of all events.

    Attributes:
        duplicated: come once more, within a minute.
        late: come up to two minutes late, after others that happened later.
        too_late: come later than their contract's delay.
        malformed: are no valid events any more.
    """

    duplicated: float = 0.01
    late: float = 0.02
    too_late: float = 0.001
    malformed: float = 0.003


LATE_SECONDS = 120.0
DUPLICATE_SECONDS = 60.0
TOO_LATE = (3.0, 4.0)
"""How late is too late, in delays of the contract."""


class Outbox:
    """Puts events on their way to Kafka; ``ready`` has the messages to be sent now."""

    def __init__(
        self,
        environment: Environment,
        chance: random.Random,
        contracts: Mapping[str, Contract],
        disorder: Disorder,
        incidents: Incidents,
    ) -> None:
        self.ready: list[Message] = []
        self._environment = environment
        self._chance = chance
        self._contracts = contracts
        self._disorder = disorder
        self._incidents = incidents

    def put(self, topic: str, event: Event) -> None:
        """Put an event of now on its way; one of a topic without contract is left out."""
        contract = self._contracts.get(topic)
        if contract is None:
            return
        chance, share = self._chance, self._disorder
        fate: Fate = "accepted"
        delay = 0.0
        dice = chance.random()
        if dice < share.too_late:
            fate, delay = "late", contract.watermark_delay.total_seconds() * chance.uniform(*TOO_LATE)
        elif dice < share.too_late + share.late:
            delay = chance.uniform(0, LATE_SECONDS)
        value = orjson.dumps(event)
        if chance.random() < share.malformed:
            fate, value = "refused", broken(event, value, contract, chance)
        key = str(event[contract.message_key]).encode()
        self._send(topic, key, value, fate, event, delay)
        if chance.random() < share.duplicated:
            again: Fate = "duplicate" if fate == "accepted" else fate
            self._send(topic, key, value, again, event, delay + chance.uniform(0, DUPLICATE_SECONDS))

    def _send(self, topic: str, key: bytes, value: bytes, fate: Fate, event: Event, delay: float) -> None:
        if delay or self._incidents.now("data_outage", self._environment.now):
            self._environment.process(self._later(topic, key, value, fate, event, delay))
        else:
            self.ready.append(Message(self._environment.now, topic, key, value, fate, event))

    def _later(
        self, topic: str, key: bytes, value: bytes, fate: Fate, event: Event, delay: float
    ) -> Generator[Any, Any, None]:
        if delay:
            yield self._environment.timeout(delay)
        while outage := self._incidents.now("data_outage", self._environment.now):
            yield self._environment.timeout(outage.end - self._environment.now)
        self.ready.append(Message(self._environment.now, topic, key, value, fate, event))


def broken(event: Event, value: bytes, contract: Contract, chance: random.Random) -> bytes:
    """An event's value in a form that its contract refuses."""
    required = [field.name for field in contract.fields if field.required and field.name in event]
    limited = [field.name for field in contract.fields if field.allowed and field.name in event]
    match chance.randrange(4):
        case 0:
            return value[: chance.randrange(1, len(value))]
        case 1:
            return orjson.dumps({**event, chance.choice(required): None})
        case 2:
            return orjson.dumps({**event, contract.event_time: "yesterday"})
        case _:
            return orjson.dumps({**event, chance.choice(limited): "teleported"})
