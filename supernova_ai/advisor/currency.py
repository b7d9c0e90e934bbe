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


def currency_of(symbol: str, currency: str | None) -> str:
    """Return the code of what the asset's prices are in.

    >>> currency_of("AAPL", None), currency_of("USD/JPY", None), currency_of("7203.T", "jpy")
    ('USD', 'JPY', 'JPY')

    Raises:
        InvalidRequest: it is no code.
    """
    if currency is None:
        pair = re.fullmatch(r"[^/]+/([A-Za-z]{3,5})(?::.*)?", symbol)
        currency = pair[1] if pair else "USD"
    if not isinstance(currency, str) or not re.fullmatch(r"[A-Za-z]{3,5}", currency):
        raise InvalidRequest(f"currency is {currency!r}: it must be a code such as USD, EUR or USDT")
    return currency.upper()
