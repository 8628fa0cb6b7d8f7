"""The marts of the travel business."""

import datetime as dt

from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import LongType

from jobs.marts.mart import Mart, counted, summed
from jobs.marts.metric import ratio

CURRENCY = "currency of the travel business"
TRIP = {
    "destination": "Where the trip goes.",
    "trip_type": "flight, hotel, package, train or car.",
    "channel": "Where the customer is: web, app, agency or partner.",
}
BOOKED, CANCELLED = "event_type = 'booked'", "event_type = 'cancelled'"


def booking_facts(events: DataFrame) -> DataFrame:
    """One row per step of a booking.

    Args:
        events: silver bookings.

    Returns:
        minute, destination, trip_type, channel, event_type, travellers, amount (currency of the travel business).
    """
    return events.select(
        F.date_trunc("minute", "event_time").alias("minute"), *TRIP, "event_type", "travellers", "amount"
    )


def search_facts(events: DataFrame) -> DataFrame:
    """One row per step of a search.

    Args:
        events: silver searches.

    Returns:
        minute, destination, trip_type, channel, device, event_type, is_booked.
    """
    return events.select(
        F.date_trunc("minute", "event_time").alias("minute"),
        *TRIP,
        "device",
        "event_type",
        F.col("booking_id").isNotNull().alias("is_booked"),
    )


BOOKINGS_BY_MINUTE = Mart(
    name="travel_bookings_by_minute",
    description="Bookings per minute of event time, destination, type of trip and channel.",
    window="minute",
    width=dt.timedelta(minutes=1),
    dimensions=TRIP,
    measures=(
        counted("bookings", BOOKED, "bookings", "Trips booked."),
        summed("travellers", "travellers", BOOKED, "persons", "Travellers on the trips booked.", data_type=LongType()),
        summed("revenue", "amount", BOOKED, CURRENCY, "Price of the trips booked, before cancellations."),
        counted("confirmed", "event_type = 'confirmed'", "bookings", "Bookings confirmed."),
        counted("changed", "event_type = 'changed'", "bookings", "Bookings changed."),
        counted("cancelled", CANCELLED, "bookings", "Bookings cancelled."),
        summed("cancelled_revenue", "amount", CANCELLED, CURRENCY, "Price of the trips cancelled."),
        counted("completed", "event_type = 'completed'", "bookings", "Trips that are over."),
    ),
    facts=booking_facts,
    metrics=(
        ratio("average_booking_value", "revenue", "bookings", CURRENCY, "Revenue per trip booked."),
        ratio("cancellation_rate", "cancelled", "bookings", "share", "Bookings cancelled per trip booked."),
    ),
)

SEARCHES_BY_MINUTE = Mart(
    name="travel_searches_by_minute",
    description="From search to booking, per minute of event time, destination, type of trip, channel and device.",
    window="minute",
    width=dt.timedelta(minutes=1),
    dimensions={**TRIP, "device": "desktop, mobile or tablet."},
    measures=(
        counted("searches", "event_type = 'searched'", "searches", "Searches."),
        counted("views", "event_type = 'viewed'", "offers", "Offers looked at."),
        counted("selections", "event_type = 'selected'", "offers", "Offers selected."),
        counted("booked", "event_type = 'selected' and is_booked", "bookings", "Offers selected and booked."),
    ),
    facts=search_facts,
    metrics=(
        ratio("selection_rate", "selections", "searches", "share", "Offers selected per search."),
        ratio("conversion", "booked", "searches", "share", "Offers booked per search."),
    ),
)

MARTS = {"travel.bookings": (BOOKINGS_BY_MINUTE,), "travel.searches": (SEARCHES_BY_MINUTE,)}
