"""Refusals by providers: their class by code and words, the next attempt, the circuit and the cost."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from supernova_ai import ModelNotFound, ProviderError, Supernova
from supernova_ai.litellm_adapter.error_bodies import wait_of
from supernova_ai.store.tables import AttemptRow
from supernova_ai.testing import Raw, StubProvider
from supernova_ai.testing.dialects import OpenAI
from tests import clients

INVALID = "invalid_request_error"
MODELS = {
    "gemini": "gemini-2.5-flash",
    "groq": "llama-3.3-70b-versatile",
    "mistral": "mistral-small-latest",
    "openai": "gpt-4o",
    "openrouter": "openai/gpt-4o",
    "xai": "grok-4",
}


class Anywhere(StubProvider):
    """A stub that answers at every path, for providers with paths of their own."""

    def _choose(self, request: Any) -> Any:
        return OpenAI(), None, self.reply


class Case(NamedTuple):
    provider: str
    status: int
    body: Any
    kind: str


def said(message: str, code: Any = None, kind: str | None = INVALID, **more: Any) -> dict[str, Any]:
    return {"error": {"message": message, "type": kind, "code": code, **more}}


def anthropic(message: str, kind: str = INVALID) -> dict[str, Any]:
    return {"type": "error", "error": {"type": kind, "message": message}}


def gemini(code: int, status: str, message: str, *details: Any) -> dict[str, Any]:
    return {"error": {"code": code, "message": message, "status": status, "details": list(details)}}


RETRY_INFO = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "34s"}
QUOTA = "You exceeded your current quota, please check your plan and billing details."

TOO_LONG = [
    ("openai", 400, said("Your input exceeds the context window of this model.", "context_length_exceeded")),
    ("openai", 400, said("Too much.", "context_length_exceeded")),
    ("openai", 400, said("This model's maximum context length is 8192 tokens. However, you requested 9000.")),
    (
        "openai",
        400,
        said(
            "'max_tokens' is too large: 4096. This model's maximum context length is 8192 tokens and your "
            "request has 5000 input tokens"
        ),
    ),
    (
        "openai",
        400,
        {
            "object": "error",
            "message": "The input (9000 tokens) is longer than the model's context length (8192 tokens).",
            "type": "BadRequestError",
            "code": 400,
        },
    ),
    ("anthropic", 400, anthropic("prompt is too long: 213462 tokens > 200000 maximum")),
    ("anthropic", 400, anthropic("input length and `max_tokens` exceed context limit: 190000 + 20000 > 2")),
    ("anthropic", 413, anthropic("Request exceeds the maximum size", "request_too_large")),
    ("ollama", 400, {"error": "prompt too long; exceeded max context length by 4 tokens"}),
    ("ollama", 400, {"error": "the input length exceeds the context length"}),
    (
        "ollama",
        400,
        {
            "error": {
                "code": 400,
                "message": "the request exceeds the available context size",
                "type": "exceed_context_size_error",
            }
        },
    ),
    (
        "huggingface",
        422,
        said(
            "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4096.", kind="validation"
        ),
    ),
    (
        "openrouter",
        400,
        said(
            "This endpoint's maximum context length is 131072 tokens. However, you "
            "requested about 200000 tokens.",
            400,
        ),
    ),
    (
        "openrouter",
        400,
        said(
            "Provider returned error",
            400,
            None,
            metadata={
                "provider_name": "Anthropic",
                "raw": json.dumps(anthropic("prompt is too long: 213462 tokens > 200000 maximum")),
            },
        ),
    ),
    (
        "mistral",
        400,
        {
            "object": "error",
            "message": "Prompt contains 40000 tokens and 0 draft tokens, too "
            "large for model with 32768 maximum context length",
            "type": "invalid_request_message_order",
            "code": "3051",
        },
    ),
    (
        "xai",
        400,
        {
            "code": "invalid argument",
            "error": "This model's maximum prompt length is 1000 but the request contains 2000 tokens.",
        },
    ),
    (
        "gemini",
        400,
        gemini(
            400,
            "INVALID_ARGUMENT",
            "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).",
        ),
    ),
    ("groq", 400, said("Please reduce the length of the messages or completion.", "context_length_exceeded")),
]
ACCOUNT = [
    ("openai", 429, said(QUOTA, "insufficient_quota", "insufficient_quota")),
    ("openai", 429, said(QUOTA)),
    ("openai", 400, said("Your organization must be verified to stream this model.", "unsupported_value")),
    ("openai", 400, said("Billing hard limit has been reached", "billing_hard_limit_reached")),
    ("openai", 403, said("Region not supported", "unsupported_country_region_territory")),
    (
        "anthropic",
        400,
        anthropic(
            "You have reached your specified API usage limits. You will regain access on "
            "2026-12-01 at 00:00 UTC."
        ),
    ),
    ("anthropic", 400, anthropic("Your credit balance is too low to access the Anthropic API.")),
    ("anthropic", 400, anthropic("This organization has been disabled.")),
    ("anthropic", 402, anthropic("Pay.", "billing_error")),
    ("ollama", 429, {"error": "you've reached your hourly usage limit, please upgrade to continue"}),
    ("ollama", 403, {"error": "this model requires a subscription, upgrade for access"}),
    ("huggingface", 402, {"error": "You have exceeded your monthly included credits."}),
    ("openrouter", 402, said("This request requires more credits, or fewer max_tokens.", 402)),
    (
        "xai",
        403,
        {
            "code": "forbidden",
            "error": "Your team has either used all available credits or reached its monthly spending limit.",
        },
    ),
    ("groq", 400, said("Organization has been restricted.", "organization_restricted")),
]
MODEL = [
    (
        "openai",
        404,
        said("The model `gpt-9` does not exist or you do not have access to it.", "model_not_found"),
    ),
    (
        "groq",
        400,
        said("The model `x` has been decommissioned and is no longer supported.", "model_decommissioned"),
    ),
    ("groq", 400, said("The model `x` has been decommissioned.")),
    ("openrouter", 400, said("openai/gpt-9 is not a valid model ID", 400, None)),
    (
        "mistral",
        400,
        {"object": "error", "message": "Invalid model: x", "type": "invalid_model", "code": "1500"},
    ),
    (
        "huggingface",
        400,
        said(
            "The requested model 'x' is not supported by any provider you have enabled.",
            "model_not_supported",
        ),
    ),
    ("ollama", 404, {"error": "model 'x' not found"}),
]
KEY = [
    ("openai", 401, said("Incorrect API key provided: sk-x.", "invalid_api_key")),
    ("anthropic", 401, anthropic("invalid x-api-key", "authentication_error")),
    ("anthropic", 403, anthropic("Your key may not do this.", "permission_error")),
    ("xai", 400, {"code": "Client specified an invalid argument", "error": "Incorrect API key provided: x."}),
    ("gemini", 400, gemini(400, "INVALID_ARGUMENT", "API key not valid. Please pass a valid API key.")),
    ("gemini", 400, gemini(400, "INVALID_ARGUMENT", "Renew it.", {"reason": "API_KEY_INVALID"})),
    ("openrouter", 401, said("User not found.", 401, None)),
]
CONTENT = [
    ("openai", 400, said("Invalid prompt: your prompt was flagged.", "invalid_prompt")),
    ("anthropic", 400, anthropic("Output blocked by content filtering policy")),
    ("openrouter", 403, said("input was flagged", 403, None, metadata={"reasons": ["violence"]})),
    ("openrouter", 403, said("No.", 403, None, metadata={"reasons": ["violence"]})),
    ("xai", 403, {"code": "No permission", "error": "Content violates usage guidelines."}),
]
PARAMETER = [
    (
        "openai",
        400,
        said(
            "Unsupported parameter: 'max_tokens' is not supported with this model. Use "
            "'max_completion_tokens' instead.",
            "unsupported_parameter",
            param="max_tokens",
        ),
    ),
    (
        "openai",
        400,
        said(
            "Unsupported value: 'temperature' does not support 1.5 with this model.",
            "unsupported_value",
            param="temperature",
        ),
    ),
    ("openai", 400, said("It is too large: 100000.", "invalid_value", param="max_tokens")),
    ("anthropic", 400, anthropic("temperature: range: 0..1")),
    ("anthropic", 400, anthropic("`temperature` and `top_p` cannot both be specified for this model.")),
    (
        "anthropic",
        400,
        anthropic(
            "max_tokens: 100000 > 64000, which is the maximum allowed number of output tokens for this model"
        ),
    ),
    (
        "mistral",
        422,
        {
            "object": "error",
            "message": {
                "detail": [
                    {
                        "type": "less_than_equal",
                        "msg": "Input should be less than or equal to 1.5",
                        "loc": ["body", "temperature"],
                        "input": 2,
                    }
                ]
            },
            "code": None,
        },
    ),
    ("groq", 400, said("`max_tokens` must be less than or equal to `8192`")),
    ("xai", 400, {"code": "invalid argument", "error": "Argument not supported on this model: stop"}),
]
LIMITED = [
    (
        "openai",
        429,
        said(
            "Rate limit reached for gpt-4o on tokens per min. You can raise it by adding a "
            "payment method at https://platform.openai.com/account/billing.",
            "rate_limit_exceeded",
            "tokens",
        ),
    ),
    (
        "anthropic",
        429,
        anthropic(
            "This request would exceed your organization's rate limit of 30,000 input tokens per minute.",
            "rate_limit_error",
        ),
    ),
    ("gemini", 429, gemini(429, "RESOURCE_EXHAUSTED", QUOTA, RETRY_INFO)),
    ("openrouter", 429, said("Provider returned error", 429, None)),
]
TROUBLE = [
    ("anthropic", 529, anthropic("Overloaded", "overloaded_error")),
    ("openai", 500, said("The server had an error; the temperature of its room", None, "server_error")),
    ("gemini", 503, gemini(503, "UNAVAILABLE", "The model is overloaded.")),
]
CALLER = [
    ("openai", 400, said("Invalid 'messages': empty array.", "empty_array", param="messages")),
    ("anthropic", 400, anthropic("messages: at least one message is required")),
    (
        "mistral",
        422,
        {
            "detail": [
                {
                    "type": "missing",
                    "loc": ["body", "messages"],
                    "msg": "Field required",
                    "input": {"content": "my credit balance is too low; the temperature was flagged"},
                }
            ]
        },
    ),
]

CASES = [
    Case(case[0], case[1], case[2], kind)
    for kind, cases in {
        "ContextTooLong": TOO_LONG,
        "AccountRefused": ACCOUNT,
        "ModelNotFound": MODEL,
        "AuthenticationFailed": KEY,
        "ContentRefused": CONTENT,
        "ParameterRefused": PARAMETER,
        "RateLimited": LIMITED,
        "ProviderUnavailable": TROUBLE,
        "RequestRejected": CALLER,
    }.items()
    for case in cases
]
FINAL = ("ContentRefused", "RequestRejected")
OPENS = ("AccountRefused", "ModelNotFound", "AuthenticationFailed")


@pytest.mark.parametrize(
    ("case", "streaming"),
    # Streamed, LiteLLM tells the same body in other words: once for each kind of each provider is enough.
    [(case, False) for case in CASES] + [(case, True) for case in {c[::3]: c for c in CASES}.values()],
    ids=lambda given: "-".join(map(str, given[::2])) if isinstance(given, Case) else str(given),
)
async def test_refusal_has_its_class(
    case: Case,
    streaming: bool,
    open_nova: Callable[..., Supernova],
    stub_provider: Callable[..., StubProvider],
    attempts: Callable[[], list[AttemptRow]],
) -> None:
    """A refusal that every provider would repeat ends the request; refused keys and models open circuits."""
    provider, status, body, kind = case
    other = "anthropic" if provider != "anthropic" else "openai"
    good = stub_provider("Diversify.")
    with Anywhere(Raw(status, "application/json", json.dumps(body))) as bad:
        settings: dict[str, Any] = {"url": bad.url, "price": "free", "prices": {}}
        if provider not in clients.PROVIDERS or provider == "openai":
            settings |= {"models": {"standard": MODELS[provider]}, "keys": ["primary"]}
        nova = open_nova({provider: settings, other: good.url})
        if kind in FINAL:
            with pytest.raises(ProviderError) as raised:
                await nova.chat("What now?", streaming=streaming)
            assert type(raised.value).__name__ == kind
            assert "{" not in str(raised.value)
        else:
            reply = await nova.chat("What now?", streaming=streaming)
            assert (reply.content, reply.provider) == ("Diversify.", other)
        first = attempts()[0]
        assert (first.error, first.state, first.cost) == (kind, "released", 0)
        assert len(bad.chats) == 1
        slot = None if provider == "ollama" else "primary"
        circuit = nova._runtime.engine.monitor.breaker.circuit(clients.deployment(nova, provider, slot))
        waits = provider == "gemini" and kind == "RateLimited"
        assert circuit.state == ("open" if kind in OPENS or waits else "closed")
        if waits:
            assert 30 < circuit.left_s <= 34


async def test_unknown_model_names_the_address(
    open_nova: Callable[..., Supernova], stub_provider: Callable[..., StubProvider]
) -> None:
    """An unknown model may mean a wrong address: the error names the address that was asked."""
    stub = stub_provider("Unused.")
    nova = open_nova({"anthropic": f"{stub.url}/v2"})
    with pytest.raises(ModelNotFound, match=rf"asked at {stub.url}/v2/v1/messages\)"):
        await nova.chat("What now?")


@pytest.mark.parametrize(
    ("headers", "body", "text", "seconds"),
    [
        ({"retry-after-ms": "1500"}, {}, "", 1.5),
        ({"retry-after-ms": "1500", "retry-after": "9"}, {}, "", 1.5),
        ({"retry-after": "7"}, {}, "", 7),
        ({"retry-after": "2s"}, {}, "", 2),
        ({"retry-after": "Thu, 01 Jan 1970 00:00:00 GMT"}, {}, "", 0),
        ({"retry-after": "soon"}, {}, "", None),
        ({"retry-after": "-3"}, {}, "", None),
        pytest.param({}, {"retryDelay": f"{'1' * 1_000_000} s"}, "", None, id="a million digits"),
        ({}, {"retryDelay": "34.07s"}, "", 34.07),
        ({"x-ratelimit-reset-requests": "6m0s"}, {}, "", 360),
        ({"x-ratelimit-reset-tokens": "120ms"}, {}, "", 0.12),
        (
            {
                "x-ratelimit-reset-requests": "6m0s",
                "x-ratelimit-remaining-requests": "5",
                "x-ratelimit-reset-tokens": "2s",
                "x-ratelimit-remaining-tokens": "0",
            },
            {},
            "",
            2,
        ),
        ({"anthropic-ratelimit-tokens-reset": "1970-01-01T00:00:00Z"}, {}, "", 0),
        ({"x-ratelimit-reset": "1000000000000"}, {}, "", 0),
        ({}, {}, "Please try again in 1m30.5s.", 90.5),
        ({}, {}, "Please retry in 34.07s.", 34.07),
        ({}, {}, "Try again in 7 seconds", 7),
        ({}, {}, "Please retry after 5 minutes.", 300),
        ({}, {}, "Slow down.", None),
    ],
)
def test_time_to_wait_is_read(
    headers: dict[str, str], body: dict[str, Any], text: str, seconds: float | None
) -> None:
    """It may be milliseconds, a duration, a date, the reset of a used-up limit, or words, in this order."""
    assert wait_of(headers, [body], text, limited=True) == (
        None if seconds is None else pytest.approx(seconds)
    )


@pytest.mark.parametrize("date", ["2100-01-01T00:00:00", "Fri, 01 Jan 2100 00:00:00 -0000"])
def test_a_date_without_a_zone_is_in_utc(date: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The zone of this machine does not change it."""
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "America/New_York")
        time.tzset()
        wait = wait_of({"retry-after": date}, [], "", limited=False)
    time.tzset()
    assert wait == pytest.approx(4_102_444_800 - time.time(), abs=60)


def test_resets_are_read_only_for_a_limit() -> None:
    """OpenAI sends resets in every answer: they do not count unless a limit was reached."""
    assert wait_of({"x-ratelimit-reset-requests": "6m0s"}, [], "try again in 5s", limited=False) is None
    assert wait_of({"retry-after": "5"}, [], "", limited=False) == 5


async def test_refused_parameter_is_reported(
    open_nova: Callable[..., Supernova],
    stub_provider: Callable[..., StubProvider],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A parameter that one model refuses is sent to another; if both fail, the error has both reasons."""
    body = said("Unsupported value: 'temperature' does not support 1.5.", "unsupported_value")
    bad = stub_provider(Raw(400, "application/json", json.dumps(body)))
    worse = stub_provider(Raw(500, "application/json", json.dumps(said("Down."))))
    both = ["primary", "backup"]
    nova = open_nova({"openai": {"url": bad.url, "keys": both}, "anthropic": worse.url})
    with pytest.raises(ProviderError) as raised:
        await nova.chat("What now?")
    assert len(bad.chats) == 1  # its other key would ask the same model
    assert "'temperature' does not support 1.5" in "\n".join(raised.value.__notes__)
    assert "engine.parameter.refused" in caplog.text


@pytest.mark.parametrize(
    ("provider", "asked", "sent"),
    [("anthropic", 1.5, 1), ("anthropic", 0.7, 0.7), ("openai", 1.5, 1.5), ("huggingface", 2, 2)],
)
@pytest.mark.parametrize("streaming", [False, True], ids=["plain", "streamed"])
async def test_temperature_fits_the_provider(
    provider: str,
    asked: float,
    sent: float,
    streaming: bool,
    open_nova: Callable[..., Supernova],
    stub_provider: Callable[..., StubProvider],
) -> None:
    """Each attempt sends the temperature asked for, or the highest that its provider accepts."""
    stub = stub_provider("Diversify.")
    nova = open_nova({provider: stub.url})
    await nova.chat("What now?", temperature=asked, streaming=streaming)
    assert stub.chats[0].body["temperature"] == sent


async def test_reasoning_model_gets_no_temperature(
    open_nova: Callable[..., Supernova], stub_provider: Callable[..., StubProvider]
) -> None:
    """No parameter is sent that the model refuses, and max_tokens has the model's name for it."""
    stub = stub_provider("Diversify.")
    nova = open_nova({"openai": {"url": stub.url, "models": {"standard": "o3-mini"}}})
    await nova.chat("What now?", temperature=0.2, max_tokens=300)
    assert stub.chats[0].body.keys() >= {"max_completion_tokens"}
    assert not stub.chats[0].body.keys() & {"temperature", "max_tokens"}
