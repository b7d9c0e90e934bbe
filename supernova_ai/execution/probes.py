"""Probes check deployments in cooldown or without recent requests, and their keys.

Free probes list models or ask who owns the key. A provider without a free endpoint is probed by a request for
one token, if the configuration allows paid probes. A probe that succeeds makes an open circuit half-open; it
never closes one, because listing models is not answering.
"""

from __future__ import annotations

import asyncio
import random
import re
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, NamedTuple
from urllib.parse import urljoin

import httpx

from supernova_ai.config import Config, check_tls
from supernova_ai.config.network import proxy_for
from supernova_ai.errors import (
    AuthenticationFailed,
    ProviderError,
    ProviderTimeout,
    ProviderUnavailable,
    SupernovaError,
)
from supernova_ai.litellm_adapter.http import harden, redirection
from supernova_ai.litellm_adapter.key_transport import KeyNotSent, MayBeSent
from supernova_ai.litellm_adapter.setup import tls_context
from supernova_ai.routing.circuit_breaker import CircuitBreaker
from supernova_ai.routing.deployments import Deployment, api_base
from supernova_ai.routing.latency import LatencyStats
from supernova_ai.secret import Secret
from supernova_ai.types import Probe

_TIMEOUT_S = 10.0
_JITTER = 0.2
_REFUSED = (401, 403)

_ENDPOINTS: Mapping[str, tuple[str, str]] = {
    "openai": ("https://api.openai.com/v1/", "models"),
    "anthropic": ("https://api.anthropic.com/", "v1/models"),
    "ollama": ("http://localhost:11434/", "api/tags"),
    "huggingface": ("https://huggingface.co/", "/api/whoami-v2"),
}
"""Free endpoints used as probes: each provider's usual address, and the path."""


class ProbedKey(NamedTuple):
    """A deployment's key, decrypted, with its id; what it takes none has none of them."""

    secret: Secret | None = None
    id: str | None = None
    may_be_sent: MayBeSent | None = None


Ask = Callable[[Deployment], Awaitable[object]]
FindKey = Callable[[Deployment], Awaitable[ProbedKey]]


class Prober:
    """Probes deployments, each key of a provider once.

    Args:
        find_key: returns a deployment's key.
        ask: sends a paid request for one token.
        report: called with the result of each probe.
    """

    def __init__(
        self,
        breaker: CircuitBreaker,
        stats: LatencyStats,
        find_key: FindKey,
        ask: Ask,
        report: Callable[[Deployment, Probe], object],
    ) -> None:
        self._breaker = breaker
        self._stats = stats
        self._find_key = find_key
        self._ask = ask
        self._report = report
        self._begun = stats.clock()
        self._random = random.Random()  # noqa: S311 - a schedule is no secret

    def apply(self, config: Config, deployments: Iterable[Deployment]) -> None:
        """Probe these deployments from now on."""
        self._config = config
        self._deployments = tuple(deployments)

    async def run(self) -> None:
        """Probe deployments that are in cooldown or idle, until cancelled."""
        while True:
            settings = self._config.health
            spread = self._random.uniform(1 - _JITTER, 1 + _JITTER)
            await asyncio.sleep(settings.every * spread)
            if settings.probes != "off":
                await self.probe(self._due(), pay=settings.probes == "paid")

    async def probe(
        self, deployments: Iterable[Deployment] | None = None, *, pay: bool = False
    ) -> list[Probe]:
        """Probe the deployments (default: all) concurrently; return one result per key."""
        keys: dict[tuple[str, str | None], list[Deployment]] = {}
        for deployment in self._deployments if deployments is None else deployments:
            keys.setdefault((deployment.provider, deployment.slot), []).append(deployment)
        found = await asyncio.gather(*(self._probe(served, pay) for served in keys.values()))
        return [probe for probe in found if probe is not None]

    def _due(self) -> list[Deployment]:
        """Return deployments that are in cooldown or idle."""
        idle_since = self._stats.clock() - self._config.health.idle
        return [
            d
            for d in self._deployments
            if self._breaker.circuit(d.id).state != "closed"
            or max(self._begun, self._stats.of(d.id).last_seen) < idle_since
        ]

    async def _probe(self, served: list[Deployment], pay: bool) -> Probe | None:
        first = served[0]
        free = has_free_probe(first.type)
        if not free and not pay:
            return None
        started = time.monotonic()
        error: SupernovaError | None = None
        key = ProbedKey()
        try:
            if free:
                key = await self._find_key(first)
                await probe_key(self._config, first.provider, key.secret, key.may_be_sent)
            else:
                await self._ask(first)
        except SupernovaError as failure:
            error = failure
        except Exception as failure:  # no error may stop the probes or show a key
            error = ProviderUnavailable(f"{first.provider} could not be probed: {type(failure).__name__}")
        result = type(error).__name__ if error else "ok"
        reason = str(error) if error else None
        probe = Probe(first.provider, first.slot, result, time.monotonic() - started, reason)
        for deployment in served:
            self._stats.of(deployment.id).last_seen = self._stats.clock()
            if error is None:
                self._breaker.half_open(deployment.id)
            elif isinstance(error, AuthenticationFailed):
                self._breaker.failed(deployment.id, "probe", error, key.id)
            self._report(deployment, probe)
        return probe


def has_free_probe(kind: str) -> bool:
    """Return whether providers of this type have an endpoint that costs nothing and checks the key."""
    return kind in _ENDPOINTS


async def probe_key(
    config: Config, provider: str, key: Secret | None, may_be_sent: MayBeSent | None = None
) -> None:
    """Call the provider's free endpoint with the key; it needs no client.

    Args:
        may_be_sent: asked once there is a connection; the key is not sent if it was revoked meanwhile.

    Raises:
        ProviderError: the provider could not be reached, or refused the key.
        ConfigError: TLS certificates are not verified, but must be.
    """
    check_tls(verify=config.verify_tls)
    kind = config.type_of(provider)
    usual, path = _ENDPOINTS[kind]
    url = urljoin((api_base(config, provider) or usual).rstrip("/") + "/", path)
    failure: ProviderError | None = None

    async def trace(event: str, _: Any) -> None:
        if event.endswith("send_request_headers.started") and may_be_sent and not await may_be_sent():
            raise KeyNotSent("its key was revoked meanwhile")

    try:
        transport = httpx.AsyncHTTPTransport(verify=tls_context(), proxy=proxy_for(url))
        async with harden(httpx.AsyncClient(timeout=_TIMEOUT_S, transport=transport)) as client:
            headers = _credentials(kind, key)
            answer = await client.get(url, headers=headers, extensions={"trace": trace})
        if answer.status_code in _REFUSED:
            failure = AuthenticationFailed(f"{provider} refused the key", provider=provider)
            if answer.status_code == 403 or re.search("scope|permission", answer.text, re.IGNORECASE):
                failure = ProviderUnavailable(
                    f"{provider}'s key has no permission to list models, so the probe cannot check it",
                    provider=provider,
                )
        elif not answer.is_success:
            wrong_path = "; check 'api_base'" if answer.status_code in (404, 405) else ""
            reason = redirection(answer) or (
                f"it answered HTTP {answer.status_code} (asked at {url}){wrong_path}"
            )
            failure = ProviderUnavailable(f"{provider} failed a probe: {reason}", provider=provider)
    except httpx.TimeoutException:
        failure = ProviderTimeout(f"{provider} did not answer a probe", provider=provider)
    except httpx.HTTPError:
        failure = ProviderUnavailable(f"{provider} could not be reached", provider=provider)
    if failure is not None:
        raise failure  # outside the handlers: the key is in their frames


def _credentials(kind: str, key: Secret | None) -> dict[str, str]:
    if key is None:
        return {}
    if kind == "anthropic":
        return {"x-api-key": key.reveal(), "anthropic-version": "2023-06-01"}
    return {"authorization": f"Bearer {key.reveal()}"}
