"""Read the fields of each bar from every accepted input format; ``bars`` checks their values."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from supernova_ai.errors import InvalidRequest

_PRICES = ("open", "high", "low", "close")
_TIMES = ("timestamp", "time", "datetime", "date")
_ACCEPTED = "a list of dicts, of ccxt rows [ms, open, high, low, close, volume] or of Bars, or a pandas frame"


class RawBar(NamedTuple):
    """The values of one bar, as given."""

    time: Any
    open: Any
    high: Any
    low: Any
    close: Any
    volume: Any


def raw_bars(data: Any) -> Iterator[RawBar]:
    """Yield the values of each bar, in the order given.

    Raises:
        InvalidRequest: the format is not accepted, or a bar lacks a field.
    """
    # A frame is recognised by its attributes, because pandas is not a dependency.
    if all(hasattr(data, name) for name in ("columns", "index", "itertuples")):
        yield from _frame_bars(data)
    elif isinstance(data, str | bytes | Mapping) or not isinstance(data, Iterable):
        raise InvalidRequest(f"bars cannot be read from {type(data).__name__}: give {_ACCEPTED}")
    else:
        for number, item in enumerate(data):
            yield _raw_bar(number, item)


def _raw_bar(number: int, item: Any) -> RawBar:
    if isinstance(item, Mapping):
        values = {str(key).strip().lower(): value for key, value in item.items()}
        return RawBar(_pick_time(f"bar {number}", values), *_pick_prices(f"bar {number}", values))
    if all(hasattr(item, name) for name in RawBar._fields):
        return RawBar(*(getattr(item, name) for name in RawBar._fields))
    if isinstance(item, list | tuple):
        if len(item) != len(RawBar._fields):
            raise InvalidRequest(
                f"bar {number} has {len(item)} values: a row is [time, open, high, low, close, volume]"
            )
        return RawBar(*item)
    raise InvalidRequest(f"bar {number} is {type(item).__name__}: give {_ACCEPTED}")


def _pick_time(where: str, values: Mapping[str, Any]) -> Any:
    if name := next((name for name in _TIMES if name in values), None):
        return values[name]
    raise InvalidRequest(f"{where} has no time: give one of {', '.join(_TIMES)}. It has {_quoted(values)}")


def _pick_prices(where: str, values: Mapping[str, Any]) -> Iterator[Any]:
    for name in _PRICES:
        if name not in values:
            raise InvalidRequest(f"{where} has no {name!r}. It has {_quoted(values)}")
        yield values[name]
    yield values.get("volume")


def _quoted(values: Iterable[str]) -> str:
    return ", ".join(map(repr, values)) or "nothing"


def _frame_bars(frame: Any) -> Iterator[RawBar]:
    names = _column_names(list(frame.columns))
    has_times = any(name in _TIMES for name in names)
    for index, *values in frame.itertuples(name=None):
        named = dict(zip(names, values, strict=True))
        yield RawBar(
            _pick_time("the frame", named) if has_times else index, *_pick_prices("the frame", named)
        )


def _column_names(columns: Sequence[Any]) -> list[str]:
    """Return the column names in lower case; of columns with two levels, the level with prices."""
    if not columns or not all(isinstance(column, tuple) for column in columns):
        return [str(column).strip().lower() for column in columns]
    levels = [[str(name).strip().lower() for name in level] for level in zip(*columns, strict=True)]
    at = next((number for number, level in enumerate(levels) if set(_PRICES) <= set(level)), 0)
    if levels[at].count("close") > 1:
        tickers = dict.fromkeys(str(name) for column in columns for i, name in enumerate(column) if i != at)
        raise InvalidRequest(
            f"the frame holds several tickers ({', '.join(tickers)}): select one, such as "
            f"frame.xs({next(iter(tickers))!r}, axis=1, level={1 - at})"
        )
    return levels[at]
