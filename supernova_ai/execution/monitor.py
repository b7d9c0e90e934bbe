"""The health of deployments in this process: circuits, latencies and probes, kept in the store as well."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping

from supernova_ai import health
from supernova_ai.config import Config
from supernova_ai.execution.probes import Ask, FindKey, Prober
from supernova_ai.health import CircuitState, DeploymentIdentity, Sample
from supernova_ai.ledger import Ledger
from supernova_ai.litellm_adapter.router import Router
from supernova_ai.log import get_logger
from supernova_ai.routing.circuit_breaker import OF_KEY, Circuit, CircuitBreaker
from supernova_ai.routing.deployments import Deployment
from supernova_ai.routing.latency import LatencyStats
from supernova_ai.types import Probe

log = get_logger(__name__)


class Monitor:
    """The circuit breaker, the latencies and the prober. They live on the engine's loop and survive reloads.

    Args:
        router: shares circuits with other machines.
        find_key: as for ``Prober``.
        ask: as for ``Prober``.
    """

    def __init__(
        self,
        config: Config,
        ledger: Ledger,
        *,
        router: Router,
        find_key: FindKey,
        ask: Ask,
    ) -> None:
        self._ledger = ledger
        self._router = router
        self._identities: dict[str, DeploymentIdentity] = {}
        self.stats = LatencyStats()
        self.breaker = CircuitBreaker(config.routing.breaker, self._changed)
        self.prober = Prober(self.breaker, self.stats, find_key, ask, self._probed)
        self._probing: asyncio.Task[None] | None = None

    def apply(self, config: Config, deployments: Mapping[str, Deployment]) -> None:
        """Monitor these deployments from now on."""
        # Earlier ones stay: running calls still end there.
        self._identities |= {deployment.id: deployment.identity for deployment in deployments.values()}
        self.breaker.settings = config.routing.breaker
        self.prober.apply(config, deployments.values())
        if self._probing is None:
            self._probing = asyncio.create_task(self.prober.run())

    def restore(self, samples: Iterable[Sample], states: Iterable[CircuitState]) -> None:
        """Restore what the store knows: how long attempts took, and which circuits are open."""
        for sample in samples:
            if sample.ok and sample.latency_ms is not None:
                first = None if sample.first_token_ms is None else sample.first_token_ms / 1000
                self.stats.restore(sample.deployment, sample.latency_ms / 1000, first)
        for state in states:
            left = (state.until_ms or 0) - self._ledger.now_ms()
            if state.state == "open" and left > 0 and state.error not in OF_KEY:
                self.breaker.restore(state.identity.id, state.error, left / 1000)

    def _changed(self, deployment: str, circuit: Circuit) -> None:
        """Record and share a circuit that opened, half-opened or closed."""
        log.info("engine.circuit.changed", deployment=deployment, **circuit._asdict())
        if circuit.state == "closed":
            self._router.cooldown_cache.share_closed(deployment)
        elif circuit.state == "open" and circuit.error not in OF_KEY:
            self._router.cooldown_cache.share_open(deployment, circuit.error, circuit.left_s)
        now_ms = self._ledger.now_ms()
        state = CircuitState(
            identity=self._identities[deployment],
            state=circuit.state,
            since_ms=now_ms,
            until_ms=now_ms + round(circuit.left_s * 1000) if circuit.left_s else None,
            failures=circuit.failures,
            error=circuit.error,
        )
        self._ledger.store.write(lambda database: health.record(database, state))

    def _probed(self, deployment: Deployment, found: Probe) -> None:
        """Record the result of a probe."""
        now_ms = self._ledger.now_ms()
        self._ledger.store.write(
            lambda database: health.record_probe(
                database, deployment.identity, now_ms=now_ms, result=found.result
            )
        )
