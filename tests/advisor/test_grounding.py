"""A text may state what follows from the facts, in any of the ways people write it, and nothing else."""

from __future__ import annotations

import doctest
from dataclasses import replace

import pytest

from benchmarks.grounding import CAUGHT, REFUSED, measure, rates
from supernova_ai.advisor import currency
from supernova_ai.advisor.asset_facts import asset_facts as figures_of
from supernova_ai.advisor.grounding import check, derive, figures
from supernova_ai.advisor.grounding.report import Verdict
from supernova_ai.advisor.indicators import compute
from tests.advisor.sample_advice import SAMPLE

SEEN = replace(
    compute(SAMPLE.bars),
    close=187.4561,
    change_1=0.004,
    change_10=-0.0123,
    change_20=-0.0347,
    change_63=0.0812,
    sma_20=190.2,
    sma_50=180.123,
    sma_200=171.9,
    ema_12=188.3,
    ema_26=186.1,
    rsi_14=62.31,
    adx_14=25.1,
    macd_histogram=-0.452,
    bollinger_upper=199.7,
    bollinger_middle=190.2,
    bollinger_lower=180.7,
    volume_mean_20=1_234_567.0,
    volume_ratio=2.04,
    volatility_20=0.302,
    drawdown=0.123,
)
FACTS = tuple(figures_of("AAPL", "stock", SAMPLE, SEEN))
"""Facts as advice has them, of an asset that fell lately and rose before."""

RIGHT = """
AAPL closed at $187.46 on 20 November 2026, 4.1 % above its 50-day average of $180.12.
The RSI (14) of 62.3 is not overbought and the 14-day RSI stands at 62.
Over the last 20 bars the price fell 3.5 %, though it is up 8.12% over 63 bars.
Mean volume was about 1.2 million shares, and the last volume roughly twice its 20-bar mean.
Realised volatility of 30.2 % a year means risk; the drawdown of 12.3 % from its high is moderate.
The MACD histogram is negative at -0.45.
The price is below its 20-day average but above its 50-day average.
We recommend buying AAPL; do not sell yet. If the price falls, consider selling.
The gap between the close and the 50-day average is $7.33.
From $190.20 to $187.46, a fall of 1.4 %.
1. Trend: the ADX is above 25, at 25.1.
The 20-day and 50-day averages are $190.20 and $180.12 respectively.
Buy. On Friday (Nov 20) it traded at $187.
Annualised volatility is 0.302.
AAPL finished at $187.46, well above its 50-day moving average but under the 20-day line at $190.20.
Momentum is mixed: the stock has slipped 3.5% in the past 20 sessions yet remains 8.1% higher over 63 bars.
With an RSI (14) reading of 62.3, there is room before the market becomes overbought.
Average volume came in at 1.23 million shares, and the last volume is a bit more than double that (2.04x).
Volatility of about 30% means that swings are to be expected, and the stock is 12.3% off its high.
**Recommendation: BUY.** Confidence is supported by three signals.
The 20-day average ($190.20) lies $10.08 above the 50-day average ($180.12).
Data as of Nov. 20, 2026. This is not investment advice.
| RSI (14) | 62.3 |
A twenty-bar decline of roughly three and a half percent is not alarming.
The RSI is in neutral territory at 62, below the overbought threshold of 70.
AAPL's close of 187.46 is roughly 4% above the 50-day average.
I would buy here rather than sell, since the price holds above its 50-day average.
In the 20 sessions to 20 November 2026 the share price retreated by 3.5 per cent.
The midpoint of the two averages, $190.20 and $180.12, is $185.16.
Investors who cannot stand a drop of 12.3% should avoid using leverage.
The price is neither overbought nor oversold, with an RSI of 62.3.
The return over 63 bars, 8.12 %, exceeds the 20-bar return of -3.47 % by 11.59 percentage points.
An uptrend over 63 bars (+8.1 %) and a pullback over 20 bars (-3.5 %) coexist.
The close of $187.46 is less than 2 % under the 20-bar average.
Mean volume of 1 234 567 shares, or 1,234.6k, or 1.234567 million.
Trends can reverse, and nobody knows the future.
""".strip().splitlines()

WRONG = """
AAPL closed at $178.46. | $178.46
The RSI (14) is 25.1. | 25.1
The price rose 3.5 % over the last 20 bars. | 3.5 %
The price rose 8.1 % over the last 20 bars. | 8.1 %
The stock changed 3.5 %. | 3.5 %
TSLA is strong. | TSLA
The S&P 500 gained 8.1%. | S&P 500
As of 2026-10-20 the close was $187.46. | 2026-10-20
In October 2026 the stock closed at $187.46. | October 2026
Data as of Thursday. | Thursday
The price is 4.1 % below its 50-day average. | 4.1 %
The price is below its 50-day average. | below its 50-day average
The RSI shows it is overbought. | overbought
Volatility is $30.2. | $30.2
The RSI is 62.3 %. | 62.3 %
AAPL closed at 187.46 euros. | 187.46 euros
AAPL closed at 3.47 %. | 3.47 %
The stock gained 8.1 percentage points. | 8.1 percentage points
Volatility of 0.302 %. | 0.302 %
The price target is $250. | $250
We expect the price to reach $210 within 12 months. | $210
The 21-day RSI is 62.3. | 21-day RSI
The 30-day average is $180.12. | 30-day average
Analysts expect 15 % growth. | 15 %
There is a thirty percent chance of a fall. | thirty percent
The P/E ratio is 25.1. | 25.1
The MACD histogram is positive. | is positive
The MACD histogram is 0.45. | 0.45
Volume of 12.3 million. | 12.3 million
Volume of 1.23 million. | 1.23 million
Volume was half its 20-bar mean. | half its
The stock is up 12.3% from its low. | 12.3%
The 20-day average lies $12.08 above the 50-day average. | $12.08
The RSI is above 70. | 70
Nearly forty percent of analysts agree. | forty percent
The chance of a rise is two thirds. | two thirds
The risk is 3:1. | 3:1
Over the last 20 bars the price rose. | rose
""".strip().splitlines()


@pytest.mark.parametrize("text", RIGHT)
def test_what_follows_from_the_facts_is_grounded(text: str) -> None:
    """Rounded, scaled, in words, derived in one step, or said as a direction."""
    report = check(text, FACTS, symbol="AAPL", action="buy")
    assert report.grounded, report.describe()


@pytest.mark.parametrize("line", WRONG)
def test_what_does_not_follow_is_a_violation(line: str) -> None:
    """The claim that is wrong is the one that is named."""
    text, claim = line.split(" | ")
    assert claim in [found.text for found in check(text, FACTS, symbol="AAPL", action="buy").violations]


@pytest.mark.parametrize(
    ("text", "verdict", "source"),
    [
        ("It closed at $187.46.", "grounded", "close, the close of the last bar"),
        ("The gap to the 50-day average is $7.33.", "grounded", "close − sma_50"),
        ("It trades 4.1 % above its 50-day average.", "grounded", "(close − sma_50) ÷ sma_50"),
        ("The RSI (14) is 25.1.", "contradicted", "RSI (14) is 62.3"),
        ("It rose 3.5 %.", "contradicted", "Change over 20 bars is -3.47 %: the sign differs"),
        (
            "The P/E ratio is 25.1.",
            "unsupported",
            "only ADX (14) has this value; the text does not name it",
        ),
        ("It rose +8.1 % and fell +8.1 %.", "contradicted", "the sign and the words next to it disagree"),
    ],
)
def test_each_claim_says_where_it_comes_from(text: str, verdict: Verdict, source: str) -> None:
    """The fact and its source, or the arithmetic, or what the facts say instead."""
    claims = check(text, FACTS).claims
    assert (verdict, source) in [(claim.verdict, claim.source) for claim in claims]


@pytest.mark.parametrize("action", ["sell", "reduce", "avoid"])
def test_a_text_that_tells_to_buy_contradicts_a_bearish_action(action: str) -> None:
    """So does one that says to hold."""
    for text in ("We recommend buying.", "The action is to hold.", "BUY now.", "It is a strong buy."):
        assert [claim.kind for claim in check(text, FACTS, action=action).violations] == ["action"]


@pytest.mark.parametrize(
    ("text", "action", "grounded"),
    [
        ("Sell the shares.", "reduce", True),
        ("Trim the position.", "reduce", True),
        ("Reduce risk by diversifying.", "buy", True),
        ("There is selling pressure and a sell signal.", "buy", True),
        ("Investors should not buy.", "buy", False),
        ("Don't buy this.", "buy", False),
        ("Hold.", "buy", False),
        ("The price may hold above support.", "buy", True),
        ("Once it breaks out, consider selling.", "hold", True),
    ],
)
def test_stances_are_told_from_talk(text: str, action: str, grounded: bool) -> None:
    """Only what tells the client to act counts, not signals, conditions or warnings."""
    assert check(text, FACTS, action=action).grounded is grounded


def test_directions_of_signals_are_held_against_the_text() -> None:
    """By the name that the text uses; up for a positive number."""
    said = {"trend": 0.6, "momentum": -0.4}
    assert check("The trend is up, while momentum is negative.", (), directions=said).grounded
    report = check("The trend is bearish.", (), directions=said)
    assert [(claim.kind, claim.verdict) for claim in report.claims] == [("direction", "contradicted")]


def test_other_symbols_than_plain_ones() -> None:
    """A pair and a class of shares are one ticker, and their parts are no others."""
    for symbol in ("BTC/USDT", "BRK.B", "EURUSD"):
        assert check(f"We like {symbol}.", (), symbol=symbol).grounded
    assert not check("We like ETH.", (), symbol="BTC/USDT").grounded
    assert not check("We like GBPUSD.", (), symbol="EURUSD").grounded


def test_a_report_sums_up_its_claims() -> None:
    """In the text's order, with the share that holds and a line for each that does not."""
    text = "AAPL closed at $187.46. The RSI is 25.1."
    report = check(text, FACTS, symbol="AAPL")
    assert [text[claim.start : claim.end] for claim in report.claims] == ["AAPL", "$187.46", "25.1"]
    assert report.share == pytest.approx(2 / 3)
    assert report.describe() == '- figure "25.1": RSI (14) is 62.3'


def test_a_text_that_claims_nothing_is_grounded() -> None:
    """With facts or without; nothing is no claim."""
    for text in ("", "Markets can be calm.", "Here are three reasons, one by one."):
        assert check(text, FACTS) == check(text, ())
        assert check(text, FACTS).share == 1


@pytest.mark.parametrize(
    "text",
    [
        "about " + "1" * 5000,
        "1e99 1e-99 0e0 0.0 %",
        "1 " * 300,
        "RSI (" * 500,
        "2026-99-99 1/0 0:0",
        "is at of " * 500,
    ],
    ids=["digits", "exponents", "list", "brackets", "zeros", "words"],
)
def test_degenerate_text_is_judged_too(text: str) -> None:
    """What a model may babble is neither an error nor a wait, and each claim is in its place."""
    assert all(text[claim.start : claim.end] == claim.text for claim in check(text, FACTS).claims)


def test_the_evaluation_meets_its_targets_on_a_few_tables() -> None:
    """The whole of it is benchmarks/grounding.py; here are other tables than there."""
    seen, missed, examples = measure(40, seed=2)
    caught, refused = rates(seen, missed)
    assert caught >= CAUGHT, examples
    assert refused <= REFUSED, examples


@pytest.mark.parametrize("module", [currency, derive, figures])
def test_the_examples_in_the_docstrings(module: object) -> None:
    """They give what they show."""
    result = doctest.testmod(module)  # type: ignore[arg-type]
    assert (result.failed, result.attempted > 0) == (0, True)
