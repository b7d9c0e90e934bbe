"""A secret that does not show itself, and a redactor that knows every living secret in all its forms."""

from __future__ import annotations

import base64
import re
import weakref
from bisect import bisect_right
from collections.abc import Callable, Iterator
from typing import NoReturn

HIDDEN = "[redacted]"

# What every key of a kind begins with. It is in manuals, and no secret.
_PREFIX = r"sk-(?:ant-[a-z]+[0-9]{2}-|proj-|svcacct-|admin-|or-v1-)?+"

# A second net, for keys that reached us without passing through a Secret (a provider's own message, say).
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

_RUN = 12
"""So many characters of a secret in a row give it away."""

_PIECE = 6
"""Wherever a run begins, a piece of it of this length begins at a multiple of this length."""

_SHORT = 8
"""A secret shorter than this is looked for as it is, not encoded: its encodings could be anything."""

_ESCAPE = re.compile(
    r"""
      (?<!\\) \\++ (?: u ([0-9a-f]{4}) | x ([0-9a-f]{2}) | (?=/) )  # JSON, Python
    | % (?:25)* ([0-9a-f]{2})                                     # URLs, escaped more than once too
    | &\# (?: x 0* ([0-9a-f]{2}) | 0* ([0-9]{2,3}) ) ;             # HTML
    """,
    re.VERBOSE | re.IGNORECASE,
)
_PAIRS_OF_HEX = re.compile(
    rf"\b (?:0x)?[0-9a-f]{{2}} (?: [\s:,;.+]{{1,2}} (?:0x)?[0-9a-f]{{2}} ){{{_RUN - 1},}} \b", re.VERBOSE
)
_NO_HEX = re.compile(r"0x|[^0-9a-f]")

_alive: weakref.WeakValueDictionary[int, Secret] = weakref.WeakValueDictionary()
_shared: weakref.WeakValueDictionary[str, _Forms] = weakref.WeakValueDictionary()


class Secret:
    """A piece of text that no repr, str, format, pickle, vars or json shows.

    Only ``reveal()`` gives the text. While a ``Secret`` is alive, ``redact`` removes its text from anything.
    """

    __slots__ = ("__weakref__", "_forms", "_text")

    def __init__(self, text: str) -> None:
        if not isinstance(text, str) or not text:
            raise ValueError("a secret is a non-empty text")
        self._text = text
        self._forms: _Forms | None = None  # made when something is first searched for it
        _alive[id(self)] = self

    def reveal(self) -> str:
        """Return the text itself. Keep it no longer than the one use it is for."""
        return self._text

    def _known(self) -> _Forms:
        if self._forms is None:
            self._forms = _shared.setdefault(self._text, _Forms(self._text))
        return self._forms

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
    """Return the text with every living secret, and everything shaped like a key, replaced.

    A secret is found in base64, hexadecimal, percent-encoding and escapes of JSON, Python and HTML, in small
    and capital letters, backwards, and in part, from twelve characters in a row on. The time it takes grows
    with the text and with the number of living secrets, and with neither of them faster.

    >>> key = Secret("open sesame, will you")
    >>> redact("the words are open%20sesame,%20w or 6f70656e20736573616d652c2077696c6c20796f75")
    'the words are [redacted] or [redacted]'
    """
    # valuerefs() is a copy made in one step: other threads make and drop secrets meanwhile.
    known = {secret._known() for ref in _alive.valuerefs() if (secret := ref()) is not None}
    if known:
        text = _without(text, known)
    return _KEY_SHAPED.sub(HIDDEN, text)


def _without(text: str, known: set[_Forms]) -> str:
    """Return the text with every run of these secrets replaced; those that overlap are one."""
    spans = set(_spans(_normal(text), known))
    if "%" in text or "\\" in text or "&#" in text:
        decoded, origin = _decoded(text)  # and as it is, since a secret may look like an escape itself
        spans |= {(origin(start), origin(stop)) for start, stop in _spans(_normal(decoded), known)}
    pieces: list[str] = []
    end = 0
    for start, stop in sorted(spans):
        if start >= end:
            pieces += text[end:start], HIDDEN
        end = max(end, stop)
    return "".join([*pieces, text[end:]])


def _spans(view: str, known: set[_Forms]) -> Iterator[tuple[int, int]]:
    for forms in known:
        yield from forms.spans(view)
    for dump in _PAIRS_OF_HEX.finditer(view):
        told = _normal(bytes.fromhex(_NO_HEX.sub("", dump[0])).decode("latin-1"))
        if any(True for forms in known for _ in forms.spans(told)):
            yield dump.span()


class _Forms:
    """One secret in all the ways in which it is looked for."""

    __slots__ = ("__weakref__", "_forms", "_pieces", "_prefix", "_whole")

    def __init__(self, text: str) -> None:
        prefix = re.match(_PREFIX, text)
        self._prefix = "\n".join(form for form, _ in _written(prefix[0])) if prefix else ""
        self._forms = _written(text)
        self._pieces = frozenset(
            form[at : at + _PIECE] for form, _ in self._forms for at in range(len(form) - _PIECE + 1)
        )
        wholes = [form for form, _ in self._forms] if len(text) >= _SHORT else [_normal(text)]
        self._whole = re.compile("|".join(map(re.escape, wholes))) if len(text) < _RUN else None

    def spans(self, view: str) -> Iterator[tuple[int, int]]:
        """Yield where the secret, or enough of it, stands in a text that was made normal."""
        if self._whole is not None:  # too short to be known by a part
            yield from (found.span() for found in self._whole.finditer(view))
            return
        pieces, end = self._pieces, 0
        for at in [at for at in range(0, len(view), _PIECE) if view[at : at + _PIECE] in pieces]:
            if at >= end and (run := self._run(view, at, end)):
                end = run[1]
                yield run

    def _run(self, view: str, at: int, floor: int) -> tuple[int, int] | None:
        """Return the longest run around a piece that gives the secret away."""
        piece, longest = view[at : at + _PIECE], (0, 0)
        for form, least in self._forms:
            place = form.find(piece)
            while place >= 0:
                start, stop, ahead = at, at + _PIECE, place - at
                while start > floor and start + ahead > 0 and view[start - 1] == form[start + ahead - 1]:
                    start -= 1
                while stop < len(view) and stop + ahead < len(form) and view[stop] == form[stop + ahead]:
                    stop += 1
                if (
                    stop - start >= max(least, longest[1] - longest[0] + 1)
                    and view[start:stop] not in self._prefix
                ):
                    longest = start, stop
                place = form.find(piece, place + 1)
        return longest if longest[1] else None


def _written(text: str) -> list[tuple[str, int]]:
    """Return a text as it is, backwards, in hex and in base64, each with how long a part gives it away.

    In base64 it looks different after one or two other bytes; three more change nothing.
    """
    raw = text.encode(errors="surrogatepass")
    forms = [(_normal(text), _RUN), (_normal(text[::-1]), _RUN), (raw.hex(), 2 * _RUN)]
    for before, mixed in enumerate((0, 2, 3)):  # characters that the bytes before it have a part in
        encoded = base64.b64encode(bytes(before) + raw).decode().rstrip("=")
        last = len(encoded) if (before + len(raw)) % 3 == 0 or len(text) >= _RUN else -1
        forms.append((_normal(encoded[mixed:last]), 8 * (_RUN - 1) // 6 + 1))
    return forms


def _normal(text: str) -> str:
    """Return the text, at the same length, in small letters and with one of the two alphabets of base64."""
    small = text.replace("İ", "i").lower().replace("ς", "σ")  # no letter depends on its neighbours
    return small.replace("-", "+").replace("_", "/")


def _decoded(text: str) -> tuple[str, Callable[[int], int]]:
    """Return the text with its escapes decoded, and what tells a place in it in terms of the text."""
    pieces: list[str] = []
    places, origins, length, end = [0], [0], 0, 0
    for escape in _ESCAPE.finditer(text):
        four, two, percent, html, decimal = escape.groups()
        digits = four or two or percent or html
        char = chr(int(digits, 16)) if digits else chr(int(decimal)) if decimal else ""
        pieces += text[end : escape.start()], char
        length += escape.start() - end
        places += length, length + len(char)
        origins += escape.span()
        length += len(char)
        end = escape.end()

    def origin(place: int) -> int:
        nearest = bisect_right(places, place) - 1
        return origins[nearest] + place - places[nearest]

    return "".join([*pieces, text[end:]]), origin
