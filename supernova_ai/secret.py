"""A secret that does not show itself, and a redactor that knows every secret alive."""

from __future__ import annotations

import re
import weakref
from typing import NoReturn

_alive: weakref.WeakValueDictionary[int, Secret] = weakref.WeakValueDictionary()

# A second net, for keys that reached us without passing through a Secret (a provider's own message, say).
_KEY_SHAPED = re.compile(r"\b(sk-[A-Za-z0-9_\-]{8,}|hf_[A-Za-z0-9]{8,}|(?i:bearer)\s+[A-Za-z0-9._\-]{8,})")

HIDDEN = "[redacted]"


class Secret:
    """A piece of text that no repr, str, format, pickle, vars or json shows.

    Only ``reveal()`` gives the text. While a ``Secret`` is alive, ``redact`` removes its text from anything.
    """

    __slots__ = ("__weakref__", "_text")

    def __init__(self, text: str) -> None:
        if not isinstance(text, str) or not text:
            raise ValueError("a secret is a non-empty text")
        self._text = text
        _alive[id(self)] = self

    def reveal(self) -> str:
        """Return the text itself. Keep it no longer than the one use it is for."""
        return self._text

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

    >>> key = Secret("open sesame")
    >>> redact("the words are open sesame")
    'the words are [redacted]'
    """
    # valuerefs() is a copy made in one step: other threads make and drop secrets meanwhile.
    alive = [secret.reveal() for ref in _alive.valuerefs() if (secret := ref()) is not None]
    # Longest first: a secret that contains another one must not leave its rest behind.
    for value in sorted(alive, key=len, reverse=True):
        text = text.replace(value, HIDDEN)
    return _KEY_SHAPED.sub(HIDDEN, text)
