"""The life of a client: what it has open, from the first call over reloads to the end."""

from __future__ import annotations

import atexit
import os
import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self
from weakref import WeakSet

from supernova_ai import config as configuration
from supernova_ai import early_import
from supernova_ai.alerts.outbox import AlertEvent
from supernova_ai.blocking import exiting
from supernova_ai.concurrency import check_loop, collection_paused, in_thread
from supernova_ai.config import Config, Loaded
from supernova_ai.errors import ConfigError, NoProvider, UnsupportedLoop
from supernova_ai.keys import MasterKey, Vault, open_vault
from supernova_ai.log import get_logger
from supernova_ai.prompts import Library
from supernova_ai.reload.versions import Cause
from supernova_ai.reload.watcher import Watcher, fingerprint, require_settings
from supernova_ai.store import Store

if TYPE_CHECKING:
    from supernova_ai.execution.engine import Engine
    from supernova_ai.runtime import Runtime

log = get_logger(__name__)

_FIXED = ("database", "redis", "environment")
"""Settings that a reload cannot change."""


class ClientLifecycle:
    """Opens what a client works with at the first call, reloads it, watches its files, and closes it.

    The arguments and errors are those of ``Supernova``.
    """

    def __init__(
        self,
        config: Config | str | Path | None = None,
        *,
        master: MasterKey | None = None,
        alert_sinks: Sequence[Callable[[AlertEvent], object]] = (),
        watch: bool = False,
        preload: bool = True,
    ) -> None:
        self._source = config
        if watch:
            self._must_have_files()
        self._master = master
        self._alert_sinks = tuple(alert_sinks)
        self._watch = watch
        self._watcher: Watcher | None = None
        self._loaded = _load(config)
        self._seen = fingerprint(self._loaded, self._loaded.texts) if watch else ""
        self._library = Library(self._loaded.prompts)
        for problem in self._library.problems():
            log.warning("prompts.file.wrong", problem=problem, then="calls that use it fail")
        self._lock = threading.Lock()
        self._reloading = threading.Lock()
        self._store: Store | None = None
        self._runtime: Runtime
        self._pid = 0  # of the process whose runtime is open
        if preload and self.config.enabled:
            early_import.begin()

    @property
    def config(self) -> Config:
        """The configuration in force."""
        return self._loaded.config

    @property
    def config_version(self) -> str:
        """The hash of the configuration, which is recorded with every attempt."""
        return self._loaded.version

    def store(self) -> Store:
        """Return the open database, for records that need neither a model nor LiteLLM.

        Raises:
            StoreError: it cannot be opened; the message says what to do.
        """
        with self._lock:
            return self._open_store()

    def vault(self) -> Vault:
        """Return the vault of the open database. It looks for its master key when it first needs one."""
        return open_vault(self.store(), explicit=self._master, environ=configuration.read_environ())

    async def warm_up(self) -> None:
        """Open everything now instead of at the first call; importing LiteLLM takes some seconds.

        Where LLM calls are switched off, this does nothing.
        """
        if self.config.enabled:
            await self._ready()

    async def reload(self, config: Config | str | Path | None = None) -> None:
        """Apply the configuration again from its source, or this one, to the attempts that begin from now on.

        A wrong configuration changes nothing.

        Raises:
            ConfigError: it is wrong, or changes a setting that needs a new client.
        """
        check_loop()
        await in_thread(self._reload, config, "reload")

    def watch(self) -> None:
        """Apply edits of the files by itself from now on, once the client is open and until it is closed.

        Raises:
            ConfigError: the configuration is not in files.
        """
        self._must_have_files()
        with self._lock:
            if not self._watch:
                self._watch, self._seen = True, fingerprint(self._loaded, self._loaded.texts)
                if self._is_open():
                    self._start_watcher()

    def apply_edits(self, cause: Literal["watch", "signal"] = "watch") -> None:
        """Reload as ``reload`` does, from a thread, but log what is wrong instead of raising it.

        Args:
            cause: why, for the configuration's version.
        """
        try:
            self._reload(None, cause)
        except Exception as error:  # the watcher keeps running
            log.error("config.refused", cause=cause, reason=str(error), error=type(error).__name__)
        else:
            log.info("config.applied", cause=cause, version=self.config_version)

    def close(self) -> None:
        """Cancel running calls, settle their holds and close. Closing twice does nothing."""
        with self._lock:
            runtime = self._runtime if self._is_open() else None
            watcher, self._watcher = self._watcher if runtime else None, None
            store, self._store = self._store, None
            self._pid = 0
            _open_clients.discard(self)
        with ExitStack() as closing:  # if the runtime's closing raises, the store closes all the same
            for part in (store, runtime, watcher):
                if part is not None:
                    closing.callback(part.close)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        try:
            check_loop()
        except UnsupportedLoop:
            self.close()  # every call was refused: the caller must see what the body raised
        else:
            await in_thread(self.close)

    async def _ready(self) -> Engine:
        if not self.config.enabled:
            raise NoProvider("LLM calls are switched off: set 'enabled: true', or LLM_ENABLED=true")
        check_loop()
        if not self._is_open():
            await in_thread(self._open)
        return self._runtime.engine

    def _is_open(self) -> bool:
        return self._pid == os.getpid()

    def _open(self) -> None:
        early_import.wait_for_end()
        with collection_paused():
            from supernova_ai.runtime import Runtime  # imports LiteLLM: seconds, so not before it is needed

        with self._lock:
            if self._is_open():
                return
            runtime = Runtime(
                self._open_store(), self._loaded, master=self._master, alert_sinks=self._alert_sinks
            )
            # A runtime inherited by a fork stays referenced: collecting it would close the parent's polling.
            self._inherited = getattr(self, "_runtime", None)
            self._runtime, self._pid = runtime, os.getpid()
            self._reloading = threading.Lock()  # a fork may have copied it while it was locked
            if self._watch:
                self._start_watcher()

    def _start_watcher(self) -> None:
        self._watcher = Watcher(lambda: self._loaded, self._seen, self.apply_edits)

    def _open_store(self) -> Store:
        _open_clients.add(self)
        if self._store is None:
            self._store = Store(self._loaded.database)
        return self._store

    def _reload(self, given: Config | str | Path | None, cause: Cause) -> None:
        source = self._source if given is None else given
        with self._reloading:
            runtime = self._runtime if self._is_open() else None
            try:
                loaded = _load(source)
                if given is None:
                    require_settings(self._loaded, loaded)
                seen = fingerprint(loaded, loaded.texts) if self._watch else ""
                library = Library(loaded.prompts)
                library.check()
                self._check_fixed(loaded.config)
            except ConfigError as error:
                if runtime:
                    runtime.refused(error, cause)
                raise
            applied: Runtime | None = None
            while True:
                with self._lock:  # after an opening that is under way
                    opened = self._runtime if self._is_open() else None
                    if opened is None or opened is applied:
                        self._source, self._loaded, self._library, self._seen = source, loaded, library, seen
                        return
                opened.apply(loaded, cause)  # without that lock: it may wait for probes
                applied = opened

    def _check_fixed(self, config: Config) -> None:
        fixed = [name for name in _FIXED if getattr(config, name) != getattr(self.config, name)]
        if fixed:
            raise ConfigError(
                f"{', '.join(fixed)} cannot change while a client runs, so nothing was applied: restart the "
                f"program, or make a new client"
            )

    def _must_have_files(self) -> None:
        if isinstance(self._source, Config):
            raise ConfigError("a Config made in code has no files to watch: pass a path, or nothing")


def _load(source: Config | str | Path | None) -> Loaded:
    if source is None or isinstance(source, str | Path):
        return configuration.load(source)
    if isinstance(source, Config):
        return Loaded.of(source)
    raise ConfigError(
        f"the configuration must be a Config, the path of a YAML file or None, not {type(source).__name__}: "
        f"Config.model_validate makes a Config of a dict"
    )


_open_clients: WeakSet[ClientLifecycle] = WeakSet()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_open_clients.clear)  # the parent closes them


@atexit.register
def _close_all() -> None:
    """Close the clients that are still open: their running calls settle their holds."""
    exiting.set()
    early_import.wait_for_end()
    with ExitStack() as closing:  # if one raises, the others close all the same
        for client in list(_open_clients):
            closing.callback(client.close)
