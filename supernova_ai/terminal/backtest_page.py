"""A backtest on one page: the strategy beside holding and random times, and the hits by confidence."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.text import Text

from supernova_ai.advisor.backtest_result import Backtest
from supernova_ai.advisor.bars import format_time
from supernova_ai.advisor.simulation import Performance
from supernova_ai.terminal.stacked_table import StackedTable


def backtest_page(result: Backtest) -> RenderableType:
    """Show how the rules would have performed, and how often they were right."""
    first, last, shifted = result.bars[0].time, result.bars[-1].time, result.shifted
    return Group(
        Text(
            f"{result.symbol}, {len(result.bars):,} bars from {format_time(first)} to {format_time(last)}: "
            f"risk score {result.risk_score:g}, costs {result.costs:g} basis points per trade"
        ),
        _measures(result),
        "",
        Text(
            f"Of {shifted.draws:,} random shifts of the same exposure, {shifted.return_percentile:.0%} had "
            f"a lower return, and {shifted.sharpe_percentile:.0%} a lower Sharpe ratio."
        ),
        _hits(result),
    )


def _measures(result: Backtest) -> StackedTable:
    table = StackedTable(
        "Performance",
        ("",),
        ("Return", "Volatility", "Sharpe", "Drawdown", "Exposure", "Trades", "Turnover"),
    )
    rows: tuple[tuple[str, Performance], ...] = (
        ("strategy", result.strategy),
        ("buy and hold", result.buy_and_hold),
        ("shift, 5 %", result.shifted.low),
        ("shift, median", result.shifted.median),
        ("shift, 95 %", result.shifted.high),
    )
    for name, one in rows:
        table.add(
            name,
            f"{one.total_return:+,.1%}",
            f"{one.volatility:.1%}",
            f"{one.sharpe:.2f}",
            f"{one.max_drawdown:.1%}",
            f"{one.exposure:.0%}",
            f"{one.trades:g}",
            f"{one.turnover:.1f}",
        )
    return table


def _hits(result: Backtest) -> StackedTable:
    table = StackedTable(
        f"Directions that were right {result.ahead} bars later",
        ("Confidence",),
        ("Directions", "Right", "At any time"),
    )
    for bucket in result.hits:
        table.add(
            f"{bucket.low:.1f} to {bucket.high:.1f}",
            f"{bucket.decisions:,}",
            "-" if bucket.hit_rate is None else f"{bucket.hit_rate:.0%}",
            "-" if bucket.expected is None else f"{bucket.expected:.0%}",
        )
    return table
