"""Make statements about an asset that are known to be true or false.

Rendering and rounding are implemented here and not taken from the check, so that they test it independently.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, replace
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from math import exp
from typing import Any

from supernova_ai.advisor.bars import Bar, read_bars
from supernova_ai.advisor.ensemble import Assessment, assess

_TICKERS = ["AAPL", "MSFT", "NVDA", "TSLA", "AMZN", "GOOG", "META", "JPM", "XOM", "KO", "PFE", "INTC"]
_MONTHS = ["January", "February", "March", "April", "May", "June", "July", "August", "September", "October"]
_MONTHS += ["November", "December"]
_ONES = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven"]
_ONES += ["twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"]
_TENS = ["", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]

_DOING = {"buy": "buying", "sell": "selling", "hold": "holding", "reduce": "reducing", "avoid": "avoiding"}
_BEAR = ("buy", "hold")
_OPPOSED = {"buy": ("sell", "hold"), "hold": ("buy", "sell"), "sell": _BEAR, "reduce": _BEAR, "avoid": _BEAR}
_BARS = 250
_ENDS = ((max, 1), (min, -1))

Say = Callable[[random.Random, "Case"], str]


@dataclass(frozen=True, slots=True)
class Case:
    """Advice on one asset on one day, with the numbers that the statements use."""

    found: Assessment
    symbol: str
    day: date
    close: float
    sma_20: float
    sma_50: float
    bollinger_upper: float
    bollinger_lower: float
    high_20: float
    low_20: float
    change_20: float
    change_63: float
    rsi_14: float
    adx_14: float
    plus_di_14: float
    minus_di_14: float
    macd_histogram: float
    volume_mean_20: float
    volume_ratio: float
    volatility_20: float
    drawdown: float


def draw(chance: random.Random) -> Case:
    """Draw a case whose figures differ enough that a wrong figure is not true of another fact."""
    while True:
        found = assess(
            read_bars(_walk(chance)),
            symbol=chance.choice(_TICKERS),
            asset_class="stock",
            risk_score=chance.uniform(0, 100),
            sentiment_hint=round(chance.uniform(-1, 1), 2),
        )
        known: dict[str, Any] = {fact.id: fact.value for fact in found.facts}
        numbers = {field.name: known[field.name] for field in fields(Case) if field.name in known}
        case = Case(found, day=known["last_date"], **numbers)
        if _telling(case):
            return case


def _walk(chance: random.Random) -> list[Bar]:
    price = chance.choice((1, 10, 100)) * chance.uniform(2.1, 9.7)
    drift, spread = chance.uniform(-0.004, 0.004), chance.uniform(0.01, 0.03)
    traded = chance.choice((1e4, 1e6, 1e7))
    start = datetime(2024, 1, 1, tzinfo=UTC) + timedelta(chance.randrange(700))
    bars = []
    for number in range(_BARS):
        opened, price = price, price * exp(chance.gauss(drift, spread))
        high, low = (end(opened, price) * (1 + side * chance.uniform(0, 0.008)) for end, side in _ENDS)
        volume = float(round(traded * chance.uniform(0.4, 2.5)))
        bars.append(Bar(start + timedelta(number), opened, high, low, price, volume))
    return bars


def _telling(case: Case) -> bool:
    apart = (
        (case.close / case.sma_20, 0.012),
        (case.close / case.sma_50, 0.03),
        (case.sma_20 / case.sma_50, 0.012),
        (case.close / case.bollinger_upper, 0.012),
        (case.close / case.bollinger_lower, 0.012),
    )
    return (
        all(abs(ratio - 1) > least for ratio, least in apart)
        and abs(case.change_20) > 1.2
        and abs(case.change_63) > 1.2
        and abs(abs(case.change_20) - abs(case.change_63)) > 1.5
        and min(abs(case.rsi_14 - line) for line in (30, 70)) > 1
        and min(abs(case.adx_14 - other) for other in (case.rsi_14, case.plus_di_14, case.minus_di_14)) > 1.5
        and abs(case.plus_di_14 - case.minus_di_14) > 1.5
        and abs(case.volume_ratio - 1) > 0.06
        and case.drawdown > 0.6
    )


def fixed(number: float, places: int) -> str:
    """Write a number rounded half up, with integer arithmetic."""
    whole = (abs(Fraction(str(number))) * 10**places + Fraction(1, 2)).__floor__()
    digits = str(whole).rjust(places + 1, "0")
    return digits[: len(digits) - places] + ("." + digits[len(digits) - places :] if places else "")


def grouped(digits: str, mark: str = ",") -> str:
    """Insert a separator between thousands."""
    whole, dot, rest = digits.partition(".")
    parts: list[str] = []
    while len(whole) > 3:
        whole, parts = whole[:-3], [whole[-3:], *parts]
    return mark.join([whole, *parts]) + dot + rest


def in_words(number: int) -> str:
    """Write a whole number below a hundred in words."""
    if number < 20:
        return _ONES[number]
    return _TENS[number // 10] + (f"-{_ONES[number % 10]}" if number % 10 else "")


def money(chance: random.Random, number: float) -> str:
    """Write a price in one of the usual ways."""
    digits = grouped(fixed(number, 2 if number >= 10 else chance.choice((2, 3))))
    return chance.choice((f"${digits}", f"{digits} dollars", f"USD {digits}", digits, f"US${digits}"))


def percent(chance: random.Random, number: float) -> str:
    """Write the size of a percentage in one of the usual ways."""
    ways = [
        f"{fixed(number, 1)} %",
        f"{fixed(number, 1)}%",
        f"{fixed(number, 2)} percent",
        f"{fixed(number, 0)} %",
    ]
    if 12.6 < abs(number) < 99:
        ways.append(f"{in_words(int(fixed(number, 0)))} percent")
    return chance.choice(ways)


def count(chance: random.Random, exact: float) -> str:
    """Write a number of shares in one of the usual ways."""
    number = int(fixed(exact, 0))
    ways = [grouped(str(number)), str(number), grouped(str(number), "\u202f"), f"{fixed(number / 1e3, 1)}k"]
    if number > 10**6:
        ways += [f"{fixed(number / 1e6, 2)} million", f"{fixed(number / 1e6, 1)}m"]
    return chance.choice(ways)


def index(chance: random.Random, number: float) -> str:
    """Write a number without a unit."""
    return fixed(number, chance.choice((0, 1, 1, 2)))


def moved(number: float, up: str, down: str) -> str:
    """Choose the word for a rise or a fall."""
    return up if number > 0 else down


def side(number: float, other: float) -> str:
    """Return "above" or "below": where a number is relative to another."""
    return moved(number - other, "above", "below")


def signed(number: float, places: int) -> str:
    """Write a number with its minus sign, if it has one."""
    return ("-" if number < 0 else "") + fixed(number, places)


def small(number: float) -> str:
    """Write a number near zero with its sign and a few digits."""
    return signed(number, 2 if abs(number) >= 0.1 else 5)


RIGHT: dict[str, tuple[Say, ...]] = {
    "a level": (
        lambda r, c: f"{c.symbol} closed at {money(r, c.close)}.",
        lambda r, c: f"The last price is {money(r, c.close)}.",
        lambda r, c: f"At {money(r, c.close)}, {c.symbol} is worth a look.",
        lambda r, c: f"Its 50-day average stands at {money(r, c.sma_50)}.",
        lambda r, c: f"The 20-day moving average is {money(r, c.sma_20)}.",
        lambda r, c: f"The upper Bollinger band is at {money(r, c.bollinger_upper)}.",
        lambda r, c: f"The lower band is {money(r, c.bollinger_lower)}.",
        lambda r, c: f"The 20-bar high was {money(r, c.high_20)} and the 20-bar low {money(r, c.low_20)}.",
        lambda r, c: f"The +DI is {index(r, c.plus_di_14)} and the -DI is {index(r, c.minus_di_14)}.",
        lambda r, c: f"The RSI (14) is {index(r, c.rsi_14)}.",
        lambda r, c: f"With the 14-day RSI at {index(r, c.rsi_14)}, the picture is clear.",
        lambda r, c: f"The ADX of {index(r, c.adx_14)} tells of the strength of the trend.",
        lambda _, c: f"The MACD histogram is {small(c.macd_histogram)}.",
        lambda _, c: (
            f"The MACD histogram is {moved(c.macd_histogram, 'positive', 'negative')} "
            f"at {small(c.macd_histogram)}."
        ),
    ),
    "a change": (
        lambda r, c: (
            f"The price {moved(c.change_20, 'rose', 'fell')} {percent(r, c.change_20)} over the last 20 bars."
        ),
        lambda r, c: (
            f"Over the last 63 bars it {moved(c.change_63, 'gained', 'lost')} {percent(r, c.change_63)}."
        ),
        lambda _, c: f"The 20-bar change is {moved(c.change_20, '+', '-')}{fixed(c.change_20, 1)} %.",
        lambda r, c: f"It is {moved(c.change_63, 'up', 'down')} {percent(r, c.change_63)} over 63 days.",
        lambda r, c: (
            f"We saw a {moved(c.change_63, 'rise', 'decline')} of {percent(r, c.change_63)} in 63 sessions."
        ),
        lambda _, c: (
            f"It moved {moved(c.change_63, '+', '-')}{fixed(c.change_63, 1)} % over the last 63 bars."
        ),
        lambda r, c: (
            f"A {percent(r, c.change_20)} {moved(c.change_20, 'gain', 'drop')} over 20 bars are behind it."
        ),
        lambda _, c: f"The change over 20 bars is {moved(c.change_20, '', '−')}{fixed(c.change_20, 2)}%.",
    ),
    "scaled": (
        lambda r, c: f"Mean volume was {count(r, c.volume_mean_20)}.",
        lambda r, c: f"On average {count(r, c.volume_mean_20)} shares changed hands.",
        lambda _, c: f"Volume is {fixed(c.volume_ratio, 1)}x its 20-day mean.",
        lambda _, c: f"Volume is {fixed(c.volume_ratio, 2)} times its 20-day mean.",
        lambda r, c: f"Realised volatility is {percent(r, c.volatility_20)} a year.",
        lambda _, c: f"Realised volatility is {fixed(c.volatility_20 / 100, 2)} a year.",
        lambda _, c: f"As a fraction, volatility comes to {fixed(c.volatility_20 / 100, 3)}.",
        lambda r, c: f"The drawdown is {percent(r, c.drawdown)}.",
        lambda r, c: f"It trades {percent(r, c.drawdown)} below its high, the drawdown to bear.",
        lambda _, c: f"The drawdown is -{fixed(c.drawdown, 1)} %.",
    ),
    "derived": (
        lambda _, c: (
            f"That is {fixed((c.close / c.sma_50 - 1) * 100, 1)} % {side(c.close, c.sma_50)} "
            "its 50-day average."
        ),
        lambda _, c: (
            f"The price is ${fixed(c.close - c.sma_20, 2)} {side(c.close, c.sma_20)} the 20-day average."
        ),
        lambda _, c: f"The gap between the close and the 50-day average is ${fixed(c.close - c.sma_50, 2)}.",
        lambda _, c: (
            f"The mean of the 20-day average and the 50-day average is $"
            f"{fixed((c.sma_20 + c.sma_50) / 2, 2)}."
        ),
        lambda _, c: (
            f"From {signed(c.change_20, 2)} % to {signed(c.change_63, 2)} % is a difference of "
            f"{fixed(c.change_63 - c.change_20, 1)} percentage points."
        ),
    ),
    "a comparison": (
        lambda _, c: f"The price is {side(c.close, c.sma_50)} its 50-day average.",
        lambda _, c: f"The 20-day average is {side(c.sma_20, c.sma_50)} the 50-day average.",
        lambda _, c: f"The RSI is {'above 70' if c.rsi_14 > 70 else 'below 70'}.",
        lambda _, c: f"The asset is {'overbought' if c.rsi_14 > 70 else 'not overbought'}.",
        lambda _, c: f"The price is not {side(c.sma_20, c.close)} its 20-day average.",
    ),
    "a date": (
        lambda _, c: f"As of {c.day.isoformat()}, {c.symbol} is in focus.",
        lambda _, c: f"The data end on {c.day.day} {_MONTHS[c.day.month - 1]} {c.day.year}.",
        lambda _, c: f"The data end on {_MONTHS[c.day.month - 1]} {c.day.day}, {c.day.year}.",
        lambda _, c: f"By {_MONTHS[c.day.month - 1][:3]} {c.day.day} the case was made.",
        lambda _, c: f"In {_MONTHS[c.day.month - 1]} {c.day.year} the case was made.",
    ),
    "advice": (
        lambda _, c: f"We recommend {_DOING[c.found.action]} {c.symbol}.",
        lambda _, c: f"The action is {c.found.action}.",
        lambda _, c: f"The decision is to {c.found.action} {c.symbol}.",
        lambda r, c: (
            f"{c.found.action.capitalize()} {c.symbol}, and do not {r.choice(_OPPOSED[c.found.action])}."
        ),
        lambda *_: "If the picture changes, consider selling.",
        lambda *_: "Three things speak for it, and one against.",
    ),
}


def _altered_digits(r: random.Random, c: Case) -> str:
    """Return a sentence with one digit of its figure changed, beyond any rounding."""
    while True:
        true = r.choice([*RIGHT["a level"], *RIGHT["a change"], *RIGHT["scaled"]])(r, c)
        digits = [match.start() for match in re.finditer(r"(?<![-(\d])\d|(?<=\d[.,])\d|(?<=\d)\d", true)]
        place = r.choice(digits or [0])
        false = true[:place] + r.choice("123456789") + true[place + 1 :]
        if (
            digits
            and not re.match(r"[^ ]*(?:-day|-bar| bars| days| sessions|\))", true[place:])
            and _apart(false, true)
        ):
            return false


def _apart(false: str, true: str) -> bool:
    """Return whether the sentences differ by more than one unit of the last place shown."""
    figures = [re.findall(r"\d[\d,\u202f]*\.?\d*", text) for text in (false, true)]
    for ours, theirs in zip(*figures, strict=False):
        step = 10.0 ** -len(ours.partition(".")[2])
        if abs(float(re.sub(r"[,\u202f]", "", ours)) - float(re.sub(r"[,\u202f]", "", theirs))) > 1.01 * step:
            return True
    return False


def _swapped_sign(r: random.Random, c: Case) -> str:
    wrong = replace(c, change_20=-c.change_20, change_63=-c.change_63, macd_histogram=-c.macd_histogram)
    return r.choice([*RIGHT["a change"], *RIGHT["a level"][-2:]])(r, wrong)


def _wrong_unit(r: random.Random, c: Case) -> str:
    return r.choice(
        (
            f"The RSI is {fixed(c.rsi_14, 1)} %.",
            f"The RSI is ${fixed(c.rsi_14, 1)}.",
            f"Realised volatility is ${fixed(c.volatility_20, 1)}.",
            f"Realised volatility is {fixed(c.volatility_20, 1)}x.",
            f"{c.symbol} closed at {fixed(c.close, 2)} %.",
            f"{c.symbol} closed at €{fixed(c.close, 2)}.",
            f"{c.symbol} closed at ${fixed(c.close, 2)}k.",
            f"Mean volume was ${fixed(c.volume_mean_20, 0)}.",
            f"Mean volume was {fixed(c.volume_mean_20 / 1e3, 1)} million.",
            f"It {moved(c.change_63, 'rose', 'fell')} ${fixed(c.change_63, 1)} over 63 bars.",
            f"It {moved(c.change_63, 'rose', 'fell')} {fixed(c.change_63, 1)} basis points over 63 bars.",
        )
    )


def _swapped_ticker(r: random.Random, c: Case) -> str:
    other = r.choice([ticker for ticker in _TICKERS if ticker != c.symbol])
    say = r.choice((RIGHT["a level"][0], RIGHT["a level"][2], RIGHT["a date"][0], RIGHT["advice"][0]))
    return r.choice((say(r, replace(c, symbol=other)), f"Holders of ${other} know this."))


def _stale_date(r: random.Random, c: Case) -> str:
    return r.choice(RIGHT["a date"])(r, replace(c, day=c.day - timedelta(r.randrange(32, 210))))


def _invented(r: random.Random, c: Case) -> str:
    price, share = c.close * r.uniform(1.3, 1.9), r.uniform(41, 94)
    return r.choice(
        (
            f"Analysts see a price target of ${fixed(price, 2)}.",
            f"Support lies at ${fixed(c.close * r.uniform(0.4, 0.7), 2)}.",
            f"Revenue grew {fixed(share, 1)} % last quarter.",
            f"The P/E ratio is {fixed(share, 1)}.",
            f"There is a {fixed(share, 0)} % chance of a rally.",
            f"Earnings per share came to ${fixed(price / 20, 2)}.",
            f"The stock is held by {fixed(share, 1)} million people.",
            f"The beta is {fixed(share / 50, 2)}.",
            f"Upside of {fixed(share, 1)} % is likely.",
            f"The dividend yields {in_words(int(share))} percent.",
        )
    )


def _swapped_label(r: random.Random, c: Case) -> str:
    return r.choice(
        (
            f"The RSI is {fixed(c.adx_14, 1)}."
            if fixed(c.adx_14, 0) != fixed(c.rsi_14, 0)
            else "The RSI is 99.2.",
            f"The 50-day average is ${fixed(c.sma_20, 2)}.",
            f"{c.symbol} closed at ${fixed(c.sma_50, 2)}.",
            f"The price {moved(c.change_63, 'rose', 'fell')} {fixed(c.change_63, 1)} % over 20 bars.",
            f"Over the last 63 bars it {moved(c.change_20, 'rose', 'fell')} {fixed(c.change_20, 1)} %.",
            f"The 33-day RSI is {fixed(c.rsi_14, 1)}.",
            f"The 200-day average is ${fixed(c.sma_50, 2)}.",
            f"The upper band is ${fixed(c.bollinger_lower, 2)}.",
            f"The lower Bollinger band is ${fixed(c.bollinger_upper, 2)}.",
            f"The high was ${fixed(c.low_20, 2)} and the low ${fixed(c.high_20, 2)}.",
            f"The +DI is {fixed(c.minus_di_14, 1)}.",
        )
    )


def _false_direction(r: random.Random, c: Case) -> str:
    return r.choice(
        (
            f"The price is {side(c.sma_50, c.close)} its 50-day average.",
            f"The 20-day average is {side(c.sma_50, c.sma_20)} the 50-day average.",
            f"The asset is {'not overbought' if c.rsi_14 > 70 else 'overbought'}.",
            f"Over the last 20 bars the price {moved(c.change_20, 'fell', 'rose')}.",
            f"The price is {side(c.sma_50, c.close)} both its 20-day and 50-day averages.",
            f"The close is {side(c.bollinger_upper, c.close)} the upper band.",
            f"The MACD histogram is {moved(c.macd_histogram, 'negative', 'positive')}.",
        )
    )


def _opposed_action(r: random.Random, c: Case) -> str:
    other = r.choice(_OPPOSED[c.found.action])
    return r.choice(
        (
            f"We recommend {_DOING[other]} {c.symbol}.",
            f"The action is {other}.",
            f"The decision is to {other} {c.symbol}, and the case is clear.",
            f"The decision to {other} {c.symbol} is clear.",
            f"We would {other} {c.symbol}.",
            f"{other.capitalize()} {c.symbol} now.",
            f"There is no doubt: {other} {c.symbol}.",
            f"Investors should {other} {c.symbol}.",
            f"Do not {c.found.action} {c.symbol}.",
        )
    )


def _false_sum(r: random.Random, c: Case) -> str:
    off = r.uniform(1.5, 9)
    above = (c.close / c.sma_50 - 1) * 100
    flipped = moved(above, "below", "above")
    return r.choice(
        (
            f"That is {fixed(abs(above) + off, 1)} % {moved(above, 'above', 'below')} its 50-day average.",
            f"That is {fixed(above, 1)} % {flipped} its 50-day average.",
            f"The gap between the close and the 50-day average is ${fixed((c.close - c.sma_50) * 1.13, 2)}.",
        )
    )


WRONG: dict[str, Say] = {
    "altered digits": _altered_digits,
    "swapped signs": _swapped_sign,
    "wrong units": _wrong_unit,
    "swapped tickers": _swapped_ticker,
    "stale dates": _stale_date,
    "invented figures": _invented,
    "swapped labels": _swapped_label,
    "false directions": _false_direction,
    "opposed actions": _opposed_action,
    "false arithmetic": _false_sum,
}


def texts(chance: random.Random, case: Case) -> Iterator[tuple[str, str, str]]:
    """Yield, for one case, each kind, its text, and the false sentence in it, or nothing."""
    sayings = [say for group in RIGHT.values() for say in group]
    for kind, group in RIGHT.items():
        yield kind, " ".join(say(chance, case) for say in (chance.choice(group), chance.choice(sayings))), ""
    for kind, say in WRONG.items():
        false = say(chance, case)
        parts = [chance.choice(sayings)(chance, case), false]
        chance.shuffle(parts)
        yield kind, " ".join(parts), false
