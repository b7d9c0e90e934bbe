from __future__ import annotations

import traceback

import pytest

from supernova_ai.errors import KeyFormatError
from supernova_ai.keys import formats
from supernova_ai.secret import Secret


@pytest.mark.parametrize(
    ("provider", "key"),
    [
        ("openai", "sk-0123456789abcdef"),
        ("openai", "sk-proj-abc_DEF-0123"),
        ("openai", "sk-svcacct-abc_DEF-0123"),
        ("anthropic", "sk-ant-api03-abc_DEF-0123"),
        ("huggingface", "hf_abcDEF0123"),
        ("groq", "gsk_abcDEF0123"),
        ("deepseek", "sk-0123456789abcdef"),
        ("azure", "0123456789abcdef0123456789abcdef"),
    ],
)
def test_known_shapes_pass(provider: str, key: str) -> None:
    """A key in the provider's format is accepted; a provider without a row accepts any printable text."""
    formats.check_key(provider, Secret(key))
    assert formats.FORMATS.get(provider, formats.ANY).pattern.fullmatch(key)


def test_custom_endpoint_accepts_any_printable_key() -> None:
    """A custom endpoint's key may be any printable text, and nothing else."""
    formats.check_key("openai", Secret("local-0123"), any_format=True)
    with pytest.raises(KeyFormatError, match="printable ASCII"):
        formats.check_key("openai", Secret("local 0123"), any_format=True)


@pytest.mark.parametrize(
    ("provider", "key", "problem"),
    [
        ("openai", "sk-ant-api03-secretpart", "looks like a key of anthropic"),
        ("anthropic", "sk-proj-secretpart", "looks like a key of openai"),
        ("huggingface", "sk-proj-secretpart", "looks like a key of openai"),
        ("openai", "hf_secretpart01", "looks like a key of huggingface"),
        ("openai", "sk-proj-secretpart\n", "spaces or line breaks around it"),
        ("openai", " sk-proj-secretpart", "spaces or line breaks around it"),
        ("openai", "\u00a0sk-proj-secretpart", "spaces or line breaks around it"),
        ("anthropic", '"sk-ant-secretpart"', "quotes around it"),
        ("anthropic", "“sk-ant-secretpart”", "quotes around it"),
        ("openai", "sk-", "copy it again"),
        ("openai", "sk-secret part", "copy it again"),
        ("openai", "secretpart", "copy it again"),
        ("groq", "secretpart\t", "spaces or line breaks around it"),
        ("groq", "'secretpart'", "quotes around it"),
        ("groq", "secretpärt", "copy it again"),
        ("groq", "secret", "copy it again"),
    ],
)
def test_wrong_shapes_say_what_is_wrong(provider: str, key: str, problem: str) -> None:
    """The error names the provider, its format and the likely mistake, and holds no part of the text."""
    secret = Secret(key)
    with pytest.raises(KeyFormatError) as caught:
        formats.check_key(provider, secret)
    message = str(caught.value)
    assert provider in message
    assert formats.FORMATS.get(provider, formats.ANY).description in message
    assert problem in message
    assert caught.tb.tb_next is not None  # below this test's own frame, which has the text
    below = traceback.TracebackException(KeyFormatError, caught.value, caught.tb.tb_next, capture_locals=True)
    frames = "".join(below.format())
    assert "secretp" not in frames
    assert "Secret([redacted])" in frames
