"""Secrets that do not show their text, and a redactor that finds every live secret in all its encodings."""

from __future__ import annotations

import base64
import re
import weakref
from bisect import bisect_right
from collections.abc import Callable, Iterator
from typing import NoReturn

HIDDEN = "[redacted]"

# Public prefixes of keys: they are not secret.
_PREFIX = r"sk-(?:ant-[a-z]+[0-9]{2}-|proj-|svcacct-|admin-|or-v1-)?+"

_FIELD_NAME = re.compile(r'"\w+": "')
"""The name of a field in a key that is a JSON object: not secret either."""

# For keys that were never a Secret, such as those in a provider's message.
_KEY_SHAPED = re.compile(
    rf"""
      (?<![A-Za-z0-9])
      (?: {_PREFIX} [A-Za-z0-9_\-]{{8,}}
        | hf_ [A-Za-z0-9]{{8,}}
        | A[KS]IA [A-Z0-9]{{16}}                                               # Amazon
        | AIza [A-Za-z0-9_\-]{{30,}}                                           # Google
        | (?: xox[a-z]- | xapp- ) [A-Za-z0-9\-]{{10,}}                         # Slack
        | (?: gh[oprsu]_ | github_pat_ | glpat- ) [A-Za-z0-9_\-]{{16,}}        # GitHub, GitLab
        | (?: gsk_ | xai- | r8_ | pplx- | nvapi- ) [A-Za-z0-9_\-]{{16,}}       # other providers of models
        | [rs]k_ (?: live | test )_ [A-Za-z0-9]{{10,}}                         # Stripe
      )
    | (?<![A-Za-z0-9_\-]) eyJ [A-Za-z0-9_\-]{{8,}}+ \. [A-Za-z0-9_\-]{{8,}}+ \. [A-Za-z0-9_\-]*  # a JWT
    | \b (?i:bearer) \s+ [A-Za-z0-9._~+/\-]{{8,}} =*
    """,
    re.VERBOSE,
)

_MIN_RUN = 12
"""This many consecutive characters of a secret are redacted."""

_CHUNK = 6
"""Every run of ``_MIN_RUN`` characters contains a chunk of this length at a multiple of this length."""

_MIN_ENCODED = 8
"""A shorter secret is searched only literally: its encodings match too much other text."""

_ESCAPES = r"""
      (?<!\\) \\++ (?: u ([0-9a-f]{4}) | x ([0-9a-f]{2}) | (?=/) )  # JSON, Python
    | % (?:25)* ([0-9a-f]{2})                                     # URLs, also escaped repeatedly
    | &\# (?: x 0* ([0-9a-f]{2}) | 0* ([0-9]{2,3}) ) ;             # HTML
    """
_ESCAPE = re.compile(_ESCAPES, re.VERBOSE | re.IGNORECASE)
_ESCAPE_ONCE = re.compile(_ESCAPES.replace("(?:25)*", ""), re.VERBOSE | re.IGNORECASE)
_MAX_LEVELS = 3
"""How often a secret that itself contains a percent sign may be percent-encoded."""

_HEX_DUMP = re.compile(
    rf"\b (?:0x)?[0-9a-f]{{2}} (?: [\s:,;.+]{{1,2}} (?:0x)?[0-9a-f]{{2}} ){{{_MIN_RUN - 1},}} \b", re.VERBOSE
)
_NO_HEX = re.compile(r"0x|[^0-9a-f]")

_alive: weakref.WeakValueDictionary[int, Secret] = weakref.WeakValueDictionary()
_matchers: weakref.WeakValueDictionary[str, _Matcher] = weakref.WeakValueDictionary()


class Secret:
    """A text that repr, str, format, pickle, vars and json do not show.

    Only ``reveal()`` returns it. While a ``Secret`` is alive, ``redact`` removes its text from any text.
    """

    __slots__ = ("__weakref__", "_matcher", "_text")

    def __init__(self, text: str) -> None:
        if not isinstance(text, str) or not text:
            raise ValueError("a secret must be a non-empty text")
        self._text = text
        self._matcher: _Matcher | None = None  # created by the first search
        _alive[id(self)] = self

    def reveal(self) -> str:
        """Return the text. Do not keep it longer than one use."""
        return self._text

    def _get_matcher(self) -> _Matcher:
        if self._matcher is None:
            self._matcher = _matchers.setdefault(self._text, _Matcher(self._text))
        return self._matcher

    def __repr__(self) -> str:
        return f"Secret({HIDDEN})"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return repr(self)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Secret cannot be pickled")

    def __copy__(self) -> Secret:
        return self

    def __deepcopy__(self, memo: object) -> Secret:
        return self


def redact(text: str) -> str:
    """Return the text with every live secret, and every text with the format of a key, replaced.

    A secret is found in base64, hexadecimal, percent-encoding and escapes of JSON, Python and HTML, in any
    case, reversed, and in part, from twelve consecutive characters on. The time is linear in the length of
    the text and in the number of live secrets.

    >>> key = Secret("open sesame, will you")
    >>> redact("the words are open%20sesame,%20w or 6f70656e20736573616d652c2077696c6c20796f75")
    'the words are [redacted] or [redacted]'
    """
    # valuerefs() is an atomic copy: other threads create and delete secrets meanwhile.
    matchers = {secret._get_matcher() for ref in _alive.valuerefs() if (secret := ref()) is not None}
    return _replace_matches(text, matchers) if matchers else _KEY_SHAPED.sub(HIDDEN, text)


def _replace_matches(text: str, matchers: set[_Matcher]) -> str:
    """Return the text with every match replaced; overlapping matches are replaced together."""
    spans = set(_find_spans(_normalize(text), matchers))
    # A key may share a part with a live secret: what is left of it would no longer have the format of one.
    spans |= {found.span() for found in _KEY_SHAPED.finditer(text)}
    if "%" in text or "\\" in text or "&#" in text:
        # In addition, because a secret may itself look like an escape.
        for decoded, origin in _decodings(text):
            found = _find_spans(_normalize(decoded), matchers)
            spans |= {(origin(start), origin(stop)) for start, stop in found}
    pieces: list[str] = []
    end = 0
    for start, stop in sorted(spans):
        if start >= end:
            pieces += text[end:start], HIDDEN
        end = max(end, stop)
    return "".join([*pieces, text[end:]])


def _find_spans(normalized: str, matchers: set[_Matcher]) -> Iterator[tuple[int, int]]:
    for matcher in matchers:
        yield from matcher.find(normalized)
    for dump in _HEX_DUMP.finditer(normalized):
        content = _normalize(bytes.fromhex(_NO_HEX.sub("", dump[0])).decode("latin-1"))
        if any(True for matcher in matchers for _ in matcher.find(content)):
            yield dump.span()


class _Matcher:
    """Finds one secret in all its encodings."""

    __slots__ = ("__weakref__", "_chunks", "_encodings", "_public", "_whole")

    def __init__(self, text: str) -> None:
        prefix = re.match(_PREFIX, text)
        public = [prefix[0]] if prefix else _FIELD_NAME.findall(text) if text.startswith("{") else []
        self._public = "\n".join(encoding for part in public for encoding, _ in _encodings(part))
        self._encodings = _encodings(text)
        self._chunks = frozenset(
            encoding[at : at + _CHUNK]
            for encoding, _ in self._encodings
            for at in range(len(encoding) - _CHUNK + 1)
        )
        encoded = len(text) >= _MIN_ENCODED
        wholes = [encoding for encoding, _ in self._encodings] if encoded else [_normalize(text)]
        self._whole = re.compile("|".join(map(re.escape, wholes))) if len(text) < _MIN_RUN else None

    def find(self, normalized: str) -> Iterator[tuple[int, int]]:
        """Yield the spans of the secret, or of long enough parts of it, in a normalized text."""
        if self._whole is not None:  # the secret is shorter than a run
            yield from (found.span() for found in self._whole.finditer(normalized))
            return
        chunks, end = self._chunks, 0
        starts = range(0, len(normalized), _CHUNK)
        for at in [at for at in starts if normalized[at : at + _CHUNK] in chunks]:
            if at >= end and (run := self._longest_run(normalized, at, end)):
                end = run[1]
                yield run

    def _longest_run(self, text: str, at: int, floor: int) -> tuple[int, int] | None:
        """Return the longest run around the chunk at ``at`` that must be redacted; not before ``floor``."""
        chunk, longest = text[at : at + _CHUNK], (0, 0)
        for encoding, minimum in self._encodings:
            index = encoding.find(chunk)
            while index >= 0:
                start, stop, shift = at, at + _CHUNK, index - at
                while start > floor and start + shift > 0 and text[start - 1] == encoding[start + shift - 1]:
                    start -= 1
                while (
                    stop < len(text) and stop + shift < len(encoding) and text[stop] == encoding[stop + shift]
                ):
                    stop += 1
                length = max(minimum, longest[1] - longest[0] + 1)
                if stop - start >= length and text[start:stop] not in self._public:
                    longest = start, stop
                index = encoding.find(chunk, index + 1)
        return longest if longest[1] else None


def _encodings(text: str) -> list[tuple[str, int]]:
    """Return the text literally, reversed, in hex and in base64, each with the minimum length of a match.

    Base64 differs with the number of bytes before the text, modulo three.
    """
    raw = text.encode(errors="surrogatepass")
    found = [(_normalize(text), _MIN_RUN), (_normalize(text[::-1]), _MIN_RUN), (raw.hex(), 2 * _MIN_RUN)]
    for before, mixed in enumerate((0, 2, 3)):  # the first ``mixed`` characters depend on the bytes before
        encoded = base64.b64encode(bytes(before) + raw).decode().rstrip("=")
        last = len(encoded) if (before + len(raw)) % 3 == 0 or len(text) >= _MIN_RUN else -1
        found.append((_normalize(encoded[mixed:last]), 8 * (_MIN_RUN - 1) // 6 + 1))
    return found


def _normalize(text: str) -> str:
    """Return the text with equal length, in lowercase and in one of the two alphabets of base64."""
    lower = text.replace("İ", "i").lower().replace("ς", "σ")  # each letter independent of its neighbours
    return lower.replace("-", "+").replace("_", "/")


def _decodings(text: str) -> Iterator[tuple[str, Callable[[int], int]]]:
    """Yield the text with its escapes decoded, at once and level by level; each as ``_unescape`` does."""
    yield _unescape(text, _ESCAPE)
    steps: list[Callable[[int], int]] = []

    def origin(position: int) -> int:
        for step in reversed(steps):
            position = step(position)
        return position

    while "%25" in text and len(steps) < _MAX_LEVELS:
        text, step = _unescape(text, _ESCAPE_ONCE)
        steps.append(step)
        yield text, origin


def _unescape(text: str, escapes: re.Pattern[str]) -> tuple[str, Callable[[int], int]]:
    """Return the text with its escapes decoded, and a function from its positions to those of ``text``."""
    pieces: list[str] = []
    positions, origins, length, end = [0], [0], 0, 0
    for escape in escapes.finditer(text):
        four, two, percent, html, decimal = escape.groups()
        digits = four or two or percent or html
        char = chr(int(digits, 16)) if digits else chr(int(decimal)) if decimal else ""
        pieces += text[end : escape.start()], char
        length += escape.start() - end
        positions += length, length + len(char)
        origins += escape.span()
        length += len(char)
        end = escape.end()

    def origin(position: int) -> int:
        nearest = bisect_right(positions, position) - 1
        return origins[nearest] + position - positions[nearest]

    return "".join([*pieces, text[end:]]), origin
