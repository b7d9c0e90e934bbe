"""What prices are in: the currency asked for, or the second of a pair."""

from __future__ import annotations

import re

from supernova_ai.errors import InvalidRequest

DOLLARS = ("USD", "USDT", "USDC")
"""What is shown with a dollar sign: the coins are held to be dollars, and people say so."""

CODES = tuple(
    """
    USD EUR GBP JPY CHF CAD AUD NZD CNY CNH HKD SGD SEK NOK DKK PLN CZK HUF TRY ZAR INR KRW TWD THB IDR MYR
    PHP VND BRL MXN CLP COP ILS AED SAR RUB UAH USDT USDC BTC ETH
    """.split()  # noqa: SIM905 - as a list it would be a page long
)
"""Currencies that texts name beside a figure; any other is known only where prices are in it."""


_SLASHED = r"([^/]+)/([A-Z]{3,5})(?::.*)?"
_PAIRS = {
    "fx": rf"{_SLASHED}|([A-Z]{{3}})[-_]?([A-Z]{{3}})(?:=X)?|()([A-Z]{{3}})=X",
    "crypto": rf"{_SLASHED}|([^-]+)-({'|'.join(CODES)})",
}
"""What a pair is called: EUR/USD in every class, and EURUSD, EURUSD=X, JPY=X or BTC-EUR in its own."""


def pair_of(symbol: str, asset_class: str) -> tuple[str, str] | None:
    """Return the two of a pair, in capitals; None if the symbol is no pair.

    >>> pair_of("BTC/USDT:USDT", "futures"), pair_of("JPY=X", "fx"), pair_of("GOOGLE", "stock")
    (('BTC', 'USDT'), ('USD', 'JPY'), None)
    """
    match = re.fullmatch(_PAIRS.get(asset_class, _SLASHED), symbol.upper())
    if match is None:
        return None
    first, second = (part for part in match.groups() if part is not None)
    return first or "USD", second


def currency_of(symbol: str, currency: str | None, asset_class: str) -> str:
    """Return the code of what the asset's prices are in.

    >>> currency_of("AAPL", None, "stock"), currency_of("USD/JPY", None, "fx")
    ('USD', 'JPY')

    Raises:
        InvalidRequest: it is no code.
    """
    if currency is None:
        _, currency = pair_of(symbol, asset_class) or ("", "USD")
    if not isinstance(currency, str) or not re.fullmatch(r"[A-Za-z]{3,5}", currency):
        raise InvalidRequest(f"currency is {currency!r}: it must be a code such as USD, EUR or USDT")
    return currency.upper()
