"""What the check of a text found: its claims, and which of them do not hold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal[
    "figure",
    "percent",
    "points",
    "ratio",
    "period",
    "date",
    "ticker",
    "direction",
    "action",
    "slot",
    "label",
    "rest",
]

Verdict = Literal["grounded", "unsupported", "contradicted"]
"""It follows from the facts; nothing in them speaks for it; something in them speaks against it."""


@dataclass(frozen=True, slots=True)
class Claim:
    """One thing that a text states, from ``start`` to ``end`` in it.

    ``source`` says which facts it follows from and how, or else why it does not hold.
    """

    text: str
    start: int
    end: int
    kind: Kind
    verdict: Verdict
    source: str


@dataclass(frozen=True, slots=True)
class GroundingReport:
    """Every claim of a text, in the text's order."""

    claims: tuple[Claim, ...]

    @property
    def violations(self) -> tuple[Claim, ...]:
        """The claims that do not hold."""
        return tuple(claim for claim in self.claims if claim.verdict != "grounded")

    @property
    def grounded(self) -> bool:
        """Whether every claim holds; so it is for a text that claims nothing."""
        return not self.violations

    @property
    def share(self) -> float:
        """The share of claims that hold, 0 to 1; 1 for a text that claims nothing."""
        return 1 - len(self.violations) / len(self.claims) if self.claims else 1.0

    def describe(self) -> str:
        """Return one line for each violation, as a request to repair the text lists them."""
        return "\n".join(f'- {claim.kind} "{claim.text}": {claim.source}' for claim in self.violations)
