"""Key formats: the pattern of each provider's API keys, and the check of a key against it."""

from __future__ import annotations

import re
from dataclasses import dataclass

from supernova_ai.errors import KeyFormatError
from supernova_ai.secret import Secret


@dataclass(frozen=True, slots=True)
class KeyFormat:
    """The pattern of one provider's keys, and its description for messages."""

    pattern: re.Pattern[str]
    description: str


FORMATS = {
    "anthropic": KeyFormat(re.compile(r"sk-ant-[\w\-]{8,}", re.ASCII), "sk-ant-…"),
    "openai": KeyFormat(re.compile(r"sk-(?!ant-)[\w\-]{8,}", re.ASCII), "sk-…, sk-proj-… or sk-svcacct-…"),
    "huggingface": KeyFormat(re.compile(r"hf_[A-Za-z0-9]{8,}"), "hf_…"),
}

ANY = KeyFormat(
    re.compile(r"(?![\"'`])[!-~]{8,}(?<![\"'`])"),
    "at least 8 printable ASCII characters, without spaces or surrounding quotes",
)
"""For providers without a row above: what an HTTP header can carry."""

_QUOTES = "\"'`“”‘’"


def check_key(provider: str, secret: Secret, *, any_format: bool = False) -> None:
    """Refuse a text that cannot be a key of the provider. The message holds no part of the text.

    Args:
        any_format: the provider has a custom endpoint, whose keys may have any format.

    Raises:
        KeyFormatError: it has spaces or quotes around it, is another provider's, or has the wrong format.
    """
    # No variable holds the text: a traceback with local variables would show it.
    expected = ANY if any_format else FORMATS.get(provider, ANY)
    if expected.pattern.fullmatch(secret.reveal()):
        return
    if secret.reveal() != secret.reveal().strip():
        problem = "it has spaces or line breaks around it: remove them"
    elif secret.reveal()[0] in _QUOTES or secret.reveal()[-1] in _QUOTES:
        problem = "it has quotes around it: remove them"
    elif expected is not ANY and (other := _owner(secret)):
        problem = f"it looks like a key of {other}: add it to {other}, or copy the key of {provider}"
    else:
        problem = "copy it again in full from the provider's page of API keys"
    raise KeyFormatError(
        f"the text is not a key of {provider}, whose keys look like {expected.description}: {problem}"
    )


def _owner(secret: Secret) -> str | None:
    return next((name for name, known in FORMATS.items() if known.pattern.fullmatch(secret.reveal())), None)
