"""How many tokens a request can have at most: proven for text, documented for attachments."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Literal

from supernova_ai.types import Request

MESSAGE_ALLOWANCE = 32
"""Tokens a provider may add to a message for its role and separators."""

TEMPLATE_ALLOWANCE = 256
"""Tokens a model's chat template may add to a request: Llama 3's adds 35, gpt-oss's 70."""

IMAGE_TOKENS = 5_000
"""Tokens an image can take, by the providers' documentation of November 2026: Anthropic scales it down to
4,784 at most, OpenAI (detail "high") to 2,500 patches, or to 1,536 patches at up to 2.46 tokens each, or to
8 tiles of 170 and 85."""

PAGE_TOKENS = 3_000
"""Tokens of text on a page of a PDF, besides its image: Anthropic's documentation names 1,500 to 3,000."""

_MODEL_IMAGE_TOKENS = {"gpt-4o-mini": 2_833 + 8 * 5_667}
"""Tokens of an image by the beginning of the model's name, where the model counts OpenAI's tiles higher."""

_FORMS: tuple[Literal["NFC", "NFD", "NFKC", "NFKD"], ...] = ("NFC", "NFD", "NFKC", "NFKD")


@lru_cache(maxsize=65_536)
def _max_bytes(character: str) -> int:
    """Return the UTF-8 bytes of the longest form that a tokenizer may read instead of the character."""
    cases = {character, character.lower(), character.casefold()}
    forms = (unicodedata.normalize(form, case) for form in _FORMS for case in cases)
    return max(len(form.encode("utf-8", "surrogatepass")) for form in (*cases, *forms))


def text_bound(text: str) -> int:
    """Return a number of tokens that the text cannot exceed, whatever normal form a tokenizer reads.

    No tokenizer makes more tokens than the bytes that it reads. It may read a normal form, also in lower
    case: U+FDFA has 3 bytes as it is and 33 in NFKC. Each character counts as its longest form.
    """
    if text.isascii():
        return len(text)
    return sum(_max_bytes(character) * count for character, count in Counter(text).items())


def messages_bound(messages: Iterable[Mapping[str, str]]) -> int:
    """Return a number of tokens that the messages cannot exceed."""
    return sum(
        text_bound(message["content"]) + len(message["role"]) + MESSAGE_ALLOWANCE for message in messages
    )


def request_bound(request: Request, model: str) -> int:
    """Return a number of tokens that the prompt, with its attachments, does not exceed."""
    return messages_bound(request.messages) + TEMPLATE_ALLOWANCE + attachment_tokens(request, model)


def attachment_tokens(request: Request, model: str) -> int:
    """Return the most tokens that the attachments can take by the providers' documentation."""
    image = next((n for name, n in _MODEL_IMAGE_TOKENS.items() if model.startswith(name)), IMAGE_TOKENS)
    pages = (one.pages for one in request.attachments)
    return sum(image if many is None else many * (image + PAGE_TOKENS) for many in pages)


def expected_prompt_tokens(request: Request, model: str) -> int:
    """Return about how many tokens the prompt takes, at four bytes of English per token."""
    return messages_bound(request.messages) // 4 + attachment_tokens(request, model)
