"""The contract of an option, as facts: a rationale may state them; they change nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from re import fullmatch
from typing import Any, Literal, TypedDict

from supernova_ai.advisor import checks
from supernova_ai.advisor.ensemble import SYMBOL
from supernova_ai.advisor.facts import Fact
from supernova_ai.advisor.language import Language
from supernova_ai.characters import quoted
from supernova_ai.errors import InvalidRequest


class OptionContract(TypedDict):
    """An option: which right it gives, on what, at what price and until when."""

    strike: float
    """The price at which the underlying may be bought or sold, above 0, in the currency of the bars."""

    expiry: date | str
    """The last day of the right, such as 2027-01-15."""

    type: Literal["call", "put"]
    """call: the right to buy; put: the right to sell."""

    underlying: str
    """The ticker of what may be bought or sold, such as AAPL."""


_PARTS = tuple(OptionContract.__annotations__)


def read_contract(asset_class: str, given: Any) -> OptionContract:
    """Return the checked contract of an option, with its expiry as ISO text.

    Args:
        asset_class: of the advice.
        given: strike, expiry, type and underlying.

    Raises:
        InvalidRequest: the asset is not an option, or a part is missing or wrong.
    """
    if asset_class != "option":
        raise InvalidRequest(
            f"option is given, and asset_class is {quoted(asset_class)}: add asset_class='option'"
        )
    contract = checks.parts("option", given, _PARTS)
    if missing := [name for name in _PARTS if contract.get(name) is None]:
        raise InvalidRequest(f"option has no {missing[0]}: it needs {', '.join(_PARTS)}")
    if contract["type"] not in ("call", "put"):
        raise checks.wrong("option has type", contract["type"], "'call' or 'put'")
    underlying = contract["underlying"]
    if not isinstance(underlying, str) or not fullmatch(SYMBOL, underlying):
        raise checks.wrong("option has underlying", underlying, "a ticker such as AAPL")
    return {
        "strike": checks.number("option has strike", contract["strike"], "a price above zero", 1e-12),
        "expiry": checks.day("option has expiry", contract["expiry"]).isoformat(),
        "type": contract["type"],
        "underlying": underlying,
    }


def contract_facts(contract: OptionContract, last: date, currency: str, texts: Language) -> Iterator[Fact]:
    """Yield the contract, and the days it has left, as facts.

    Raises:
        InvalidRequest: it expired before the last bar.
    """
    expiry = date.fromisoformat(str(contract["expiry"]))
    if expiry < last:
        raise InvalidRequest(
            f"option has expiry {expiry}, and the last bar is of {last}: an expired option has no advice"
        )
    yield texts.fact("option_type", contract["type"])
    yield texts.fact("underlying", contract["underlying"])
    yield texts.fact("strike", contract["strike"], "price", scale="strike", currency=currency)
    yield texts.fact("expiry", expiry)
    yield texts.fact("days_to_expiry", (expiry - last).days, "count")
