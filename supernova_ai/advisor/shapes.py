"""The shapes that people have bars in, taken apart; what the values are is checked in ``bars``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from supernova_ai.errors import InvalidRequest

_PRICES = ("open", "high", "low", "close")
_TIMES = ("timestamp", "time", "datetime", "date")
_ACCEPTED = "a list of dicts, of ccxt rows [ms, open, high, low, close, volume] or of Bars, or a pandas frame"


class RawBars(NamedTuple):
    """The values of one bar as they were given."""

    time: Any
    open: Any
    high: Any
    low: Any
    close: Any
    volume: Any


def take_apart(data: Any) -> Iterator[RawBars]:
    """Yield the values of each bar, in the order they were given.

    Raises:
        InvalidRequest: this is no shape of bars, or a bar lacks a field.
    """
    # By what it has, not by its class: pandas is not a dependency.
    if all(hasattr(data, name) for name in ("columns", "index", "itertuples")):
        yield from _frame(data)
    elif isinstance(data, str | bytes | Mapping) or not isinstance(data, Iterable):
        raise InvalidRequest(f"bars cannot be read from {type(data).__name__}: give {_ACCEPTED}")
    else:
        for number, item in enumerate(data):
            yield _one(number, item)


def _one(number: int, item: Any) -> RawBars:
    if isinstance(item, Mapping):
        values = {str(key).strip().lower(): value for key, value in item.items()}
        return RawBars(_named_time(f"bar {number}", values), *_named_prices(f"bar {number}", values))
    if all(hasattr(item, name) for name in RawBars._fields):
        return RawBars(*(getattr(item, name) for name in RawBars._fields))
    if isinstance(item, list | tuple):
        if len(item) != len(RawBars._fields):
            raise InvalidRequest(
                f"bar {number} has {len(item)} values: a row is [time, open, high, low, close, volume]"
            )
        return RawBars(*item)
    raise InvalidRequest(f"bar {number} is {type(item).__name__}: give {_ACCEPTED}")


def _named_time(where: str, values: Mapping[str, Any]) -> Any:
    if name := next((name for name in _TIMES if name in values), None):
        return values[name]
    raise InvalidRequest(f"{where} has no time: name it one of {', '.join(_TIMES)}. It has {_names(values)}")


def _named_prices(where: str, values: Mapping[str, Any]) -> Iterator[Any]:
    for name in _PRICES:
        if name not in values:
            raise InvalidRequest(f"{where} has no {name!r}. It has {_names(values)}")
        yield values[name]
    yield values.get("volume")


def _names(values: Iterable[str]) -> str:
    return ", ".join(map(repr, values)) or "nothing"


def _frame(frame: Any) -> Iterator[RawBars]:
    names = _column_names(list(frame.columns))
    timed = any(name in _TIMES for name in names)
    for when, *values in frame.itertuples(name=None):
        named = dict(zip(names, values, strict=True))
        yield RawBars(_named_time("the frame", named) if timed else when, *_named_prices("the frame", named))


def _column_names(columns: Sequence[Any]) -> list[str]:
    """Return the lower-case names of the columns; of columns on two levels, the level that names prices."""
    if not columns or not all(isinstance(column, tuple) for column in columns):
        return [str(column).strip().lower() for column in columns]
    levels = [[str(name).strip().lower() for name in level] for level in zip(*columns, strict=True)]
    at = next((at for at, level in enumerate(levels) if set(_PRICES) <= set(level)), 0)
    if levels[at].count("close") > 1:
        tickers = dict.fromkeys(str(name) for column in columns for i, name in enumerate(column) if i != at)
        raise InvalidRequest(
            f"the frame holds several tickers ({', '.join(tickers)}): select one, such as "
            f"frame.xs({next(iter(tickers))!r}, axis=1, level={1 - at})"
        )
    return levels[at]
