"""Patches of LiteLLM's readers of answers: without them it breaks off in the middle, or drops parts.

Importing this module applies them, to the whole process.
"""

from __future__ import annotations

from typing import Any

import litellm
from litellm.litellm_core_utils import core_helpers
from litellm.llms.anthropic.chat.handler import ModelResponseIterator as AnthropicStream
from litellm.llms.base_llm.base_model_iterator import BaseModelResponseIterator
from litellm.llms.cohere.chat.v2_transformation import CohereV2ChatConfig
from litellm.llms.cohere.common_utils import CohereV2ModelResponseIterator as CohereStream
from litellm.llms.ollama.chat.transformation import OllamaChatCompletionResponseIterator as OllamaStream
from openai import AsyncAzureOpenAI, AsyncOpenAI
from openai._streaming import ServerSentEvent, SSEDecoder

from supernova_ai.litellm_adapter.answer_json import normalize, reported_failure
from supernova_ai.litellm_adapter.usage import clean_report


def _patch_readers() -> None:
    """Have LiteLLM's readers get each event in the form that they expect."""
    init, parse_anthropic, parse_ollama = (
        litellm.Usage.__init__,
        AnthropicStream.chunk_parser,
        OllamaStream.chunk_parser,
    )
    decode = BaseModelResponseIterator._string_to_dict_parser

    def init_with_counts(self: Any, *args: Any, **report: Any) -> None:
        init(self, *args, **clean_report(report))

    def keep_tags(self: Any, chunk: dict[str, Any]) -> Any:
        """Parse the event without its text: LiteLLM would cut <think> tags out of it."""
        message = chunk.get("message")
        text = message.pop("content", None) if isinstance(message, dict) else None
        parsed = parse_ollama(self, chunk)
        parsed.choices[0].delta.content = text
        return parsed

    litellm.Usage.__init__ = init_with_counts
    AnthropicStream.chunk_parser = lambda self, chunk: parse_anthropic(self, normalize(chunk, event=True))
    OllamaStream.chunk_parser = keep_tags
    BaseModelResponseIterator._string_to_dict_parser = staticmethod(
        lambda str_line: normalize(decode(str_line), event=True)
    )


def _patch_cohere() -> None:
    """Have LiteLLM read Cohere's streams, whose ``event:`` lines it does not know, and its finish reasons."""
    parse, transform = CohereStream.chunk_parser, CohereV2ChatConfig.transform_response

    def parse_line(self: Any, chunk: str | bytes) -> Any:
        line = chunk.decode() if isinstance(chunk, bytes) else chunk
        event = BaseModelResponseIterator._string_to_dict_parser(line) if "{" in line else None
        event = event if isinstance(event, dict) else {}
        if event.get("type") != "message-end":
            return parse(self, event)
        parsed = parse(self, event | {"event": "message-end", "data": event})  # where LiteLLM looks for it
        if error := reported_failure(parsed["finish_reason"]):
            parsed["provider_specific_fields"] = {"error": error}
        return parsed

    def transform_whole(self: Any, *args: Any, **kwargs: Any) -> Any:
        response = transform(self, *args, **kwargs)
        reason = kwargs["raw_response"].json().get("finish_reason") or "stop"
        response.choices[0].finish_reason = core_helpers.map_finish_reason(reason)
        if error := reported_failure(reason):
            response.choices[0].message.provider_specific_fields = {"error": error}
        return response

    CohereStream.convert_str_chunk_to_generic_chunk = parse_line
    CohereV2ChatConfig.transform_response = transform_whole


core_helpers._FINISH_REASON_MAP.update(
    {
        "pause_turn": "length",  # Anthropic: the model could go on, but this answer is over
        "model_context_window_exceeded": "length",  # Anthropic
        "model_length": "length",  # Mistral
        "MAX_TOKENS": "length",
        "ERROR_LIMIT": "length",  # Cohere
        "TOOL_CALL": "tool_calls",  # Cohere
        "STOP_SEQUENCE": "stop",  # Cohere
    }
)
_patch_readers()
_patch_cohere()


class _ReadableEvent(ServerSentEvent):
    def json(self) -> Any:
        return normalize(super().json(), event=True)


class _ReadableEvents(SSEDecoder):
    def decode(self, line: str) -> ServerSentEvent | None:
        event = super().decode(line)
        return event and _ReadableEvent(event=event.event, data=event.data, id=event.id, retry=event.retry)


class OpenAIClient(AsyncOpenAI):
    """OpenAI's client with events that LiteLLM can read; the program's own clients stay as they are.

    It never sends a request again: each needs a hold of its own.
    """

    @property
    def max_retries(self) -> int:
        """Always 0, though LiteLLM sets 2 for embeddings."""
        return 0

    @max_retries.setter
    def max_retries(self, _: int) -> None:
        pass

    def _make_sse_decoder(self) -> SSEDecoder:
        return _ReadableEvents()


class AzureClient(AsyncAzureOpenAI):
    """The same for Azure. It sends once, and its key is the one that it is given."""

    def __init__(self, **given: Any) -> None:
        super().__init__(max_retries=0, **given)
        self._azure_ad_token = None  # it may have read one from the environment

    def _make_sse_decoder(self) -> SSEDecoder:
        return _ReadableEvents()
