"""The messages of a request as one provider gets them."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from typing import Any

from supernova_ai.types import Attachment, Request

_INSTRUCTIONS = ("system", "developer")


def wire_messages(
    request: Request, *, marked: bool, signed: bool, schema: str | None = None
) -> list[dict[str, Any]]:
    """Return the messages in OpenAI's form, with attachments as parts.

    Args:
        marked: mark the stable beginning for the provider's cache, if the request asks for it.
        signed: the provider takes signed reasoning back; others do not know it.
        schema: instructions for the answer, where the provider has no parameter for them.
    """
    messages = [dict(message) for message in request.messages]
    number = 0
    for message in messages:
        if not signed:
            message.pop("thinking_blocks", None)
        if isinstance(message.get("content"), list | tuple):
            parts = []
            for part in message["content"]:
                number += isinstance(part, Attachment)
                parts.append(_part(number, part) if isinstance(part, Attachment) else part)
            message["content"] = parts
    if schema is not None:
        messages.insert(0, {"role": "system", "content": schema})
    if marked and request.prompt_cache:
        for place in _stable(messages):
            messages[place]["content"] = _marked(messages[place]["content"], request.prompt_cache)
    return messages


def _stable(messages: list[dict[str, Any]]) -> list[int]:
    """Return the places of the last instructions and of the last message before the newest one."""
    places = [n for n, one in enumerate(messages) if one["role"] in _INSTRUCTIONS][-1:]
    if len(messages) > 1 and messages[-2].get("content"):
        places.append(len(messages) - 2)
    return sorted(set(places))


def _marked(content: Any, lifetime: str) -> list[Any]:
    parts = [{"type": "text", "text": content}] if isinstance(content, str) else list(content)
    mark = {"type": "ephemeral"} | ({"ttl": "1h"} if lifetime == "1h" else {})
    return [*parts[:-1], {**parts[-1], "cache_control": mark}]


def _part(number: int, attachment: Attachment) -> Mapping[str, Any]:
    data = b64encode(attachment.data).decode()
    if attachment.kind == "audio":
        return {"type": "input_audio", "input_audio": {"data": data, "format": attachment.media_type[6:]}}
    url = f"data:{attachment.media_type};base64,{data}"
    if attachment.kind == "pdf":
        return {"type": "file", "file": {"filename": f"document-{number}.pdf", "file_data": url}}
    # "high" has a documented limit of tokens; the default, "auto", may exceed it.
    return {"type": "image_url", "image_url": {"url": url, "detail": "high"}}
