"""Upper bounds of tokens: no tokenizer and no provider counts more."""

from __future__ import annotations

import unicodedata
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from supernova_ai.litellm_adapter import token_bounds
from supernova_ai.litellm_adapter.setup import litellm
from supernova_ai.types import Attachment, Request


@settings(deadline=None)  # the tokenizers are loaded in the first example
@given(text=st.text(max_size=300), role=st.sampled_from(["user", "system", "assistant"]))
@pytest.mark.parametrize("model", ["gpt-4o-mini", "gpt-3.5-turbo", "claude-haiku-4-5", "llama3.1"])
def test_no_tokenizer_counts_more_than_the_bound(model: str, text: str, role: str) -> None:
    """The bound holds for any text, with tokenizers of several models."""
    messages = [{"role": role, "content": text}, {"role": "user", "content": "and?"}]
    assert litellm.token_counter(model=model, messages=messages) <= token_bounds.messages_bound(messages)


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
    both = replace(request, attachments=(image, document))
    assert token_bounds.request_bound(both, "gpt-4.1") == plain + 5_000 + 3 * 8_000
    dear = 2_833 + 8 * 5_667
    assert token_bounds.request_bound(both, "gpt-4o-mini-2024-07-18") == plain + dear + 3 * (dear + 3_000)
