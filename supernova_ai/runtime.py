"""The runtime: all that a client has open, opened, reconfigured and closed together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack

from supernova_ai import health
from supernova_ai.alerts.delivery import AlertDelivery
from supernova_ai.alerts.outbox import AlertEvent
from supernova_ai.config import Config, Loaded, read_environ
from supernova_ai.execution.engine import Engine
from supernova_ai.keys import KeySource, MasterKey, Vault, resolve
from supernova_ai.ledger import Ledger
from supernova_ai.sessions import Conversations
from supernova_ai.store import Store

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
        self._vault = Vault(store, lambda: resolve(store, explicit=master, environ=read_environ()))
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
            self._delivery.start()
            self._opened = opening.pop_all()

    def apply(self, loaded: Loaded) -> None:
        """Apply another configuration to new calls; if a part refuses it, all keep the one before."""
        config = loaded.config
        delivery = self._new_delivery(config)
        self._set_budgets(config)  # before any new call
        try:
            self.engine.reload(config, loaded.version)
        except Exception:
            self._set_budgets(self._loaded.config)
            raise
        # From here on nothing can fail.
        before, self._delivery = self._delivery, delivery
        self._set_budgets(config)
        delivery.start()
        before.close()
        self.keys.custom_endpoints = config.custom_endpoints
        self._loaded = loaded

    def close(self) -> None:
        """Cancel running calls, settle their holds and close everything but the store."""
        self._opened.close()

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
