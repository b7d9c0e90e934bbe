"""Attachments as LiteLLM takes them: parts in OpenAI's form, which it translates for each provider."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping, Sequence
from typing import Any

from supernova_ai.types import Attachment

Message = Mapping[str, Any]


def with_parts(
    messages: Sequence[Message], at: int, attachments: Sequence[Attachment]
) -> list[dict[str, Any]]:
    """Return the messages as they are sent, the one at ``at`` with the attachments before its text."""
    sent = [dict(message) for message in messages]
    if attachments:
        text = {"type": "text", "text": sent[at]["content"]}
        sent[at]["content"] = [*(_part(n, one) for n, one in enumerate(attachments, 1)), text]
    return sent


def _part(number: int, attachment: Attachment) -> dict[str, Any]:
    url = f"data:{attachment.media_type};base64,{b64encode(attachment.data).decode()}"
    if attachment.kind == "pdf":
        return {"type": "file", "file": {"filename": f"document-{number}.pdf", "file_data": url}}
    # "high" has a documented limit of tokens; "auto", the default, may be more than that.
    return {"type": "image_url", "image_url": {"url": url, "detail": "high"}}
