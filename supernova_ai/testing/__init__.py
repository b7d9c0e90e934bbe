"""For tests: a stub provider, recorded exchanges, and a pytest plugin with fixtures for them."""

from supernova_ai.testing.answers import (
    Answer,
    Cut,
    Failure,
    Flood,
    Garbled,
    Hang,
    Raw,
    Received,
    Refusal,
    Reply,
    Reset,
    Step,
)
from supernova_ai.testing.stub import StubProvider, closed_port
from supernova_ai.testing.toxins import TOXINS, Toxin
from supernova_ai.testing.wire import Exchange, exchanges

__all__ = [
    "TOXINS",
    "Answer",
    "Cut",
    "Exchange",
    "Failure",
    "Flood",
    "Garbled",
    "Hang",
    "Raw",
    "Received",
    "Refusal",
    "Reply",
    "Reset",
    "Step",
    "StubProvider",
    "Toxin",
    "closed_port",
    "exchanges",
]
