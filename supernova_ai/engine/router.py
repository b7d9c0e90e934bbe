"""LiteLLM's Router, with our strategy at its choke point and our calls told of every failed attempt."""

from __future__ import annotations

from typing import Any

from supernova_ai.config import Config
from supernova_ai.engine import deployments as fleet
from supernova_ai.engine.call import Call
from supernova_ai.engine.deployments import Deployment
from supernova_ai.engine.lite import AsyncHTTPHandler, AsyncOpenAI, litellm
from supernova_ai.engine.strategy import Strategy
from supernova_ai.errors import SupernovaError

_CALL = "supernova_call"
"""Where a call's id travels in the Router's metadata: an id survives the copies the Router makes."""

_TAKES_OURS = frozenset(
    {"anthropic", "deepseek", "fireworks_ai", "gemini", "groq"}
    | {"mistral", "ollama_chat", "openrouter", "together_ai", "xai"}
)
"""LiteLLM's providers known to work with an HTTP client given to them; some want another kind."""


class _SendsOnce(AsyncHTTPHandler):  # type: ignore[misc]  # untyped base
    """LiteLLM's HTTP client without its habit of sending a request again when the connection breaks.

    Each sending may be charged, so each must have a hold of its own: the Router's retry sees to that.
    """

    async def single_connection_post_request(self, *_: Any, **__: Any) -> Any:
        """Raise the error that LiteLLM is handling when it calls this to send again."""
        raise

    def __del__(self) -> None:
        """Do nothing: ``Router.aclose`` closes it. LiteLLM would, on the loop of whoever collects it."""


class Router(litellm.Router):  # type: ignore[misc]  # untyped base
    """Retries, cools down and falls back as LiteLLM does; ``Strategy`` chooses and holds every attempt."""

    def __init__(self, config: Config, deployments: dict[str, Deployment], strategy: Strategy) -> None:
        self._cheaper = fleet.cheaper(config, deployments)
        super().__init__(
            model_list=fleet.model_list(config, deployments),
            fallbacks=[{tier: below} for tier, below in self._cheaper.items()],
            num_retries=config.routing.retries,
            allowed_fails=config.routing.breaker.failures - 1,
            cooldown_time=config.routing.breaker.cooldown,
            redis_url=config.redis,
        )
        litellm.register_model(fleet.unpriced(deployments))
        self._http = _SendsOnce()
        self._strategy = strategy
        self._calls: dict[str, Call] = {}

    async def ask(self, call: Call, *, stream: bool) -> Any:
        """Send the call's request to its tier; returns LiteLLM's response or its stream of chunks."""
        request = call.request
        options: dict[str, Any] = {"stream_options": {"include_usage": True}} if stream else {}
        if request.temperature is not None:
            options["temperature"] = request.temperature
        if request.model is not None:
            options["fallbacks"] = []
        self._calls[request.id] = call
        return await self.acompletion(
            model=request.tier,
            messages=[dict(message) for message in request.messages],
            stream=stream,
            metadata={_CALL: request.id},
            **options,
        )

    def forget(self, call: Call) -> None:
        """Drop the call: it is over, and the ranking may learn from it."""
        if self._calls.pop(call.request.id, None):
            self._strategy.learn(call)

    async def async_get_available_deployment(
        self, model: str, request_kwargs: dict[str, Any], *args: Any, **kwargs: Any
    ) -> dict[str, Any]:
        """Choose one attempt's deployment: LiteLLM knows which are healthy, the strategy which to take."""
        call = self._calls[request_kwargs["metadata"][_CALL]]
        healthy = await self.async_get_healthy_deployments(model, request_kwargs, *args, **kwargs)
        last = call.request.model is not None or not self._cheaper.get(model)
        return await self._strategy.choose(call, healthy, last=last)

    def _get_async_openai_model_client(self, deployment: dict[str, Any], **_: Any) -> Any:
        """Return the client LiteLLM is to use for the attempt; None lets it use its own."""
        params = deployment["litellm_params"]
        kind = params["model"].partition("/")[0]
        if kind == "openai":
            # LiteLLM would make one of these and keep it, key and all, for an hour.
            return AsyncOpenAI(
                api_key=params["api_key"],
                base_url=params.get("api_base"),
                http_client=self._http.client,
                max_retries=0,
            )
        return self._http if kind in _TAKES_OURS else None

    async def _acompletion_streaming_iterator(self, *, model_response: Any, **kwargs: Any) -> Any:
        """Hand a stream over once its first text is there: a break before is retried like any failure."""
        try:
            await self._calls[kwargs["initial_kwargs"]["metadata"][_CALL]].opened(model_response)
        except BaseException:
            await model_response.aclose()
            await kwargs["deployment_slot"].aclose()
            raise
        return await super()._acompletion_streaming_iterator(model_response=model_response, **kwargs)

    async def aclose(self) -> None:
        """Close the connections, and leave LiteLLM's global lists."""
        self.discard()
        await self._http.close()

    async def make_call(self, original_function: Any, *args: Any, **kwargs: Any) -> Any:
        """Make one attempt; if it fails, end its hold while the error still carries its causes."""
        try:
            return await super().make_call(original_function, *args, **kwargs)
        except Exception as error:
            self._calls[kwargs["metadata"][_CALL]].failed(error)
            raise

    def log_retry(self, kwargs: dict[str, Any], e: Exception) -> dict[str, Any]:
        """End the hold of a stream that broke before its first token: ``make_call`` had returned by then."""
        self._calls[kwargs["metadata"][_CALL]].failed(e)
        updated: dict[str, Any] = super().log_retry(kwargs, e)
        return updated

    def should_retry_this_error(
        self, error: Exception, healthy_deployments: list[Any] | None = None, *args: Any, **kwargs: Any
    ) -> bool:
        """Never retry a refusal of ours; do try another provider where one does not know its model."""
        if isinstance(error, SupernovaError):
            raise error
        if isinstance(error, litellm.NotFoundError) and len(healthy_deployments or ()) > 1:
            return True
        retry: bool = super().should_retry_this_error(error, healthy_deployments, *args, **kwargs)
        return retry
