"""The marts of what visitors and customers do before and after an order: clicks and reviews of the marketplace."""

import datetime as dt

from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import LongType

from jobs.marts.mart import Mart, counted, summed
from jobs.marts.metric import ratio

STARS = range(1, 6)


def click_facts(events: DataFrame) -> DataFrame:
    """One row per click.

    Args:
        events: silver clickstream.

    Returns:
        minute, channel, device, event_type.
    """
    return events.select(F.date_trunc("minute", "event_time").alias("minute"), "channel", "device", "event_type")


def review_facts(events: DataFrame) -> DataFrame:
    """One row per review submitted.

    Args:
        events: silver reviews.

    Returns:
        day, vendor_id, product_id, rating (1 to 5).
    """
    submitted = events.where(F.col("event_type") == "submitted")
    return submitted.select(F.date_trunc("day", "event_time").alias("day"), "vendor_id", "product_id", "rating")


FUNNEL_BY_MINUTE = Mart(
    name="marketplace_funnel_by_minute",
    description="From the first look to the purchase, per minute of event time, channel and device.",
    window="minute",
    width=dt.timedelta(minutes=1),
    dimensions={"channel": "Where the visitor is: web, app or partner.", "device": "desktop, mobile or tablet."},
    measures=(
        counted("searches", "event_type = 'search'", "clicks", "Searches."),
        counted("views", "event_type = 'view'", "clicks", "Products looked at."),
        counted("carts", "event_type = 'cart'", "clicks", "Products put into a cart."),
        counted("checkouts", "event_type = 'checkout'", "visits", "Visits that went to the checkout."),
        counted("purchases", "event_type = 'purchase'", "orders", "Visits that ended with an order."),
    ),
    facts=click_facts,
    metrics=(
        ratio("cart_rate", "carts", "views", "share", "Products put into a cart, of those looked at."),
        ratio("checkout_rate", "checkouts", "carts", "share", "Visits at the checkout per product in a cart."),
        ratio("conversion", "purchases", "views", "share", "Visits that ended with an order per product looked at."),
    ),
)

RATINGS_BY_DAY = Mart(
    name="marketplace_ratings_by_day",
    description="How customers rate vendors and their products, per day of event time, UTC.",
    window="day",
    width=dt.timedelta(days=1),
    dimensions={"vendor_id": "Vendor who sold the product.", "product_id": "The product."},
    measures=(
        counted("reviews", "true", "reviews", "Reviews submitted."),
        summed(
            "stars",
            "rating",
            "true",
            "stars",
            "Stars of all reviews; by reviews, the mean rating.",
            data_type=LongType(),
        ),
        *(
            counted(f"stars_{stars}", f"rating = {stars}", "reviews", f"Reviews with {stars} of 5 stars.")
            for stars in STARS
        ),
    ),
    facts=review_facts,
    metrics=(ratio("mean_rating", "stars", "reviews", "stars", "Mean rating, 1 to 5 stars."),),
)

MARTS = {"marketplace.clickstream": (FUNNEL_BY_MINUTE,), "marketplace.reviews": (RATINGS_BY_DAY,)}
