"""Traces for OpenTelemetry: a span for each request, and below it one for each attempt.

Only a program that has set a tracer provider has spans. Without one, nothing is imported and nothing is made.
Attempts follow the conventions for generative AI. Their names are constants of ours, because the conventions
are still in development. No span has a prompt, an answer, a message of an error, a user or a key.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from supernova_ai.secret import redact
from supernova_ai.types import EMBEDDING, RERANK, Attempt, ModelGroup, Request

if TYPE_CHECKING:
    from decimal import Decimal

    from opentelemetry.context import Context
    from opentelemetry.trace import Span, Tracer

# https://github.com/open-telemetry/semantic-conventions-genai, as of November 2026
OPERATION = "gen_ai.operation.name"
PROVIDER = "gen_ai.provider.name"
CONVERSATION = "gen_ai.conversation.id"
REQUEST_MODEL = "gen_ai.request.model"
MAX_TOKENS = "gen_ai.request.max_tokens"
TEMPERATURE = "gen_ai.request.temperature"
STREAM = "gen_ai.request.stream"
RESPONSE_ID = "gen_ai.response.id"
RESPONSE_MODEL = "gen_ai.response.model"
FINISH_REASONS = "gen_ai.response.finish_reasons"
FIRST_CHUNK = "gen_ai.response.time_to_first_chunk"
INPUT_TOKENS = "gen_ai.usage.input_tokens"
OUTPUT_TOKENS = "gen_ai.usage.output_tokens"
CACHE_READ_TOKENS = "gen_ai.usage.cache_read.input_tokens"
CACHE_WRITE_TOKENS = "gen_ai.usage.cache_creation.input_tokens"
REASONING_TOKENS = "gen_ai.usage.reasoning.output_tokens"
SERVER = "server.address"
PORT = "server.port"
ERROR = "error.type"

# There is no convention for these. Costs are US dollars.
REQUEST_ID = "supernova.request.id"
REQUEST_COST = "supernova.request.cost"
TASK = "supernova.task"
TIER = "supernova.tier"
ATTEMPT_ID = "supernova.attempt.id"
CONFIGURED_PROVIDER = "supernova.provider"
KEY_SLOT = "supernova.key_slot"
OUTCOME = "supernova.outcome"
COST = "supernova.cost"
COST_BASIS = "supernova.cost_basis"

_OPERATIONS: Mapping[ModelGroup, str] = {EMBEDDING: "embeddings", RERANK: "rerank"}  # of all others: chat

_PROVIDERS = {
    "azure": "azure.ai.openai",
    "bedrock": "aws.bedrock",
    "cohere_chat": "cohere",
    "gemini": "gcp.gemini",
    "mistral": "mistral_ai",
    "vertex_ai": "gcp.vertex_ai",
    "watsonx": "ibm.watsonx.ai",
    "xai": "x_ai",
}
"""The names in the conventions of LiteLLM's types of providers, where they differ."""


def _tracer() -> Tracer | None:
    """Return the program's tracer; None if it has set no tracer provider."""
    if "opentelemetry.trace" not in sys.modules:
        return None
    from opentelemetry import trace

    if isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider):
        return None
    return trace.get_tracer("supernova_ai")


class RequestSpan:
    """The span of a request, below the caller's."""

    def __init__(self, request: Request) -> None:
        self._request = request.id
        self._span: Span | None = None
        if tracer := _tracer():
            name = f"supernova {_OPERATIONS.get(request.tier, 'chat')}"
            attributes = {REQUEST_ID: request.id, TASK: request.task, TIER: request.tier}
            self._span = tracer.start_span(name, attributes=attributes)

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Make it the parent of the spans inside, also in tasks and threads that are started there."""
        if self._span is None:
            yield
            return
        from opentelemetry import context, trace

        inside = context.set_value(REQUEST_ID, self._request, trace.set_span_in_context(self._span))
        token = context.attach(inside)
        try:
            yield
        except BaseException as error:
            _fail(self._span, type(error).__name__)
            raise
        finally:
            context.detach(token)

    def end(self) -> None:
        """End it. A second call does nothing."""
        span, self._span = self._span, None
        if span is not None:
            span.end()


@contextmanager
def in_span(request: Request) -> Iterator[None]:
    """Run inside a span of the request; where there is one of it already, inside that."""
    if _tracer():
        from opentelemetry import context

        if context.get_value(REQUEST_ID) == request.id:
            yield
            return
    span = RequestSpan(request)
    try:
        with span.entered():
            yield
    finally:
        span.end()


def answered(cost: Decimal) -> None:
    """Note in the current request's span what the request has cost by now."""
    if _tracer():
        from opentelemetry import trace

        trace.get_current_span().set_attribute(REQUEST_COST, float(cost))


def current() -> Context | None:
    """Return the context in which the spans of a request's attempts start."""
    if _tracer() is None:
        return None
    from opentelemetry import context

    return context.get_current()


class AttemptSpan:
    """The span of an attempt, which is about to be sent by this task.

    Args:
        parent: the request's context.
        type_: LiteLLM's name of the provider.
    """

    def __init__(
        self,
        parent: Context,
        request: Request,
        *,
        type_: str,
        model: str,
        address: str | None,
        max_tokens: int,
        streaming: bool,
    ) -> None:
        from opentelemetry import context, trace

        tracer = trace.get_tracer("supernova_ai")
        operation = _OPERATIONS.get(request.tier, "chat")
        attributes = {OPERATION: operation, PROVIDER: _PROVIDERS.get(type_, type_), REQUEST_MODEL: model}
        self._span = tracer.start_span(
            f"{operation} {model}", parent, trace.SpanKind.CLIENT, attributes=attributes
        )
        # This task ends with the attempt, or starts the next one: there is nothing to go back to.
        context.attach(trace.set_span_in_context(self._span, parent))
        if self._span.is_recording():
            server = urlsplit(address or "")
            self._set(
                {
                    CONVERSATION: request.session_id,
                    MAX_TOKENS: max_tokens or None,
                    TEMPERATURE: request.parameters.get("temperature"),
                    STREAM: streaming or None,
                    SERVER: server.hostname,
                    PORT: server.port,
                }
            )

    def note(
        self, attempt: Attempt, *, response: str | None, model: str | None, finish_reason: str | None
    ) -> None:
        """Note what the attempt took; it has ended.

        Args:
            response: the provider's id of its answer.
            model: the model that the provider names.
        """
        if self._span.is_recording():
            usage = attempt.usage
            self._set(
                {
                    RESPONSE_ID: response and redact(response),
                    RESPONSE_MODEL: model and redact(model),
                    FINISH_REASONS: finish_reason and [redact(finish_reason)],
                    FIRST_CHUNK: attempt.first_token_s,
                    INPUT_TOKENS: usage.prompt,
                    OUTPUT_TOKENS: usage.completion,
                    CACHE_READ_TOKENS: usage.cached,
                    CACHE_WRITE_TOKENS: usage.cache_write,
                    REASONING_TOKENS: usage.reasoning,
                    ATTEMPT_ID: attempt.id,
                    CONFIGURED_PROVIDER: attempt.provider,
                    TIER: attempt.tier,
                    KEY_SLOT: attempt.key_slot,
                    OUTCOME: attempt.outcome,
                    COST: float(attempt.cost),
                    COST_BASIS: attempt.cost_basis,
                }
            )
            if attempt.error:
                _fail(self._span, attempt.error)

    def end(self) -> None:
        """End it."""
        self._span.end()

    def _set(self, attributes: Mapping[str, Any]) -> None:
        self._span.set_attributes({name: value for name, value in attributes.items() if value is not None})


def _fail(span: Span, error: str) -> None:
    from opentelemetry.trace import StatusCode

    span.set_attribute(ERROR, error)
    span.set_status(StatusCode.ERROR)
