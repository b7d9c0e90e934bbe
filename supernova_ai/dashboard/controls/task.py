"""What a control works with, each opened when it is first needed, in the process of the controls."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from supernova_ai import config as configuration
from supernova_ai.config import Loaded
from supernova_ai.keys import Vault, open_vault
from supernova_ai.store import Store

if TYPE_CHECKING:
    from supernova_ai.client_sync import SupernovaSync
    from supernova_ai.operations.editing import Editor


class Task:
    """One use of a control by a user.

    Args:
        path: the base file of the configuration, as for ``config.load``.
        values: what was sent, by the names of the fields; checked once the fields are known.
        opened: closes what was opened.
    """

    def __init__(self, path: Path | None, user: str, values: Mapping[str, str], opened: ExitStack) -> None:
        self.user = user
        self.values = values
        self._path = path
        self._opened = opened

    def withhold(self, name: str) -> None:
        """Forget the value of a field, so that it is not sent back to a page."""
        self.values = {**self.values, name: ""}

    @cached_property
    def loaded(self) -> Loaded:
        """The configuration of the files as they are now."""
        return configuration.load(self._path)

    @cached_property
    def store(self) -> Store:
        """The database, for writing."""
        return self._opened.enter_context(Store(self.loaded.database))

    @cached_property
    def vault(self) -> Vault:
        """The vault; the first key makes a master key, as on the command line."""
        return open_vault(self.store, environ=configuration.read_environ(), create=True)

    @cached_property
    def editor(self) -> Editor:
        """The editor of the files, also if these have problems."""
        from supernova_ai.operations.editing import Editor

        return self._opened.enter_context(Editor.open(self._path))

    @cached_property
    def client(self) -> SupernovaSync:
        """A client, which asks models."""
        from supernova_ai.client_sync import SupernovaSync

        return self._opened.enter_context(SupernovaSync(self._path))
