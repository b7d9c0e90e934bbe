"""Bars are read from every accepted format, and impossible values are refused with the bar's number."""

from __future__ import annotations

import csv
import random
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from benchmarks.calibration import walk
from supernova_ai.advisor.bars import Bar, History, load_csv, read_bars
from supernova_ai.errors import InvalidRequest

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
BARS = walk("bars", 40)
SAMPLE = Path(__file__).parents[2] / "examples" / "bars.csv"


def read(data: Any) -> History:
    return read_bars(data, now=NOW)


def milliseconds(bar: Bar) -> int:
    return int(bar.time.timestamp() * 1000)


def row(bar: Bar, **changes: Any) -> dict[str, Any]:
    return asdict(bar) | changes


def frame(bars: list[Bar] = BARS) -> pd.DataFrame:
    """Return the bars as a frame of backtesting.py."""
    table = pd.DataFrame([row(bar) for bar in bars]).set_index("time")
    table.columns = [name.capitalize() for name in table.columns]
    return table


def yfinance(*tickers: str, bars: list[Bar] = BARS) -> pd.DataFrame:
    """Return the bars as a frame of yfinance: fields over tickers, with an adjusted close."""
    made = frame(bars)
    made["Adj Close"] = made["Close"] / 2
    return pd.concat(dict.fromkeys(tickers, made), axis=1).swaplevel(axis=1)


FORMATS: dict[str, Callable[[], Any]] = {
    "bars": lambda: BARS,
    "a generator": lambda: iter(BARS),
    "dicts with datetimes": lambda: [row(bar) for bar in BARS],
    "dicts with dates": lambda: [row(bar, time=bar.time.date()) for bar in BARS],
    "dicts with ISO text": lambda: [row(bar, time=bar.time.isoformat()) for bar in BARS],
    "dicts with dates as numbers": lambda: [row(bar, time=int(f"{bar.time:%Y%m%d}")) for bar in BARS],
    "dicts with plain dates as text": lambda: [row(bar, time=f"{bar.time:%Y-%m-%d}") for bar in BARS],
    "dicts with seconds": lambda: [row(bar, time=bar.time.timestamp()) for bar in BARS],
    "dicts with milliseconds": lambda: [row(bar, time=milliseconds(bar)) for bar in BARS],
    "dicts with milliseconds as text": lambda: [row(bar, time=str(milliseconds(bar))) for bar in BARS],
    "dicts of text in capitals": lambda: [
        {" Date": str(bar.time.date()), **{n.upper(): str(v) for n, v in asdict(bar).items() if n != "time"}}
        for bar in BARS
    ],
    "dicts with a timestamp": lambda: [
        {**row(bar), "timestamp": milliseconds(bar), "time": 1} for bar in BARS
    ],
    "dicts with times in another zone": lambda: [
        row(bar, time=bar.time.astimezone(timezone(timedelta(hours=-5)))) for bar in BARS
    ],
    "ccxt rows": lambda: [
        [milliseconds(bar), bar.open, bar.high, bar.low, bar.close, bar.volume] for bar in BARS
    ],
    "newest first": lambda: BARS[::-1],
    "a frame of backtesting.py": frame,
    "a frame with a column of dates": lambda: frame().reset_index(names="Date"),
    "a frame without a zone": lambda: frame().tz_localize(None),
    "a frame of yfinance": lambda: yfinance("AAPL"),
    "a frame of yfinance by ticker": lambda: yfinance("AAPL").swaplevel(axis=1),
    "a frame of a ticker named as a field": lambda: yfinance("OPEN"),
}


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_gives_the_same_bars(name: str) -> None:
    """Every format gives the same bars, in UTC and oldest first."""
    assert read(FORMATS[name]()) == History(tuple(BARS), timedelta(days=1))
    assert type(read(FORMATS[name]()).bars[0].time) is datetime


@pytest.mark.parametrize("zone", ["America/New_York", "Asia/Tokyo"])
def test_midnights_in_any_zone_are_dates(zone: str) -> None:
    """A daily bar of Tokyo keeps its date, although it began on the day before in UTC."""
    table = frame().tz_localize(None).tz_localize(zone)
    assert read(table).bars == tuple(BARS)


@pytest.mark.parametrize(
    "missing", [{"volume": None}, {"volume": ""}, {"volume": float("nan")}, {"volume": pd.NA}, {}], ids=str
)
def test_volume_may_be_missing(missing: dict[str, Any]) -> None:
    """Volume that is None, empty, NaN or absent is unknown."""
    last = {name: value for name, value in row(BARS[1]).items() if name != "volume"}
    assert [bar.volume for bar in read([BARS[0], last | missing]).bars] == [BARS[0].volume, None]


def wrong(number: int, **changes: Any) -> list[dict[str, Any]]:
    rows = [row(bar) for bar in BARS]
    rows[number] |= changes
    return rows


REFUSED: dict[str, tuple[Any, str]] = {
    "text": ("bars.csv", "bars cannot be read from str: give a list of dicts"),
    "a mapping": ({"open": 1}, "bars cannot be read from a dict with only 'open': give a list of dicts"),
    "nothing": (None, "bars cannot be read from NoneType"),
    "none": ([], "0 bars are too few: give at least 2"),
    "one": (BARS[:1], "1 bars are too few"),
    "numbers": ([1, 2], "bar 0 is int: give a list of dicts"),
    "a short row": ([[1, 2, 3]], r"bar 0 has 3 values: a row is \[time, open, high, low, close, volume\]"),
    "no close": (
        [{"time": 1, "open": 1, "high": 1, "low": 1}],
        "bar 0 has no 'close'. It has 'time', 'open'",
    ),
    "no time": ([{"open": 1}], "bar 0 has no time: give one of timestamp, time, datetime, date"),
    "a frame without a close": (frame().drop(columns="Close"), "bar 0 has no 'close'. It has '', 'open'"),
    "two tickers": (
        yfinance("AAPL", "MSFT"),
        r"several tickers \(AAPL, MSFT\): select one, such as frame.xs",
    ),
    "a frame without times": (frame().reset_index(drop=True), "bar 0 has no time: give one of timestamp"),
    "a frame with row numbers": (frame().set_axis([*range(1, 41)]), "bar 0: its time is 1: give ISO text"),
    "a frame of two closes": (frame().rename(columns={"Open": "Close"}), "2 columns 'close'"),
    "a number that is no date": (wrong(0, time=20261320), "bar 0: its time is 20261320"),
    "a year far away": (wrong(0, time=10**23), "bar 0: its time is 1000"),
    "the end of the calendar": (wrong(3, time="0001-01-01T00:00+05:00"), "bar 3: its time is '0001-01-01"),
    "no date": (wrong(3, time="soon"), "bar 3: its time is 'soon'"),
    "a truth for a time": (wrong(3, time=True), "bar 3: its time is True"),
    "a missing time": (wrong(3, time=pd.NaT), "bar 3: its time is NaT"),
    "NaN": (
        wrong(3, close=float("nan")),
        r"bar 3 \(2026-10-01\): close is nan: it must be a price above zero",
    ),
    "infinity": (wrong(3, high=float("inf")), "bar 3 .*: high is inf"),
    "negative": (
        wrong(3, low=-1),
        "bar 3 .*: low is -1: it must be a price above zero, because changes in percent and volatility",
    ),
    "zero": (wrong(3, open=0), "bar 3 .*: open is 0"),
    "too dear": (wrong(3, close=1e30), r"bar 3 .*: close is 1e\+30: .* at most 1e\+15"),
    "too much": (wrong(3, volume=1e300), r"bar 3 .*: volume is 1e\+300: .* at most 1e\+18"),
    "words": (wrong(3, open="many"), "bar 3 .*: open is 'many'"),
    "a truth": (wrong(3, open=True), "bar 3 .*: open is True"),
    "swapped": (
        wrong(3, high=1, low=2, open=1, close=1),
        "bar 3 .*: high 1 is below low 2: they may be swapped",
    ),
    "close above high": (wrong(3, close=1e6), "bar 3 .*: close is 1000000: it must be between low"),
    "open below low": (wrong(3, open=1e-3), "bar 3 .*: open is 0.001: it must be between low"),
    "negative volume": (wrong(3, volume=-1), "bar 3 .*: volume is -1: it must be zero or more, or missing"),
    "volume in words": (wrong(3, volume="many"), "bar 3 .*: volume is 'many'"),
    "a bar twice": ([*BARS[:9], *BARS[8:]], "bar 9 .*: it has the time of bar 8: give each bar once"),
    "newest first, twice": ([*BARS[:9], *BARS[8:]][::-1], "bar 32 .*: it has the time of bar 31"),
    "out of order": ([BARS[1], BARS[0], *BARS[2:]], "bar 1 .*: it is out of order: sort the bars"),
    "to come": (
        [*walk(1, 5)[:3], replace(BARS[0], time=NOW + timedelta(days=30))],
        "the newest bar .* is later than now .*: are its times UTC",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_wrong_bars_are_refused(case: str) -> None:
    """The error names the bar, the value and what would be right."""
    data, message = REFUSED[case]
    with pytest.raises(InvalidRequest, match=message):
        read(data)


def test_shuffled_bars_are_refused(seed: int) -> None:
    """Any order except oldest first and newest first is refused."""
    shuffled = BARS[:]
    while shuffled in (BARS, BARS[::-1]) or shuffled == BARS:
        random.Random(seed).shuffle(shuffled)
    with pytest.raises(InvalidRequest, match="out of order"):
        read(shuffled)


def test_rounding_error_above_the_high_is_accepted() -> None:
    """A close above the high by a floating-point error is accepted."""
    bar = BARS[1]
    assert read([BARS[0], replace(bar, close=bar.high * (1 + 1e-12))]).bars[1].close > bar.high


def test_an_unfinished_last_bar_is_left_out() -> None:
    """The bar of a day, or of an hour, is used once its period is over."""
    last = BARS[-1].time
    found = read_bars(BARS, now=last + timedelta(hours=23))
    assert (found.bars, found.unfinished) == (tuple(BARS[:-1]), last)
    assert read_bars(BARS, now=last + timedelta(days=1)).unfinished is None
    hours = [replace(bar, time=last + i * timedelta(hours=1)) for i, bar in enumerate(BARS)]
    found = read_bars(hours, now=hours[-1].time + timedelta(minutes=59))
    assert (found.period, found.unfinished) == (timedelta(hours=1), hours[-1].time)


def test_now_is_the_present_by_default() -> None:
    """Without ``now``, a bar that began a minute ago is unfinished."""
    begun = datetime.now(UTC) - timedelta(minutes=1)
    bars = [replace(bar, time=begun - (39 - i) * timedelta(hours=1)) for i, bar in enumerate(BARS)]
    assert read_bars(bars).unfinished == begun


def test_gaps_are_listed_and_weekends_are_not() -> None:
    """A missing fortnight is a gap; a weekend between daily bars, or a night between hourly ones, is not."""
    assert read(BARS).gaps == ()
    assert read(BARS[:10] + BARS[20:]).gaps == ((BARS[9].time, BARS[20].time),)
    monday = datetime(2026, 11, 16, 9, tzinfo=UTC)
    times = [monday + timedelta(days=day, hours=hour) for day in (0, 1, 2, 3, 4, 7) for hour in range(6)]
    hours = [replace(bar, time=moment) for bar, moment in zip(BARS, times, strict=False)]
    later = datetime(2026, 11, 30, tzinfo=UTC)
    assert read_bars(hours, now=later).gaps == ()
    holes = [bar for bar in hours if bar.time.date() != date(2026, 11, 17)]
    assert read_bars(holes, now=later).gaps == ()
    spread = [*hours[:6], replace(hours[6], time=hours[5].time + timedelta(hours=6))]
    assert len(read_bars(spread, now=later).gaps) == 1


def test_bars_of_a_history_read_again_are_the_same() -> None:
    """Reading the bars of a history gives the same history."""
    found = read(BARS)
    assert read(found.bars) == found


def test_the_sample_is_the_walk_that_the_docs_name() -> None:
    """examples/bars.csv has the 250 synthetic daily bars that docs/backtest.md describes."""
    assert load_csv(SAMPLE, now=NOW).bars == tuple(walk(2, 250, drift=0.001, deviation=0.013))


def test_a_file_that_is_wrong_is_named(tmp_path: Path) -> None:
    """The error names a file that is missing, is not text, or has a wrong bar."""
    with pytest.raises(InvalidRequest, match=r"none.csv cannot be read: .*No such file"):
        load_csv(tmp_path / "none.csv")
    (tmp_path / "bytes.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InvalidRequest, match=r"bytes.csv cannot be read"):
        load_csv(tmp_path / "bytes.csv")
    path = tmp_path / "bars.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([["date", "open", "high", "low", "close"], ["2026-11-20", "1", "2"]])
    with pytest.raises(InvalidRequest, match=r"bars.csv: bar 0 \(2026-11-20\): low is None"):
        load_csv(path)
    path.write_text("date,open,high,low,close\n2026-11-19,1,2,1,2,\n2026-11-20,2,3,2,3\n")
    assert [bar.close for bar in load_csv(path, now=NOW).bars] == [2, 3]


def test_importing_the_advisor_imports_neither_pandas_nor_talipp() -> None:
    """Importing the package stays fast."""
    code = "import sys, supernova_ai.advisor.explain; print({'pandas', 'numpy', 'talipp'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
