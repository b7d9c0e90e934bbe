"""Key formats: the pattern of each provider's API keys, and the check of a key against it.

Some providers take several secrets at once. Their key is a JSON object of named fields.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from types import MappingProxyType

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

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

FIELDS: Mapping[str, Mapping[str, bool]] = MappingProxyType(
    {
        "bedrock": {"aws_access_key_id": True, "aws_secret_access_key": True, "aws_session_token": False},
        "vertex_ai": {"client_email": True, "private_key": True, "private_key_id": False},
    }
)
"""The fields of a key, by LiteLLM's name of the provider, and whether a key must have them."""

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
    if expected is ANY and secret.reveal().startswith("{"):
        if problem := _fields_problem(fields_of(secret) or {}):
            raise KeyFormatError(f"the text is not a key of {provider}: {problem}")
        return
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


def fields_of(secret: Secret) -> dict[str, str] | None:
    """Return the fields of a key that has several; None if it is a plain text."""
    if not secret.reveal().startswith("{"):
        return None
    with suppress(ValueError):
        found = json.loads(secret.reveal())
        return {name: text for name, text in found.items() if isinstance(text, str) and text}
    return {}


def with_fields(kind: str, given: Mapping[str, str]) -> Secret:
    """Return a key of the given fields that providers of this type have; others are left out."""
    return Secret(json.dumps({name: given[name] for name in FIELDS[kind] if given.get(name)}))


def _fields_problem(fields: Mapping[str, str]) -> str | None:
    """Say why these fields are not a key."""
    needed = [[name for name, must in named.items() if must] for named in FIELDS.values()]
    if not any(fields.keys() >= set(names) for names in needed):
        wanted = " or ".join(" and ".join(names) for names in needed)
        return f"its JSON must be an object with the fields {wanted}, each a text"
    if pem := fields.get("private_key"):
        with suppress(ValueError, TypeError, UnsupportedAlgorithm):
            if isinstance(load_pem_private_key(pem.encode(), None), RSAPrivateKey):
                return None
        return "its 'private_key' is not an RSA key in PEM: use the file that Google gives, unchanged"
    return None


def _owner(secret: Secret) -> str | None:
    return next((name for name, known in FORMATS.items() if known.pattern.fullmatch(secret.reveal())), None)
