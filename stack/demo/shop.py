"""The marketplace's vendors and their goods."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from stack.demo.message import Event
from stack.demo.people import COUNTRIES, popular
from stack.demo.world import DAY, HOUR, Process, World

VENDORS_TOPIC, INVENTORY_TOPIC = "marketplace.vendors", "marketplace.inventory"
CATEGORIES = {
    "Books": 14,
    "Electronics": 180,
    "Fashion": 45,
    "Garden": 38,
    "Grocery": 12,
    "Health": 22,
    "Home": 60,
    "Music": 18,
    "Office": 25,
    "Pets": 20,
    "Sports": 55,
    "Toys": 24,
}
"""Category and the typical price of its products."""
VENDORS = 40
PRODUCTS = 12
"""Products of each vendor."""
NAMES = ("Alder", "Birch", "Cedar", "Dahlia", "Elm", "Fern", "Ginkgo", "Hazel", "Iris", "Juniper")
TRADES = ("Trading", "Works", "House", "Supply")
CHANGES = 10 * DAY
"""How long a vendor's terms stay as they are."""
SUPPLY = 20 * HOUR
PRICE_MISTAKE = Decimal("0.01")


@dataclass
class Vendor:
    """A vendor, and how well it works."""

    vendor_id: str
    name: str
    contact_email: str
    country: str
    category: str
    commission_rate: Decimal
    monthly_goal: Decimal
    handling: float
    cancelled: float
    returned: float
    rating: float


@dataclass
class Product:
    """A product in stock."""

    product_id: str
    vendor: Vendor
    category: str
    price: Decimal
    stock: int
    reorder_point: int
    reserved: int = 0
    is_ordered: bool = False

    @property
    def available(self) -> int:
        """Units that nobody has ordered yet."""
        return self.stock - self.reserved


class Shop:
    """Every vendor with its products, the most popular first.

    Args:
        world: where it is.
        size: how many times more of everything it has in stock.
    """

    def __init__(self, world: World, size: int) -> None:
        self._world = world
        self.vendors = [_vendor(world, number) for number in range(VENDORS)]
        self.products = {vendor.vendor_id: _products(world, vendor, size) for vendor in self.vendors}

    def live(self) -> Process:
        """Open; for ever, a vendor changes its terms."""
        for vendor in self.vendors:
            self._emit("registered", vendor)
            for product in self.products[vendor.vendor_id]:
                self._move(product, "counted", 0)
        while True:
            yield self._world.some_time(CHANGES / VENDORS)
            vendor = self._world.chance.choice(self.vendors)
            vendor.commission_rate = Decimal(self._world.chance.randrange(6, 19)) / 100
            vendor.monthly_goal = vendor.monthly_goal * self._world.chance.choice((9, 11, 12)) // 10
            self._emit("updated", vendor)

    def shelf(self) -> Sequence[Product]:
        """The products of a vendor whom somebody visits."""
        return self.products[self.vendors[popular(self._world, VENDORS)].vendor_id]

    def look(self, shelf: Sequence[Product]) -> Product:
        """A product of a shelf at which somebody looks."""
        if self._world.goes_on("viral_product") and self._world.chance.random() < 0.5:
            return self.products[self.vendors[1].vendor_id][0]
        return shelf[popular(self._world, len(shelf))]

    def price(self, product: Product) -> Decimal:
        """What a unit costs now."""
        is_wrong = self._world.goes_on("price_mistake") and product is self.products[self.vendors[0].vendor_id][0]
        return max(product.price * PRICE_MISTAKE, PRICE_MISTAKE) if is_wrong else product.price

    def is_offered(self, product: Product, quantity: int) -> bool:
        """Whether there is enough of it."""
        if product.vendor is self.vendors[0] and self._world.goes_on("stock_out"):
            if product.available:
                product.stock = product.reserved
                self._move(product, "counted", 0)
            return False
        return product.available >= quantity

    def reserve(self, product: Product, quantity: int) -> None:
        """Set units aside for an order."""
        product.reserved += quantity
        self._move(product, "reserved", quantity)
        if product.available <= product.reorder_point and not product.is_ordered:
            product.is_ordered = True
            self._world.begin(self._restock(product))

    def release(self, product: Product, quantity: int) -> None:
        """Take units back from an order that was cancelled."""
        product.reserved -= quantity
        self._move(product, "released", quantity)

    def ship(self, product: Product, quantity: int) -> None:
        """Send units away."""
        product.reserved -= quantity
        product.stock -= quantity
        self._move(product, "shipped", quantity)

    def take_back(self, product: Product, quantity: int) -> None:
        """Take units back from a customer."""
        product.stock += quantity
        self._move(product, "returned", quantity)

    def _restock(self, product: Product) -> Process:
        yield self._world.some_time(SUPPLY)
        while product.vendor is self.vendors[0] and self._world.goes_on("stock_out"):
            yield self._world.some_time(SUPPLY)
        quantity = 4 * product.reorder_point
        product.stock += quantity
        product.is_ordered = False
        self._move(product, "restocked", quantity)

    def _move(self, product: Product, event_type: str, quantity: int) -> None:
        fields: Event = {
            "product_id": product.product_id,
            "vendor_id": product.vendor.vendor_id,
            "quantity": quantity,
            "stock": product.stock,
            "reserved": product.reserved,
            "reorder_point": product.reorder_point,
        }
        self._world.emit(INVENTORY_TOPIC, event_type, fields)

    def _emit(self, event_type: str, vendor: Vendor) -> None:
        fields: Event = {
            "vendor_id": vendor.vendor_id,
            "name": vendor.name,
            "contact_email": vendor.contact_email,
            "country": vendor.country,
            "category": vendor.category,
            "commission_rate": str(vendor.commission_rate),
            "monthly_goal": str(vendor.monthly_goal),
        }
        self._world.emit(VENDORS_TOPIC, event_type, fields)


def _vendor(world: World, number: int) -> Vendor:
    chance = world.chance
    name = f"{NAMES[number % len(NAMES)]} {TRADES[number // len(NAMES)]}"
    return Vendor(
        vendor_id=f"vendor-{number + 1:02}",
        name=name,
        contact_email=f"sales@{name.replace(' ', '-').lower()}.example.org",
        country=COUNTRIES[popular(world, len(COUNTRIES))],
        category=list(CATEGORIES)[number * 5 % len(CATEGORIES)],
        commission_rate=Decimal(chance.randrange(8, 17)) / 100,
        monthly_goal=Decimal(chance.randrange(20, 200) * 1_000),
        handling=chance.uniform(4, 30) * HOUR,
        cancelled=chance.uniform(0.005, 0.06),
        returned=chance.uniform(0.02, 0.14),
        rating=chance.uniform(3.2, 4.8),
    )


def _products(world: World, vendor: Vendor, size: int) -> list[Product]:
    # Each vendor sells in three categories.
    names = list(CATEGORIES)
    first = names.index(vendor.category)
    shelf = [names[(first + offset) % len(names)] for offset in (0, 3, 7)]
    products = []
    for number in range(PRODUCTS):
        category = world.chance.choice(shelf)
        price = CATEGORIES[category] * world.chance.lognormvariate(0, 0.5)
        point = size * world.chance.randrange(15, 60)
        products.append(
            Product(
                product_id=f"{vendor.vendor_id}-{category.lower()}-{number + 1:02}",
                vendor=vendor,
                category=category,
                price=Decimal(f"{price:.2f}"),
                stock=point * world.chance.randrange(2, 6),
                reorder_point=point,
            )
        )
    return products
