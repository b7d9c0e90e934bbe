"""Advice on 5,000 bars, compared with the indicators alone."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from talipp import indicators as talipp

from benchmarks.calibration import walk
from benchmarks.calls import Peers
from benchmarks.results import OURS, Ratio, compare
from benchmarks.setting import MASTER, PAYER, settings
from benchmarks.sides import in_turn
from supernova_ai import Config, SupernovaSync, advise

BARS = 5_000


def measure(_: Peers, quick: bool) -> Iterator[Ratio]:
    """Compare advice, with its record in the database, with talipp's computation of the same indicators."""
    bars = walk(1, BARS)
    rows = [asdict(bar) for bar in bars]
    closes = [bar.close for bar in bars]

    def indicators() -> None:
        talipp.MACD(12, 26, 9, closes)
        talipp.BB(20, 2, closes)
        for period in (50, 200):
            talipp.SMA(period, closes)
        talipp.RSI(14, closes)
        talipp.ADX(14, 14, bars)
        talipp.OBV(bars)

    with tempfile.TemporaryDirectory() as folder:
        config = Config.model_validate(settings(str(Path(folder, "benchmark.db")), "http://127.0.0.1:1"))
        with SupernovaSync(config, master=MASTER, preload=False) as nova:
            one = partial(advise, rows, symbol="AAPL", explain=False, client=nova, user_id=PAYER["user_id"])
            taken = in_turn(
                3 if quick else 15,
                {OURS: partial(seconds, one), "talipp's indicators": partial(seconds, indicators)},
            )
    yield from compare("advice", f"time of advise on {BARS:,} bars", taken, {"talipp's indicators": 10.0})


def seconds(function: Callable[[], Any]) -> float:
    """Return the seconds that a function takes."""
    began = time.perf_counter()
    function()
    return time.perf_counter() - began
