"""The check against the facts that advice really has: each can be copied as it stands, and not be swapped."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from math import exp

import pytest

from supernova_ai.advisor import slots
from supernova_ai.advisor.bars import Bar, read_bars
from supernova_ai.advisor.ensemble import Assessment, assess
from supernova_ai.advisor.explain import explain
from supernova_ai.advisor.facts import format_fact
from supernova_ai.advisor.grounding import check
from supernova_ai.advisor.grounding.stance import action_claims
from supernova_ai.advisor.rationale import grounding_context
from supernova_ai.config.advice import AdviceRules, AssetClass
from tests.advisor.sample_advice import SAMPLE, SEED

RULES = AdviceRules()
FOUND = assess(SAMPLE, **SEED)


def walk(seed: int, drift: float, price: float) -> Assessment:
    """Return an assessment of a random walk."""
    chance = random.Random(seed)
    bars = []
    for number in range(250):
        opened, price = price, price * exp(chance.gauss(drift, 0.01))
        high, low = max(opened, price) * 1.004, min(opened, price) * 0.996
        bars.append(
            Bar(datetime(2025, 1, 1, tzinfo=UTC) + timedelta(number), opened, high, low, price, 1e6 * number)
        )
    return assess(read_bars(bars), symbol="AAPL", asset_class="stock", sentiment_hint=-0.2)


def violations(text: str, found: Assessment = FOUND) -> list[str]:
    """Return what does not hold of a text about an asset."""
    return check(text, found.facts, **grounding_context(found, RULES)).describe().splitlines()


@pytest.mark.parametrize(
    "found", [FOUND, walk(1, 0.002, 3e-6), walk(2, -0.004, 40_000)], ids=["sample", "rise", "fall"]
)
@pytest.mark.parametrize(
    "form",
    [
        "{l}: {v}",
        "The {l} is {v}.",
        "| {l} | {v} |",
        "- **{l}:** {v}",
        "{l} ({v})",
        "With {l} at {v}, it is clear.",
    ],
)
def test_every_fact_may_be_copied_as_it_stands(form: str, found: Assessment) -> None:
    """A label and the value that the table has beside it, however they are put together."""
    texts = [form.format(l=fact.label, v=format_fact(fact)) for fact in found.facts]
    assert [(text, wrong) for text in texts if (wrong := violations(text, found))] == []


def test_every_fact_may_be_a_slot() -> None:
    """The same with a reference in place of the value."""
    texts = [f"The {fact.label} is {{{{{fact.id}}}}}." for fact in FOUND.facts]
    reports = [slots.check_slots(text, FOUND.facts, **grounding_context(FOUND, RULES)) for text in texts]
    assert [report.describe() for report in reports if not report.grounded] == []


RIGHT = """
The upper band is at $138.65, $2.29 above the close.
The bands run from $125.91 to $138.65.
The bands are 9.63 % wide.
Bollinger %b of 0.82 shows that the close is near the upper band.
The 20-bar high was $137.42 and the 20-bar low $124.45.
The 20- and 50-day averages are $132.28 and $127.99.
Its 50-day and 200-day averages stand at $127.99 and $117.26, respectively.
The high was $137.42 and the low $124.45.
AAPL is above its 20-, 50- and 200-day averages.
AAPL is above both its 50-day and 200-day averages.
The price is above all three moving averages.
The +DI of 31.5 is above the -DI of 15.7.
+DI (31.5) exceeds -DI (15.7).
The plus DI is 31.5 and the minus DI is 15.7.
Average volume is 1,158,552.
A typical bar moves by $1.92, or 1.41 % of the price.
The facts run from 2025-12-08 to 2026-11-20, over 250 bars.
The first bar is 2025-12-08, and the last bar is 2026-11-20.
SMA (20) is higher than SMA (50).
On-balance volume is lower than its 20-bar mean.
The price gained 16.1 % over the last 63 bars.
Over 10, 20 and 63 bars the price rose 1.53 %, 4.86 % and 16.1 %.
Over the last bar the price slipped 0.227 %.
The price may fall by $1.92 on an ordinary day.
The last bar fell by 0.23 %.
The trend is up, and the news is positive.
The stock is in an uptrend.
The RSI is below 70.
The RSI is just under 70, so not yet overbought.
The RSI of 68.2 is close to the overbought level of 70.
The RSI is 68.2; above 70 it would be overbought.
The ADX is above 25.
The RSI (14) is 68.2 on a scale of 0 to 100.
The confidence is 0.696, from 0 to 1.
The risk score is 75 out of 100.
The risk score is 75/100.
RSI-14 is 68.2.
The RSI is in the sixties.
News is a reason, too: the hint of 0.30 is positive.
The mean of the last 20 closes is $132.28.
The last volume was below its average, as volume is not above its mean.
The price rose over 63 bars [1].
Moves of about 1.41 % in an ordinary bar are usual.
The averages are in order: $132.28 above $127.99 above $117.26.
The strongest fact against buying now is that on-balance volume is below its 20-bar mean.
The market regime is trending, and the asset class is stock.
"""
WRAPPED = [
    "The close of $136.36 is 3.1 % above\nthe 20-bar average of $132.28.",
    "## Why it fell\n$136.36 is the close.",
    "The close of $136.36 is $4.08 above the average of\n$132.28, and the 50-day average is\n127.99.",
    "Reasons:\n1. The trend is up.\n2. The RSI is 68.2.\n\n(1) The first.\n(2) The second.",
    "Reasons:\n1. One.\n   1. Within it.\n   2. And this.\n   3. And that.\n2. Two.",
]
WRONG = """
The upper band is $125.91. | $125.91
The lower Bollinger band is $138.65. | $138.65
The high was $124.45 and the low $137.42. | $124.45
The low is $137.42. | $137.42
The close is above the upper band. | above the upper band
AAPL is below its moving averages. | below its moving averages
AAPL is below both its 50-day and 200-day averages. | below both its 50-day and 200-day averages
AAPL is above its 50-day and 100-day averages. | 50-day and 100-day averages
The 20- and 50-day averages are $127.99 and $132.28. | $127.99
The 50-day and 200-day averages stand at $117.26 and $127.99, respectively. | $117.26
The first bar is 2026-11-20. | 2026-11-20
The first bar was on 20 November 2026. | 20 November 2026
The plus DI is 15.7. | 15.7
Mean volume is 22,995,147.5. | 22,995,147.5
The price gained 18.4 % over the last 20 bars. | 18.4 %
The price gained 9.6 % over the last 20 bars. | 9.6 %
The price gained 1.41 %. | 1.41 %
The price rose 16.1 % over the past year. | past year
The price rose 16.1 % last week. | last week
The price rose 16.1 % this year. | this year
The price rose 16.1 % today. | today
The price rose 16.1 % year to date. | year to date
The price rose 16.1 % in a single session. | 16.1 %
The price rose 16.1 % over the last bar. | 16.1 %
The RSI is over 70. | 70
The ADX is under 25. | 25
The volume ratio is above 1. | 1
The price is over $140. | $140
The downtrend continues. | downtrend
AAPL looks bearish. | bearish
There is no doubt the trend is down. | is down
The news is negative. | is negative
A bearish sentiment prevails. | bearish
According to the facts the RSI is overbought. | overbought
The price fell \N{VULGAR FRACTION ONE HALF} %. | \N{VULGAR FRACTION ONE HALF}
The close was $136\N{SUPERSCRIPT THREE}. | \N{SUPERSCRIPT THREE}
Volume was a dozen times its mean. | a dozen times
The RSI is [85]. | 85
The on-balance volume is above its mean. | above its mean
The price rose 16.1 % in a week. | in a week
The RSI is at the 85th percentile. | 85
The RSI is in the eighties. | eighties
The ADX is twelve. | twelve
Volume is above its 20-bar mean. | Volume is above its 20-bar mean
The last volume was higher than usual. | volume was higher than usual
Volatility is 18.4 % per month. | per month
The regime is volatile. | regime is volatile
In a ranging market it rose. | ranging market
The asset class is crypto. | asset class is crypto
The history has 200 bars and the bar count is 200. | 200
The pivot point 95 holds. | 95
A stop belongs at Rs500. | Rs500
A stop belongs at kr95. | kr95
It rose for nine straight sessions. | straight sessions
"""


@pytest.mark.parametrize("text", RIGHT.strip().splitlines())
def test_what_follows_from_the_facts_of_advice_holds(text: str) -> None:
    """By the names that people have for them, and by several at once."""
    assert violations(text) == []


@pytest.mark.parametrize("text", WRAPPED)
def test_lines_may_be_wrapped_or_listed(text: str) -> None:
    """A sentence goes on in its next line, and the numbers of a list are no figures."""
    assert violations(text) == []


@pytest.mark.parametrize("text", ["The RSI stands at\n25. That is low.", "With the RSI\n(25) it is low."])
def test_a_figure_may_begin_a_line(text: str) -> None:
    """It is no number of a list, which begins with 1 and goes on by 1."""
    assert [
        claim.text for claim in check(text, FOUND.facts, **grounding_context(FOUND, RULES)).violations
    ] == ["25"]


def test_crowns_are_of_three_countries() -> None:
    """They are what the asset's prices are in, if those are crowns at all."""
    found = assess(SAMPLE, symbol="VOLV", currency="SEK")
    assert violations("VOLV closed at kr 136.36, or kr136.36.", found) == []
    assert len(violations("AAPL closed at kr 136.36.")) == 1


@pytest.mark.parametrize("line", WRONG.strip().splitlines())
def test_what_the_facts_of_advice_do_not_say_is_a_violation(line: str) -> None:
    """The claim that is wrong is the one that is named."""
    text, claim = line.split(" | ")
    assert claim in [
        found.text for found in check(text, FOUND.facts, **grounding_context(FOUND, RULES)).violations
    ]


@pytest.mark.parametrize(
    "text",
    [
        "The price is rising.",
        "The stock is in an uptrend.",
        "AAPL looks bullish.",
        "AAPL rallied.",
        "AAPL has surged.",
        "The news is positive.",
    ],
)
def test_nothing_rises_in_a_fall(text: str) -> None:
    """The size of an ordinary bar is no rise, though it is a positive percentage."""
    fall = walk(0, -0.01, 100)
    assert all(fact.value < 0 for fact in fall.facts if fact.id.startswith("change"))  # type: ignore[operator]
    assert violations(text, fall)


@pytest.mark.parametrize(
    "symbol", ["0700.HK", "7203.T", "600519.SS", "1INCH/USDT", "6E=F", "BTC-27DEC24", "3M", "M&M.NS", "NQ1!"]
)
def test_a_symbol_may_have_digits(symbol: str) -> None:
    """They are no figures where it is named."""
    found = assess(SAMPLE, **(SEED | {"symbol": symbol}))
    assert violations(f"Buy {symbol}. {symbol} may fall; {symbol}, too, closed at $136.36.", found) == []
    assert violations(f"{symbol} closed at $70.07.", found)


@pytest.mark.parametrize("symbol", ["AAPL", "7203.T", "btc-usd", "F", "SELL", "CASH", "ON", "^GSPC"])
def test_the_action_is_read_beside_any_symbol(symbol: str) -> None:
    """A symbol that is a word of advice, or no word at all, hides it no more than another."""
    for action in ("buy", "hold", "reduce", "sell", "avoid"):
        for text in (
            f"The decision is to {action} {symbol}.",
            f"{action.title()} {symbol}, as the facts say.",
        ):
            assert [claim.verdict for claim in action_claims(text, action, symbol)] == ["grounded"], text


@pytest.mark.parametrize(
    ("symbol", "currency", "shown", "right", "wrong"),
    [
        (
            "AAPL",
            None,
            "$136.36",
            ["$136.36", "US$136.36", "136.36 dollars"],
            ["CHF 136.36", "C$136.36", "₹136.36"],
        ),
        ("USD/JPY", None, "136.36 JPY", ["136.36 yen", "¥136.36", "136.36"], ["$136.36", "136.36 USD"]),
        ("7203.T", "JPY", "136.36 JPY", ["136.36 JPY"], ["136.36 euros", "$136.36"]),
        ("BTC/EUR", None, "136.36 EUR", ["€136.36", "EUR 136.36"], ["£136.36", "136.36 CHF"]),
        ("BTC/USDT", None, "$136.36", ["136.36 USDT", "$136.36"], ["136.36 EUR", "136.36 BTC"]),
    ],
)
def test_prices_are_in_the_currency_of_the_asset(
    symbol: str, currency: str | None, shown: str, right: list[str], wrong: list[str]
) -> None:
    """The one asked for, or the second of a pair; the same figure in another does not hold."""
    found = assess(SAMPLE, symbol=symbol, currency=currency)
    (close,) = [fact for fact in found.facts if fact.id == "close"]
    assert format_fact(close) == shown
    texts = {said: f"{symbol} closed at {said}." for said in (*right, *wrong)}
    assert [said for said, text in texts.items() if violations(text, found)] == wrong
    assert violations(explain(found), found) == []


@pytest.mark.parametrize(
    ("symbol", "asset_class", "currency"),
    [
        ("USDJPY", "fx", "JPY"),
        ("usdjpy=x", "fx", "JPY"),
        ("JPY=X", "fx", "JPY"),
        ("EUR-GBP", "fx", "GBP"),
        ("EUR/GBP", "stock", "GBP"),
        ("BTC-EUR", "crypto", "EUR"),
        ("BTC/EUR:EUR", "crypto", "EUR"),
        ("BTC-27DEC24", "crypto", "USD"),
        ("GOOGLE", "stock", "USD"),
        ("BRK-B", "stock", "USD"),
        ("DXY", "fx", "USD"),
    ],
)
def test_a_pair_is_read_as_its_market_writes_it(symbol: str, asset_class: AssetClass, currency: str) -> None:
    """Joined, with a dash or as yfinance has it; what is no pair is in dollars."""
    assert assess(SAMPLE, symbol=symbol, asset_class=asset_class).currency == currency


@pytest.mark.parametrize("symbol", ["EURUSD", "EUR/USD", "EURUSD=X"])
def test_beside_a_pair_another_is_a_ticker(symbol: str) -> None:
    """However the asset's own is written, which may be written otherwise."""
    found = assess(SAMPLE, symbol=symbol, asset_class="fx")
    assert violations("EURUSD, or EUR/USD, may fall.", found) == []
    assert len(violations("GBPUSD looks stronger.", found)) == 1


@pytest.mark.parametrize("name", ["ECB", "BOJ", "OPEC", "FDA", "EU", "PMI", "NASDAQ"])
def test_an_institution_is_no_ticker(name: str) -> None:
    """Nor is an indicator of the economy."""
    assert violations(f"The {name} may move prices.") == []
