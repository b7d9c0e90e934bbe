"""The options of each call, as TypedDicts, and the check for unknown ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Literal, Protocol, TypedDict

from pydantic import BaseModel

from supernova_ai.characters import quoted
from supernova_ai.config.fields import nearest
from supernova_ai.errors import UnknownOption
from supernova_ai.requests.attachments import AttachmentSource
from supernova_ai.requests.tools import Tool
from supernova_ai.types import Complexity, OnInterrupt, PromptCache, Tier

Effort = Literal["none", "minimal", "low", "medium", "high", "xhigh"]
"""How much a model reasons before it answers."""

ServiceTier = Literal["auto", "default", "flex", "priority"]
"""How fast a provider serves a request, each with a price of its own."""


class OnToken(Protocol):
    """A function, plain or async, that is called with each piece of text."""

    def __call__(self, token: str, /) -> object: ...


class RequestOptions(TypedDict, total=False):
    """The options of every call. None is the same as not given."""

    user_id: str | int | None
    """The user whose budgets and history count the call."""

    session_id: str | int | None
    """The conversation that the call belongs to."""

    team: str | None
    """The team whose budgets and reports count the call."""

    tags: Mapping[str, str] | None
    """At most 8 names and values, such as {"desk": "fx"}, whose budgets and reports count the call."""

    task: str | None
    """chat, analysis, summary or a task of your own; it selects the tier. Default: the task of the prompt."""

    tier: Tier | None
    """economy, standard or premium. Default: the tier of the prompt, else of the task."""

    quality: Tier | None
    """Another name for ``tier``."""

    complexity: Complexity | None
    """Instead of a tier: simple, moderate, complex, critical, or auto, which estimates it from the text."""

    model: str | None
    """Only this configured model, such as "gpt-6-luna" or "openai/gpt-6-luna"."""

    max_tokens: int | None
    """The longest answer, in tokens. The hold covers all of it. Default: ``routing.max_tokens``."""

    max_cost: Decimal | float | str | None
    """The most that the call may cost, in USD, with all retries and fallbacks."""

    timeout: float | None
    """Seconds for the whole call, with all retries, fallbacks and waiting. Default: ``routing.deadline``."""

    temperature: float | None
    """0 to 2. Default: that of the model."""

    top_p: float | None
    """0 to 1: only the likeliest tokens, up to this probability together."""

    stop: str | Sequence[str] | None
    """Texts at which the answer ends."""

    seed: int | None
    """The same seed gives similar answers, at providers that support it."""

    presence_penalty: float | None
    """-2 to 2: above 0, words that the answer has already are less likely."""

    frequency_penalty: float | None
    """-2 to 2: above 0, words are less likely the more often the answer has them."""

    logprobs: bool | None
    """True: ``Reply.logprobs`` has the probability of each token."""

    top_logprobs: int | None
    """0 to 20: so many of the likeliest tokens at each place, too."""

    reasoning_effort: Effort | None
    """How much the model reasons: none, minimal, low, medium, high or xhigh."""

    thinking: Mapping[str, Any] | None
    """Anthropic's form of it: ``{"type": "enabled", "budget_tokens": 2000}``."""

    service_tier: ServiceTier | None
    """auto, default, flex or priority. The hold covers the tier's price."""

    tools: Sequence[Tool] | None
    """Functions that the model may call: typed functions, or definitions in OpenAI's form."""

    tool_choice: str | Mapping[str, Any] | None
    """auto, none, required, or the name of a tool that it must call."""

    parallel_tool_calls: bool | None
    """False: at most one call of a tool in an answer."""

    prompt_cache: PromptCache | bool | None
    """Mark the stable beginning of the prompt for the provider's cache: True or "5m", or "1h"."""

    extra: Mapping[str, Mapping[str, Any]] | None
    """Parameters of single providers by their names, such as ``{"anthropic": {"top_k": 40}}``."""

    on_interrupt: OnInterrupt | None
    """When a stream breaks after its first token: resume it at another deployment, or raise.
    Default: ``routing.on_interrupt``."""

    cache: bool | None
    """False: do not read the answer from the cache, and do not store it there. Default: True."""

    metadata: Mapping[str, str] | None
    """Names and texts for LiteLLM's callbacks."""


class TextOptions(TypedDict, total=False):
    """The options of ``embed`` and ``rerank``. None is the same as not given."""

    user_id: str | int | None
    """The user whose budgets count the call."""

    session_id: str | int | None
    """The conversation that the call belongs to, for reports."""

    team: str | None
    """The team whose budgets and reports count the call."""

    tags: Mapping[str, str] | None
    """At most 8 names and values, such as {"desk": "fx"}, whose budgets and reports count the call."""

    task: str | None
    """A task of ``routing.tasks``, for budgets and reports. Default: embedding or rerank."""

    model: str | None
    """Only this configured model, such as "text-embedding-3-small" or "openai/text-embedding-3-small"."""

    max_cost: Decimal | float | str | None
    """The most that the call may cost, in USD, with all batches, retries and fallbacks."""

    timeout: float | None
    """Seconds for the whole call, with all batches, retries and waiting. Default: ``routing.deadline``."""

    extra: Mapping[str, Mapping[str, Any]] | None
    """Parameters of single providers, such as ``{"cohere": {"input_type": "search_query"}}``."""

    cache: bool | None
    """False: do not read from the cache, and do not store there. Default: True."""

    metadata: Mapping[str, str] | None
    """Names and texts for LiteLLM's callbacks."""


class EmbedOptions(TextOptions, total=False):
    """The options of ``embed``."""

    dimensions: int | None
    """The length of the vectors, where the model lets it be chosen. Default: that of the model."""


class AttachmentOptions(RequestOptions, total=False):
    """The options of a call that may have attachments."""

    attachments: Sequence[AttachmentSource] | None
    """Images and PDF documents: their bytes or paths; https addresses where the configuration allows them."""


class StreamOptions(AttachmentOptions, total=False):
    """The options of ``stream``, ``run_tools`` and ``quote``."""

    messages: Sequence[Mapping[str, Any] | BaseModel] | None
    """Instead of a message: all messages in OpenAI's form, as mappings or other libraries' objects."""

    system: str | None
    """The system prompt."""


class StreamingOptions(TypedDict, total=False):
    """How an answer comes."""

    streaming: bool | None
    """Request the answer token by token. Default: ``streaming`` in the configuration."""

    on_token: OnToken | None
    """Called with each piece of text, and awaited if it is async. Implies ``streaming``."""


class ChatOptions(StreamOptions, StreamingOptions, total=False):
    """The options of ``chat``."""


class AnalyzeOptions(AttachmentOptions, StreamingOptions, total=False):
    """The options of ``analyze``."""

    analysis_type: str | None
    """financial, sentiment, news, risk, summary, or one with a prompt of your own. Default: financial."""


FOR_ONE = "Give it for the provider that has it: extra={'anthropic': {'top_k': 40}}"
"""The hint for a parameter that only some providers have."""

_ROUTING = "The configuration has it: 'routing', see docs/failover.md"

ELSEWHERE = {
    "api_base": "The configuration has it: 'providers.<name>.api_base'",
    "api_key": "Keys are in the vault: run 'supernova keys add <provider>'",
    "base_url": "The configuration has it: 'providers.<name>.api_base'",
    "cache_control": "Give prompt_cache=True",
    "callbacks": "Use on_token, or the log; see docs/logs.md",
    "fallbacks": _ROUTING,
    "functions": "Give tools=[…]",
    "input": "Give message, or messages=[…]",
    "logit_bias": FOR_ONE,
    "max_completion_tokens": "Give max_tokens",
    "max_output_tokens": "Give max_tokens",
    "max_retries": "The configuration has it: 'routing.retries'",
    "n": "A call has one answer: call again for another",
    "num_retries": "The configuration has it: 'routing.retries'",
    "on_token": "Only chat() and analyze() have it",
    "prompt": "Give message, or use ask() with a prompt of the library",
    "reasoning": "Give reasoning_effort",
    "request_timeout": "Give timeout",
    "response_format": "Give response_model: a pydantic model or a JSON schema",
    "safety_identifier": "Give user_id",
    "stop_sequences": "Give stop",
    "stream": "Give streaming=True, or use stream()",
    "streaming": "Only chat() and analyze() have it",
    "system_prompt": "Give system",
    "thread_id": "Give session_id",
    "top_k": FOR_ONE,
    "user": "Give user_id",
    "verbosity": FOR_ONE,
}
"""What takes the place of the options that other libraries have."""


def check_names(function: str, options: Mapping[str, object], known: type, *also: str) -> None:
    """Check that a function has all of the given options.

    Args:
        function: the name of the function that the user called.
        options: the given options.
        known: the TypedDict of the function's options.
        also: the names of its other arguments, for the hint.

    Raises:
        UnknownOption: an option is unknown; the message names the nearest one, or all of them.
    """
    for name in options:
        if name not in known.__annotations__:
            names = sorted({*known.__annotations__, *also})
            hint = nearest(name, names) or f" Its options: {', '.join(names)}."
            if name in ELSEWHERE:
                hint = f" {ELSEWHERE[name]}."
            raise UnknownOption(f"{function}() has no option {quoted(name)}.{hint}")
