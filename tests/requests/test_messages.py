"""Messages in OpenAI's form: what is accepted, and how an error names the message that is wrong."""

from __future__ import annotations

import io
import wave
from base64 import b64encode
from types import SimpleNamespace
from typing import Any

import pytest
from openai.types.chat import ChatCompletionMessage

from supernova_ai import InvalidRequest
from supernova_ai.config import Attachments
from supernova_ai.requests.attachments import attach
from supernova_ai.requests.messages import checked, leading, text_of
from supernova_ai.types import Attachment, Request
from tests.requests.test_attachments import PNG, pdf

USER = {"role": "user", "content": "Hi"}
CALL = {"id": "call_1", "type": "function", "function": {"name": "price", "arguments": "{}"}}
CALLING = {"role": "assistant", "content": None, "tool_calls": [CALL]}
RESULT = {"role": "tool", "tool_call_id": "call_1", "content": "241"}


def url(data: bytes, kind: str = "image/png") -> str:
    return f"data:{kind};base64,{b64encode(data).decode()}"


def sound(seconds: int = 2) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as made:
        made.setnchannels(1)
        made.setsampwidth(2)
        made.setframerate(8_000)
        made.writeframes(bytes(2 * 8_000 * seconds))
    return file.getvalue()


def loaded(*parts: dict[str, Any]) -> tuple[Attachment, ...]:
    messages = checked([{"role": "user", "content": list(parts)}])
    return attach(Request("r", messages, "standard", "chat", 10), [], Attachments()).attachments


def test_messages_are_kept_as_they_are() -> None:
    """Every role, a name, a text in parts and an answer with calls and results come out unchanged."""
    given = [
        {"role": "system", "content": "Be brief."},
        {"role": "developer", "content": "No jokes."},
        {"role": "user", "content": "Did AAPL rise?", "name": "ann"},
        CALLING,
        RESULT,
        {
            "role": "assistant",
            "content": [{"type": "text", "text": "Yes"}, {"type": "refusal", "refusal": "No"}],
        },
        {
            "role": "user",
            "content": [{"type": "text", "text": "Sure?", "cache_control": {"type": "ephemeral"}}],
        },
        {"role": "assistant", "content": ""},
    ]
    assert list(checked(given)) == given
    assert list(checked(tuple(given))) == given
    assert leading(checked(given)) == 2


def test_objects_of_other_libraries_are_accepted() -> None:
    """An answer of the openai package is a message, without the fields that it leaves empty."""
    said = ChatCompletionMessage.model_validate({"role": "assistant", "content": None, "tool_calls": [CALL]})
    assert list(checked([USER, said, RESULT])) == [USER, CALLING, RESULT]


def test_given_messages_are_not_changed() -> None:
    """The caller's list and its mappings stay as they are."""
    given = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": url(PNG)}}]}]
    kept = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": url(PNG)}}]}]
    checked(given)
    assert given == kept


def test_files_are_read_by_their_first_bytes() -> None:
    """Images, documents and sounds come as base64, with or without a data: address."""
    image = {"type": "image_url", "image_url": {"url": url(PNG)}}
    short = {"type": "image_url", "image_url": url(PNG)}
    document = {"type": "file", "file": {"file_data": url(pdf(2), "application/pdf"), "filename": "a.pdf"}}
    bare = {"type": "file", "file": {"file_data": b64encode(pdf()).decode()}}
    wav = {"type": "input_audio", "input_audio": {"data": b64encode(sound()).decode(), "format": "wav"}}
    mp3 = {"type": "input_audio", "input_audio": {"data": b64encode(b"ID3" + bytes(3_997)).decode()}}
    kinds = [(one.kind, one.media_type, one.pages) for one in loaded(image, short, document, bare, wav, mp3)]
    assert kinds == [
        ("image", "image/png", None),
        ("image", "image/png", None),
        ("pdf", "application/pdf", 2),
        ("pdf", "application/pdf", 1),
        ("audio", "audio/wav", None),
        ("audio", "audio/mp3", None),
    ]
    *_, heard, longest = loaded(wav, mp3)
    assert heard.seconds == pytest.approx(2, rel=0.01)
    assert longest.seconds == 4  # at the lowest rate that MP3 has


def test_text_of_parts_is_joined() -> None:
    """The text of a message is that of its parts, without files."""
    parts = [{"type": "text", "text": "What is"}, {"type": "image_url", "image_url": url(PNG)}]
    (message,) = checked([{"role": "user", "content": [*parts, {"type": "text", "text": "this?"}]}])
    assert text_of(message) == "What is\nthis?"


NO_ROLE = r"messages\[1\]: role must be one of system, developer, user, assistant, tool, not"
WRONG: list[tuple[Any, str]] = [
    ("Hi", "messages must be a list of messages, not 'Hi'"),
    (USER, "messages must be a list of messages"),
    (7, "messages must be a list"),
    ([], "messages must not be empty"),
    ([USER] * 2_001, "2,001 messages are too many: at most 2,000"),
    ([USER, "Hi"], r"messages\[1\] must be a mapping with 'role' and 'content', not 'Hi'"),
    ([USER, SimpleNamespace(role="user")], r"messages\[1\] must be a mapping"),
    ([USER, {"content": "Hi"}], f"{NO_ROLE} None"),
    ([USER, {"role": "bot", "content": "Hi"}], f"{NO_ROLE} 'bot'"),
    ([USER, {"role": ["user"], "content": "Hi"}], NO_ROLE),
    ([{"role": "user"}], r"messages\[0\]: content must be a text or a list of parts, not None"),
    ([{"role": "user", "content": " "}], r"messages\[0\]: content must be a text that is not empty"),
    ([{"role": "user", "content": []}], r"messages\[0\]: content must be a text or a list of parts"),
    ([{"role": "user", "content": {"text": "Hi"}}], r"messages\[0\]: content must be a text or a list"),
    ([{"role": "user", "content": "\ud800"}], r"messages\[0\]: content"),
    ([{"role": "user", "content": b"Hi"}], r"messages\[0\]: content"),
    ([{"role": "user", "content": ["Hi"]}], r"messages\[0\]: content\[0\] must be a part with 'type'"),
    (
        [{"role": "user", "content": [{"type": "video"}]}],
        r"content\[0\]: type must be one of text, image_url",
    ),
    ([{"role": "user", "content": [{"type": "text"}]}], r"content\[0\]: text must be a text, not None"),
    ([USER, {"role": "assistant"}], r"messages\[1\]: content is missing; only a message with tool_calls"),
    ([USER, CALLING | {"tool_calls": "price"}], r"messages\[1\]: tool_calls must be a list"),
    (
        [USER | {"tool_calls": [CALL]}],
        r"messages\[0\]: tool_calls must be a list, in a message of the assist",
    ),
    (
        [USER, CALLING | {"tool_calls": [{"id": "1"}]}],
        r"tool_calls\[0\] needs the texts 'id', 'function.name'",
    ),
    ([USER, CALLING | {"tool_calls": [None]}], r"messages\[1\]: tool_calls\[0\] needs the texts"),
    ([USER, {"role": "tool", "content": "1"}], r"messages\[1\]: the result of a tool needs 'tool_call_id'"),
    ([USER, RESULT], r"messages\[1\]: no message just before it calls a tool with the id 'call_1'"),
    ([USER, CALLING, USER], r"messages\[2\]: the call of a tool with the id 'call_1' has no result yet"),
    ([USER, CALLING], "messages: the call of a tool with the id 'call_1' has no result: add a message"),
    ([USER, CALLING, RESULT, RESULT], r"messages\[3\]: no message just before it calls"),
    (
        [USER, CALLING | {"tool_calls": [CALL, CALL]}, RESULT, RESULT],
        r"messages\[1\]: two calls of tools have the id 'call_1'",
    ),
    ([USER | {"name": float("nan")}], r"messages\[0\] is not JSON"),
    ([USER | {"name": {1, 2}}], r"messages\[0\] is not JSON"),
    ([USER | {"name": "\udfff"}], r"messages\[0\]"),
]


@pytest.mark.parametrize(("given", "words"), WRONG)
def test_error_names_the_message(given: Any, words: str) -> None:
    """Each wrong message is refused, by its place, with what would be right."""
    with pytest.raises(InvalidRequest, match=words):
        checked(given)


WRONG_FILES: list[tuple[dict[str, Any], str]] = [
    ({"type": "image_url"}, r"content\[0\]: image_url needs 'url', a text"),
    ({"type": "image_url", "image_url": {"url": ""}}, "image_url needs 'url'"),
    (
        {"type": "image_url", "image_url": {"url": "chart.png"}},
        r"content\[0\]: url must be a data: address or",
    ),
    ({"type": "image_url", "image_url": {"url": "/etc/passwd"}}, "url must be a data: address or an https"),
    ({"type": "image_url", "image_url": {"url": "https://a.example/b.png"}}, "set 'attachments.urls: true'"),
    ({"type": "image_url", "image_url": {"url": "data:image/png;base64,%%"}}, "image_url.url must be base64"),
    (
        {"type": "image_url", "image_url": {"url": url(b"text")}},
        r"messages\[0\]: content\[0\] is neither a PNG",
    ),
    (
        {"type": "file", "file": {"file_id": "file-1"}},
        "Files that a provider keeps under an id cannot be used",
    ),
    ({"type": "file", "file": {"file_data": "https://a.example"}}, "file.file_data must be base64"),
    ({"type": "input_audio", "input_audio": {"data": "UklGRg=="}}, "is neither a WAV nor an MP3 file"),
    ({"type": "input_audio", "input_audio": {"data": b64encode(PNG).decode()}}, "neither a WAV nor an MP3"),
    ({"type": "input_audio", "input_audio": {"data": b64encode(sound()[:30]).decode()}}, "damaged WAV"),
]


@pytest.mark.parametrize(("part", "words"), WRONG_FILES)
def test_error_names_the_part(part: dict[str, Any], words: str) -> None:
    """Each wrong file is refused, by the places of its message and part."""
    with pytest.raises(InvalidRequest, match=words):
        loaded(part)


def test_only_users_send_files() -> None:
    """A file in another role's message is refused."""
    with pytest.raises(InvalidRequest, match=r"content\[0\]: only messages of the user may have"):
        checked([USER, {"role": "system", "content": [{"type": "image_url", "image_url": url(PNG)}]}])
