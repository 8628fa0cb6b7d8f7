"""The marketplace: visits that lead to orders, and orders that live through payment, shipment, delivery and return."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from stack.demo.message import Event
from stack.demo.payments import give_back, pay
from stack.demo.people import Customer, Customers
from stack.demo.shop import Product, Shop
from stack.demo.world import DAY, HOUR, Process, World, timestamp

CLICKS, ORDERS, PAYMENTS = "marketplace.clickstream", "marketplace.orders", "marketplace.payments"
CUSTOMERS, REVIEWS = "marketplace.customers", "marketplace.reviews"
"""Topics with few events."""

CHANNELS = {"web": 55, "app": 35, "partner": 10}
DEVICES = {
    "web": ("desktop", "desktop", "mobile", "tablet"),
    "app": ("mobile", "mobile", "tablet"),
    "partner": ("desktop",),
}
SEGMENTS = {"consumer": 85.0, "business": 15.0}
SEARCHES = ("gift", "sale", "new", "birthday", "travel", "garden", "running", "coffee")
GUESTS = 0.08
SEARCHED, LOOKED_ON, CARTED, CHECKED_OUT, BOUGHT = 0.4, 0.65, 0.16, 0.55, 0.7
CANCELLED_BY_CUSTOMER = 0.02
CHARGED_BACK = 0.004
TRANSIT = 26 * HOUR
PROMISED = 3 * DAY
REDUCED, REDUCTION = 0.15, Decimal("0.1")
REVIEWED = 0.2
TEXTS = {1: "Broken.", 2: "Not as described.", 3: "It does.", 4: "Good.", 5: "Just what I wanted."}

VISITS_PER_EVENT = 0.19
"""So many visits make one event a second, once orders live their lives."""


@dataclass(frozen=True)
class Line:
    """A product in an order."""

    product: Product
    quantity: int
    price: Decimal
    discount: Decimal

    @property
    def value(self) -> Decimal:
        """What the customer pays."""
        return self.quantity * self.price - self.discount


@dataclass(frozen=True)
class Order:
    """An order, and what its events have in common."""

    fields: Event
    customer: Customer | None
    lines: Sequence[Line]

    @property
    def value(self) -> Decimal:
        """What the customer pays."""
        return sum((line.value for line in self.lines), Decimal(0))

    @property
    def subject(self) -> Event:
        """What its payments have in common."""
        return {"order_id": self.fields["order_id"], "customer_id": self.fields["customer_id"]}


class Marketplace:
    """The marketplace and everybody in it; begins with about ``rate`` events a second."""

    def __init__(self, world: World, rate: float) -> None:
        self._world = world
        self._shop = Shop(world, size=max(1, round(rate / 50)))
        self._customers = Customers(world, CUSTOMERS, "segment", SEGMENTS)
        world.begin(self._shop.live())
        world.begin(self._customers.live())
        world.begin(world.visitors(rate * VISITS_PER_EVENT, self._visit))

    def _visit(self) -> Process:
        world, chance = self._world, self._world.chance
        customer = None if chance.random() < GUESTS else self._customers.visitor()
        channel = chance.choices(list(CHANNELS), list(CHANNELS.values()))[0]
        visit = {
            "session_id": world.identity("session"),
            "customer_id": customer.customer_id if customer else None,
            "device": chance.choice(DEVICES[channel]),
            "channel": channel,
        }
        if chance.random() < SEARCHED:
            world.emit(CLICKS, "search", visit | {"search_text": chance.choice(SEARCHES)})
            yield world.moment(8)
        shelf, cart = self._shop.shelf(), list[Line]()
        while True:
            product = self._shop.look(shelf)
            world.emit(CLICKS, "view", visit | {"product_id": product.product_id})
            yield world.moment(15)
            quantity = chance.choices((1, 2, 3, 5), (75, 15, 7, 3))[0]
            is_offered = self._shop.is_offered(product, quantity)
            if is_offered and _fits(product, cart) and chance.random() < CARTED:
                cart.append(self._line(product, quantity))
                world.emit(CLICKS, "cart", visit | {"product_id": product.product_id})
            if chance.random() >= LOOKED_ON:
                break
        if not cart or chance.random() >= CHECKED_OUT:
            return
        world.emit(CLICKS, "checkout", visit)
        yield world.moment(40)
        cart = [line for line in cart if self._shop.is_offered(line.product, line.quantity)]
        if cart and chance.random() < BOUGHT:
            order = self._order(customer, channel, cart)
            world.emit(CLICKS, "purchase", visit | {"order_id": order.fields["order_id"]})
            yield from self._live(order)

    def _line(self, product: Product, quantity: int) -> Line:
        price = self._shop.price(product)
        reduced = self._world.chance.random() < REDUCED
        discount = (price * quantity * REDUCTION).quantize(Decimal("0.01")) if reduced else Decimal(0)
        return Line(product, quantity, price, discount)

    def _order(self, customer: Customer | None, channel: str, lines: Sequence[Line]) -> Order:
        fields: Event = {
            "order_id": self._world.identity("order"),
            "customer_id": customer.customer_id if customer else None,
            "vendor_id": lines[0].product.vendor.vendor_id,
            "country": customer.country if customer else "DE",
            "channel": channel,
            "placed_at": timestamp(self._world.now),
            "deliver_by": timestamp(self._world.now + self._world.lasts(PROMISED)),
            "lines": [
                {
                    "product_id": line.product.product_id,
                    "category": line.product.category,
                    "quantity": line.quantity,
                    "unit_price": f"{line.price:.2f}",
                    **({"discount": f"{line.discount:.2f}"} if line.discount else {}),
                }
                for line in lines
            ],
        }
        return Order(fields, customer, lines)

    def _live(self, order: Order) -> Process:
        """Everything that becomes of an order."""
        world, chance, vendor = self._world, self._world.chance, order.lines[0].product.vendor
        world.emit(ORDERS, "placed", order.fields)
        for line in order.lines:
            self._shop.reserve(line.product, line.quantity)
        payment = yield from pay(world, PAYMENTS, order.subject, order.value)
        if payment is None:
            self._cancel(order)
            return
        world.emit(ORDERS, "paid", order.fields)
        yield world.some_time(vendor.handling)
        if chance.random() < vendor.cancelled + CANCELLED_BY_CUSTOMER:
            self._cancel(order)
            give_back(world, PAYMENTS, payment)
            return
        world.emit(ORDERS, "shipped", order.fields)
        for line in order.lines:
            self._shop.ship(line.product, line.quantity)
        yield world.some_time(TRANSIT)
        world.emit(ORDERS, "delivered", order.fields)
        if chance.random() < REVIEWED:
            world.begin(self._review(order))
        if chance.random() < vendor.returned:
            yield world.some_time(4 * DAY)
            world.emit(ORDERS, "returned", order.fields)
            for line in order.lines:
                self._shop.take_back(line.product, line.quantity)
            give_back(world, PAYMENTS, payment)
        elif chance.random() < CHARGED_BACK:
            yield world.some_time(10 * DAY)
            give_back(world, PAYMENTS, payment, event_type="charged_back")

    def _cancel(self, order: Order) -> None:
        self._world.emit(ORDERS, "cancelled", order.fields)
        for line in order.lines:
            self._shop.release(line.product, line.quantity)

    def _review(self, order: Order) -> Process:
        world, product = self._world, order.lines[0].product
        yield world.some_time(2 * DAY)
        rating = min(5, max(1, round(world.chance.gauss(product.vendor.rating, 0.9))))
        says_why = rating <= 2 or world.chance.random() < 0.6
        review = {
            "review_id": world.identity("review"),
            **order.subject,
            "product_id": product.product_id,
            "vendor_id": product.vendor.vendor_id,
            "rating": rating,
            "text": TEXTS[rating] if says_why else None,
        }
        world.emit(REVIEWS, "submitted", review)


def _fits(product: Product, cart: Sequence[Line]) -> bool:
    """Whether an order may have the product too: an order has one vendor, and each product once."""
    return all(line.product.vendor is product.vendor and line.product is not product for line in cart)
