"""The messages of a call, in OpenAI's form: each is checked, and an error names the one that is wrong."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from supernova_ai.characters import quoted, texts_in
from supernova_ai.errors import InvalidRequest
from supernova_ai.identifiers import whole
from supernova_ai.types import Message

ROLES = ("system", "developer", "user", "assistant", "tool")

MAX_MESSAGES = 2_000
"""More than any conversation has."""

MAX_CHARACTERS = 4_000_000
"""Of one text: more than any model reads."""

_LEADING = ("system", "developer")
_MEDIA = {"image_url": "url", "file": "file_data", "input_audio": "data"}
"""The parts with a file in them, and where in the part it is."""


@dataclass(frozen=True, slots=True)
class Media:
    """A file in a message: its bytes, or the https address where it is."""

    source: bytes | str
    audio: bool = False


def checked(given: object) -> tuple[Message, ...]:
    """Return the messages as plain mappings, with a ``Media`` in the place of each part with a file.

    Args:
        given: a list of mappings, or of objects with ``model_dump``, as other libraries' answers are.

    Raises:
        InvalidRequest: a message is wrong; the error names it, as in "messages[2]".
    """
    if isinstance(given, str | bytes | Mapping) or not isinstance(given, Sequence):
        raise InvalidRequest(f"messages must be a list of messages, not {quoted(given)}")
    if not given:
        raise InvalidRequest("messages must not be empty")
    if len(given) > MAX_MESSAGES:
        raise InvalidRequest(f"{len(given):,} messages are too many: at most {MAX_MESSAGES:,} are allowed")
    messages = tuple(_message(f"messages[{number}]", one) for number, one in enumerate(given))
    _check_order(messages)
    return messages


def text(name: str, value: object) -> str:
    """Return a text that a provider and a database accept.

    Raises:
        InvalidRequest: it is not a text, has more than ``MAX_CHARACTERS``, or has a lone surrogate.
    """
    if not isinstance(value, str):
        raise InvalidRequest(f"{name} must be a text, not {quoted(value)}")
    if len(value) > MAX_CHARACTERS:
        raise InvalidRequest(f"{name} has {len(value):,} characters: at most {MAX_CHARACTERS:,} are allowed")
    return whole(name, value)


def leading(messages: Sequence[Message]) -> int:
    """Return how many messages at the start are instructions: of the system or the developer."""
    return next((n for n, one in enumerate(messages) if one["role"] not in _LEADING), len(messages))


def last_user_message(messages: Sequence[Message]) -> int | None:
    """Return the index of the user's last message, None if there is none."""
    return next((n for n in reversed(range(len(messages))) if messages[n]["role"] == "user"), None)


def has_media(messages: Iterable[Message]) -> bool:
    """Return whether a message has a part with a file."""
    contents = (message.get("content") for message in messages)
    return any(isinstance(part, Media) for one in contents if isinstance(one, list) for part in one)


def text_of(message: Message) -> str:
    """Return the text of a message, without its files."""
    content = message.get("content") or ""
    if isinstance(content, str):
        return content
    return "\n".join(part["text"] for part in content if isinstance(part, Mapping) and "text" in part)


def _message(name: str, given: Any) -> Message:
    if hasattr(given, "model_dump"):
        given = given.model_dump(exclude_none=True)
    if not isinstance(given, Mapping):
        raise InvalidRequest(f"{name} must be a mapping with 'role' and 'content', not {quoted(given)}")
    role = given.get("role")
    if role not in ROLES:
        raise InvalidRequest(f"{name}: role must be one of {', '.join(ROLES)}, not {quoted(role)}")
    message = dict(given)
    calls = message.get("tool_calls")
    if calls:
        message["tool_calls"] = _calls(name, role, calls)
    else:
        message.pop("tool_calls", None)
    if role == "tool" and not isinstance(message.get("tool_call_id"), str):
        raise InvalidRequest(f"{name}: the result of a tool needs 'tool_call_id', the id of the call")
    message["content"] = _content(name, message)
    check_json(name, {key: value for key, value in message.items() if key != "content"})
    return message


def _content(name: str, message: Mapping[str, Any]) -> Any:
    content, role = message.get("content"), message["role"]
    if content is None and role == "assistant":
        if not (message.get("tool_calls") or message.get("refusal") or message.get("function_call")):
            raise InvalidRequest(f"{name}: content is missing; only a message with tool_calls may have none")
        return None
    if isinstance(content, str):
        if role == "user" and not content.strip():
            raise InvalidRequest(f"{name}: content must be a text that is not empty")
        return text(f"{name}: content", content)
    if not isinstance(content, Sequence) or not content:
        raise InvalidRequest(f"{name}: content must be a text or a list of parts, not {quoted(content)}")
    return [_part(f"{name}: content[{number}]", role, part) for number, part in enumerate(content)]


def _part(name: str, role: str, part: Any) -> Any:
    if not isinstance(part, Mapping) or not isinstance(part.get("type"), str):
        raise InvalidRequest(f"{name} must be a part with 'type', such as {{'type': 'text', 'text': '…'}}")
    kind = part["type"]
    if kind in _MEDIA:
        if role != "user":
            raise InvalidRequest(f"{name}: only messages of the user may have a part of type {kind!r}")
        return _media(name, kind, part)
    unchecked = dict(part)
    if kind == "text":
        text(f"{name}: text", unchecked.pop("text", None))
    elif kind != "refusal" or role != "assistant":
        known = ", ".join(("text", *_MEDIA))
        raise InvalidRequest(f"{name}: type must be one of {known}, not {quoted(kind)}")
    check_json(name, unchecked)
    return dict(part)


def _media(name: str, kind: str, part: Mapping[str, Any]) -> Media:
    holder, field = part.get(kind), _MEDIA[kind]
    if isinstance(holder, str) and kind == "image_url":
        holder = {"url": holder}
    source = holder.get(field) if isinstance(holder, Mapping) else None
    if not isinstance(source, str) or not source:
        hint = " Files that a provider keeps under an id cannot be used." if kind == "file" else ""
        raise InvalidRequest(f"{name}: {kind} needs {field!r}, a text.{hint}")
    if source.startswith("data:"):
        source = source.partition(",")[2]
    elif kind == "image_url":
        return Media(source)
    try:
        return Media(base64.b64decode(source, validate=True), audio=kind == "input_audio")
    except (binascii.Error, ValueError):
        raise InvalidRequest(
            f"{name}: {kind}.{field} must be base64 or a data: address with base64"
        ) from None


def _calls(name: str, role: str, calls: Any) -> list[dict[str, Any]]:
    if role != "assistant" or not isinstance(calls, Sequence) or isinstance(calls, str):
        raise InvalidRequest(f"{name}: tool_calls must be a list, in a message of the assistant")
    checked_calls: list[dict[str, Any]] = []
    for number, call in enumerate(calls):
        function = call.get("function") if isinstance(call, Mapping) else None
        given = (
            (call.get("id"), function.get("name"), function.get("arguments"))
            if isinstance(call, Mapping) and isinstance(function, Mapping)
            else (None,)
        )
        if not all(isinstance(one, str) for one in given):
            raise InvalidRequest(
                f"{name}: tool_calls[{number}] needs the texts 'id', 'function.name' and 'function.arguments'"
            )
        if call["id"] in (one["id"] for one in checked_calls):
            raise InvalidRequest(f"{name}: two calls of tools have the id {quoted(call['id'])}")
        checked_calls.append(dict(call))
    return checked_calls


def _check_order(messages: Sequence[Message]) -> None:
    """Refuse what every provider refuses: a tool's result without its call, and a call without its result."""
    open_calls: set[str] = set()
    for number, message in enumerate(messages):
        if message["role"] == "tool":
            if message["tool_call_id"] not in open_calls:
                raise InvalidRequest(
                    f"messages[{number}]: no message just before it calls a tool with the id "
                    f"{quoted(message['tool_call_id'])}"
                )
            open_calls.remove(message["tool_call_id"])
            continue
        if open_calls:
            raise InvalidRequest(
                f"messages[{number}]: the call of a tool with the id {min(open_calls)!r} has no result yet; "
                f"a message of the role 'tool' must come first"
            )
        open_calls = {call["id"] for call in message.get("tool_calls", ())}
    if open_calls:
        raise InvalidRequest(
            f"messages: the call of a tool with the id {min(open_calls)!r} has no result: add a message of "
            f"the role 'tool'"
        )


def check_json(name: str, value: object) -> None:
    """Check that JSON can carry the value, and that providers accept each text in it.

    Raises:
        InvalidRequest: it is not so; the error names the value.
    """
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidRequest(f"{name} is not JSON: {error}") from None
    for one in texts_in(value):
        text(name, one)
