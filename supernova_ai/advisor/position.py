"""What the client holds of the asset, as facts; it also chooses the words for what to do."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from typing import Any, TypedDict, get_args

from supernova_ai.advisor import checks
from supernova_ai.advisor.ensemble import Assessment, Holding
from supernova_ai.advisor.facts import Fact
from supernova_ai.advisor.language import Language
from supernova_ai.advisor.signals import Horizon
from supernova_ai.errors import InvalidRequest

_MOST_UNITS = 1e12


class Position(TypedDict, total=False):
    """What the client holds of an asset; each part may be left out, or be None."""

    quantity: float | None
    """How many units are held, such as shares; 0: none. A unit is what the price of a bar is for."""

    cost_basis: float | None
    """The average price paid for a unit, in the currency of the bars."""

    weight: float | None
    """The share of the client's portfolio, 0 to 1: 0.4 is 40 %."""

    opened: date | str | None
    """The day of the purchase, such as 2026-03-02."""

    horizon: Horizon | None
    """How long the client means to hold it: what the signals of a trend look back on. Default: medium."""


def read_position(given: Any, name: str = "position") -> Position:
    """Return the checked parts of a position, without those that are None; empty for None.

    Args:
        given: the position as the caller gave it.
        name: what errors call it.

    Raises:
        InvalidRequest: a part is unknown or wrong; the message says what is right.
    """
    parts = checks.parts(name, {} if given is None else given, Position.__annotations__)
    found: Position = {}
    if (quantity := parts.get("quantity")) is not None:
        right = f"0 to {_MOST_UNITS:g} units: short positions are not advised on"
        found["quantity"] = checks.number(f"{name} has quantity", quantity, right, 0, _MOST_UNITS)
    if (paid := parts.get("cost_basis")) is not None:
        right = "the average price paid for a unit, above zero"
        found["cost_basis"] = checks.number(f"{name} has cost_basis", paid, right, 1e-12)
    if (weight := parts.get("weight")) is not None:
        right = "a share of the portfolio from 0 to 1, such as 0.4 for 40 %"
        found["weight"] = checks.number(f"{name} has weight", weight, right, 0, 1)
    if (opened := parts.get("opened")) is not None:
        found["opened"] = checks.day(f"{name} has opened", opened).isoformat()
    if (horizon := parts.get("horizon")) is not None:
        checks.one_of(f"{name} has horizon", horizon, get_args(Horizon))
        found["horizon"] = horizon
    if found.get("quantity") == 0 and found.get("weight"):
        raise InvalidRequest(
            f"{name} has quantity 0 and weight {found['weight']}: what is not held has no share"
        )
    return found


def holding_of(position: Position) -> Holding:
    """Return whether the client holds the asset: the quantity says so, or what only a holder has."""
    if (quantity := position.get("quantity")) is not None:
        return "held" if quantity else "none"
    known = position.get("weight") or position.get("cost_basis") or position.get("opened")
    return "held" if known else "unknown"


def position_facts(
    position: Position, assessment: Assessment, last: date, latest: date, texts: Language
) -> Iterator[Fact]:
    """Yield the facts of a position that is held.

    Args:
        position: as ``read_position`` returns it.
        assessment: of the asset, with the facts about its price.
        last: the day of the last bar.
        latest: the day on which the bars were read.
        texts: the names of the facts.

    Raises:
        InvalidRequest: the position was opened after that day, or its value is too large.
    """
    if holding_of(position) != "held":
        return
    close = next(fact for fact in assessment.facts if fact.id == "close")
    price: dict[str, Any] = {"currency": close.currency, "as_of": close.as_of}
    quantity, paid, opened = position.get("quantity"), position.get("cost_basis"), position.get("opened")
    assert close.number is not None
    if quantity is not None:
        value = quantity * close.number
        if max(value, quantity * (paid or 0)) > checks.MOST:
            raise InvalidRequest(f"position has quantity {quantity}, whose value is above {checks.MOST:g}")
        yield texts.fact("quantity", quantity)
        yield texts.fact("position_value", value, "price", scale="position", decimals=2, **price)
    if paid is not None:
        yield texts.fact("cost_basis", paid, "price", currency=close.currency, decimals=close.decimals)
    if opened is not None and date.fromisoformat(str(opened)) > last:
        paid = None  # the close is older than the purchase: it shows no gain or loss
    if paid is not None:
        gain = (close.number / paid - 1) * 100
        yield texts.fact("position_change", gain, "percent", change_of="position", as_of=close.as_of)
    if paid is not None and quantity is not None:
        amount = quantity * (close.number - paid)
        yield texts.fact("position_gain", amount, "price", scale="gain", decimals=2, **price)
    if weight := position.get("weight"):
        yield texts.fact("position_weight", weight * 100, "percent", scale="weight")
    if opened is not None:
        day = date.fromisoformat(str(opened))
        checks.not_later("position has opened", day, latest)
        yield texts.fact("opened", day)
        # It may have been opened after the last bar ended.
        yield texts.fact("days_held", max(0, (last - day).days), "count")
