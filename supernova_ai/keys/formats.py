"""What the keys of each provider look like: a table, and the one check that reads it."""

from __future__ import annotations

import re
from dataclasses import dataclass

from supernova_ai.errors import KeyFormatError
from supernova_ai.secret import Secret


@dataclass(frozen=True, slots=True)
class KeyFormat:
    """The shape of one provider's keys, and how to say it to a person."""

    shape: re.Pattern[str]
    words: str


FORMATS = {
    "anthropic": KeyFormat(re.compile(r"sk-ant-[\w\-]{8,}", re.ASCII), "sk-ant-…"),
    "openai": KeyFormat(re.compile(r"sk-(?!ant-)[\w\-]{8,}", re.ASCII), "sk-…, sk-proj-… or sk-svcacct-…"),
    "huggingface": KeyFormat(re.compile(r"hf_[A-Za-z0-9]{8,}"), "hf_…"),
}

ANY = KeyFormat(
    re.compile(r"(?![\"'`])[!-~]{8,}(?<![\"'`])"),
    "at least 8 printable ASCII characters, with no space among them and no quotes around",
)
"""For every provider that has no row: what an HTTP header can carry."""

_QUOTES = "\"'`“”‘’"


def check(provider: str, secret: Secret, *, elsewhere: bool = False) -> None:
    """Refuse a text that cannot be a key of the provider. The message never holds any of it.

    Args:
        elsewhere: another server speaks for the provider, with keys of whatever shape.

    Raises:
        KeyFormatError: it has spaces or quotes around it, is another provider's, or has the wrong shape.
    """
    # The text gets no name here: a traceback that shows local variables must not show it.
    expected = ANY if elsewhere else FORMATS.get(provider, ANY)
    if expected.shape.fullmatch(secret.reveal()):
        return
    if secret.reveal() != secret.reveal().strip():
        problem = "it has spaces or line breaks around it: give the key alone"
    elif secret.reveal()[0] in _QUOTES or secret.reveal()[-1] in _QUOTES:
        problem = "it has quotes around it: give the key alone"
    elif expected is not ANY and (other := _owner(secret)):
        problem = f"this looks like a key of {other}: add it there, or copy the key of {provider}"
    else:
        problem = "copy it again, whole, from the provider's page of API keys"
    raise KeyFormatError(
        f"the text given is not a key of {provider}, whose keys look like {expected.words}: {problem}"
    )


def _owner(secret: Secret) -> str | None:
    return next((name for name, known in FORMATS.items() if known.shape.fullmatch(secret.reveal())), None)
