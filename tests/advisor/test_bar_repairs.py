"""Slightly wrong bars are mended, every mend is listed, and nothing else is changed."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pandas as pd
import pytest

from benchmarks.calibration import walk
from supernova_ai.advisor.bars import Bar, History, load_csv, read_bars
from supernova_ai.errors import InvalidRequest
from tests.advisor.bar_shapes import OwnFrame

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
BARS = walk("bars", 40)
PRICES = ("open", "high", "low", "close")
ANY: Any = None
OIL = replace(BARS[3], low=-40.32, close=-37.63)  # as on 2020-04-20


def read(bars: Any, repair: Any = "clip") -> History:
    return read_bars(bars, now=NOW, repair=repair)


def with_bar(bar: Bar, number: int = 3) -> list[Bar]:
    return [*BARS[:number], bar, *BARS[number + 1 :]]


def changed(bar: Bar, name: str, price: float) -> Bar:
    return replace(bar, **{name: price})  # type: ignore[arg-type]


def without(*numbers: int) -> tuple[Bar, ...]:
    return tuple(bar for number, bar in enumerate(BARS) if number not in numbers)


@pytest.mark.parametrize("name", ["open", "close"])
def test_a_hair_outside_is_clipped(name: str) -> None:
    """An open or close up to 0.5 % outside of high and low is moved to the nearer one."""
    bar = BARS[3]
    above = changed(bar, name, bar.high * 1.004)
    below = changed(bar, name, bar.low * 0.996)
    for wrong, right in ((above, bar.high), (below, bar.low)):
        found = read(with_bar(wrong))
        assert found.bars == tuple(with_bar(changed(bar, name, right)))
        assert found.repairs == (
            f"bar 3 (2026-10-01): {name} was {getattr(wrong, name):.10g}, not between low {bar.low:.10g} and "
            f"high {bar.high:.10g}; set to {right:.10g}",
        )
        with pytest.raises(InvalidRequest, match=rf"bar 3 \(2026-10-01\): {name} is .*repair='drop' leaves"):
            read(with_bar(wrong), None)
        dropped = read(with_bar(wrong), "drop")
        assert dropped.bars == without(3)
        (repair,) = dropped.repairs
        assert repair == f"bar 3 (2026-10-01): {name} is {getattr(wrong, name):.10g}; left out"


def test_more_than_a_hair_is_refused_or_left_out() -> None:
    """By more than 0.5 % it is no slip: only "drop" leaves such a bar out."""
    far = replace(BARS[3], close=BARS[3].high * 1.006)
    for repair in ("clip", None):
        with pytest.raises(InvalidRequest, match=r"close is .*: it must be between low 95.98 and high 96.94"):
            read(with_bar(far), repair)
    assert read(with_bar(far), "drop").bars == without(3)


@pytest.mark.parametrize("missing", [None, "", "NaN", "null", "N/A", float("nan"), pd.NA, pd.NaT], ids=repr)
@pytest.mark.parametrize("time", ["kept", "missing"])
def test_empty_bars_are_left_out(missing: Any, time: str) -> None:
    """A bar without any price is left out, with or without a time; neighbours are listed as one."""
    blank = [missing, missing, missing, missing, 0]
    rows = [[bar.time, bar.open, bar.high, bar.low, bar.close, bar.volume] for bar in BARS]
    for number in (3, 7, 8, 9):
        rows[number] = [rows[number][0] if time == "kept" else missing, *blank]
    found = read(rows)
    assert found.bars == without(3, 7, 8, 9)
    where = "bar 3 (2026-10-01)" if time == "kept" else "bar 3"
    assert found.repairs == (f"{where}: no prices; left out", "bars 7 to 9: no prices; left out")
    assert read(rows, "drop") == found
    with pytest.raises(InvalidRequest, match="bar 3"):
        read(rows, None)


def test_blank_rows_of_a_file_and_a_frame_are_left_out(tmp_path: Any) -> None:
    """A CSV with commas only, a frame of pandas with NaN, and one of polars with null."""
    path = tmp_path / "bars.csv"
    lines = [f"{b.time:%Y-%m-%d},{b.open},{b.high},{b.low},{b.close},{b.volume}" for b in BARS]
    path.write_text("\n".join(["Date,Open,High,Low,Close,Volume", *lines[:9], ",,,,,", "", *lines[9:], ""]))
    found = load_csv(path, now=NOW)
    assert (found.bars, found.repairs) == (tuple(BARS), ("bar 9: no prices; left out",))
    with pytest.raises(InvalidRequest, match=r"bars.csv: bar 9: its time is ''"):
        load_csv(path, now=NOW, repair=None)
    columns = {
        name: [getattr(bar, name) for bar in BARS] for name in ("time", "open", "high", "low", "close")
    }
    frame = pd.DataFrame(columns)
    frame.loc[4, ["open", "high", "low", "close"]] = float("nan")
    for name in ("open", "high", "low", "close"):
        columns[name][4] = None
    for table in (frame, OwnFrame(columns)):
        assert [bar.close for bar in read(table).bars] == [bar.close for bar in without(4)]


def test_a_bar_with_some_prices_is_not_empty() -> None:
    """A bar that lacks one price is refused by default: the price is unknown."""
    partial = with_bar(replace(BARS[3], high=float("nan")))
    with pytest.raises(InvalidRequest, match=r"bar 3 \(2026-10-01\): high is nan: it must be a price"):
        read(partial)
    assert read(partial, "drop").bars == without(3)


def test_negative_prices_are_refused_with_the_reason() -> None:
    """As of oil in April 2020: the error says why, and "drop" leaves the bar out."""
    reason = r"low is -40.32: .*because changes in percent and volatility have no meaning at zero or below"
    with pytest.raises(InvalidRequest, match=reason):
        read(with_bar(OIL))
    found = read(with_bar(OIL), "drop")
    assert (found.bars, found.repairs) == (without(3), ("bar 3 (2026-10-01): low is -40.32; left out",))


@pytest.mark.parametrize("repair", ["clip", "drop"])
def test_an_order_of_columns_is_not_mended(repair: str) -> None:
    """Rows of another order (Coinbase: low, high, open, close) are a hair outside throughout, and refused."""
    rows = [[bar.time, 99.9, 100.3, 100.0, 100.2, 5] for bar in BARS]
    wrong = r"40 of 40 bars are wrong, .* The first is bar 0 .*\. Are the columns in another order\?"
    with pytest.raises(InvalidRequest, match=wrong):
        read(rows, repair)


def test_the_numbers_of_bars_stay_those_of_the_caller() -> None:
    """After a bar was left out, an error still names the next ones as they were given."""
    empty = replace(BARS[3], open=ANY, high=ANY, low=ANY, close=ANY)
    with pytest.raises(InvalidRequest, match=r"bar 10 .*: it has the time of bar 9"):
        read([*BARS[:3], empty, *BARS[4:9], BARS[9], BARS[9]])


def test_other_words_for_repair_are_refused() -> None:
    """The error lists the right ones."""
    with pytest.raises(InvalidRequest, match="repair is 'fix': it must be 'clip', 'drop' or None"):
        read(BARS, "fix")
