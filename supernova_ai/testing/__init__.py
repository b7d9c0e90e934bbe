"""For tests: a stub provider, recorded exchanges, and (as a pytest plugin) the fixtures made of them."""

from supernova_ai.testing.answers import Answer, Failure, Hang, Raw, Reset, Step
from supernova_ai.testing.stub import Received, StubProvider, closed_port
from supernova_ai.testing.wire import Exchange, exchanges

__all__ = [
    "Answer",
    "Exchange",
    "Failure",
    "Hang",
    "Raw",
    "Received",
    "Reset",
    "Step",
    "StubProvider",
    "closed_port",
    "exchanges",
]
