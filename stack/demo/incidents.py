"""What may go wrong, or very well, for a while."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Kind = Literal["payment_outage", "stock_out", "viral_product", "price_mistake", "traffic_spike", "data_outage"]

DESCRIPTIONS: dict[Kind, str] = {
    "payment_outage": "The payment provider does not answer: nine payments in ten fail.",
    "stock_out": "The most popular vendor's goods are gone, and none come in.",
    "viral_product": "Half of all visitors look at one product.",
    "price_mistake": "The most popular product costs a hundredth.",
    "traffic_spike": "Five times as many visitors.",
    "data_outage": "No event arrives; all of them come afterwards.",
}
"""Each kind of incident, in a sentence."""


@dataclass(frozen=True)
class Incident:
    """An incident from ``begin`` until ``end``, in seconds since 1970."""

    kind: Kind
    begin: float
    end: float


class Incidents:
    """Says what goes on at a moment; incidents may be added while the simulation runs."""

    def __init__(self, incidents: Sequence[Incident] = ()) -> None:
        self.all = list(incidents)

    def now(self, kind: Kind, at: float) -> Incident | None:
        """The incident of a kind that goes on at a moment."""
        for incident in self.all:
            if incident.kind == kind and incident.begin <= at < incident.end:
                return incident
        return None
