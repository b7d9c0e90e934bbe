"""Each name of LiteLLM that the adapter uses exists, with the parameters that the adapter passes or reads.

A new minor release of LiteLLM is taken by running this file first: each failure names what to adapt.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from collections.abc import Callable, Iterator
from operator import attrgetter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import aiohttp
import httpx
import pytest
from litellm._internal_context import is_internal_call
from litellm.litellm_core_utils import core_helpers
from litellm.litellm_core_utils.get_model_cost_map import GetModelCostMap
from litellm.llms.anthropic.chat.handler import ModelResponseIterator as AnthropicStream
from litellm.llms.base_llm.base_model_iterator import BaseModelResponseIterator
from litellm.llms.cohere.chat.v2_transformation import CohereV2ChatConfig
from litellm.llms.cohere.common_utils import CohereV2ModelResponseIterator as CohereStream
from litellm.llms.custom_httpx import http_handler
from litellm.llms.custom_httpx.aiohttp_transport import AiohttpResponseStream, LiteLLMAiohttpTransport
from litellm.llms.ollama.chat.transformation import OllamaChatCompletionResponseIterator as OllamaStream
from litellm.llms.openai.common_utils import BaseOpenAILLM
from litellm.llms.vertex_ai.vertex_llm_base import VertexBase

import supernova_ai
from supernova_ai.litellm_adapter import (
    error_causes,
    error_mapping,
    http,
    listeners,
    reader_patches,
    router,
    shared_cooldowns,
)
from supernova_ai.litellm_adapter.setup import litellm
from supernova_ai.pricing import price_map

PACKAGE = Path(supernova_ai.__file__).parent
TREES = {file: ast.parse(file.read_text()) for file in PACKAGE.rglob("*.py")}
ADAPTER = [tree for file, tree in TREES.items() if file.parent.name == "litellm_adapter"]

OVERRIDDEN: dict[type, dict[str, tuple[str, ...]]] = {
    router.Router: {
        "_acompletion_streaming_iterator": ("model_response", "initial_kwargs", "deployment_slot"),
        "async_get_available_deployment": ("model", "messages", "request_kwargs"),
        "increment_deployment_usage_for_response": (),
        "make_call": ("original_function",),
        "should_retry_this_error": ("error", "healthy_deployments"),
    },
    shared_cooldowns.SharedCooldowns: {"async_get_active_cooldowns": ("model_ids",)},
    http.Pool: {"create_client": (), "single_connection_post_request": (), "__del__": ()},
    reader_patches.OpenAIClient: {"_make_sse_decoder": ()},
    reader_patches.AzureClient: {"_make_sse_decoder": ()},
}
"""Methods that our subclasses replace, with the parameters that ours read."""

INHERITED = {
    router.Router: {
        *("acompletion", "aembedding", "arerank", "async_get_healthy_deployments", "cache", "cooldown_time"),
        *("discard", "set_model_list"),
    },
    shared_cooldowns.SharedCooldowns: {
        *("add_deployment_to_cooldown", "cache", "cooldown_store", "get_cooldown_cache_key"),
    },
    http.Pool: set(),
    reader_patches.OpenAIClient: set(),
    reader_patches.AzureClient: set(),
}
"""What our subclasses use of theirs, besides what they override."""

CALLED: dict[str, tuple[str, ...]] = {
    "Router": ("disable_cooldowns", "redis_url"),
    "Router.acompletion": ("model", "messages", "stream", "kwargs"),
    "Router.aembedding": ("model", "input", "kwargs"),
    "Router.arerank": ("model", "kwargs"),
    "Router.async_get_healthy_deployments": ("model", "request_kwargs"),
    "Router.discard": (),
    "Router.set_model_list": ("model_list",),
    "register_model": ("model_cost",),
    "router_utils.cooldown_cache.CooldownCache": ("cache", "default_cooldown_time"),
    "get_supported_openai_params": ("model", "custom_llm_provider"),
    "get_llm_provider": ("model", "api_key"),
    "token_counter": ("model", "text", "messages"),
    "anthropic_beta_headers_manager.reload_beta_headers_config": (),
    "types.utils.is_litellm_owned_kwarg": ("name",),
    "utils.get_optional_params": ("model", "custom_llm_provider", "drop_params", "kwargs"),
    "utils.get_optional_params_embeddings": ("model", "custom_llm_provider", "dimensions"),
    "utils.last_assistant_with_tool_calls_has_no_thinking_blocks": ("messages",),
    "utils.supports_prompt_caching": ("model", "custom_llm_provider"),
    "ServiceUnavailableError": ("message", "llm_provider", "model"),
    "Timeout": ("message", "llm_provider", "model"),
    "exceptions.MidStreamFallbackError": ("original_exception",),
    "caching.InMemoryCache": ("max_size_in_memory",),
    "caching.RedisCache": ("kwargs",),  # those of the Redis client
    "caching.RedisCache.disconnect": (),
    "caching.RedisCache.async_get_cache": ("key",),
    "caching.RedisCache.async_set_cache": ("key", "value"),
    "caching.InMemoryCache.async_batch_get_cache": (),
    "caching.RedisCache.async_batch_get_cache": (),
    "caching.InMemoryCache.async_set_cache_pipeline": ("cache_list", "ttl"),
    "caching.RedisCache.async_set_cache_pipeline": ("cache_list", "ttl"),
    "llms.custom_httpx.http_handler.AsyncHTTPHandler": ("event_hooks",),
    "llms.custom_httpx.http_handler.AsyncHTTPHandler.close": (),
    "llms.custom_httpx.http_handler.get_ssl_configuration": (),
    "litellm_core_utils.core_helpers.map_finish_reason": ("finish_reason",),
}
"""Functions and classes of LiteLLM that the package calls, with the parameters that it gives."""

PATCHED: list[tuple[Any, str, tuple[str, ...]]] = [
    (litellm.types.utils.Usage, "__init__", ()),
    (litellm.utils, "_get_max_position_embeddings", ()),
    (AnthropicStream, "chunk_parser", ("chunk",)),
    (OllamaStream, "chunk_parser", ("chunk",)),
    (BaseModelResponseIterator, "_string_to_dict_parser", ("str_line",)),
    (CohereStream, "chunk_parser", ("chunk",)),
    (CohereStream, "convert_str_chunk_to_generic_chunk", ("chunk",)),
    (CohereV2ChatConfig, "transform_response", ("raw_response",)),
    (LiteLLMAiohttpTransport, "_proxy_from_env", ("url",)),
    (http_handler.AsyncHTTPHandler, "create_client", ()),
    (http_handler.HTTPHandler, "create_client", ()),
    (VertexBase, "get_access_token", ("credentials", "project_id")),
    (VertexBase, "get_access_token_async", ("credentials", "project_id")),
    (BaseOpenAILLM, "_get_async_http_client", ()),
]
"""Functions of LiteLLM that the adapter replaces in place, with the parameters that ours read."""

FLAGS = (
    "disable_hf_tokenizer_download",
    "expose_router_debug_in_errors",
    "suppress_debug_info",
    "turn_off_message_logging",
)
"""Settings of LiteLLM that the adapter sets."""

READ = (
    *("AZURE_DEFAULT_API_VERSION", "AuthenticationError", "ContentPolicyViolationError"),
    *("ContextWindowExceededError", "UnsupportedParamsError", "open_ai_embedding_models"),
    *("exceptions", "model_cost", "models_by_provider", "provider_list", "ssl_verify", "utils", "Usage"),
)
"""Other names that the package reads of ``litellm``."""

PRIVATE: dict[str, Callable[[], object]] = {
    "_acompletion_streaming_iterator": lambda: litellm.Router,
    "_FINISH_REASON_MAP": lambda: core_helpers,
    "_get_async_http_client": lambda: BaseOpenAILLM,
    "_get_max_position_embeddings": lambda: litellm.utils,
    "_hidden_params": litellm.ModelResponse,
    "_proxy_from_env": lambda: LiteLLMAiohttpTransport,
    "_string_to_dict_parser": lambda: BaseModelResponseIterator,
    # Of what LiteLLM sends with:
    "_client_factory": lambda: LiteLLMAiohttpTransport(aiohttp.ClientSession),
    "_request_class": lambda: SimpleNamespace(**dict.fromkeys(aiohttp.ClientSession.ATTRS)),
    "_aiohttp_response": lambda: AiohttpResponseStream(None),
    "_content": lambda: httpx.Response(200, content=b""),
    "_mounts": httpx.AsyncClient,
    "_read_nowait": lambda: aiohttp.StreamReader,
    "_stream": lambda: httpx._client.BoundAsyncStream(None, None, None),  # type: ignore[arg-type]
    "_transport": httpx.AsyncClient,
}
"""Private names of other packages that the adapter uses, and what has them."""

PRIVATE_MODULES = ("litellm._internal_context", "litellm._service_logger", "openai._streaming")


def parameters(function: Any) -> set[str]:
    return set(inspect.signature(function).parameters)


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


def nodes(*kinds: type[ast.AST], trees: list[ast.Module] | None = None) -> Iterator[Any]:
    for tree in TREES.values() if trees is None else trees:
        yield from (node for node in ast.walk(tree) if isinstance(node, kinds))


def used_of_self(kind: type) -> set[str]:
    """Return the attributes that a class uses of ``self`` and ``super()`` without defining them."""
    (body,) = (node for node in nodes(ast.ClassDef, trees=ADAPTER) if node.name == kind.__name__)
    attributes = [node for node in ast.walk(body) if isinstance(node, ast.Attribute)]
    mine = [node for node in attributes if ast.unparse(node.value) in ("self", "super()")]
    own = {node.attr for node in mine if isinstance(node.ctx, ast.Store)}
    own |= vars(kind).keys() | inspect.get_annotations(kind).keys()
    return {node.attr for node in mine} - own


@pytest.mark.parametrize("kind", OVERRIDDEN)
def test_every_override_is_listed(kind: type) -> None:
    """A method that is overridden without being listed would not be looked at when LiteLLM changes."""
    bases = kind.__mro__[1:]
    ours = {name for name, value in vars(kind).items() if inspect.isfunction(value) and name != "__init__"}
    assert {name for name in ours if any(name in vars(base) for base in bases)} == OVERRIDDEN[kind].keys()
    assert used_of_self(kind) == INHERITED[kind]


def test_every_subclass_is_listed() -> None:
    """Each class of the adapter that extends one of LiteLLM or of OpenAI's client is in the lists here."""
    modules = [
        importlib.import_module(f"supernova_ai.litellm_adapter.{m}")
        for m in ("router", "http", "reader_patches", "shared_cooldowns")
    ]
    classes = {value for module in modules for value in vars(module).values() if inspect.isclass(value)}
    ours = {one for one in classes if one.__module__.startswith("supernova_ai.")}
    foreign = {
        one
        for one in ours
        if any(base.__module__.split(".")[0] in ("litellm", "openai") for base in one.__mro__[1:])
    }
    events = {reader_patches._ReadableEvent, reader_patches._ReadableEvents}  # their methods are public
    assert foreign - events == OVERRIDDEN.keys()


@pytest.mark.parametrize(
    ("kind", "name"), [(kind, name) for kind, names in OVERRIDDEN.items() for name in names]
)
def test_overridden_methods_take_what_ours_read(kind: type, name: str) -> None:
    """LiteLLM's own method has the parameters, and is a coroutine where ours is one."""
    theirs = next(vars(base)[name] for base in kind.__mro__[1:] if name in vars(base))
    assert set(OVERRIDDEN[kind][name]) <= parameters(theirs)
    assert inspect.iscoroutinefunction(theirs) == inspect.iscoroutinefunction(getattr(kind, name))


@pytest.mark.parametrize(("name", "given"), CALLED.items(), ids=CALLED)
def test_called_functions_take_what_is_given(name: str, given: tuple[str, ...]) -> None:
    """The function exists and has the parameters by name."""
    assert set(given) <= parameters(attrgetter(name)(litellm))


@pytest.mark.parametrize(
    ("owner", "name", "read"), PATCHED, ids=[f"{owner.__name__}.{name}" for owner, name, _ in PATCHED]
)
def test_patched_functions_are_in_litellms_source(owner: Any, name: str, read: tuple[str, ...]) -> None:
    """The source is read: the patch itself makes the name exist, and would do nothing for a renamed one."""
    definition = re.search(
        rf"^ *(async )?def {name}\((.*?)\)( ->[^\n]*)?:\n", inspect.getsource(owner), re.M | re.S
    )
    assert definition is not None
    assert set(read) <= set(re.findall(r"\w+", definition[2]))


@pytest.mark.parametrize("name", [*listeners.LISTENERS, *FLAGS, *READ])
def test_settings_and_lists_are_in_litellms_source(name: str) -> None:
    """A setting that LiteLLM does not have would do nothing."""
    assert hasattr(litellm, name)
    if name in FLAGS:
        assert re.search(rf"^{name}\b.*=", inspect.getsource(litellm), re.M)


@pytest.mark.parametrize("name", PRIVATE)
def test_private_names_exist(name: str) -> None:
    """Nobody promises that they stay."""
    assert hasattr(PRIVATE[name](), name)


def test_every_private_name_is_listed() -> None:
    """A private name of another package is in the list before it is used."""
    attributes = {
        node.attr
        for node in nodes(ast.Attribute, trees=ADAPTER)
        if is_private(node.attr) and ast.unparse(node.value) not in ("self", "cls")
    }
    calls = (
        node for node in nodes(ast.Call, trees=ADAPTER) if ast.unparse(node.func) in ("getattr", "setattr")
    )
    by_text = {ast.literal_eval(call.args[1]) for call in calls if isinstance(call.args[1], ast.Constant)}
    assert attributes | set(filter(is_private, by_text)) == PRIVATE.keys()
    modules = {
        node.module
        for node in nodes(ast.ImportFrom)
        if node.module and node.module.split(".")[0] in ("litellm", "openai")
        if any(map(is_private, [*node.module.split("."), *(name.name for name in node.names)]))
    }
    assert modules == set(PRIVATE_MODULES)


def test_every_name_of_litellm_is_listed() -> None:
    """What the package uses of the module ``litellm`` is in the lists here, by its first name."""
    used = {
        node.attr
        for node in nodes(ast.Attribute)
        if isinstance(node.value, ast.Name) and node.value.id == "litellm"
    }
    listed = {name.partition(".")[0] for name in (*CALLED, *FLAGS, *READ)}
    assert used <= listed
    assert set(FLAGS) <= used


def test_the_router_keeps_its_caches_where_the_adapter_looks() -> None:
    """Redis and the cooldowns that machines share."""
    made = litellm.Router(disable_cooldowns=True)
    try:
        assert made.cache.redis_cache is None
        assert {"model_id", "original_exception", "exception_status", "cooldown_time"} <= parameters(
            made.cooldown_cache.add_deployment_to_cooldown
        )
        assert callable(made.cooldown_cache.cooldown_store.delete_cache)
        assert made.cooldown_cache.get_cooldown_cache_key("one")
    finally:
        made.discard()


def test_the_price_map_is_the_one_that_litellm_loads() -> None:
    """Its file is read as data, and LiteLLM reads the same file in the same way."""
    assert price_map.bundled() == GetModelCostMap.load_local_model_cost_map()


def test_tables_have_the_form_that_is_read() -> None:
    """Finish reasons, the mark of internal calls, the lists of providers, the name of the HTTP handler."""
    assert isinstance(core_helpers._FINISH_REASON_MAP, dict)
    assert is_internal_call.get() in (True, False)
    assert "gpt-4o" in litellm.models_by_provider["openai"]
    assert "openai" in [getattr(name, "value", name) for name in litellm.provider_list]
    assert f'"{error_causes._HANDLER}"' in inspect.getsource(http_handler)
    assert {"llm_provider", "model", "message"} <= vars(error_mapping.timed_out(Asked())).keys()


class Asked:
    provider, model, type, address = "openai", "gpt-4o", "openai", None
