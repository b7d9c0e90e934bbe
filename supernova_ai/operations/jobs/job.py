"""A job that can be done, and what it works with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from peewee import Database

from supernova_ai.config import Config, Loaded, data_folder, read_environ
from supernova_ai.keys import Vault
from supernova_ai.operations.jobs.planned import PlannedJob
from supernova_ai.store import Store

DAY_MS = 86_400_000

Outcome = str | Callable[[Database], str]
"""What a job did, in a few words; or its last change of the database, which returns these words. That change
is made in the transaction that records the run, so it is made once per run that is recorded."""


class JobFailed(Exception):
    """The job found something that a person must see; the message says what it is and what to do."""


@dataclass(frozen=True, slots=True)
class Context:
    """What a job works with. It writes nothing through the store once another process leads.

    ``now_ms`` is when the run began: Unix milliseconds, by the database's clock.
    """

    store: Store
    vault: Vault
    loaded: Loaded
    now_ms: int

    @property
    def config(self) -> Config:
        """The configuration in force."""
        return self.loaded.config

    def folder(self, name: str) -> Path:
        """Return the folder of that name in the data folder."""
        return data_folder(read_environ()) / name


@dataclass(frozen=True, slots=True)
class Job(PlannedJob):
    """A job that can be done. Running it twice does no harm.

    ``work`` does it. It may raise anything: the run is recorded as failed, and tried again later.
    """

    work: Callable[[Context], Outcome]
