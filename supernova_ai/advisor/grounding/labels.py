"""Read what a text says of the facts that are words: the regime and the asset class."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import get_args

from supernova_ai.advisor.facts import Fact
from supernova_ai.advisor.grounding.report import Claim
from supernova_ai.config.advice import AssetClass, Regime

_SAID = {
    "regime": rf"\bregime\W+(?:(?:is|was|remains|of)\W+)?(?P<it>{'|'.join(get_args(Regime))})\b"
    rf"|\b(?P<its>{'|'.join(get_args(Regime))}) (?:market|regime)\b"
    rf"|\bmarket is (?P<now>{'|'.join(get_args(Regime))})\b",
    "asset_class": rf"\basset class\W+(?:(?:is|of)\W+)?(?:an? )?(?P<it>{'|'.join(get_args(AssetClass))})\b",
}
"""How a text says which of its words each of these facts is."""


def label_claims(text: str, facts: Iterable[Fact]) -> Iterator[Claim]:
    """Yield a claim for each regime and asset class that is named as the asset's."""
    for fact in facts:
        for match in re.finditer(_SAID.get(fact.id, r"(?!)"), text, re.IGNORECASE):
            name = next(filter(None, match.groups()))
            holds = name.lower() == fact.value
            source = fact.source if holds else f"{fact.label} is {fact.value}"
            yield Claim(
                match[0], match.start(), match.end(), "label", "grounded" if holds else "contradicted", source
            )
