"""LiteLLM's Router, with our strategy at its choke point and our calls told of every failed attempt."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from functools import partial
from typing import Any

from supernova_ai.config import Config, check_tls
from supernova_ai.engine import deployments as fleet
from supernova_ai.engine import faults, no_answer
from supernova_ai.engine.answer_json import record_into
from supernova_ai.engine.breaker import OF_KEY, Circuit
from supernova_ai.engine.call import Call
from supernova_ai.engine.deployments import Deployment
from supernova_ai.engine.lite import OpenAIClient, keep_quiet, litellm
from supernova_ai.engine.parts import with_parts
from supernova_ai.engine.pool import Pool, stand_in
from supernova_ai.engine.strategy import Strategy
from supernova_ai.errors import NoAnswer, SupernovaError
from supernova_ai.log import get_logger

log = get_logger(__name__)

_CALL = "supernova_call"
"""Where a call's id travels in the Router's metadata: an id survives the copies the Router makes."""

_TAKES_OURS = frozenset(
    {"anthropic", "azure_ai", "databricks", "deepseek", "fireworks_ai", "gemini", "groq"}
    | {"mistral", "ollama_chat", "openai", "openrouter", "together_ai", "xai"}
)
"""LiteLLM's providers known to work with an HTTP client given to them; some want another kind."""


class Router(litellm.Router):  # type: ignore[misc]  # untyped base
    """Retries and falls back as LiteLLM does; ``Strategy`` chooses and holds every attempt."""

    def __init__(self, config: Config) -> None:
        super().__init__(disable_cooldowns=True, redis_url=config.redis)
        self.discard()  # from LiteLLM's global lists: it counts there for its own strategies and cooldowns
        self._calls: dict[str, Call] = {}
        self._pools: dict[str, Pool] = {}
        self._sharing: set[asyncio.Future[None]] = set()  # kept, lest they be collected before they are done

    def serve(self, config: Config, deployments: dict[str, Deployment], strategy: Strategy) -> None:
        """Serve this configuration from now on; calls under way finish as they began."""
        self._strategy = strategy
        self._verify_tls = config.verify_tls
        self._connect = {name: provider.timeout.connect for name, provider in config.providers.items()}
        litellm.register_model(fleet.unpriced(deployments))
        self.set_model_list(fleet.model_list(config, deployments))

    async def ask(self, call: Call, *, stream: bool) -> Any:
        """Send the call's request to its tier; returns LiteLLM's response or its stream of chunks."""
        request = call.request
        options: dict[str, Any] = {"stream_options": {"include_usage": True}} if stream else {}
        call.streaming = stream
        self._calls[request.id] = call
        keep_quiet()
        return await self.acompletion(
            model=request.tier,
            messages=with_parts(request.messages, len(call.asked.messages) - 1, request.attachments),
            stream=stream,
            fallbacks=[{request.tier: call.below}] if call.below else [],
            metadata={**request.metadata, _CALL: request.id},
            **options,
        )

    def forget(self, call: Call) -> None:
        """Drop the call: it is over."""
        self._calls.pop(call.request.id, None)

    def share(self, deployment: str, circuit: Circuit) -> None:
        """Tell other machines of a circuit that opened or closed, through LiteLLM's cooldowns in Redis."""
        if self.cache.redis_cache is None:
            return
        shared = self.cooldown_cache
        if circuit.state == "open":
            if circuit.error in OF_KEY:
                return
            rest_s = math.ceil(circuit.left_s)  # Redis keeps whole seconds
            tell = partial(shared.add_deployment_to_cooldown, deployment, circuit.error, 0, rest_s)
        elif circuit.state == "closed":
            tell = partial(shared.cooldown_store.delete_cache, shared.get_cooldown_cache_key(deployment))
        else:
            return
        sharing = asyncio.ensure_future(_try(tell))
        self._sharing.add(sharing)
        sharing.add_done_callback(self._sharing.discard)

    def _filter_cooldown_deployments(
        self, healthy_deployments: list[dict[str, Any]], cooldown_deployments: list[str]
    ) -> list[dict[str, Any]]:
        """Leave out what other machines found to rest; our own breaker decides on what it knows of."""
        theirs = [name for name in cooldown_deployments if not self._strategy.rests(name)]
        offered: list[dict[str, Any]] = super()._filter_cooldown_deployments(healthy_deployments, theirs)
        return offered

    async def async_get_available_deployment(
        self, model: str, request_kwargs: dict[str, Any], *args: Any, **kwargs: Any
    ) -> dict[str, Any]:
        """Choose one attempt's deployment: LiteLLM knows which there are, the strategy which to take."""
        check_tls(verify=self._verify_tls)  # each time: the program may have changed it
        call = self._calls[request_kwargs["metadata"][_CALL]]
        offered = await self.async_get_healthy_deployments(model, request_kwargs, *args, **kwargs)
        if isinstance(call.error, NoAnswer):
            raise call.error  # it was paid for, and may well be so again
        last = model == [call.request.tier, *call.below][-1]
        chosen = await self._strategy.choose(call, offered, last=last)
        params, key = chosen["litellm_params"], call.flights[-1].key
        if key is not None and _kind(params["model"]) in _TAKES_OURS:
            params["api_key"] = stand_in(key)
        return chosen

    async def _async_get_healthy_deployments(
        self, *args: Any, **kwargs: Any
    ) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """Return those that a retry could go to, and all of the group: what LiteLLM decides retries by."""
        healthy, every = await super()._async_get_healthy_deployments(*args, **kwargs)
        return [d for d in healthy if self._strategy.healthy(d["model_info"]["id"])], every

    def _get_async_openai_model_client(self, deployment: dict[str, Any], **_: Any) -> Any:
        """Return the client LiteLLM is to use for the attempt; None lets it use its own."""
        params = deployment["litellm_params"]
        kind = _kind(params["model"])
        if kind not in _TAKES_OURS:
            return None
        # A pool for each provider: what hangs at one takes no connection from another.
        provider = deployment["model_info"]["provider"]
        if provider not in self._pools:
            self._pools[provider] = Pool(lambda: self._connect[provider])
        pool = self._pools[provider]
        if kind != "openai":
            return pool
        # LiteLLM would make one of these and keep it, key and all, for an hour.
        return OpenAIClient(
            api_key=params["api_key"],
            base_url=params.get("api_base"),
            http_client=pool.client,
            max_retries=0,
        )

    async def increment_deployment_usage_for_response(self, *_: Any, **__: Any) -> None:
        """Do nothing: LiteLLM would count requests and tokens a minute for strategies of its own."""

    async def _acompletion_streaming_iterator(self, *, model_response: Any, **kwargs: Any) -> Any:
        """Hand a stream over once its first text is there: a break before is retried like any failure."""
        call = self._calls[kwargs["initial_kwargs"]["metadata"][_CALL]]
        try:
            await call.opened(model_response)
        except BaseException as error:
            await model_response.aclose()
            await kwargs["deployment_slot"].aclose()
            if isinstance(error, Exception):
                raise faults.in_stream(error, call.flights[-1].deployment)  # noqa: B904 - it has its cause
            raise
        return await super()._acompletion_streaming_iterator(model_response=model_response, **kwargs)

    async def aclose(self) -> None:
        """Close the connections."""
        for pool in self._pools.values():
            await pool.close()

    async def make_call(self, original_function: Any, *args: Any, **kwargs: Any) -> Any:
        """Make one attempt in its time; if it fails, end its hold while the error still has its causes."""
        call = self._calls[kwargs["metadata"][_CALL]]
        arrived: list[Any] = []
        record_into(arrived)
        try:
            async with asyncio.timeout(None) as call.limit:
                response = await super().make_call(original_function, *args, **kwargs)
            if not call.streaming:
                call.landed(response)
            return response
        except Exception as error:
            failure = error
            if isinstance(error, TimeoutError) and call.flight:
                failure = faults.timed_out(call.flight.deployment)
            elif call.flight:
                failure = no_answer.failure_of(error, call.flight, arrived)
            call.failed(failure)
            faults.seal(failure)
            failure.num_retries = self._strategy.retries(call, kwargs["model"])  # type: ignore[attr-defined]
            raise failure  # noqa: B904 - its causes stay on it

    def should_retry_this_error(
        self, error: Exception, healthy_deployments: list[Any] | None = None, *_: Any, **__: Any
    ) -> bool:
        """Retry where somebody may do better; never a refusal of ours, or of the request itself.

        LiteLLM would go by the error's status, and makes one up where there was none.
        """
        if isinstance(error, SupernovaError) or not healthy_deployments:
            raise error
        if faults.is_callers(error) or faults.out_of_files(error):
            raise error
        return True


def _kind(model: str) -> str:
    """Return the provider as LiteLLM names it."""
    return model.partition("/")[0]


async def _try(tell: Callable[[], None]) -> None:
    """Tell Redis, on a thread: it may be slow, or away."""
    try:
        await asyncio.to_thread(tell)
    except Exception as error:  # of a driver that may not be installed
        log.warning("engine.circuit.not_shared", reason=str(error))
