"""``supernova advise backtest``: what the rules would have done on past bars."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from supernova_ai.advisor.backtest import backtest as run_backtest
from supernova_ai.advisor.backtest_chart import save_chart
from supernova_ai.advisor.bars import load_csv
from supernova_ai.cli.bar_options import DayFirst, Decimal, RepairOption, repair_of
from supernova_ai.cli.options import AsJson, ConfigPath, console, load, print_json
from supernova_ai.cli.position_options import HorizonOption
from supernova_ai.config.advice import AssetClass
from supernova_ai.terminal.backtest_page import backtest_page


def backtest(
    bars: Annotated[
        Path, typer.Option(help="A file of bars: CSV with time, open, high, low, close, volume; or JSON.")
    ],
    symbol: Annotated[
        str | None, typer.Option(help="The ticker, such as AAPL.", show_default="the file's name")
    ] = None,
    config: ConfigPath = None,
    asset_class: Annotated[AssetClass, typer.Option(help="The kind of asset.")] = "stock",
    risk: Annotated[
        float, typer.Option(help="The client's risk score: 0 for the most cautious, 100 for the boldest.")
    ] = 50,
    horizon: HorizonOption = None,
    repair: RepairOption = "clip",
    day_first: DayFirst = None,
    decimal: Decimal = None,
    costs: Annotated[
        float, typer.Option(help="Costs of a trade, in basis points of its amount: 10 is 0.1 %.")
    ] = 10,
    draws: Annotated[int, typer.Option(help="How many random shifts of the exposure.")] = 500,
    seed: Annotated[int, typer.Option(help="The seed of the random shifts.")] = 0,
    chart: Annotated[
        Path | None,
        typer.Option(help="Draw price, trades and capital into this .svg or .png file.", show_default=False),
    ] = None,
    json: AsJson = False,
) -> None:
    """Follow the advice of each past bar; compare it with holding, and with the same exposure at random."""
    result = run_backtest(
        load_csv(bars, repair=repair_of(repair), day_first=day_first, decimal=decimal),
        symbol=bars.stem if symbol is None else symbol,
        asset_class=asset_class,
        risk_score=risk,
        horizon=horizon or "medium",
        costs=costs,
        rules=load(config).config.advice,
        seed=seed,
        draws=draws,
    )
    if chart:
        save_chart(result, chart)
    if json:
        print_json(result.to_dict())
    else:
        console.print(backtest_page(result))
