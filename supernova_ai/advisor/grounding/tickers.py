"""Read the tickers and index names of a text; only the asset's own is a fact."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from supernova_ai.advisor.currency import pair_of
from supernova_ai.advisor.facts import Fact
from supernova_ai.advisor.grounding.report import Claim

_NOT_TICKERS = frozenset(
    """
    ADX AI AM API ATH ATM ATR AUM BOE BOJ BPS CAD CAGR CEO CFO CHF CPI DCF DD DI DMA DOJ EBIT ECB EMA EOD
    EPS ESG EST ET ETF ETFS EU EUR FAQ FDA FED FOMC FTC FX FYI GAAP GBP GDP HH HIGH HL HODL ID IMF IPO IRA
    ISM ITM JPY LH LL LLC LLM LTD MA MACD MFI MTD NA NASDAQ NAV NFP NYSE OBV OHLC OK OPEC OTC OTM PBOC PE
    PEG PM PMI PPI PS QE QTD RBA REIT ROC ROE ROI RSI SAR SEC SMA SNB TTM UK UN US USA USD UTC VWAP WMA
    YOY YTD
    A ABOUT ABOVE ACT ADD ADVICE AGAIN ALL ALSO AN AND ANY ARE AS ASSET AT AVOID BASE BE BEAR BEARS BELOW
    BEST BIG BOTH BULL BULLS BUT BUY BY CALL CAN CASE CASH CLEAR CLOSE CONS COST CUT DATA DATE DAY DAYS DO
    DOWN ENTRY EXIT FACT FACTS FALL FINAL FIRST FLAT FOR FROM FULL FUND GAIN GO GOOD HAS HAVE HOLD HOW I
    IF IN INTO IS IT ITS KEY LAST LEVEL LONG LOSS LOW MAIN MAY MIXED MORE MOVE MUST NEAR NEW NEWS NEXT NO
    NONE NOT NOTE NOTES NOW OF OFF ON ONE ONLY OPEN OR OUR OUT OVER PAST PLAN POINT PRICE PROS PUT RANGE
    RATE RISE RISK RISKS SELL SET SHORT SIDE SO STAY STEP STOCK STOP STRONG SUM TAKE TERM THAN THAT THE
    THEN THERE THESE THIS TIME TO TOP TRADE TREND TWO UNDER UP US USE VERY VIEW VS WAIT WAS WATCH WE WEAK
    WHAT WHEN WHO WHY WILL WITH WORD YEAR YES YET YOU YOUR
    """.split()  # noqa: SIM905 - as a list it would be pages long
)
"""Capitals that are no ticker: words of finance, then words that a text may shout."""

_TICKER = re.compile(
    r"\$(?P<marked>[A-Za-z]{1,6}(?:[.-][A-Za-z]{1,2})?)\b"
    r"|(?<![\w$/])(?P<bare>[A-Z]{2,6}(?:[/-][A-Z]{2,5}|\.[A-Z]{1,2})?)\b(?![a-z])"
    r"|\b(?P<index>S&P ?500|N(?:asdaq|ASDAQ)(?: 100)?|Dow(?: Jones)?(?: 30)?|Russell 2000|FTSE 100"
    r"|DAX(?: 40)?|CAC 40|Nikkei(?: 225)?|Euro Stoxx 50|Hang Seng)\b"
)


def ticker_claims(text: str, facts: Iterable[Fact], symbol: str | None) -> Iterator[Claim]:
    """Yield a claim for each ticker and index name: grounded if it is the symbol's, or in a fact."""
    pair = (pair_of(symbol, "fx") or pair_of(symbol, "crypto")) if symbol else None
    allowed = {symbol.upper()} if symbol else set()
    allowed |= {*pair, "".join(pair)} if pair else set()  # the same pair, written otherwise
    for fact in facts:
        allowed |= {str(fact.value).upper()} if fact.unit == "text" else set()
        allowed |= {fact.currency} if fact.unit == "price" else set()
        allowed |= set(re.findall(r"\b[A-Z]{2,}\b", f"{fact.value} {fact.label}"))
    allowed |= {part for whole in allowed for part in _parts(whole)}
    own_places = []
    if symbol and not symbol.isalpha():  # 0700.HK, 6E=F or M&M.NS is not read as a ticker, and is no figure
        for match in re.finditer(rf"(?<!\w){re.escape(symbol)}(?!\w)", text):
            own_places.append(match)
            yield Claim(match[0], match.start(), match.end(), "ticker", "grounded", "named in the facts")
    for match in _TICKER.finditer(text):
        if any(own.start() < match.end() and match.start() < own.end() for own in own_places):
            continue
        name = (match["marked"] or match["bare"] or match["index"]).upper()
        own = symbol is not None and name == symbol.upper()
        if match["bare"] and not own and _parts(name) <= _NOT_TICKERS:
            continue
        if own or _parts(name) <= allowed:
            yield Claim(match[0], match.start(), match.end(), "ticker", "grounded", "named in the facts")
        elif match["bare"] and len(name) == 6 and not pair:
            continue  # six capitals are a pair of currencies only beside other pairs; elsewhere a word
        else:
            known = f"; the asset is {symbol}" if symbol else ""
            wrong = f"{match[0]} is not in the facts{known}"
            yield Claim(match[0], match.start(), match.end(), "ticker", "unsupported", wrong)


def _parts(name: str) -> set[str]:
    return set(re.split(r"[/.=-]", name))
