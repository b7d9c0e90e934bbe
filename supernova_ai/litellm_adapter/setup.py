"""LiteLLM, imported and set up: no .env read into the process, no price map fetched, no key in its logs."""

from __future__ import annotations

import logging
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import import_module

from supernova_ai.config.network import proxy_for
from supernova_ai.log import get_logger
from supernova_ai.secret import redact

log = get_logger(__name__)

_FOR_IMPORT = {"LITELLM_MODE": "PRODUCTION", "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
_BUNDLED_HEADERS = {"LITELLM_LOCAL_ANTHROPIC_BETA_HEADERS": "True"}
_LEFT_FOR_CALLS = (
    "_strptime",
    "anyio._backends._asyncio",
    "openai.resources",
    "litellm.litellm_core_utils.default_encoding",
    "litellm.llms.edenai.chat.transformation",
    "litellm.llms.fal_ai.chat",
    "litellm.llms.fal_ai.cost_calculator",
    "litellm.llms.openai.chat.gpt_audio_transformation",
    "litellm.llms.vertex_ai.vertex_ai_partner_models.anthropic.transformation",
    "litellm.proxy.openai_files_endpoints.common_utils",
    "litellm.types.litellm_core_utils.streaming_chunk_builder_utils",
)
"""What the first call and the first stream would import, on the loop of all calls."""


@contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    """Set the variables during the import only: the program's environment stays as it is."""
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


_imported_before = "litellm" in sys.modules and any(
    os.environ.get(name) != value for name, value in _FOR_IMPORT.items()
)
with _environment(_FOR_IMPORT | _BUNDLED_HEADERS):
    import litellm
    from litellm._service_logger import ServiceLogging
    from litellm.anthropic_beta_headers_manager import reload_beta_headers_config
    from litellm.caching import InMemoryCache, RedisCache
    from litellm.llms.custom_httpx.aiohttp_transport import LiteLLMAiohttpTransport
    from litellm.llms.custom_httpx.http_handler import get_ssl_configuration as tls_context

    for _name in _LEFT_FOR_CALLS:
        with suppress(ImportError):  # a later LiteLLM may have moved it: the first call takes longer then
            import_module(_name)
    reload_beta_headers_config()  # else it fetches them at the first call of Claude with tools or a schema
if _imported_before:
    log.warning(
        "engine.litellm.imported_before",
        then="LiteLLM may have read .env into the environment and fetched a price map over the network; "
        "prices here are those of its bundled map",
        remedy="import supernova_ai.litellm_adapter before litellm, or set LITELLM_MODE=PRODUCTION and "
        "LITELLM_LOCAL_MODEL_COST_MAP=True",
    )

litellm.suppress_debug_info = True
litellm.expose_router_debug_in_errors = False
litellm.turn_off_message_logging = True
# Some models' tokenizers are on a hub: LiteLLM would ask it for half a minute, blocking the event loop.
litellm.disable_hf_tokenizer_download = True
# LiteLLM would also ask that hub for the context length of models that its map lacks.
litellm.utils._get_max_position_embeddings = lambda *_, **__: None
# LiteLLM would send requests for this machine to a proxy, and reads no networks in NO_PROXY.
LiteLLMAiohttpTransport._proxy_from_env = lambda _, url: proxy_for(str(url))

_BYTES = re.compile(r"[A-Za-z0-9+/]{256,}={0,2}")
"""An attachment as it is sent: no log may contain it."""


class _Forward(logging.Filter):
    """Passes LiteLLM's log records on as redacted debug events: their tracebacks quote the provider.

    It is a filter and not a handler, so that no other handler sees the records first.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        message = _BYTES.sub("[bytes]", record.getMessage())
        log.debug("litellm.log", level=record.levelname, message=message)
        return False


class _Redact(logging.Filter):
    """Redacts the log of OpenAI's client: it has requests and error answers, which may repeat a key."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = _BYTES.sub("[bytes]", redact(record.getMessage())), ()
        if record.exc_info:
            record.exc_text = redact(logging.Formatter().formatException(record.exc_info))
            record.exc_info = None
        return True


for _name in ("LiteLLM", "LiteLLM Router", "LiteLLM Proxy"):
    _logger = logging.getLogger(_name)
    _logger.addFilter(_Forward())
    _logger.handlers = [logging.NullHandler()]
    _logger.propagate = False
logging.getLogger("openai._base_client").addFilter(_Redact())

__all__ = ["InMemoryCache", "RedisCache", "ServiceLogging", "litellm", "tls_context"]
