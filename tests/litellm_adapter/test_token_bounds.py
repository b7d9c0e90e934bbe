"""Upper bounds of tokens: no tokenizer and no provider counts more."""

from __future__ import annotations

import json
import unicodedata
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supernova_ai.litellm_adapter import token_bounds
from supernova_ai.litellm_adapter.setup import litellm
from supernova_ai.routing import deployments
from supernova_ai.types import Attachment, Request


@given(text=st.text(max_size=300), role=st.sampled_from(["user", "system", "assistant"]))
@pytest.mark.parametrize("model", ["gpt-4o-mini", "gpt-3.5-turbo", "claude-haiku-4-5", "llama3.1"])
def test_no_tokenizer_counts_more_than_the_bound(model: str, text: str, role: str) -> None:
    """The bound holds for any text, with tokenizers of several models."""
    messages = [{"role": role, "content": text}, {"role": "user", "content": "and?"}]
    assert litellm.token_counter(model=model, messages=messages) <= token_bounds.messages_bound(messages)


TEXTS = st.text(max_size=40)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**6), 10**6) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)
NAMES = st.from_regex(r"[a-z_]{1,12}", fullmatch=True)
PROPERTIES = st.dictionaries(
    TEXTS, st.fixed_dictionaries({"type": st.just("string"), "description": TEXTS, "enum": st.lists(TEXTS)})
)
TOOLS = st.builds(
    lambda name, words, properties: {
        "type": "function",
        "function": {
            "name": name,
            "description": words,
            "parameters": {"type": "object", "properties": properties},
        },
    },
    NAMES,
    TEXTS,
    PROPERTIES,
)
CALLS = st.builds(
    lambda call_id, name, arguments: {
        "id": call_id,
        "type": "function",
        "function": {"name": name, "arguments": json.dumps(arguments)},
    },
    NAMES,
    NAMES,
    st.dictionaries(TEXTS, JSON, max_size=3),
)
PARTS = st.builds(lambda text: {"type": "text", "text": text}, TEXTS)
MESSAGES = st.one_of(
    st.fixed_dictionaries({"role": st.just("user"), "content": st.lists(PARTS, min_size=1, max_size=4)}),
    st.fixed_dictionaries(
        {"role": st.just("assistant"), "content": st.none(), "tool_calls": st.lists(CALLS)}
    ),
    st.fixed_dictionaries({"role": st.just("tool"), "tool_call_id": NAMES, "content": TEXTS}),
    st.fixed_dictionaries({"role": st.just("user"), "name": NAMES, "content": TEXTS}),
)


@pytest.mark.proof
@given(
    messages=st.lists(MESSAGES, min_size=1, max_size=5),
    tools=st.lists(TOOLS, max_size=3),
    schema=st.none() | PROPERTIES,
)
@pytest.mark.parametrize("model", ["gpt-4o-mini", "claude-haiku-4-5", "llama3.1"])
def test_no_tokenizer_counts_more_of_the_json_on_the_wire(
    model: str, messages: list[Any], tools: list[Any], schema: dict[str, Any] | None
) -> None:
    """The bound of messages with parts, calls, results, tools and a schema holds for their JSON."""
    parameters: dict[str, Any] = {"tools": tools} if tools else {}
    if schema is not None:
        described = {"name": "V", "schema": {"type": "object", "properties": schema}, "strict": False}
        parameters["response_format"] = {"type": "json_schema", "json_schema": described}
    request = Request("r", tuple(messages), "standard", "chat", 10, parameters=parameters)
    bound = token_bounds.request_bound(request, model)
    for as_it_is in (True, False):
        wire = json.dumps({"messages": messages, **parameters}, ensure_ascii=not as_it_is)
        assert litellm.token_counter(model=model, text=wire) <= bound
    counted = litellm.token_counter(model=model, messages=messages, tools=tools or None)
    assert counted <= bound


@given(properties=PROPERTIES)
def test_schema_in_words_is_in_the_bound(properties: dict[str, Any]) -> None:
    """Where a provider has no parameter for a schema, its instructions are within the schema's bound."""
    described = {"name": "V", "schema": {"type": "object", "properties": properties}, "strict": False}
    parameters = {"response_format": {"type": "json_schema", "json_schema": described}}
    words = deployments._IN_WORDS.format(schema=json.dumps(described["schema"]))
    message = {"role": "system", "content": words}
    assert token_bounds.messages_bound([message]) <= token_bounds.definitions_bound(parameters)


def test_bound_holds_for_unusual_characters() -> None:
    """Many emoji, combining letters, control characters or special tokens stay within the bound."""
    for piece in (
        "👩‍👩‍👧‍👦",
        "\u0301",
        "\x00",
        "<|endoftext|>",
        "ﷺ",
        "\U000e0041",
        " \n",
        "漢",
        "İ",
        "각",
        "ﬃ",
    ):
        messages = [{"role": "user", "content": piece * 200}]
        for model in ("gpt-4o", "claude-haiku-4-5"):
            counted = litellm.token_counter(model=model, messages=messages)
            assert counted <= token_bounds.messages_bound(messages), (model, piece)


@pytest.mark.proof
def test_no_form_of_a_character_is_longer_than_its_bound() -> None:
    """This holds for every character, in each normal form, as it is and in lower case."""
    forms: tuple[Any, ...] = ("NFC", "NFD", "NFKC", "NFKD")
    for code in range(0x110000):
        character = chr(code)
        if unicodedata.category(character) in ("Cn", "Co", "Cs"):
            continue
        bound = token_bounds.text_bound(character)
        for form in forms:
            normal = unicodedata.normalize(form, character)
            if normal != character or not character.islower():
                for read in (normal, normal.lower(), unicodedata.normalize(form, character.casefold())):
                    assert len(read.encode("utf-8", "surrogatepass")) <= bound, (hex(code), form)


@given(text=st.text(max_size=200))
def test_no_normal_form_of_a_text_is_longer_than_its_bound(text: str) -> None:
    """Characters that a normal form joins to their neighbours become no longer."""
    forms: tuple[Any, ...] = ("NFC", "NFD", "NFKC", "NFKD")
    for form in forms:
        assert len(unicodedata.normalize(form, text).encode()) <= token_bounds.text_bound(text)
    assert len(text.encode()) <= token_bounds.text_bound(text)


def test_attachments_are_in_the_bound() -> None:
    """Images and pages are added to the text, by the model's own rule if it has one."""
    image, document = Attachment("image/png", b""), Attachment("application/pdf", b"", pages=3)
    request = Request("r", ({"role": "user", "content": "Hi"},), "standard", "chat", 10)
    plain = token_bounds.request_bound(request, "gpt-4.1")
    assert plain == token_bounds.messages_bound(request.messages) + token_bounds.TEMPLATE_ALLOWANCE
    text = {"type": "text", "text": "Hi"}
    both = replace(request, messages=({"role": "user", "content": [image, document, text]},))
    assert token_bounds.request_bound(both, "gpt-4.1") == plain + 5_000 + 3 * 8_000
    dear = 2_833 + 8 * 5_667
    assert token_bounds.request_bound(both, "gpt-4o-mini-2024-07-18") == plain + dear + 3 * (dear + 3_000)


@pytest.mark.parametrize(
    ("query", "documents", "units"),
    [
        ("q", ["a"] * 100, 1),
        ("q", ["a"] * 101, 2),
        ("q", ["a" * 499] * 100, 1),
        ("q", ["a" * 500] * 100, 2),
        ("q" * 9_000, ["a" * 244] * 100, 1),  # the query is cut off
        ("q" * 9_000, ["a" * 245] * 100, 2),
    ],
)
def test_search_units_count_documents_by_their_length(query: str, documents: list[str], units: int) -> None:
    """A unit is 100 documents of 500 tokens with the query; a longer document counts several times."""
    request = Request("1", (), "rerank", "rerank", 0, texts=tuple(documents), query=query)
    assert token_bounds.search_bound(request) == units
