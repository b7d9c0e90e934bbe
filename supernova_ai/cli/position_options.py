"""Options of the commands that advise: what the client holds, and for how long."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

import typer

from supernova_ai.advisor.position import Position
from supernova_ai.advisor.signals import Horizon

HorizonOption = Annotated[
    Horizon | None,
    typer.Option(
        "--horizon",
        help="How long the client means to hold it; the trend is measured accordingly.",
        show_default="medium",
    ),
]
Quantity = Annotated[
    float | None,
    typer.Option(help="How many units the client holds; 0 for none.", show_default=False),
]
CostBasis = Annotated[
    float | None,
    typer.Option("--cost-basis", help="The average price that was paid for a unit.", show_default=False),
]
Opened = Annotated[
    str | None,
    typer.Option(metavar="DATE", help="The day of the purchase, such as 2026-03-02.", show_default=False),
]
Weights = Annotated[
    list[str] | None,
    typer.Option(
        "--weight",
        metavar="SYMBOL=SHARE",
        help="The share of the portfolio, such as KO=0.4; repeatable for a folder.",
    ),
]


def read_weights(texts: Iterable[str] | None) -> dict[str, float]:
    """Return the shares of a portfolio that options give as SYMBOL=SHARE."""
    return dict(_weight(text) for text in texts or ())


def position_of(symbol: str, weights: dict[str, float], position: Position) -> Position:
    """Return the position in one symbol, with its weight."""
    if other := [name for name in weights if name != symbol]:
        raise typer.BadParameter(f"--weight {other[0]}=… is of another symbol than {symbol}")
    return {**position, "weight": weights.get(symbol)}


def positions_of(
    symbols: Iterable[str], weights: dict[str, float], position: Position
) -> dict[str, Position]:
    """Return the positions in the symbols of a folder: their weights, and one horizon for all."""
    if any(value is not None for name, value in position.items() if name != "horizon"):
        raise typer.BadParameter("--quantity, --cost-basis and --opened are of one symbol: give --symbol")
    positions: dict[str, Position] = {symbol: position.copy() for symbol in symbols}
    for symbol, weight in weights.items():
        positions.setdefault(symbol, {})["weight"] = weight
    return positions


def _weight(text: str) -> tuple[str, float]:
    symbol, _, share = text.rpartition("=")
    try:
        return symbol, float(share)
    except ValueError:
        raise typer.BadParameter(
            f"{text!r} is no weight: write a symbol and its share, such as KO=0.4"
        ) from None
