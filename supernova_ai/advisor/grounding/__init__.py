"""Whether a text says only what follows from the facts: every figure, date, ticker and direction in it."""

from supernova_ai.advisor.grounding.check import LONGEST, check
from supernova_ai.advisor.grounding.report import Claim, GroundingReport, Verdict

__all__ = ["LONGEST", "Claim", "GroundingReport", "Verdict", "check"]
