"""Demo traffic: a seeded simulation of both businesses, with disorder and incidents, and a ledger of the truth."""

from stack.demo.disorder import Disorder
from stack.demo.incidents import DESCRIPTIONS, Incident, Incidents, Kind
from stack.demo.ledger import Ledger
from stack.demo.message import Message
from stack.demo.simulation import SHARES, TOPICS, simulate

__all__ = [
    "DESCRIPTIONS",
    "SHARES",
    "TOPICS",
    "Disorder",
    "Incident",
    "Incidents",
    "Kind",
    "Ledger",
    "Message",
    "simulate",
]
