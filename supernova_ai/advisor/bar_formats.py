"""Read the fields of each bar from every accepted shape of data; ``bars`` checks their values."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from supernova_ai.errors import InvalidRequest

_NAMES: dict[str, tuple[str, ...]] = {
    "open": ("open", "o"),
    "high": ("high", "h"),
    "low": ("low", "l"),
    "close": ("close", "c", "close/last"),  # close/last: Nasdaq.com
    "volume": ("volume", "v", "vol"),  # <VOL>: Stooq
}
"""The names of each field, as ``_plain_name`` makes them; o, h, l, c and v: Polygon, Alpaca, Finnhub."""

_PRICES = ("open", "high", "low", "close")
_TIMES = ("timestamp", "time", "datetime", "date", "t", "open time", "open_time", "window_start")
"""The names of the time; open_time: Binance; window_start: the flat files of Polygon."""

_UNNAMED = ("", "unnamed: 0", "index", "__index_level_0__", "price")
"""What a first column without a name is called: by csv, pandas, polars; price: in a CSV of yfinance."""

_HEADERS = ("ticker", "date", "datetime")
"""The beginnings of yfinance's second and third header line."""

_TICKERS = ("ticker", "symbol")
_LISTS = ("results", "values", "bars")
"""Where a vendor's JSON has its list of bars: Polygon (Massive), Twelve Data, Alpaca."""

_KLINE = 12  # values of a Binance kline: the first six are those of ccxt
_CLOCK = re.compile(r"\d{1,2}:\d\d(:\d\d)?|0+|\d{5,6}")
_ACCEPTED = (
    "a list of dicts, of ccxt rows [ms, open, high, low, close, volume] or of Bars, a dict of lists, a frame "
    "of pandas or polars, or the JSON of a vendor; for a file, load_csv(path)"
)


class RawBar(NamedTuple):
    """The values of one bar, as given."""

    time: Any
    open: Any
    high: Any
    low: Any
    close: Any
    volume: Any

    @property
    def prices(self) -> tuple[Any, ...]:
        """Open, high, low and close."""
        return self[1:5]


def raw_bars(data: Any) -> Iterator[RawBar]:
    """Yield the values of each bar, in the order given.

    Raises:
        InvalidRequest: the format is not accepted, a bar lacks a field, or there are several tickers.
    """
    number = 0
    tickers: dict[str, None] = {}
    for item in _rows(data):
        values = _named_values(item)
        if values is None:
            yield _row_bar(number, item)
        elif number == 0 and (header := _header_line(values)):
            if header == "ticker":
                _check_tickers(tickers, list(values.values())[1:])
            continue
        else:
            _check_tickers(tickers, [values[name] for name in _TICKERS if name in values])
            yield RawBar(_pick_time(number, values), *_pick_fields(number, values))
        number += 1


def check_columns(names: Sequence[str]) -> None:
    """Check that no field has two columns.

    Raises:
        InvalidRequest: one has, as in a table of several tickers.
    """
    plain = [_plain_name(name) for name in names]
    if twice := next((name for name in _NAMES if plain.count(name) > 1), None):
        raise InvalidRequest(f"there are {plain.count(twice)} columns {twice!r}: give the bars of one ticker")


def _rows(data: Any) -> Iterable[Any]:
    # Frames are recognised by their attributes, because pandas and polars are no dependencies.
    if all(hasattr(data, name) for name in ("columns", "index", "itertuples")):
        return _pandas_rows(data)
    if all(hasattr(data, name) for name in ("columns", "iter_rows")):
        return data.iter_rows(named=True)  # type: ignore[no-any-return]
    if isinstance(data, Mapping):
        return _mapping_rows(data)
    if isinstance(data, str | bytes) or not isinstance(data, Iterable):
        raise InvalidRequest(f"bars cannot be read from {type(data).__name__}: give {_ACCEPTED}")
    return data


def _pandas_rows(frame: Any) -> Iterator[Mapping[str, Any]]:
    names = _column_names(list(frame.columns))
    check_columns(names)
    is_counted = type(frame.index).__name__ == "RangeIndex"  # only row numbers
    for index, *values in frame.itertuples(name=None):
        row = dict(zip(names, values, strict=True))
        yield row if is_counted else {"": index, **row}


def _column_names(columns: Sequence[Any]) -> list[str]:
    """Return the column names; of columns with two levels, the level with prices."""
    if not columns or not all(isinstance(column, tuple) for column in columns):
        return [str(column) for column in columns]
    levels = [[str(name).strip().lower() for name in level] for level in zip(*columns, strict=True)]
    at = next((number for number, level in enumerate(levels) if set(_PRICES) <= set(level)), 0)
    if levels[at].count("close") > 1:
        tickers = dict.fromkeys(str(name) for column in columns for i, name in enumerate(column) if i != at)
        raise InvalidRequest(
            f"the frame holds several tickers ({', '.join(tickers)}): select one, such as "
            f"frame.xs({next(iter(tickers))!r}, axis=1, level={1 - at})"
        )
    return levels[at]


def _mapping_rows(data: Mapping[Any, Any]) -> Iterable[Any]:
    for name in _LISTS:
        if isinstance(data.get(name), list):
            return data[name]  # type: ignore[no-any-return]
    for name, series in data.items():
        if "time series" in str(name).lower() and isinstance(series, Mapping):  # Alpha Vantage
            return _dated_rows(series, _zone(data.get("Meta Data")))
    if data and all(isinstance(row, Mapping) for row in data.values()):
        return _dated_rows(data, None)
    return _column_rows(data)


def _dated_rows(series: Mapping[Any, Any], zone: ZoneInfo | None) -> Iterator[Mapping[Any, Any]]:
    for number, (moment, row) in enumerate(series.items()):
        if not isinstance(row, Mapping):
            raise InvalidRequest(f"bar {number} is {type(row).__name__}: give {_ACCEPTED}")
        if zone is not None:
            try:
                moment = datetime.fromisoformat(moment).replace(tzinfo=zone)
            except (TypeError, ValueError):
                raise InvalidRequest(f"bar {number}: its time is {moment!r}: give ISO text") from None
        yield {"": moment, **row}


def _zone(metadata: Any) -> ZoneInfo | None:
    """Return the time zone that Alpha Vantage names, such as US/Eastern."""
    names = metadata.items() if isinstance(metadata, Mapping) else ()
    name = next((value for key, value in names if "time zone" in str(key).lower()), None)
    try:
        return None if name is None else ZoneInfo(str(name))
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise InvalidRequest(f"the time zone {name!r} is unknown: give the times in UTC") from None


def _column_rows(data: Mapping[Any, Any]) -> Iterator[Mapping[Any, Any]]:
    """Yield the rows of a dict of lists, arrays or series; other values, such as a status, are left out."""
    columns = {
        name: list(values)
        for name, values in data.items()
        if isinstance(values, Iterable) and not isinstance(values, str | bytes | Mapping)
    }
    if not columns:
        raise InvalidRequest(
            f"bars cannot be read from a dict with only {_quoted(map(str, data))}: give {_ACCEPTED}"
        )
    count = len(next(iter(columns.values())))
    if odd := [name for name, values in columns.items() if len(values) != count]:
        raise InvalidRequest(
            f"the lists differ in length: {next(iter(columns))!r} has {count} values and {odd[0]!r} "
            f"{len(columns[odd[0]])}"
        )
    for values in zip(*columns.values(), strict=True):
        yield dict(zip(columns, values, strict=True))


def _named_values(item: Any) -> dict[str, Any] | None:
    """Return the values of a bar by their plain names; None if they have no names."""
    if names := getattr(getattr(item, "dtype", None), "names", None):  # a row of a structured numpy array
        item = {name: item[name] for name in names}
    elif not isinstance(item, Mapping) and all(hasattr(item, name) for name in _PRICES):
        item = {name: getattr(item, name) for name in (*_TIMES, *_NAMES) if hasattr(item, name)}
    if not isinstance(item, Mapping):
        return None
    return {_plain_name(str(name)): value for name, value in item.items()}


@lru_cache(1024)
def _plain_name(name: str) -> str:
    """Return a field's name without decoration: "1. open" (Alpha Vantage) and "<OPEN>" (Stooq) are "open"."""
    name = name.strip()
    if len(name) == 1:  # t and T are different fields at Polygon and Binance
        return name
    return re.sub(r"^\d+\.\s*|[<>]", "", name).lower()


def _header_line(values: Mapping[str, Any]) -> str | None:
    """Return the beginning of a header line of yfinance; None if it is a bar."""
    name, value = next(iter(values.items()), (None, None))
    word = value.strip().lower() if name in _UNNAMED and isinstance(value, str) else None
    return word if word in _HEADERS else None


def _check_tickers(tickers: dict[str, None], more: Iterable[Any]) -> None:
    """Add tickers to the known ones, and check that they are all the same."""
    tickers.update((ticker, None) for ticker in more if isinstance(ticker, str) and ticker)
    if len(tickers) > 1:
        raise InvalidRequest(f"there are several tickers ({', '.join(tickers)}): give the bars of one")


def _row_bar(number: int, item: Any) -> RawBar:
    row = item.tolist() if hasattr(item, "tolist") else item  # of a numpy array
    if not isinstance(row, list | tuple):
        raise InvalidRequest(f"bar {number} is {type(item).__name__}: give {_ACCEPTED}")
    if len(row) not in (len(RawBar._fields), _KLINE):
        raise InvalidRequest(
            f"bar {number} has {len(row)} values: a row is [time, open, high, low, close, volume], or the "
            f"{_KLINE} values of a Binance kline"
        )
    return RawBar(*row[: len(RawBar._fields)])


def _pick_time(number: int, values: Mapping[str, Any]) -> Any:
    clock = str(values.get("time"))
    if "date" in values and "timestamp" not in values and _CLOCK.fullmatch(clock):
        day = str(values["date"]).removesuffix(" 00:00:00")
        return f"{day} {clock:0>6}" if clock.isdecimal() else f"{day} {clock}"
    if name := next((name for name in _TIMES if name in values), None):
        return values[name]
    if (first := next(iter(values), None)) in _UNNAMED:
        return values[first]
    raise InvalidRequest(
        f"bar {number} has no time: give one of {', '.join(_TIMES[:4])}. It has {_quoted(values)}"
    )


def _pick_fields(number: int, values: Mapping[str, Any]) -> Iterator[Any]:
    for field, names in _NAMES.items():
        name = next((name for name in names if name in values), None)
        if name is None and field in _PRICES:
            raise InvalidRequest(f"bar {number} has no {field!r}. It has {_quoted(values)}")
        yield None if name is None else values[name]


def _quoted(values: Iterable[str]) -> str:
    return ", ".join(map(repr, values)) or "nothing"
