from __future__ import annotations

import base64
import gc
import traceback
from urllib.parse import quote

import pytest

from supernova_ai.errors import KeyFormatError
from supernova_ai.keys import formats
from supernova_ai.secret import Secret, redact


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


AWS = {
    "aws_access_key_id": "AKIAEXAMPLE123456789",
    "aws_secret_access_key": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYz",
}
"""The fields of a key of AWS."""


def test_a_key_of_several_fields_passes_and_is_read_again() -> None:
    """Empty and unknown fields are left out: only what is sent is stored."""
    secret = formats.with_fields("bedrock", {**AWS, "aws_session_token": "", "region": "eu-west-1"})
    formats.check_key("bedrock", secret)
    formats.check_key("aws", secret, any_format=True)
    assert formats.fields_of(secret) == AWS
    assert formats.fields_of(Secret("plain-0123")) is None


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{", "its JSON must be an object with the fields aws_access_key_id and aws_secret_access_key or"),
        ('{"aws_access_key_id": "AKIAEXAMPLE123456789"}', "its JSON must be an object with the fields aws_"),
        ('{"aws_access_key_id": 1, "aws_secret_access_key": "secretpart"}', "each a text"),
        (
            '{"client_email": "a@b", "private_key": "secretpart"}',
            "its 'private_key' is not an RSA key in PEM",
        ),
    ],
)
def test_wrong_fields_say_what_is_wrong(text: str, problem: str) -> None:
    """The error names the fields that a key must have, and holds no part of the text."""
    with pytest.raises(KeyFormatError, match="the text is not a key of bedrock") as caught:
        formats.check_key("bedrock", Secret(text))
    assert problem in str(caught.value)
    assert "secretpart" not in str(caught.value)
    with pytest.raises(KeyFormatError, match=r"sk-…"):  # OpenAI's keys have no fields
        formats.check_key("openai", Secret(text))


@pytest.mark.parametrize("value", AWS.values())
def test_each_field_of_a_key_is_redacted(value: str) -> None:
    """The value of a field is found by itself, in base64, escaped and reversed; the names are not secret."""
    gc.collect()  # the texts of other tests are secrets while they live
    secret = formats.with_fields("bedrock", AWS)
    encoded = base64.b64encode(f"x{value}".encode()).decode()[4:-4]
    forms = (value, quote(value, safe=""), encoded, value[::-1])
    told = redact(" ".join(forms))
    assert [form for form in forms if form in told] == []
    assert redact("aws_secret_access_key is missing") == "aws_secret_access_key is missing"
    assert secret.reveal()
