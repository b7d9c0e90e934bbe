"""Bars are read from the shapes and files that vendors and libraries give them."""

from __future__ import annotations

import csv
import os
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.calibration import walk
from supernova_ai.advisor.bars import Bar, load_csv, read_bars
from supernova_ai.errors import InvalidRequest
from tests.advisor.bar_shapes import FILES, SHAPES, polars_frame, text_of

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
BARS = walk("bars", 40)

FOLDER = os.environ.get("SUPERNOVA_CASES_DIR")
SERIES = ["own", *(sorted(path.name for path in (Path(FOLDER) / "bars").glob("*.csv")) if FOLDER else ())]
"""Our own bars, and the series of the folder of cases, if there is one."""


@cache
def series(name: str) -> tuple[Bar, ...]:
    return tuple(BARS) if name == "own" else load_csv(Path(str(FOLDER)) / "bars" / name).bars


@pytest.mark.parametrize("name", SERIES)
@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_is_read(shape: str, name: str) -> None:
    """Each gives the same bars, to the last digit."""
    bars = series(name)
    found = read_bars(SHAPES[shape](bars), now=NOW)
    assert (found.bars, found.repairs) == (bars, ())


@pytest.mark.parametrize("name", SERIES)
@pytest.mark.parametrize("kind", FILES)
def test_every_file_is_read(kind: str, name: str, tmp_path: Path) -> None:
    """Each gives the same bars, to the last digit, also with the line ends of Windows."""
    bars, path = series(name), tmp_path / "bars.txt"
    path.write_text(FILES[kind](bars), newline="\r\n")
    found = load_csv(path, now=NOW)
    assert (found.bars, found.repairs) == (bars, ())


def test_a_frame_of_polars_is_read() -> None:
    """Where polars is installed; elsewhere a stand-in has the two attributes that are used."""
    assert read_bars(polars_frame(BARS), now=NOW).bars == tuple(BARS)


def rows(**columns: Sequence[Any]) -> list[dict[str, Any]]:
    """Our bars as dicts, with other values in the given columns."""
    made = [
        {"date": bar.time, "open": bar.open, "high": bar.high, "low": bar.low, "close": bar.close}
        for bar in BARS
    ]
    for name, values in columns.items():
        for row, value in zip(made, values, strict=False):
            row[name] = value
    return made


MONTHS = [datetime(2016 + number // 12, number % 12 + 1, 1) for number in range(40)]


def test_an_ambiguous_date_is_asked_for() -> None:
    """11/01/2019 is 11 January or 1 November: if no other date shows which, the error names the option."""
    monthly = rows(date=[f"{month:%m/%d/%Y}" for month in MONTHS])
    asked = (
        r"bar 0: its time is '01/01/2016': is that 2016-01-01 or 2016-01-01\? Add day_first=True for the "
        r"first or day_first=False for the second \(in the terminal --day-first or --month-first\)"
    )
    with pytest.raises(InvalidRequest, match=asked):
        read_bars(monthly)
    assert [bar.time.month for bar in read_bars(monthly, day_first=False).bars[:3]] == [1, 2, 3]
    daily = rows(date=[f"{day:02}/11/2019" for day in range(1, 13)])[:12]
    assert [bar.time.day for bar in read_bars(daily, day_first=True).bars] == [*range(1, 13)]
    monthly[3]["date"] = "04/30/2016"  # the month is first
    assert [bar.time.month for bar in read_bars(monthly).bars[:4]] == [1, 2, 3, 4]
    monthly[4]["date"] = "30/05/2016"
    contradicted = "bar 4: its time is '30/05/2016', but bar 3: its time is '04/30/2016': write all dates as"
    with pytest.raises(InvalidRequest, match=contradicted):
        read_bars(monthly)
    with pytest.raises(InvalidRequest, match="bar 3: its time is '04/30/2016': give ISO text"):
        read_bars(monthly, day_first=True)
    with pytest.raises(InvalidRequest, match="day_first is 'yes': it must be True, False or None"):
        read_bars(monthly, day_first="yes")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("texts", "numbers"),
    [
        (["$1,234.50", "1,235"], [1234.5, 1235]),
        (["1.234,50", "1.235"], [1234.5, 1235]),
        (["1,234,567", "1,235"], [1234567, 1235]),
        (["1.234", "1.2345"], [1.234, 1.2345]),
        (["1,08542", "1,085"], [1.08542, 1.085]),
        (["1 234,5", "1'235,5"], [1234.5, 1235.5]),
        ([" 0,500 ", "12,5"], [0.5, 12.5]),
        (["1e3", "1.5e3"], [1000, 1500]),
    ],
)
def test_separators_of_numbers_are_understood(texts: list[str], numbers: list[float]) -> None:
    """A number that shows the decimal mark decides for those that do not."""
    bars = [
        {"date": f"2026-11-{day}", "open": text, "high": text, "low": text, "close": text}
        for day, text in zip((18, 19), texts, strict=True)
    ]
    assert [bar.close for bar in read_bars(bars, now=NOW).bars] == numbers


def test_an_ambiguous_number_is_asked_for() -> None:
    """1,234 is a thousand or one: if no other number shows which, the error names the option."""
    bars = rows(**{name: ["1,234", "1,236"] for name in ("open", "high", "low", "close")})[:2]
    asked = r"bar 0: open is '1,234': is that 1234 or 1.234\? Add decimal='.' for the first or decimal=','"
    with pytest.raises(InvalidRequest, match=asked):
        read_bars(bars, now=NOW)
    assert read_bars(bars, now=NOW, decimal=".").bars[0].close == 1234
    assert read_bars(bars, now=NOW, decimal=",").bars[0].close == 1.234
    bars[0]["open"], bars[1]["close"] = "1,234.5", "1.236,5"
    with pytest.raises(
        InvalidRequest, match=r"bar 0: open is '1,234.5', but bar 1: close is '1.236,5': write"
    ):
        read_bars(bars, now=NOW)
    with pytest.raises(InvalidRequest, match=r"decimal is ';': it must be '.' or ','"):
        read_bars(bars, now=NOW, decimal=";")  # type: ignore[arg-type]
    bars[1]["close"] = "1236.5"
    with pytest.raises(InvalidRequest, match=r"close is '1236.5': it must be a price"):
        read_bars(bars[1:] * 2, now=NOW, decimal=",")


REFUSED: dict[str, tuple[Any, str]] = {
    "lists of different lengths": (
        {"open": [1], "": [1, 2]},
        "the lists differ in length: 'open' has 1 values and '' 2",
    ),
    "an answer without bars": ({"Information": "a limit"}, "from a dict with only 'Information': give"),
    "two tickers in a column": (
        rows(symbol=["AAPL", "MSFT"]),
        r"several tickers \(AAPL, MSFT\): give the bars of one",
    ),
    "an unknown zone": (
        {"Meta Data": {"6. Time Zone": "Mars/Base"}, "Time Series (5min)": {"2026-11-20": {}}},
        "the time zone 'Mars/Base' is unknown: give the times in UTC",
    ),
    "a wrong time in a zone": (
        {"Meta Data": {"6. Time Zone": "US/Eastern"}, "Time Series (5min)": {"soon": {}}},
        "bar 0: its time is 'soon'",
    ),
    "a series without bars": ({"Time Series (Daily)": {"2026-11-20": 5}}, "bar 0 is int: give a list"),
    "a row of eight": ([[1] * 8], r"bar 0 has 8 values: .* or the 12 values of a Binance kline"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_no_series_is_refused(case: str) -> None:
    """The error names what is wrong, and what would be right."""
    data, message = REFUSED[case]
    with pytest.raises(InvalidRequest, match=message):
        read_bars(data)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("date,open,high,low,close\n2026-11-19,1,234.5,1,235.5,1,230,1,231\n", "has 9 values for 5 columns"),
        ("Price,Close,Close,High\nTicker,AAPL,MSFT,AAPL\n", "2 columns 'close': give the bars of one ticker"),
        ("Price,Close,Close.1\nTicker,AAPL,MSFT\n", r"several tickers \(AAPL, MSFT\)"),
        ('{"Note": "a limit"', "cannot be read"),
        ("[" * 100_000, "cannot be read"),
        ("", "0 bars are too few"),
        ("Exceeded the daily hits limit\n", "0 bars are too few"),
    ],
)
def test_wrong_files_are_refused(text: str, message: str, tmp_path: Path) -> None:
    """The error names the file, and what is wrong in it."""
    path = tmp_path / "bars.csv"
    path.write_text(text)
    with pytest.raises(InvalidRequest, match=rf"bars.csv.*{message}"):
        load_csv(path)


def test_a_clock_without_a_date_is_no_time() -> None:
    """A column with the time of day belongs to the date; a column with the whole time stands alone."""
    clocks = rows(date=[f"{bar.time:%Y-%m-%d}" for bar in BARS], time=["9:30"] * 40)
    assert [str(bar.time.time()) for bar in read_bars(clocks, now=NOW).bars] == ["09:30:00"] * 40
    whole = rows(date=["unused"] * 40, time=[text_of(bar.time) for bar in BARS])
    assert [bar.time for bar in read_bars(whole, now=NOW).bars] == [bar.time for bar in BARS]


def test_a_csv_reader_gives_what_is_read(tmp_path: Path) -> None:
    """The rows of csv.DictReader are read too, with the header lines of yfinance."""
    path = tmp_path / "bars.csv"
    path.write_text(FILES["yfinance"](BARS))
    with path.open(newline="") as file:
        assert read_bars(csv.DictReader(file), now=NOW).bars == tuple(BARS)


VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=8),
    st.datetimes(timezones=st.none() | st.timezones()),
    st.sampled_from(["1,234", "$1", "11/01/2019", "13/13/2019", "2026-11-20", "nan", "1e400"]),
)
WORDS = st.sampled_from(
    ["open", "High", "l", "close", "time", "date", "", "ticker", "results", "Time Series"]
)
DATA = st.recursive(
    VALUES
    | st.lists(st.fixed_dictionaries(dict.fromkeys(("time", "open", "high", "low", "close"), VALUES)))
    | st.lists(st.lists(VALUES, min_size=6, max_size=6)),
    lambda inner: st.lists(inner) | st.dictionaries(WORDS, inner),
    max_leaves=12,
)


@given(DATA, st.sampled_from(["clip", "drop", None]))
def test_any_data_is_read_or_refused(data: Any, repair: Any) -> None:
    """Whatever is given, the only error is ours."""
    with suppress(InvalidRequest):
        read_bars(data, repair=repair)
