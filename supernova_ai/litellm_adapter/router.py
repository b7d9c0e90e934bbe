"""LiteLLM's Router: it retries and falls back. Our selector chooses each attempt, our request state ends it.

Only this file overrides methods of LiteLLM's Router; ``tests/litellm_adapter/test_contract.py`` lists them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import litellm

from supernova_ai.config import Config, check_tls
from supernova_ai.config.provider_checks import RERANK_TYPES
from supernova_ai.errors import NoAnswer, SupernovaError
from supernova_ai.litellm_adapter import answer_errors, error_causes, error_mapping
from supernova_ai.litellm_adapter.answer_errors import AnsweredAttempt
from supernova_ai.litellm_adapter.answer_json import record_answers
from supernova_ai.litellm_adapter.http import Pool
from supernova_ai.litellm_adapter.key_transport import MayBeSent, placeholder_for
from supernova_ai.litellm_adapter.listeners import skip_log_without_listeners
from supernova_ai.litellm_adapter.reader_patches import AzureClient, OpenAIClient
from supernova_ai.litellm_adapter.shared_cooldowns import SharedCooldowns
from supernova_ai.secret import Secret
from supernova_ai.types import EMBEDDING, RERANK, TIERS, ModelGroup, Request

_CALL = "supernova_call"
"""Name of the call's id in the Router's metadata: an id survives the copies that the Router makes."""

_OF_CHATS = frozenset(
    {"anthropic", "azure", "azure_ai", "bedrock", "databricks", "deepseek", "fireworks_ai", "gemini", "groq"}
    | {"mistral", "ollama_chat", "openai", "openrouter", "together_ai", "vertex_ai", "xai"}
)
_ACCEPT_CLIENT: Mapping[str, frozenset[str]] = {
    **dict.fromkeys(TIERS, _OF_CHATS),
    EMBEDDING: frozenset(
        {"azure", "bedrock", "cohere", "fireworks_ai", "gemini", "hosted_vllm", "jina_ai", "mistral"}
        | {"nebius", "nvidia_nim", "openai", "openrouter", "together_ai", "vertex_ai", "voyage"}
    ),
    RERANK: RERANK_TYPES,
}
"""LiteLLM's providers that accept our HTTP client, by group; others need another kind of client."""

_OPENAI_CLIENT: Mapping[str, frozenset[str]] = {
    **dict.fromkeys(TIERS, frozenset({"openai"})),
    EMBEDDING: frozenset({"fireworks_ai", "mistral", "nebius", "nvidia_nim", "openai", "together_ai"}),
    RERANK: frozenset(),
}
"""Those of them that need it within a client of OpenAI's."""


class RoutedAttempt(AnsweredAttempt, Protocol):
    """The attempt of a request, as the Router needs it; ``AttemptState`` is one."""

    key: Secret | None
    key_may_be_sent: MayBeSent | None
    messages: list[dict[str, Any]]


class RoutedRequest(Protocol):
    """A request as the Router needs it; ``RequestState`` is one."""

    request: Request
    streaming: bool
    limit: asyncio.Timeout | None

    @property
    def below(self) -> Sequence[ModelGroup]: ...

    @property
    def error(self) -> SupernovaError | None: ...

    @property
    def attempts(self) -> Sequence[RoutedAttempt]: ...

    @property
    def current(self) -> RoutedAttempt | None: ...

    async def read_first_text(self, stream: Any) -> None: ...

    def read_answer(self, response: Any) -> None: ...

    def failed(self, error: BaseException) -> None: ...


class AttemptSelector(Protocol):
    """Chooses the deployment of each attempt; ``Selector`` is one."""

    async def choose(self, call: Any, candidates: list[dict[str, Any]], *, last: bool) -> dict[str, Any]: ...

    def retries(self, call: Any, tier: str) -> int: ...

    def healthy(self, deployment: str) -> bool: ...

    def is_resting(self, deployment: str) -> bool: ...


class Router(litellm.Router):  # type: ignore[misc]  # untyped base
    """Retries and falls back as LiteLLM does; ``Selector`` chooses and holds every attempt."""

    def __init__(self, config: Config) -> None:
        super().__init__(disable_cooldowns=True, redis_url=config.redis)
        self.discard()  # from LiteLLM's global callbacks, which count for its own strategies and cooldowns
        self._calls: dict[str, RoutedRequest] = {}
        self._pools: dict[str, Pool] = {}
        self.cooldown_cache = SharedCooldowns(self.cache, self.cooldown_time)

    def apply(
        self,
        config: Config,
        model_list: list[dict[str, Any]],
        price_entries: dict[str, dict[str, Any]],
        selector: AttemptSelector,
    ) -> None:
        """Apply this configuration to new attempts; running attempts finish under the one they began with.

        Args:
            model_list: LiteLLM's list of deployments.
            price_entries: entries to add to LiteLLM's price map.
        """
        self._selector = selector
        self.cooldown_cache.decides_here = selector.is_resting
        self._verify_tls = config.verify_tls
        self._connect = {name: provider.timeout.connect for name, provider in config.providers.items()}
        litellm.register_model(price_entries)
        self.set_model_list(model_list)

    async def ask(self, call: RoutedRequest, *, stream: bool) -> Any:
        """Send the call's request to its tier; returns LiteLLM's response or its stream of chunks."""
        request = call.request
        options: dict[str, Any] = {"stream_options": {"include_usage": True}} if stream else {}
        call.streaming = stream
        self._calls[request.id] = call
        skip_log_without_listeners()
        routed: dict[str, Any] = {
            "model": request.tier,
            "fallbacks": [{request.tier: call.below}] if call.below else [],
            "metadata": {**request.metadata, _CALL: request.id},
        }
        if request.tier == EMBEDDING:
            return await self.aembedding(input=list(request.texts), **routed)
        if request.tier == RERANK:
            return await self.arerank(query=request.query, documents=list(request.texts), **routed)
        # Each attempt has the messages as its provider reads them.
        return await self.acompletion(messages=[], stream=stream, **routed, **options)

    def forget(self, call: RoutedRequest) -> None:
        """Forget a call that has ended."""
        self._calls.pop(call.request.id, None)

    async def async_get_available_deployment(
        self,
        model: str,
        request_kwargs: dict[str, Any],
        messages: list[dict[str, Any]] | None = None,
        *args: Any,
        **kwargs: Any,
    ) -> dict[str, Any]:
        """Choose one attempt's deployment, with its messages, its key and its HTTP client.

        LiteLLM documents this method as the one that a custom routing strategy replaces. The list of messages
        that it gets is the one that is sent.
        """
        check_tls(verify=self._verify_tls)  # each time: the program may have changed it
        call = self._calls[request_kwargs["metadata"][_CALL]]
        offered = await self.async_get_healthy_deployments(model, request_kwargs, messages, *args, **kwargs)
        if isinstance(call.error, NoAnswer):
            raise call.error  # another attempt would probably cost as much, and answer as little
        last = model == [call.request.tier, *call.below][-1]
        chosen = await self._selector.choose(call, offered, last=last)
        params, attempt = chosen["litellm_params"], call.attempts[-1]
        if messages is not None:
            messages[:] = attempt.messages
            request_kwargs["_skip_mcp_handler"] = True  # with tools, it needs a package that is not installed
        kind = _kind(params["model"])
        if kind in _ACCEPT_CLIENT[model]:
            if attempt.key is not None:
                params["api_key"] = placeholder_for(
                    attempt.key, attempt.key_may_be_sent, params.get("aws_region_name", "")
                )
            if kind == "vertex_ai":
                params["vertex_credentials"] = params["api_key"]
            request_kwargs["client"] = self._client(model, chosen["model_info"]["provider"], params)
        return chosen

    def _client(self, group: str, provider: str, params: Mapping[str, Any]) -> Any:
        """Return the HTTP client that LiteLLM uses for the attempt."""
        # A pool for each provider: requests that hang at one take no connection from another.
        if provider not in self._pools:
            self._pools[provider] = Pool(lambda: self._connect[provider])
        pool, kind = self._pools[provider], _kind(params["model"])
        if kind == "azure":
            return AzureClient(
                api_key=params["api_key"],
                azure_endpoint=params["api_base"],
                api_version=params.get("api_version") or litellm.AZURE_DEFAULT_API_VERSION,
                http_client=pool.client,
            )
        if kind not in _OPENAI_CLIENT[group]:
            return pool
        # OpenAI's client would send the key to OpenAI: LiteLLM knows the address of each provider.
        usual = None if "api_base" in params else litellm.get_llm_provider(params["model"], api_key="none")[3]
        # LiteLLM would make one of these and keep it, key and all, for an hour.
        return OpenAIClient(
            api_key=params["api_key"],
            base_url=params.get("api_base", usual),
            organization=params.get("organization"),
            http_client=pool.client,
            max_retries=0,
        )

    async def increment_deployment_usage_for_response(self, *_: Any, **__: Any) -> None:
        """Do nothing: LiteLLM would take 0.16 ms to find that no deployment has a limit that it counts."""

    async def _acompletion_streaming_iterator(self, *, model_response: Any, **kwargs: Any) -> Any:
        """Return a stream once it has its first text: a break before that is retried like any failure."""
        call = self._calls[kwargs["initial_kwargs"]["metadata"][_CALL]]
        try:
            await call.read_first_text(model_response)
        except BaseException as error:
            await model_response.aclose()
            await kwargs["deployment_slot"].aclose()
            if isinstance(error, Exception):
                raise error_mapping.stream_error(error, call.attempts[-1].deployment)  # noqa: B904 - it has its cause
            raise
        return await super()._acompletion_streaming_iterator(model_response=model_response, **kwargs)

    async def aclose(self) -> None:
        """Close the connections."""
        for pool in self._pools.values():
            await pool.close()

    async def make_call(self, original_function: Any, *args: Any, **kwargs: Any) -> Any:
        """Make one attempt within its time; if it fails, end its hold while the error has its causes."""
        call = self._calls[kwargs["metadata"][_CALL]]
        arrived: list[Any] = []
        record_answers(arrived)
        try:
            async with asyncio.timeout(None) as call.limit:
                response = await super().make_call(original_function, *args, **kwargs)
            if not call.streaming:
                call.read_answer(response)
            return response
        except Exception as error:
            failure = error
            if isinstance(error, TimeoutError) and call.current:
                failure = error_mapping.timed_out(call.current.deployment)
            elif call.current:
                failure = answer_errors.failure_of(error, call.current, arrived)
            call.failed(failure)
            error_causes.mark_ended(failure)
            failure.num_retries = self._selector.retries(call, kwargs["model"])  # type: ignore[attr-defined]
            raise failure  # noqa: B904 - it keeps its causes

    def should_retry_this_error(
        self, error: Exception, healthy_deployments: list[dict[str, Any]] | None = None, **_: Any
    ) -> bool:
        """Retry if another attempt may succeed; raise our own errors, and refusals of the request itself.

        LiteLLM would decide by the error's status, which it invents if there was none.
        """
        healthy = (self._selector.healthy(one["model_info"]["id"]) for one in healthy_deployments or ())
        if isinstance(error, SupernovaError) or not any(healthy):
            raise error
        if error_mapping.is_final_refusal(error) or error_mapping.out_of_file_descriptors(error):
            raise error
        return True


def _kind(model: str) -> str:
    """Return LiteLLM's name of the provider."""
    return model.partition("/")[0]
