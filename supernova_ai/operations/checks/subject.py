"""What the checks look at."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from supernova_ai.config import Config, Loaded
from supernova_ai.keys import Vault
from supernova_ai.store import Store


@dataclass(frozen=True, slots=True)
class Subject:
    """The configuration, and the database with its vault if it could be opened.

    ``source`` is the file that was named, None if it was searched for. ``offline``: no provider may be asked.
    """

    loaded: Loaded
    source: Path | None = None
    opened: Store | None = None
    opened_vault: Vault | None = None
    offline: bool = False

    @property
    def config(self) -> Config:
        """The settings in force."""
        return self.loaded.config

    @property
    def store(self) -> Store:
        """The open database; the checks that use it only run if there is one."""
        assert self.opened is not None
        return self.opened

    @property
    def vault(self) -> Vault:
        """The vault of the open database."""
        assert self.opened_vault is not None
        return self.opened_vault
