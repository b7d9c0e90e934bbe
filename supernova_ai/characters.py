"""Invisible and malformed characters: they can control a terminal, reorder text, or hide in it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from reprlib import Repr
from typing import Any

JOINERS = r"\u061c\u200c-\u200f"
"""Invisible characters that text needs: Persian and emoji join letters with them, Hebrew sets direction."""

CONTROLS = r"\x00-\x08\x0b-\x1f\x7f-\x9f"
"""C0 without tab and newline, DEL and C1, for a character class of ``re``."""

INVISIBLE = (
    r"\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164"
    r"\ufe00-\ufe0d\ufeff\uffa0\ufff0-\ufffb\ud800-\udfff\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
    r"\U000e0000-\U000e0fff"
)
"""Format characters, line separators, zero-width blanks and surrogates, for a character class of ``re``."""

_LINE = re.compile(f"[{CONTROLS}{INVISIBLE}\t\n]")
_PROSE = re.compile(rf"(?![{JOINERS}]|\r\n)[{CONTROLS}{INVISIBLE}]")

_SHORT = Repr()
_SHORT.maxstring = _SHORT.maxother = 100  # more than is shown


def counted(number: int, noun: str) -> str:
    """Return how many there are, as a text.

    >>> counted(1, "attempt"), counted(2_000, "attempt")
    ('1 attempt', '2,000 attempts')
    """
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def quoted(value: object) -> str:
    """Return at most 60 characters that show a value of any kind, for the message of an error.

    >>> quoted("fx"), quoted(10**5000)
    ("'fx'", 'a whole number of thousands of digits')
    """
    try:
        return f"{_SHORT.repr(value):.60}"
    except ValueError:  # Python writes no number with more than 4,300 digits
        return "a whole number of thousands of digits"


def visible(text: str, *, prose: bool = False) -> str:
    r"""Return the text with each invisible character replaced by a visible sign.

    A stream may be cleaned piece by piece if no piece ends between a carriage return and a newline.

    Args:
        prose: the text may have several lines in any script: tabs, newlines and joiners stay, and carriage
            returns are removed, except before a newline.

    >>> visible("\x1b[2Jann\n"), visible("a\x1b\rb\r\n", prose=True)
    ('␛[2Jann␊', 'a␛b\r\n')
    """
    return _PROSE.sub(_prose_sign, text) if prose else _LINE.sub(_sign, text)


def escaped(notation: str) -> str:
    r"""Return equivalent JSON with each invisible character escaped.

    >>> escaped('{"name": "\x9b2J"}')
    '{"name": "\\u009b2J"}'
    """
    return re.sub(f"[{CONTROLS}{INVISIBLE}]", lambda found: json.dumps(found[0])[1:-1], notation)


def _prose_sign(found: re.Match[str]) -> str:
    return "" if found[0] == "\r" else _sign(found)


def _sign(found: re.Match[str]) -> str:
    code = ord(found[0])
    return chr(0x2400 + code) if code < 0x20 else "␡" if code == 0x7F else "\ufffd"


def well_formed(text: str) -> str:
    """Return the text with surrogate pairs joined; lone surrogates and NUL are replaced by U+FFFD.

    >>> well_formed("\\ud83d\\ude00 \\ud83d") == "😀 \\ufffd"
    True
    """
    if text.isascii() and "\0" not in text:
        return text
    whole = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return whole.replace("\0", "\ufffd")


def well_formed_json(value: Any) -> Any:
    """Return the JSON value with each text in it as ``well_formed`` returns it; NUL stays.

    >>> well_formed_json([{"token": "\\ud83d", "bytes": None}]) == [{"token": "\ufffd", "bytes": None}]
    True
    """
    return json.loads(well_formed(json.dumps(value, ensure_ascii=False)))


def open_surrogate(text: str) -> str:
    """Return the high surrogate at the end of the text, whose other half may follow in a stream; or ""."""
    return text[-1:] if "\ud800" <= text[-1:] <= "\udbff" else ""


def texts_in(values: object) -> Iterator[str]:
    """Yield every text in a JSON value: names, strings and numbers as they are written."""
    if isinstance(values, str):
        yield values
    elif isinstance(values, Mapping):
        for name, value in values.items():
            yield str(name)
            yield from texts_in(value)
    elif isinstance(values, list | tuple):
        for value in values:
            yield from texts_in(value)
    elif isinstance(values, int | float):
        yield json.dumps(values)


def names_in(value: object) -> Iterator[object]:
    """Yield every name in a JSON value, also those inside of others; they should be texts."""
    if isinstance(value, Mapping):
        yield from value
        value = list(value.values())
    if isinstance(value, list | tuple):
        for one in value:
            yield from names_in(one)
