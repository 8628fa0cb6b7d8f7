"""The travel business: searches that lead to bookings, and bookings that live until the trip is over."""

import datetime as dt
from decimal import Decimal

from stack.demo.message import Event
from stack.demo.payments import give_back, pay
from stack.demo.people import Customers, popular
from stack.demo.world import DAY, HOUR, Process, World

SEARCHES, BOOKINGS, PAYMENTS = "travel.searches", "travel.bookings", "travel.payments"
CUSTOMERS = "travel.customers"
"""Topics with few events."""

DESTINATIONS = {
    "Lisbon": 420,
    "Barcelona": 380,
    "Rome": 360,
    "Paris": 340,
    "Athens": 450,
    "Vienna": 290,
    "Prague": 240,
    "Copenhagen": 400,
    "Reykjavik": 720,
    "Marrakesh": 510,
    "Istanbul": 430,
    "New York": 980,
    "Tokyo": 1450,
    "Bangkok": 1100,
}
"""Destination and the typical price of a trip for one."""
ORIGINS = ("Berlin", "London", "Paris", "Madrid", "Amsterdam", "Warsaw")
TYPES = {"flight": 40, "hotel": 25, "package": 20, "train": 10, "car": 5}
PRICE = {"flight": 0.6, "hotel": 0.5, "package": 1.0, "train": 0.25, "car": 0.2}
"""Price of a type in prices of a package."""
CHANNELS = {"web": 50, "app": 32, "agency": 12, "partner": 6}
TIERS = {"none": 70.0, "silver": 18.0, "gold": 9.0, "platinum": 3.0}
ANONYMOUS = 0.4
SEARCHED_AGAIN, VIEWED_ON, SELECTED, BOOKED = 0.45, 0.6, 0.3, 0.45
CHANGED, CANCELLED = 0.06, 0.09

VISITS_PER_EVENT = 0.215
"""So many visits make one event a second, once trips live their lives."""


class Travel:
    """The travel business and everybody in it; begins with about ``rate`` events a second."""

    def __init__(self, world: World, rate: float) -> None:
        self._world = world
        self._customers = Customers(world, CUSTOMERS, "loyalty_tier", TIERS)
        world.begin(self._customers.live())
        world.begin(world.visitors(rate * VISITS_PER_EVENT, self._visit))

    def _visit(self) -> Process:
        world, chance = self._world, self._world.chance
        customer = self._customers.visitor()
        channel = chance.choices(list(CHANNELS), list(CHANNELS.values()))[0]
        visit = {
            "session_id": world.identity("session"),
            "customer_id": None if chance.random() < ANONYMOUS else customer.customer_id,
            "device": chance.choice(("desktop", "mobile", "mobile", "tablet")),
            "channel": channel,
        }
        trip = self._trip()
        world.emit(SEARCHES, "searched", visit | trip)
        while chance.random() < SEARCHED_AGAIN:
            yield world.moment(12)
            trip = self._trip()
            world.emit(SEARCHES, "searched", visit | trip)
        while chance.random() < VIEWED_ON:
            yield world.moment(15)
            world.emit(SEARCHES, "viewed", visit | trip)
        if chance.random() >= SELECTED:
            return
        yield world.moment(30)
        is_booked = chance.random() < BOOKED
        booking = {"booking_id": world.identity("booking"), "customer_id": customer.customer_id}
        world.emit(SEARCHES, "selected", visit | trip | {"booking_id": booking["booking_id"] if is_booked else None})
        if is_booked:
            yield world.moment(60)
            yield from self._live(booking | trip | {"channel": channel})

    def _trip(self) -> Event:
        """Where somebody wants to go, when, and how many they are."""
        chance, today = self._world.chance, dt.datetime.fromtimestamp(self._world.now, dt.UTC).date()
        kind = chance.choices(list(TYPES), list(TYPES.values()))[0]
        start = today + dt.timedelta(days=1 + int(chance.expovariate(1 / 45)) % 500)
        return {
            "trip_type": kind,
            "origin": None if kind == "hotel" else chance.choice(ORIGINS),
            "destination": list(DESTINATIONS)[popular(self._world, len(DESTINATIONS))],
            "start_date": start.isoformat(),
            "end_date": None if kind == "train" else (start + dt.timedelta(days=chance.randrange(1, 15))).isoformat(),
            "travellers": chance.choices((1, 2, 3, 4), (30, 45, 12, 13))[0],
        }

    def _live(self, booking: Event) -> Process:
        """Everything that becomes of a booking."""
        world, chance = self._world, self._world.chance
        price = DESTINATIONS[booking["destination"]] * PRICE[booking["trip_type"]] * chance.lognormvariate(0, 0.3)
        amount = Decimal(f"{price * booking['travellers']:.2f}")
        booking = booking | {"amount": f"{amount:.2f}"}
        subject = {"booking_id": booking["booking_id"], "customer_id": booking["customer_id"]}
        world.emit(BOOKINGS, "booked", booking)
        payment = yield from pay(world, PAYMENTS, subject, amount)
        if payment is None:
            world.emit(BOOKINGS, "cancelled", booking)
            return
        world.emit(BOOKINGS, "confirmed", booking)
        yield world.some_time(6 * HOUR)
        if chance.random() < CHANGED:
            booking = booking | {"travellers": booking["travellers"] + 1}
            world.emit(BOOKINGS, "changed", booking)
        yield world.some_time(2 * DAY)
        if chance.random() < CANCELLED:
            world.emit(BOOKINGS, "cancelled", booking)
            give_back(world, PAYMENTS, payment)
        else:
            world.emit(BOOKINGS, "completed", booking)
