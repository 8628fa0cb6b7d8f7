"""Customers, who register and come back."""

from dataclasses import dataclass

from stack.demo.message import Event
from stack.demo.world import DAY, Process, World

FIRST_NAMES = ("Ada", "Ben", "Chloé", "Dana", "Emil", "Fatima", "Goran", "Hanna", "Igor", "José", "Kim", "Lena", "Zoë")
LAST_NAMES = ("Ahlberg", "Bauer", "Costa", "Dupont", "Eriksen", "Ferrari", "García", "Horváth", "Jansen", "Kowalski")
COUNTRIES = ("DE", "FR", "GB", "IT", "ES", "NL", "PL", "SE")
KNOWN = 300
"""Customers at the beginning."""
NEW = 0.1
"""Share of visits by somebody new."""
CHANGES = 20 * DAY
"""How long a customer's data stay as they are."""


@dataclass
class Customer:
    """A customer; ``level`` is the marketplace's segment or the travel business' loyalty tier."""

    customer_id: str
    name: str
    email: str
    country: str
    level: str
    marketing_consent: bool


class Customers:
    """Everybody whom a business knows.

    Args:
        world: where they live.
        topic: takes their events.
        level_field: what the contract calls their level.
        levels: each level with its weight.
    """

    def __init__(self, world: World, topic: str, level_field: str, levels: dict[str, float]) -> None:
        self._world = world
        self._topic = topic
        self._level_field = level_field
        self._levels = levels
        self._all: list[Customer] = []

    def live(self) -> Process:
        """Register those who are known at the beginning; for ever, somebody changes something."""
        for _ in range(KNOWN):
            self._register()
        while True:
            yield self._world.some_time(CHANGES / len(self._all))
            customer = self._world.chance.choice(self._all)
            customer.marketing_consent = not customer.marketing_consent
            customer.level = self._level()
            self._emit("updated", customer)

    def visitor(self) -> Customer:
        """Somebody new, or who was here before, some far more often than others."""
        if self._world.chance.random() < NEW:
            return self._register()
        return self._all[popular(self._world, len(self._all))]

    def _register(self) -> Customer:
        chance, number = self._world.chance, len(self._all)
        first, last = chance.choice(FIRST_NAMES), chance.choice(LAST_NAMES)
        customer = Customer(
            customer_id=self._world.identity("customer"),
            name=f"{first} {last}",
            email=f"{first}.{last}.{number}@example.org".lower(),
            country=COUNTRIES[popular(self._world, len(COUNTRIES))],
            level=self._level(),
            marketing_consent=chance.random() < 0.6,
        )
        self._all.append(customer)
        self._emit("registered", customer)
        return customer

    def _level(self) -> str:
        return self._world.chance.choices(list(self._levels), list(self._levels.values()))[0]

    def _emit(self, event_type: str, customer: Customer) -> None:
        fields: Event = vars(customer) | {self._level_field: customer.level}
        del fields["level"]
        self._world.emit(self._topic, event_type, fields)


def popular(world: World, count: int) -> int:
    """A number below ``count``, small ones far more often, as with the popularity of goods."""
    return int(count ** world.chance.random()) - 1
