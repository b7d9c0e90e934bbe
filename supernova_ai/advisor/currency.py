"""The currency of an asset's prices."""

from __future__ import annotations

import re

from supernova_ai.advisor.checks import wrong

DOLLARS = ("USD", "USDT", "USDC")
"""Currencies that are written with a dollar sign; the two coins are pegged to the dollar."""

_CODES = tuple(
    """
    USD EUR GBP JPY CHF CAD AUD NZD CNY CNH HKD SGD SEK NOK DKK PLN CZK HUF TRY ZAR INR KRW TWD THB IDR MYR
    PHP VND BRL MXN CLP COP ILS AED SAR RUB UAH USDT USDC BTC ETH
    """.split()  # noqa: SIM905 - a list would have one line per code
)
"""Second currencies by which BTC-EUR is recognised as a pair."""

_KNOWN = "|".join(_CODES)
_PAIR = rf"([^/]+)/({_KNOWN}|[A-Z]{{3,5}}(?=:))(?::.*)?"
_ANY_PAIR = r"([^/]+)/([A-Z]{3,5})(?::.*)?"
_PAIRS = {
    "fx": rf"{_ANY_PAIR}|([A-Z]{{3}})[-_]?([A-Z]{{3}})(?:=X)?|()([A-Z]{{3}})=X",
    "crypto": rf"{_ANY_PAIR}|([^-]+)-({_KNOWN})",
}
"""Notations of pairs: EUR/USD in every class; fx: also EURUSD, EURUSD=X, JPY=X; crypto: also BTC-EUR.

Elsewhere a second part that is no known currency is not one: BAC/PRB is a preferred share, CL/DEC a month.
"""


def pair_of(symbol: str, asset_class: str) -> tuple[str, str] | None:
    """Return the two currencies of a pair, in capitals; None if the symbol is not a pair.

    >>> pair_of("BTC/USDT:USDT", "futures"), pair_of("JPY=X", "fx"), pair_of("GOOGLE", "stock")
    (('BTC', 'USDT'), ('USD', 'JPY'), None)
    """
    match = re.fullmatch(_PAIRS.get(asset_class, _PAIR), symbol.upper())
    if match is None:
        return None
    first, second = (part for part in match.groups() if part is not None)
    return first or "USD", second


def currency_of(symbol: str, currency: str | None, asset_class: str) -> str:
    """Return the currency of the asset's prices: the given one, the second of a pair, or USD.

    >>> currency_of("BAC/PRB", None, "stock"), currency_of("USD/JPY", None, "fx")
    ('USD', 'JPY')
    >>> currency_of("CL/DEC", None, "futures"), currency_of("BTC/FDUSD:FDUSD", None, "futures")
    ('USD', 'FDUSD')

    Raises:
        InvalidRequest: ``currency`` is not a currency code.
    """
    if currency is None:
        _, currency = pair_of(symbol, asset_class) or ("", "USD")
    if not isinstance(currency, str) or not re.fullmatch(r"[A-Za-z]{3,5}", currency):
        raise wrong("currency is", currency, "a code such as USD, EUR or USDT")
    return currency.upper()
