"""Routes of an ASGI application: ``/metrics``, ``/health/live`` and ``/health/ready``."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from supernova_ai.config import Config
from supernova_ai.errors import StoreError
from supernova_ai.keys import Vault
from supernova_ai.log import get_logger
from supernova_ai.metrics import readiness
from supernova_ai.store import ReadOnlyStore, Store

log = get_logger(__name__)

METRICS = "/metrics"
LIVE = "/health/live"
READY = "/health/ready"

_FRESH = {"cache-control": "no-store"}


def routes(
    config: Callable[[], Config],
    store: Callable[[], Store | ReadOnlyStore],
    vault: Callable[[], Vault] | None = None,
) -> list[Route]:
    """Return the routes, for any application of Starlette. It must guard ``/metrics``, which shows costs.

    Args:
        config: returns the configuration in force.
        store: returns the open database.
        vault: returns its vault, where the application needs the master key.
    """

    def ready(_: Request) -> Response:
        checks = readiness.checks(config(), store, vault)
        well = all(result == readiness.OK for result in checks.values())
        return JSONResponse({"ready": well, "checks": checks}, 200 if well else 503, _FRESH)

    # Functions that are not async run on threads: they read the database.
    return [Route(METRICS, _metrics(config, store)), Route(LIVE, _live), Route(READY, ready)]


async def _live(_: Request) -> Response:
    return JSONResponse({"live": True}, headers=_FRESH)


def _metrics(
    config: Callable[[], Config], store: Callable[[], Store | ReadOnlyStore]
) -> Callable[[Request], Response]:
    if find_spec("prometheus_client") is None:
        how = "metrics need prometheus-client: pip install 'supernova-ai[metrics]'\n"
        return lambda _: PlainTextResponse(how, 501)
    from supernova_ai.metrics.exposition import Exposition

    exposition = Exposition(store, config)

    def metrics(request: Request) -> Response:
        try:
            text, media_type = exposition.render(request.headers.get("accept", ""))
        except StoreError as error:
            log.warning("metrics.database.unusable", reason=str(error))
            return PlainTextResponse("the database cannot be used\n", 503)
        return Response(text, headers=_FRESH, media_type=media_type)

    return metrics
