"""The ASGI application: its routes, who may ask, and its life."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Container, Sequence
from contextlib import aclosing, asynccontextmanager, suppress
from hmac import compare_digest
from http import HTTPStatus

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from supernova_ai.characters import quoted
from supernova_ai.client import Supernova
from supernova_ai.config import Config, read_environ
from supernova_ai.config.network import LOOPBACK_HOSTS
from supernova_ai.default_client import default
from supernova_ai.errors import ConfigError, InvalidRequest
from supernova_ai.metrics import routes as monitoring
from supernova_ai.secret import Secret
from supernova_ai.serve import VARIABLE, answers, embeddings, failures
from supernova_ai.serve.chat_requests import ChatRequest
from supernova_ai.serve.disconnects import unless_disconnected
from supernova_ai.serve.headers import options_of
from supernova_ai.serve.request_bodies import read_json
from supernova_ai.types import RERANK, TIERS

_SHORTEST_TOKEN = 16

Endpoint = Callable[[Request], Awaitable[Response]]


def create_app(
    nova: Supernova,
    *,
    token: str | None,
    hosts: Sequence[str] | None = LOOPBACK_HOSTS,
    open_metrics: bool = False,
) -> Starlette:
    """Return an application that answers OpenAI's requests with the client.

    Serve it, or mount it into an application of your own. It opens the client when it starts, if it is
    served, and at the first call, if it is mounted. Close the client yourself.

    Args:
        nova: the client that answers.
        token: what clients send as their API key: at least 16 characters in ASCII. None: all who reach the
            application may ask; mount it behind an authentication of your own.
        hosts: the names in the header ``Host`` that are answered; None: all.
        open_metrics: answer ``/metrics`` without the token, as ``/health``.

    Raises:
        InvalidRequest: the token is too short, or is not ASCII.
    """

    @asynccontextmanager
    async def opened(_: Starlette) -> AsyncIterator[None]:
        await nova.warm_up()
        yield

    async def complete(request: Request) -> Response:
        return await _complete(request, nova)

    async def embed(request: Request) -> Response:
        return await _embed(request, nova)

    async def models(request: Request) -> Response:
        return _models(request, nova.config)

    answered = ["*"] if hosts is None else list(hosts)
    middleware = [Middleware(TrustedHostMiddleware, answered, www_redirect=False)]
    if token is not None:
        without_token = {monitoring.LIVE, monitoring.READY} | (
            {monitoring.METRICS} if open_metrics else set()
        )
        middleware.append(Middleware(_TokenRequired, checked_token(token), without_token))
    return Starlette(
        routes=[
            Route("/v1/chat/completions", _with_failures(complete), methods=["POST"]),
            Route("/v1/embeddings", _with_failures(embed), methods=["POST"]),
            Route("/v1/models", _with_failures(models), methods=["GET"]),
            Route("/v1/models/{model:path}", _with_failures(models), methods=["GET"]),
            *monitoring.routes(lambda: nova.config, nova.store, nova.vault),
        ],
        middleware=middleware,
        exception_handlers={HTTPException: _http_failure},
        lifespan=opened,
    )


def default_app() -> Starlette:
    """Return the application over the default client, with the token of the environment.

    Raises:
        ConfigError: there is no token, or it is too short.
    """
    token = read_environ().get(VARIABLE)
    if token is None:
        raise ConfigError(
            f"{VARIABLE} is not set, and the server must not be open to all: set it to what "
            f"`openssl rand -hex 24` prints, or start the server with `supernova serve`"
        )
    try:
        return create_app(default(), token=token)
    except InvalidRequest as error:
        raise ConfigError(f"{VARIABLE}: {error}") from None


def checked_token(token: str) -> Secret:
    """Return the token of a server.

    Raises:
        InvalidRequest: it is too short, or is not ASCII.
    """
    if not isinstance(token, str) or not token.isascii() or len(token) < _SHORTEST_TOKEN:
        raise InvalidRequest(
            f"the token must be at least {_SHORTEST_TOKEN} characters in ASCII: `openssl rand -hex 24` makes "
            f"a good one"
        )
    return Secret(token)


class _TokenRequired:
    """Lets only those pass who send the token as OpenAI's clients send an API key, or ask an open path."""

    def __init__(self, app: ASGIApp, token: Secret, open_paths: Container[str]) -> None:
        self._app = app
        self._token = token
        self._open_paths = open_paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or self._may_pass(scope):
            await self._app(scope, receive, send)
            return
        why = "the API key is missing or wrong: it must be the token of this server, as Bearer"
        response = failures.http_response(401, why, code="invalid_api_key")
        response.headers["www-authenticate"] = "Bearer"
        await response(scope, receive, send)

    def _may_pass(self, scope: Scope) -> bool:
        if scope["path"].removeprefix(scope.get("root_path", "")) in self._open_paths:
            return True
        scheme, _, token = dict(scope["headers"]).get(b"authorization", b"").partition(b" ")
        return scheme.lower() == b"bearer" and compare_digest(token, self._token.reveal().encode())


def _with_failures(endpoint: Endpoint) -> Endpoint:
    """Return the endpoint with every error answered in OpenAI's form."""

    async def answer(request: Request) -> Response:
        try:
            return await endpoint(request)
        except HTTPException:
            raise
        except ClientDisconnect:
            return Response(status_code=499)  # the client has disconnected
        except Exception as error:
            return failures.response(error)

    return answer


async def _http_failure(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    why = error.detail
    if error.status_code == HTTPStatus.NOT_FOUND:
        why = (
            f"this server has no path {quoted(request.url.path)}: it answers POST /v1/chat/completions, "
            f"POST /v1/embeddings and GET /v1/models"
        )
    response = failures.http_response(error.status_code, why)
    response.headers.update(error.headers or {})
    return response


async def _complete(request: Request, nova: Supernova) -> Response:
    asked = ChatRequest.of(await read_json(request), options_of(request.headers))
    if asked.stream:
        return await _streamed(request, nova, asked)
    work = nova.chat(response_model=asked.response_model, **asked.options)
    reply = await unless_disconnected(request.receive, work)
    return JSONResponse(answers.completion(reply, asked.ignored), headers=answers.headers(reply))


async def _streamed(request: Request, nova: Supernova, asked: ChatRequest) -> Response:
    events = answers.events(nova, asked)
    # Before the first one, an error still has its status.
    first = await unless_disconnected(request.receive, anext(events))
    return _EventStream(first, events)


class _EventStream(StreamingResponse):
    """Sends events until the client disconnects, which ends the provider's call."""

    def __init__(self, first: bytes, rest: answers.Events) -> None:
        self._rest = rest
        headers = {"cache-control": "no-store"}
        super().__init__(_chained(first, rest), headers=headers, media_type="text/event-stream")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - the base class's
        with suppress(ClientDisconnect):
            async with aclosing(self._rest):
                await unless_disconnected(receive, self.stream_response(send))


async def _chained(first: bytes, rest: answers.Events) -> answers.Events:
    yield first
    async for event in rest:
        yield event


async def _embed(request: Request, nova: Supernova) -> Response:
    body = await read_json(request)
    work = nova.embed(**embeddings.options_of(body, options_of(request.headers)))
    found = await unless_disconnected(request.receive, work)
    as_base64 = body.get("encoding_format") == "base64"
    return JSONResponse(embeddings.answer(found, as_base64=as_base64), headers=answers.headers(found))


def _models(request: Request, config: Config) -> Response:
    providers = {name: config.providers[name] for name in config.active_providers}
    owners = {
        f"{name}/{model}": name
        for name, provider in providers.items()
        for group, model in provider.models.items()
        if group != RERANK  # OpenAI's API has none
    }
    for tier in TIERS:
        if any(tier in provider.models for provider in providers.values()):
            owners[tier] = "supernova"
    owners["default"] = "supernova"
    listed = {
        name: {"id": name, "object": "model", "created": 0, "owned_by": owner}
        for name, owner in owners.items()
    }
    if (asked := request.path_params.get("model")) is None:
        return JSONResponse({"object": "list", "data": list(listed.values())})
    if asked not in listed:
        return failures.http_response(
            404, f"there is no model {quoted(asked)}: GET /v1/models lists them", code="model_not_found"
        )
    return JSONResponse(listed[asked])
