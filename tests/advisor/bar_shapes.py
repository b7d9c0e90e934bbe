"""The shapes in which people have bars: each function makes one from bars."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from types import SimpleNamespace
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest

from supernova_ai.advisor.bars import Bar

NAMES = ("open", "high", "low", "close", "volume")
EASTERN = ZoneInfo("US/Eastern")

Shape = Callable[[Sequence[Bar]], Any]


class OwnFrame:
    """What is used of a polars frame: tests do without polars, which takes 170 MB."""

    def __init__(self, columns: dict[str, list[Any]]) -> None:
        self._columns = columns
        self.columns = list(columns)

    def iter_rows(self, *, named: bool) -> Iterator[Any]:
        assert named
        for values in zip(*self._columns.values(), strict=True):
            yield dict(zip(self.columns, values, strict=True))


def _columns(bars: Sequence[Bar], time: str = "date") -> dict[str, list[Any]]:
    return {time: [bar.time for bar in bars]} | {name: [getattr(bar, name) for bar in bars] for name in NAMES}


def _arrays(bars: Sequence[Bar], unit: str) -> dict[str, Any]:
    times = np.array([bar.time.replace(tzinfo=None) for bar in bars], dtype=f"M8[{unit}]")
    return {name: np.array(values) for name, values in _columns(bars).items()} | {"date": times}


def _structured(bars: Sequence[Bar]) -> Any:
    arrays = _arrays(bars, "ns")
    table = np.zeros(len(bars), dtype=[(name.capitalize(), array.dtype) for name, array in arrays.items()])
    for name, array in arrays.items():
        table[name.capitalize()] = array
    return table


def _rows(bars: Sequence[Bar], per_second: int, kind: Callable[[int], Any] = int) -> list[dict[str, Any]]:
    return [
        {"time": kind(_since(bar, per_second)), **{name: getattr(bar, name) for name in NAMES}}
        for bar in bars
    ]


def _since(bar: Bar, per_second: int) -> int:
    return int(bar.time.timestamp()) * per_second


def _kline(bar: Bar, per_second: int = 1000) -> list[Any]:
    """Return a kline of Binance: prices are text, and the sixth value is followed by others."""
    opened = _since(bar, per_second)
    prices = [str(getattr(bar, name)) for name in NAMES]
    return [opened, *prices, opened + 86_399_999, "1.5", 8, "0.7", "0.8", "0"]


def text_of(moment: datetime, days: str = "%Y-%m-%d") -> str:
    """Return a date, with the time of day unless it is midnight."""
    return f"{moment:{days}}" if moment.time() == moment.min.time() else f"{moment:{days} %H:%M:%S}"


def _texts(bars: Sequence[Bar], days: str) -> list[dict[str, Any]]:
    return [{"date": text_of(bar.time, days), **{name: getattr(bar, name) for name in NAMES}} for bar in bars]


def _alpha_vantage(bars: Sequence[Bar]) -> dict[str, Any]:
    """Return the answer of TIME_SERIES_DAILY_ADJUSTED or of an intraday series: newest first, text."""
    fields = ("1. open", "2. high", "3. low", "4. close", "6. volume")
    series = {}
    daily = all(bar.time.time() == bar.time.min.time() for bar in bars)
    for bar in reversed(bars):
        moment = bar.time if daily else bar.time.astimezone(EASTERN)
        values = {field: str(getattr(bar, name)) for field, name in zip(fields, NAMES, strict=True)}
        series[text_of(moment)] = values | {"5. adjusted close": "0.01"}
    return {"Meta Data": {"2. Symbol": "IBM", "5. Time Zone": "US/Eastern"}, "Time Series (Daily)": series}


def _letters(bars: Sequence[Bar], time: Callable[[Bar], Any]) -> list[dict[str, Any]]:
    return [
        {"v": bar.volume, "vw": 1, "o": bar.open, "c": bar.close, "h": bar.high, "l": bar.low, "t": time(bar)}
        for bar in bars
    ]


def _finnhub(rows: list[dict[str, Any]]) -> dict[str, Any]:
    return {"s": "ok"} | {letter: [row[letter] for row in rows] for letter in "ohlcvt"}


def _polygon(bars: Sequence[Bar]) -> dict[str, Any]:
    results = [row | {"T": "AAPL", "n": 5} for row in _letters(bars, lambda bar: _since(bar, 1000))]
    return {"ticker": "AAPL", "status": "OK", "results": results, "count": len(bars)}


def _pandas_of_yfinance_csv(bars: Sequence[Bar]) -> pd.DataFrame:
    header, *rows = (line.split(",") for line in _yfinance_csv(bars).splitlines())
    return pd.DataFrame(rows, columns=header)


SHAPES: dict[str, Shape] = {
    "a dict of lists": _columns,
    "a dict of arrays, with datetime64 in days or seconds": lambda bars: _arrays(bars, "s"),
    "a dict of arrays, with datetime64 in nanoseconds": lambda bars: _arrays(bars, "ns"),
    "a dict of pandas series": lambda bars: dict(pd.DataFrame(_columns(bars))),
    "Finnhub": lambda bars: {
        **{
            letter: [row[letter] for row in _letters(bars, lambda bar: _since(bar, 1))] for letter in "ohlcvt"
        },
        "s": "ok",
    },
    "a structured numpy array": _structured,
    "a numpy record array": lambda bars: _structured(bars).view(np.recarray),
    "a numpy array of rows": lambda bars: np.array(
        [[_since(bar, 1000), *(getattr(bar, name) for name in NAMES)] for bar in bars]
    ),
    "a polars frame": lambda bars: OwnFrame(_columns(bars, "Date")),
    "a polars frame without a name for the time": lambda bars: OwnFrame(_columns(bars, "")),
    "Stooq as a polars frame": lambda bars: OwnFrame(
        {
            "<TICKER>": ["AAPL.US"] * len(bars),
            "<DATE>": [int(f"{bar.time:%Y%m%d}") for bar in bars],
            "<TIME>": [int(f"{bar.time:%H%M%S}") for bar in bars],
            **{f"<{name}>": [getattr(bar, name) for bar in bars] for name in NAMES},
        }
    ),
    "seconds": lambda bars: _rows(bars, 1),
    "microseconds": lambda bars: _rows(bars, 10**6),
    "nanoseconds": lambda bars: _rows(bars, 10**9),
    "nanoseconds of numpy": lambda bars: _rows(bars, 10**9, np.int64),
    "nanoseconds as a float": lambda bars: _rows(bars, 10**9, float),
    "nanoseconds as text": lambda bars: _rows(bars, 10**9, str),
    "seconds as text with decimals": lambda bars: _rows(bars, 1, lambda number: f"{number}.0"),
    "month first": lambda bars: _texts(bars, "%m/%d/%Y"),
    "day first": lambda bars: _texts(bars, "%d.%m.%Y"),
    "the year first, with slashes": lambda bars: _texts(bars, "%Y/%m/%d"),
    "Binance": lambda bars: [_kline(bar) for bar in bars],
    "Binance in microseconds": lambda bars: [tuple(_kline(bar, 10**6)) for bar in bars],
    "Alpha Vantage": _alpha_vantage,
    "Alpha Vantage, the series alone": lambda bars: {
        str(bar.time): {"1. open": bar.open, "2. high": bar.high, "3. low": bar.low, "4. close": bar.close}
        | {"5. volume": bar.volume}
        for bar in bars
    },
    "Polygon": _polygon,
    "Alpaca": lambda bars: {"bars": _letters(bars, lambda bar: bar.time.isoformat()), "symbol": "AAPL"},
    "Twelve Data": lambda bars: {"meta": {"symbol": "AAPL"}, "values": _texts(bars, "%Y-%m-%d")},
    "objects with a timestamp": lambda bars: [
        SimpleNamespace(timestamp=_since(bar, 1000), **{name: getattr(bar, name) for name in NAMES})
        for bar in bars
    ],
    "pandas after read_csv of an unnamed column": lambda bars: pd.DataFrame(_columns(bars, "Unnamed: 0")),
    "pandas after read_csv of a file of yfinance": _pandas_of_yfinance_csv,
}
"""What a program has."""


def _lines(bars: Sequence[Bar], header: str, row: Callable[[Bar], str]) -> str:
    return "\n".join([*([header] if header else []), *map(row, bars)]) + "\n"


def _yfinance_csv(bars: Sequence[Bar]) -> str:
    """Return ``yf.download("AAPL").to_csv()``."""
    header = "Price,Close,High,Low,Open,Volume\nTicker,AAPL,AAPL,AAPL,AAPL,AAPL\nDate,,,,,"
    return _lines(bars, header, lambda b: f"{text_of(b.time)},{b.close},{b.high},{b.low},{b.open},{b.volume}")


def _yfinance_by_ticker(bars: Sequence[Bar]) -> str:
    """Return ``yf.download("AAPL", group_by="ticker").to_csv()``."""
    price, ticker, rest = _yfinance_csv(bars).split("\n", 2)
    return f"{ticker}\n{price}\n{rest}"


def _nasdaq(bars: Sequence[Bar]) -> str:
    """Return a download of Nasdaq.com: newest first, with dollar signs."""

    def row(bar: Bar) -> str:
        dollars = (f'"${price:,}"' for price in (bar.open, bar.high, bar.low))
        return f'{text_of(bar.time, "%m/%d/%Y")},"${bar.close:,}","{bar.volume:,}",{",".join(dollars)}'

    return _lines(bars[::-1], "Date,Close/Last,Volume,Open,High,Low", row)


def _stooq(bars: Sequence[Bar]) -> str:
    header = "<TICKER>,<PER>,<DATE>,<TIME>,<OPEN>,<HIGH>,<LOW>,<CLOSE>,<VOL>,<OPENINT>"
    return _lines(bars, header, lambda bar: f"AAPL.US,D,{bar.time:%Y%m%d,%H%M%S},{_prices(bar)},0")


def _metatrader(bars: Sequence[Bar]) -> str:
    header = "<DATE>\t<TIME>\t<OPEN>\t<HIGH>\t<LOW>\t<CLOSE>\t<TICKVOL>\t<VOL>"
    return _lines(
        bars, header, lambda bar: f"{bar.time:%Y.%m.%d}\t{bar.time:%H:%M:%S}\t{_prices(bar, chr(9), '1', -1)}"
    )


def _prices(bar: Bar, delimiter: str = ",", extra: str = "", at: int = 0) -> str:
    values = [str(getattr(bar, name)) for name in NAMES]
    return delimiter.join([*values[:at], extra, *values[at:]] if extra else values)


def _german(bars: Sequence[Bar]) -> str:
    def row(bar: Bar) -> str:
        return f"{text_of(bar.time, '%d.%m.%Y')};{_prices(bar, ';').replace('.', ',')}"

    return _lines(bars, "Date;Open;High;Low;Close;Volume", row)


FILES: dict[str, Callable[[Sequence[Bar]], str]] = {
    "yfinance": _yfinance_csv,
    "yfinance, grouped by ticker": _yfinance_by_ticker,
    "an unnamed first column": lambda bars: _lines(
        bars, ",Open,High,Low,Close,Volume", lambda bar: f"{text_of(bar.time)},{_prices(bar)}"
    ),
    "an adjusted column": lambda bars: _lines(
        bars, "Date,Open,High,Low,Close,Volume,Adj Close", lambda bar: f"{bar.time},{_prices(bar)},1"
    ),
    "Binance": lambda bars: _lines(bars, "", lambda bar: ",".join(map(str, _kline(bar)))),
    "Binance in microseconds": lambda bars: _lines(bars, "", lambda b: ",".join(map(str, _kline(b, 10**6)))),
    "Binance with a header": lambda bars: _lines(
        bars,
        "open_time,open,high,low,close,volume,close_time,quote_volume,count,taker,taker_quote,ignore",
        lambda bar: ",".join(map(str, _kline(bar))),
    ),
    "Polygon's flat files": lambda bars: _lines(
        bars,
        "ticker,volume,open,close,high,low,window_start,transactions",
        lambda b: f"AAPL,{b.volume},{b.open},{b.close},{b.high},{b.low},{_since(b, 10**9)},7",
    ),
    "Nasdaq.com": _nasdaq,
    "Stooq": _stooq,
    "MetaTrader": _metatrader,
    "semicolons and decimal commas": _german,
    "Alpha Vantage as JSON": lambda bars: json.dumps(_alpha_vantage(bars)),
    "Binance as JSON": lambda bars: json.dumps([_kline(bar) for bar in bars]),
}
"""What a person has in a file."""


def polars_frame(bars: Sequence[Bar]) -> Any:
    """Return a frame of the real polars, where it is installed."""
    return pytest.importorskip("polars").DataFrame(_columns(bars, "Date"))
