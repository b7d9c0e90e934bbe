"""The runtime: all that a client has open, opened, reconfigured and closed together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress

from supernova_ai import health
from supernova_ai.alerts.delivery import AlertDelivery
from supernova_ai.alerts.outbox import AlertEvent
from supernova_ai.config import Config, Loaded, read_environ
from supernova_ai.errors import ConfigError, StoreError, VaultError
from supernova_ai.execution.engine import Engine
from supernova_ai.keys import KeySource, MasterKey, open_vault
from supernova_ai.ledger import Ledger
from supernova_ai.log import get_logger
from supernova_ai.log.setup import use_user_key
from supernova_ai.reload.versions import Cause, Versions
from supernova_ai.sessions import Conversations
from supernova_ai.store import Store, log_user_key
from supernova_ai.types import Probe

log = get_logger(__name__)

_RECENT_MS = 3_600_000
"""A new runtime learns latencies and circuits from attempts that are not older than this."""


class Runtime:
    """The parts of an open client. Importing this module imports LiteLLM, which takes seconds.

    Args:
        store: stays open when the runtime closes.
        master: the master key; None finds it (see docs/keys.md).
        alert_sinks: called with each alert that this process delivers.
    """

    def __init__(
        self,
        store: Store,
        loaded: Loaded,
        *,
        master: MasterKey | None = None,
        alert_sinks: Sequence[Callable[[AlertEvent], object]] = (),
    ) -> None:
        config = loaded.config
        self._loaded = loaded
        self._store = store
        self._alert_sinks = alert_sinks
        use_user_key(store.write(log_user_key).result())
        # A program that has the master key itself gets no file in this user's data folder.
        self._vault = open_vault(store, explicit=master, environ=read_environ(), anchored=master is None)
        if any(key.state == "active" for key in self._vault.list()):
            self._vault.unlock()  # on this thread, which may wait for the keyring
        with ExitStack() as opening:
            self._delivery = self._new_delivery(config)
            opening.callback(lambda: self._delivery.close())  # the one in use then
            self.ledger = Ledger(store, ())
            opening.callback(self.ledger.close)
            self._set_budgets(config)
            self.ledger.sweep()
            self.keys = KeySource(
                self._vault,
                environ=read_environ(),
                allow_environment=config.environment_keys_allowed,
                environment_name=config.environment,
                custom_endpoints=config.custom_endpoints,
            )
            self.engine = Engine(config, loaded.version, self.ledger, self.keys)
            opening.callback(self.engine.close)
            self.conversations = Conversations(store, self._vault, self.engine.complete)
            self.conversations.prune(config)
            self._restore_health()
            self.versions = Versions(store, self._vault)
            self._record_start()
            self._delivery.start()
            self._opened = opening.pop_all()

    def apply(self, loaded: Loaded, cause: Cause = "reload") -> None:
        """Apply another configuration to new calls, as a version; if a part refuses it, all keep the old one.

        With ``reload.check``, the providers are probed before and after. If none is well any more,
        ``reload.rollback`` brings the configuration before back.

        Raises:
            ConfigError: it was rolled back.
        """
        before = self._loaded
        checked = loaded.config.reload.check == "probe" and _any_well(self.engine.probe())
        self._replace(loaded, cause)
        if checked and not _any_well(probes := self.engine.probe()):
            reasons = "; ".join(f"{probe.provider}: {probe.reason or probe.result}" for probe in probes)
            log.error("config.check.failed", reasons=reasons, rollback=loaded.config.reload.rollback)
            if loaded.config.reload.rollback:
                reason = f"No provider was well after the edit: {reasons}"
                self._replace(before, "rollback", reason)
                raise ConfigError(f"the edit was rolled back. {reason}")
            with suppress(StoreError):  # it is applied, and logged
                self.versions.check_failed(reasons)
            self._delivery.wake()

    def refused(self, error: Exception, cause: Cause) -> None:
        """Record that an edited configuration was refused, and alert."""
        self.versions.refused(error, cause)
        self._delivery.wake()

    def _replace(self, loaded: Loaded, cause: Cause, reason: str | None = None) -> None:
        config, environ = loaded.config, read_environ()
        delivery = self._new_delivery(config)
        self._set_budgets(config)  # before any new call
        try:
            self.engine.reload(config, loaded.version)
            try:
                self.versions.record(loaded, cause, reason=reason)
            except Exception:
                self.engine.reload(self._loaded.config, self._loaded.version)
                raise
        except Exception:
            self._set_budgets(self._loaded.config)
            raise
        # From here on nothing can fail.
        before, self._delivery = self._delivery, delivery
        self._set_budgets(config)
        delivery.start()
        before.close()
        self.keys.environ = environ
        self.keys.allow_environment = config.environment_keys_allowed
        self.keys.custom_endpoints = config.custom_endpoints
        self._loaded = loaded

    def close(self) -> None:
        """Cancel running calls, settle their holds and close everything but the store."""
        self._opened.close()

    def _record_start(self) -> None:
        """Record the configuration as a version if it is a new one; a client opens without that too."""
        try:
            self.versions.record(self._loaded, "start")
        except VaultError as error:
            log.warning("config.version.unrecorded", reason=str(error))

    def _new_delivery(self, config: Config) -> AlertDelivery:
        return AlertDelivery(
            self._store,
            config.all_budgets,
            config.alerts,
            verify_tls=config.verify_tls,
            resolve=lambda name: self._vault.reveal(name, "primary"),
            sinks=self._alert_sinks,
        )

    def _set_budgets(self, config: Config) -> None:
        self.ledger.apply(
            config.all_budgets, thresholds=config.alerts.thresholds, on_alert=self._delivery.wake
        )

    def _restore_health(self) -> None:
        since_ms = self.ledger.now_ms() - _RECENT_MS
        self.engine.monitor.restore(
            self._store.read(lambda database: health.recent(database, since_ms=since_ms, limit=2000)),
            self._store.read(health.states),
        )


def _any_well(probes: Sequence[Probe]) -> bool:
    """Say whether a provider is well; without a probe, nothing is known against any."""
    return not probes or any(probe.result == "ok" for probe in probes)
