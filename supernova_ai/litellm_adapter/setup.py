"""LiteLLM, imported quietly: no .env read into the process, no price map fetched, no key in its logs."""

from __future__ import annotations

import logging
import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from supernova_ai.config.network import proxy_for
from supernova_ai.litellm_adapter.answer_json import failure, readable
from supernova_ai.litellm_adapter.usage import cleaned
from supernova_ai.log import get_logger
from supernova_ai.secret import redact

log = get_logger(__name__)

_FOR_IMPORT = {"LITELLM_MODE": "PRODUCTION", "LITELLM_LOCAL_MODEL_COST_MAP": "True"}


_BYTES = re.compile(r"[A-Za-z0-9+/]{256,}={0,2}")
"""An attachment, as it is sent: not for any log."""


@contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    """Set the variables for the import alone: a program's environment is its own."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


class _Forward(logging.Filter):
    """LiteLLM logs tracebacks with the provider's words in them: pass them on as redacted debug events.

    A filter and not a handler, so that no other handler sees them first.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        message = _BYTES.sub("[bytes]", record.getMessage())
        log.debug("litellm.log", level=record.levelname, message=message)
        return False


class _Redact(logging.Filter):
    """The OpenAI client logs what it sends, and the answers that are errors: a refused key may be in them."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = _BYTES.sub("[bytes]", redact(record.getMessage())), ()
        if record.exc_info:
            record.exc_text = redact(logging.Formatter().formatException(record.exc_info))
            record.exc_info = None
        return True


_imported_before = "litellm" in sys.modules and any(
    os.environ.get(name) != value for name, value in _FOR_IMPORT.items()
)
with _environment(_FOR_IMPORT):
    import litellm
    import openai.resources  # noqa: F401 - else at the first call, on the loop
    from litellm._internal_context import is_internal_call
    from litellm._service_logger import ServiceLogging
    from litellm.caching import InMemoryCache, RedisCache
    from litellm.exceptions import MidStreamFallbackError
    from litellm.litellm_core_utils import core_helpers
    from litellm.litellm_core_utils.get_model_cost_map import GetModelCostMap
    from litellm.llms.anthropic.chat.handler import ModelResponseIterator as AnthropicStream
    from litellm.llms.base_llm.base_model_iterator import BaseModelResponseIterator
    from litellm.llms.cohere.chat.v2_transformation import CohereV2ChatConfig
    from litellm.llms.cohere.common_utils import CohereV2ModelResponseIterator as CohereStream
    from litellm.llms.custom_httpx.aiohttp_transport import LiteLLMAiohttpTransport
    from litellm.llms.custom_httpx.http_handler import AsyncHTTPHandler, HTTPHandler
    from litellm.llms.custom_httpx.http_handler import get_ssl_configuration as tls_context
    from litellm.llms.ollama.chat.transformation import OllamaChatCompletionResponseIterator as OllamaStream
    from litellm.llms.openai.common_utils import BaseOpenAILLM
    from litellm.router_utils.cooldown_cache import CooldownCache
    from litellm.types.router import RouterRateLimitError, RouterRateLimitErrorBasic
    from openai import AsyncOpenAI
    from openai._streaming import ServerSentEvent, SSEDecoder

for _name in ("LiteLLM", "LiteLLM Router", "LiteLLM Proxy"):
    _logger = logging.getLogger(_name)
    _logger.addFilter(_Forward())
    _logger.handlers = [logging.NullHandler()]
    _logger.propagate = False
logging.getLogger("openai._base_client").addFilter(_Redact())

litellm.suppress_debug_info = True
litellm.expose_router_debug_in_errors = False
litellm.turn_off_message_logging = True
# Some models' tokenizers are on a hub: it would be asked for half a minute, blocking the event loop.
litellm.disable_hf_tokenizer_download = True
# As for the length of those its map lacks, while it logs what they cost.
litellm.utils._get_max_position_embeddings = lambda *_, **__: None

# LiteLLM would send requests for this machine to a proxy, and reads no networks in NO_PROXY.
LiteLLMAiohttpTransport._proxy_from_env = lambda _, url: proxy_for(str(url))

BUNDLED: Mapping[str, dict[str, Any]] = dict(litellm.model_cost)
"""The price map that comes with LiteLLM, without the models that anybody registers later."""
if _imported_before:
    BUNDLED = GetModelCostMap.load_local_model_cost_map()
    log.warning(
        "engine.litellm.imported_before",
        then="LiteLLM may have read .env into the environment and fetched a price map over the network; "
        "prices here are those of its bundled map",
        remedy="import supernova_ai.litellm_adapter before litellm, or set LITELLM_MODE=PRODUCTION and "
        "LITELLM_LOCAL_MODEL_COST_MAP=True",
    )


def _mend_readers() -> None:
    """Have LiteLLM read streams as they are; it would break off in mid-answer, or drop parts of it."""
    init, parse_anthropic, parse_ollama = (
        litellm.Usage.__init__,
        AnthropicStream.chunk_parser,
        OllamaStream.chunk_parser,
    )
    decode = BaseModelResponseIterator._string_to_dict_parser

    def init_with_counts(self: Any, *args: Any, **report: Any) -> None:
        init(self, *args, **cleaned(report))

    def keep_tags(self: Any, chunk: dict[str, Any]) -> Any:
        """Parse the event without its text: LiteLLM would cut <think> tags out of it."""
        message = chunk.get("message")
        text = message.pop("content", None) if isinstance(message, dict) else None
        parsed = parse_ollama(self, chunk)
        parsed.choices[0].delta.content = text
        return parsed

    litellm.Usage.__init__ = init_with_counts
    AnthropicStream.chunk_parser = lambda self, chunk: parse_anthropic(self, readable(chunk, event=True))
    OllamaStream.chunk_parser = keep_tags
    BaseModelResponseIterator._string_to_dict_parser = staticmethod(
        lambda str_line: readable(decode(str_line), event=True)
    )


class _ReadableEvent(ServerSentEvent):
    def json(self) -> Any:
        return readable(super().json(), event=True)


class _ReadableEvents(SSEDecoder):
    def decode(self, line: str) -> ServerSentEvent | None:
        event = super().decode(line)
        return event and _ReadableEvent(event=event.event, data=event.data, id=event.id, retry=event.retry)


class OpenAIClient(AsyncOpenAI):
    """OpenAI's own client, with events that LiteLLM can read; those of the program stay as they are."""

    def _make_sse_decoder(self) -> SSEDecoder:
        return _ReadableEvents()


def _mend_cohere() -> None:
    """Have LiteLLM read Cohere's streams, of which it knows no ``event:`` lines, and its finish reasons."""
    parse, transform = CohereStream.chunk_parser, CohereV2ChatConfig.transform_response

    def parse_line(self: Any, chunk: str | bytes) -> Any:
        line = chunk.decode() if isinstance(chunk, bytes) else chunk
        event = BaseModelResponseIterator._string_to_dict_parser(line) if "{" in line else None
        event = event if isinstance(event, dict) else {}
        if event.get("type") != "message-end":
            return parse(self, event)
        parsed = parse(self, event | {"event": "message-end", "data": event})  # where LiteLLM looks for it
        if error := failure(parsed["finish_reason"]):
            parsed["provider_specific_fields"] = {"error": error}
        return parsed

    def transform_whole(self: Any, *args: Any, **kwargs: Any) -> Any:
        response = transform(self, *args, **kwargs)
        reason = kwargs["raw_response"].json().get("finish_reason") or "stop"
        response.choices[0].finish_reason = core_helpers.map_finish_reason(reason)
        if error := failure(reason):
            response.choices[0].message.provider_specific_fields = {"error": error}
        return response

    CohereStream.convert_str_chunk_to_generic_chunk = parse_line
    CohereV2ChatConfig.transform_response = transform_whole


core_helpers._FINISH_REASON_MAP.update(
    {
        "pause_turn": "length",  # Anthropic: the answer may go on, and does not here
        "model_context_window_exceeded": "length",  # Anthropic
        "model_length": "length",  # Mistral
        "MAX_TOKENS": "length",
        "ERROR_LIMIT": "length",  # Cohere
        "TOOL_CALL": "tool_calls",  # Cohere
        "STOP_SEQUENCE": "stop",  # Cohere
    }
)
_mend_readers()
_mend_cohere()

LISTENERS = (
    "callbacks",
    "success_callback",
    "_async_success_callback",
    "failure_callback",
    "_async_failure_callback",
)
"""Where LiteLLM keeps who is to be told of calls."""


def keep_quiet() -> None:
    """Let LiteLLM spare the log of the calls in this context, unless the program has it tell somebody.

    The log is made after each call, for as long as a third of it, be there anybody to read it or not.
    """
    is_internal_call.set(not is_heard())


def is_heard() -> bool:
    """Say whether the program has LiteLLM tell somebody of calls."""
    # "cache" calls nobody: LiteLLM enters it with any cache of its own, such as that for Gemini.
    return any(listener != "cache" for name in LISTENERS for listener in getattr(litellm, name))


def count_tokens(
    model: str, *, text: str | None = None, messages: Iterable[Mapping[str, Any]] | None = None
) -> int:
    """Count the tokens of a text or of messages by LiteLLM's tokenizer for the model."""
    sent = None if messages is None else [dict(message) for message in messages]
    return int(litellm.token_counter(model=model, text=text, messages=sent))


__all__ = [
    "BUNDLED",
    "LISTENERS",
    "AsyncHTTPHandler",
    "BaseOpenAILLM",
    "CooldownCache",
    "HTTPHandler",
    "InMemoryCache",
    "MidStreamFallbackError",
    "OpenAIClient",
    "RedisCache",
    "RouterRateLimitError",
    "RouterRateLimitErrorBasic",
    "ServiceLogging",
    "count_tokens",
    "is_heard",
    "keep_quiet",
    "litellm",
    "tls_context",
]
