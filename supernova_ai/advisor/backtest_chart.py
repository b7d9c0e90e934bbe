"""The chart of a backtest: the price with the trades, the capital and the drawdown, as SVG or PNG."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any

from supernova_ai.advisor.backtest_result import Backtest, BacktestTrade
from supernova_ai.errors import ExtraMissing, InvalidRequest

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_FORMATS = (".svg", ".png")

# Okabe and Ito's colours, which people with each kind of colour blindness can tell apart.
_BLUE, _ORANGE, _GREEN, _RED, _PURPLE, _GREY = (
    "#0072b2",
    "#e69f00",
    "#009e73",
    "#d55e00",
    "#cc79a7",
    "#444444",
)

_MARKS = {
    "buy": ("^", 9, _GREEN),
    "reduce": ("D", 6, _PURPLE),
    "sell": ("v", 9, _RED),
    "avoid": ("X", 8, _ORANGE),
}
"""The shape, the size and the colour of each action's trades."""

_LOGARITHMIC = 5.0  # from this ratio of the highest to the lowest value on, equal changes get equal heights

_SETTINGS = {
    "svg.fonttype": "none",  # text stays text: it can be searched, and read aloud
    "svg.hashsalt": "backtest",  # the same backtest gives the same bytes
    "path.simplify": False,
    "font.size": 9.0,
}


def save_chart(result: Backtest, path: str | Path) -> None:
    """Draw a backtest into a file: price and trades, capital, drawdown.

    Args:
        path: ends with .svg or .png, which selects the format. An existing file is replaced.

    Raises:
        ExtraMissing: the extra ``charts`` is not installed.
        InvalidRequest: the path has another ending, or the file cannot be written.
    """
    path = Path(path)
    ending = path.suffix.lower()
    if ending not in _FORMATS:
        raise InvalidRequest(f"a chart cannot be written to {path}: its name must end with .svg or .png")
    data = _draw(result, ending[1:])
    try:
        path.write_bytes(data)
    except OSError as error:
        raise InvalidRequest(f"the chart {path} cannot be written: {error.strerror}") from error


def _draw(result: Backtest, form: str) -> bytes:
    try:
        import matplotlib as mpl  # here, because it is an extra and slow to import
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ExtraMissing(
            "a chart needs the package matplotlib: pip install 'supernova-ai[charts]'"
        ) from error
    with mpl.rc_context(_SETTINGS):
        # No pyplot: it would keep each figure, and choose a window system.
        figure = Figure(figsize=(10, 8), layout="constrained")
        price, capital, drawdown = figure.subplots(3, 1, sharex=True, height_ratios=(5, 4, 2))
        figure.suptitle(_title(result), fontsize=11)
        times = [bar.time for bar in result.bars]
        own = [bar.capital for bar in result.bars]
        held = [bar.buy_and_hold for bar in result.bars]
        _price(price, times, result)
        _line(capital, times, held, "buy and hold", _ORANGE, "--")
        _line(capital, times, own, "strategy", _BLUE)
        _scale(capital, [*own, *held])
        capital.set_ylabel("Capital (1 at the start)")
        _line(drawdown, times, _drawdowns(held), "drawdown of buy and hold", _ORANGE, "--")
        _line(drawdown, times, _drawdowns(own), "drawdown of the strategy", _BLUE)
        drawdown.set_ylabel("Drawdown (%)")
        _dates(drawdown)
        drawdown.set_xlabel("Time of the bar, UTC")
        for axes in (price, capital):
            axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=5, frameon=False)
        for axes in (price, capital, drawdown):
            axes.grid(color="#dddddd", linewidth=0.6)
            axes.spines[["top", "right"]].set_visible(False)
            axes.margins(x=0.01)
        figure.align_ylabels()
        drawn = BytesIO()
        figure.savefig(drawn, format=form, dpi=150, metadata={"Date": None} if form == "svg" else None)
    return drawn.getvalue()


def _title(result: Backtest) -> str:
    first, last = result.bars[0].time, result.bars[-1].time
    return (
        f"{result.symbol}, {first:%Y-%m-%d} to {last:%Y-%m-%d}\n"
        f"costs {result.costs:g} basis points per trade, risk score {result.risk_score:g}"
    )


def _price(axes: Axes, times: Sequence[Any], result: Backtest) -> None:
    closes = [bar.close for bar in result.bars]
    _line(axes, times, closes, "close", _GREY)
    for action, (shape, size, colour) in _MARKS.items():
        trades = [trade for trade in result.trades if trade.action == action]
        if trades:
            _trades(axes, trades, shape, size, colour)
    _scale(axes, closes)
    axes.set_ylabel("Price")


def _trades(axes: Axes, trades: Sequence[BacktestTrade], shape: str, size: int, colour: str) -> None:
    action = trades[0].action
    times: list[Any] = [trade.time for trade in trades]
    axes.plot(
        times,
        [trade.price for trade in trades],
        shape,
        color=colour,
        markeredgecolor="white",
        markersize=size,
        label=action,
        gid=f"trades-{action}",
        zorder=3,
    )


def _line(
    axes: Axes, times: Sequence[Any], values: Sequence[float], label: str, colour: str, style: str = "-"
) -> None:
    axes.plot(times, values, style, color=colour, linewidth=1.2, label=label, gid=label.replace(" ", "-"))


def _scale(axes: Axes, values: Sequence[float]) -> None:
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    if max(values) >= _LOGARITHMIC * min(values):
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_minor_formatter(NullFormatter())
        axes.yaxis.set_major_formatter(StrMethodFormatter("{x:,.10g}"))


def _drawdowns(capital: Sequence[float]) -> list[float]:
    highest = accumulate(capital, max)
    return [100 * (value / top - 1) for value, top in zip(capital, highest, strict=True)]


def _dates(axes: Axes) -> None:
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    locator = AutoDateLocator(minticks=5, maxticks=10)
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))
