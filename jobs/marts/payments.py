"""The marts of payments, which both businesses have alike."""

import datetime as dt

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.marts.mart import Mart, counted, summed
from jobs.marts.metric import Metric, ratio

NONE = "none"
STEPS = {
    "authorized": "reserved",
    "captured": "collected",
    "failed": "that did not go through",
    "refunded": "given back to customers",
    "charged_back": "taken back by customers' banks",
}


def payment_facts(events: DataFrame) -> DataFrame:
    """One row per step of a payment.

    Args:
        events: silver payments of either business.

    Returns:
        minute, method, failure_reason, event_type, amount (currency of the business).
    """
    return events.select(
        F.date_trunc("minute", "event_time").alias("minute"),
        "method",
        F.coalesce("failure_reason", F.lit(NONE)).alias("failure_reason"),
        "event_type",
        "amount",
    )


def payments_by_minute(domain: str, business: str) -> Mart:
    """The mart of a business' payments."""
    return Mart(
        name=f"{domain}_payments_by_minute",
        description=f"Payments of the {business} per minute of event time, method and reason of failure.",
        window="minute",
        width=dt.timedelta(minutes=1),
        dimensions={
            "method": "How the customer pays: card, wallet, bank_transfer or invoice.",
            "failure_reason": f"Why a payment failed; '{NONE}' where it did not.",
        },
        measures=(
            *(counted(step, f"event_type = '{step}'", "payments", f"Payments {what}.") for step, what in STEPS.items()),
            *(
                summed(
                    f"{step}_amount",
                    "amount",
                    f"event_type = '{step}'",
                    f"currency of the {business}",
                    f"Amount {what}.",
                )
                for step, what in STEPS.items()
            ),
        ),
        facts=payment_facts,
        metrics=(
            Metric(
                "success_rate",
                "CAST(SUM(authorized) AS DOUBLE) / NULLIF(SUM(authorized) + SUM(failed), 0)",
                "share",
                "Payments reserved, of those tried.",
            ),
            ratio("refund_rate", "refunded", "captured", "share", "Payments given back per payment collected."),
            ratio("chargeback_rate", "charged_back", "captured", "share", "Payments taken back per payment collected."),
        ),
    )


MARKETPLACE_PAYMENTS_BY_MINUTE = payments_by_minute("marketplace", "marketplace")
TRAVEL_PAYMENTS_BY_MINUTE = payments_by_minute("travel", "travel business")

MARTS = {
    "marketplace.payments": (MARKETPLACE_PAYMENTS_BY_MINUTE,),
    "travel.payments": (TRAVEL_PAYMENTS_BY_MINUTE,),
}
