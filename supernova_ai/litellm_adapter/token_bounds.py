"""How many tokens a request can have at most: proven for text, documented for tools and attachments."""

from __future__ import annotations

import json
import math
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, Literal

from supernova_ai.characters import texts_in
from supernova_ai.types import Attachment, Message, Request

MESSAGE_ALLOWANCE = 32
"""Tokens a provider may add to a message for its role and separators."""

TEMPLATE_ALLOWANCE = 256
"""Tokens a model's chat template may add to a request: Llama 3's adds 35, gpt-oss's 70."""

TOOL_ALLOWANCE = 64
"""Tokens a provider may add for each tool, schema and call, besides their JSON."""

TOOLS_ALLOWANCE = 1_024
"""Tokens a provider may add once to a request with tools or a schema. By Anthropic's documentation of
November 2026 the most is 675."""

AUDIO_TOKENS_PER_SECOND = 32
"""By the providers' documentation of November 2026: Gemini 32, OpenAI 10."""

IMAGE_TOKENS = 5_000
"""Tokens an image can take, by the providers' documentation of November 2026: Anthropic scales it down to
4,784 at most, OpenAI (detail "high") to 2,500 patches, or to 1,536 patches at up to 2.46 tokens each, or to
8 tiles of 170 and 85."""

PAGE_TOKENS = 3_000
"""Tokens of text on a page of a PDF, besides its image: Anthropic's documentation names 1,500 to 3,000."""

SEARCH_DOCUMENTS = 100
"""Documents of one search unit, by Cohere's and Amazon's documentation of November 2026."""

CHUNK_TOKENS = 500
"""Tokens of the query and a document that count as one document, likewise: longer ones are split."""

QUERY_TOKENS = 256
"""Tokens of the query at most, where the model reads so little at once: the rest is cut off."""

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


def messages_bound(messages: Iterable[Message]) -> int:
    """Return a number of tokens that the messages cannot exceed, without their attachments."""
    return sum(map(_message_bound, messages))


def request_bound(request: Request, model: str) -> int:
    """Return a number of tokens that the prompt, with its tools and attachments, does not exceed."""
    if request.texts:
        return sum(map(text_bound, request.texts)) + len(request.texts) * _besides_text(request)
    return (
        messages_bound(request.messages)
        + TEMPLATE_ALLOWANCE
        + definitions_bound(request.parameters)
        + attachment_tokens(request, model)
    )


def _besides_text(request: Request) -> int:
    """Return a number of tokens that a model reads with each text at most: it reads a query with each."""
    if request.query is None:
        return MESSAGE_ALLOWANCE
    return text_bound(request.query) + TEMPLATE_ALLOWANCE


def search_bound(request: Request) -> int:
    """Return a number of search units that a request to rerank does not exceed."""
    if request.query is None:
        return 0
    room = CHUNK_TOKENS - min(text_bound(request.query), QUERY_TOKENS)
    chunks = sum(math.ceil(text_bound(text) / room) for text in request.texts)
    return math.ceil(chunks / SEARCH_DOCUMENTS)


def definitions_bound(parameters: Mapping[str, Any]) -> int:
    """Return a number of tokens that the tools and the schema of the answer cannot exceed."""
    described = [*parameters.get("tools", ()), *filter(None, [parameters.get("response_format")])]
    if not described:
        return 0
    return TOOLS_ALLOWANCE + sum(_definition_bound(json.dumps(one)) + TOOL_ALLOWANCE for one in described)


@lru_cache(maxsize=256)
def _definition_bound(written: str) -> int:
    """Return the bound of a definition: a program sends the same few again and again."""
    return _json_bound(json.loads(written))


def _message_bound(message: Message) -> int:
    content = message.get("content") or ""
    parts = [content] if isinstance(content, str) else content
    written = sum(_part_bound(part) for part in parts if not isinstance(part, Attachment))
    rest = {name: value for name, value in message.items() if name not in ("role", "content")}
    calls = TOOL_ALLOWANCE * len(message.get("tool_calls", ()))
    return written + len(message["role"]) + MESSAGE_ALLOWANCE + (_json_bound(rest) + calls if rest else 0)


def _part_bound(part: Any) -> int:
    if isinstance(part, str):
        return text_bound(part)
    rest = {name: value for name, value in part.items() if name not in ("type", "text")}
    return text_bound(part.get("text", "")) + (_json_bound(rest) if rest else 0)


def _json_bound(value: object) -> int:
    """Return a bound for a JSON value, written as JSON or with its texts as they are."""
    return max(len(json.dumps(value)), sum(map(text_bound, texts_in(value))))


def attachment_tokens(request: Request, model: str) -> int:
    """Return the most tokens that the attachments can take by the providers' documentation."""
    image = next((n for name, n in _MODEL_IMAGE_TOKENS.items() if model.startswith(name)), IMAGE_TOKENS)
    return sum(_attachment_bound(one, image) for one in request.attachments)


def _attachment_bound(attachment: Attachment, image: int) -> int:
    if attachment.seconds is not None:
        return math.ceil(attachment.seconds * AUDIO_TOKENS_PER_SECOND)
    return image if attachment.pages is None else attachment.pages * (image + PAGE_TOKENS)


def expected_prompt_tokens(request: Request, model: str) -> int:
    """Return about how many tokens the prompt takes, at four bytes of English per token."""
    if request.texts:
        return request_bound(request, model) // 4
    written = messages_bound(request.messages) + definitions_bound(request.parameters)
    return written // 4 + attachment_tokens(request, model)
