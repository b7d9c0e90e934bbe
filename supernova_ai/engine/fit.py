"""Providers' text made fit to be kept: some send halves of a character, or none that a database takes."""

from __future__ import annotations

_UNKNOWN = "\ufffd"


def fit(text: str) -> str:
    """Return the text with halves of a character joined, and what is still half, or NUL, replaced.

    >>> fit("\\ud83d\\ude00 \\ud83d") == "😀 \\ufffd"
    True
    """
    if text.isascii() and "\0" not in text:
        return text
    whole = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return whole.replace("\0", _UNKNOWN)


def first_half(text: str) -> str:
    """Return the half of a character that the text ends with, whose other half a stream has yet to send."""
    return text[-1:] if "\ud800" <= text[-1:] <= "\udbff" else ""
