"""Calls with messages through the client: system prompts, sessions, files, and the beginning of an answer."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable
from typing import Any

import pytest
from openai.types.chat import ChatCompletionMessage

from supernova_ai import AnalyzeOptions, ChatOptions, InvalidRequest, Supernova
from supernova_ai.testing import Answer, StubProvider
from supernova_ai.types import Usage
from tests.requests.test_attachments import PNG, pdf
from tests.requests.test_messages import sound, url

Open = Callable[..., Supernova]

TURNS: list[dict[str, Any]] = [
    {"role": "user", "content": "What is a bond?"},
    {"role": "assistant", "content": "A loan."},
    {"role": "user", "content": "And a share?"},
]
BRIEF = {"role": "system", "content": "Be brief."}


def sent(stub: StubProvider) -> Any:
    return stub.chats[-1].body["messages"]


async def test_messages_are_sent_as_they_are(nova: Supernova, stub: StubProvider) -> None:
    """``chat`` and ``stream`` send the messages and nothing else."""
    await nova.chat(messages=[BRIEF, *TURNS])
    assert sent(stub) == [BRIEF, *TURNS]
    async with nova.stream(messages=[BRIEF, *TURNS]) as tokens:
        assert "".join([token async for token in tokens]) == "Diversify, always."
    assert sent(stub) == [BRIEF, *TURNS]
    assert (await nova.quote(messages=[BRIEF, *TURNS])).worst_case["openai/gpt-4o-mini"]


async def test_answer_of_another_library_goes_back(nova: Supernova, stub: StubProvider) -> None:
    """``response.choices[0].message`` of the openai package is a message."""
    said = ChatCompletionMessage(role="assistant", content="A loan.")
    await nova.chat(messages=[TURNS[0], said, TURNS[2]])
    assert sent(stub) == TURNS


@pytest.mark.parametrize("given", [{"message": "And a share?"}, {"messages": TURNS}])
async def test_system_comes_first(given: Any, nova: Supernova, stub: StubProvider) -> None:
    """``system`` comes before a message, and before messages that have none."""
    await nova.chat(**given, system="Be brief.")
    assert sent(stub)[0] == BRIEF
    assert sent(stub)[-1]["content"] == "And a share?"


WRONG: list[tuple[dict[str, Any], str]] = [
    ({}, "message must be a text that is not empty"),
    ({"message": TURNS}, r"for a list, give messages=\[…\]"),
    ({"message": "Hi", "messages": TURNS}, "message and messages are given: give one"),
    ({"message": " "}, "message must be a text that is not empty"),
    (
        {"messages": [BRIEF, *TURNS], "system": "Be long."},
        "system and a first message of the system are given",
    ),
    ({"messages": TURNS, "system": " "}, "system must be a text that is not empty"),
    ({"messages": TURNS, "system": 5}, "system must be a text, not 5"),
    ({"messages": [*TURNS, {"role": "bot", "content": "x"}]}, r"messages\[3\]: role must be one of"),
    ({"messages": TURNS, "prompt_cache": "2h"}, "prompt_cache must be True, False, 5m or 1h, not '2h'"),
    (
        {"messages": [{"role": "assistant", "content": "Hm"}], "attachments": [PNG]},
        "need a message of the user",
    ),
]


@pytest.mark.parametrize(("given", "words"), WRONG)
async def test_wrong_arguments_are_refused(
    given: dict[str, Any], words: str, nova: Supernova, stub: StubProvider
) -> None:
    """The error names the argument or the message, and nothing is sent."""
    with pytest.raises(InvalidRequest, match=words):
        await nova.chat(**given)
    assert stub.chats == []


async def test_session_is_between_instructions_and_messages(open_nova: Open, stub: StubProvider) -> None:
    """History comes after the instructions; the last message of the user and the answer are kept."""
    nova = open_nova({"openai": stub.url}, sessions={"history": True})
    await nova.chat(messages=[BRIEF, *TURNS], session_id="s")
    await nova.chat(messages=[BRIEF, {"role": "user", "content": "And gold?"}], session_id="s")
    assert sent(stub) == [
        BRIEF,
        {"role": "user", "content": "And a share?"},
        {"role": "assistant", "content": "Diversify, always."},
        {"role": "user", "content": "And gold?"},
    ]


async def test_session_keeps_only_text(open_nova: Open, stub: StubProvider) -> None:
    """Of a message with files the session keeps the text."""
    nova = open_nova({"openai": stub.url}, sessions={"history": True})
    image = {"type": "image_url", "image_url": {"url": url(PNG)}}
    parts = [image, {"type": "text", "text": "What is this?"}]
    await nova.chat(messages=[{"role": "user", "content": parts}], session_id="s")
    await nova.chat("Sure?", session_id="s")
    assert [one["content"] for one in sent(stub)] == ["What is this?", "Diversify, always.", "Sure?"]


async def test_none_is_the_same_as_not_given(nova: Supernova, stub: StubProvider) -> None:
    """A program may pass every option on, also those that its own caller did not give."""
    nothing: Any = dict.fromkeys(ChatOptions.__annotations__)
    await nova.chat("What now?", **nothing)
    image = {"type": "image_url", "image_url": {"url": url(PNG)}}
    await nova.chat(**nothing | {"messages": [{"role": "user", "content": [image]}]})
    nothing = dict.fromkeys(AnalyzeOptions.__annotations__)
    await nova.analyze("Acme rose 8 %.", **nothing)
    assert len(stub.chats) == 3


async def test_files_in_messages_and_beside_them(nova: Supernova, stub: StubProvider) -> None:
    """Images and documents of several messages keep their places; attachments go to the last of the user."""
    image = {"type": "image_url", "image_url": {"url": url(PNG), "detail": "low"}}
    document = {"type": "file", "file": {"file_data": url(pdf(), "application/pdf"), "filename": "a.pdf"}}
    said: list[dict[str, Any]] = [
        {"role": "user", "content": [{"type": "text", "text": "Look:"}, image]},
        {"role": "assistant", "content": "A face."},
        {"role": "user", "content": [document, {"type": "text", "text": "And this?"}]},
    ]
    await nova.chat(messages=said, attachments=[PNG])
    first, _, last = sent(stub)
    assert [part["type"] for part in first["content"]] == ["text", "image_url"]
    assert [part["type"] for part in last["content"]] == ["image_url", "file", "text"]
    assert first["content"][1]["image_url"]["detail"] == "high"  # whose price is bounded


async def test_sound_is_sent_to_a_model_that_hears(open_nova: Open, stub: StubProvider) -> None:
    """Audio goes to a model that takes it, with its format; the hold has its length; others are not asked."""
    part = {"type": "input_audio", "input_audio": {"data": b64encode(sound(3)).decode(), "format": "wav"}}
    said = [{"role": "user", "content": [part]}]
    deaf, hearing = "gpt-4o-mini", "gpt-audio"
    nova = open_nova({"openai": {"url": stub.url, "models": {"economy": deaf, "standard": hearing}}})
    await nova.chat(messages=said)
    (heard,) = sent(stub)[0]["content"]
    assert (heard["type"], heard["input_audio"]["format"]) == ("input_audio", "wav")
    with pytest.raises(InvalidRequest, match="supports audio"):
        await nova.chat(messages=said, tier="economy")


async def test_beginning_of_an_answer_is_continued(open_nova: Open, stub_provider: Any) -> None:
    """A model that supports it gets the beginning as its own; the content is what it added."""
    stub = stub_provider(Answer(" of money.", usage=Usage(prompt=20, completion=3)))
    begun = [TURNS[0], {"role": "assistant", "content": "A loan"}]
    settings = {"url": stub.url, "models": {"standard": "claude-sonnet-4-5"}}
    reply = await open_nova({"anthropic": settings}).chat(messages=begun)
    assert reply.content == " of money."
    assert [one["role"] for one in sent(stub)] == ["user", "assistant"]


async def test_beginning_is_for_models_that_continue_it(nova: Supernova, stub: StubProvider) -> None:
    """A model that LiteLLM knows not to continue an answer is not asked with the beginning of one."""
    begun = [TURNS[0], {"role": "assistant", "content": "A loan"}]
    with pytest.raises(InvalidRequest, match="supports the beginning of an answer as the last message"):
        await nova.chat(messages=begun)
    assert stub.chats == []
