"""Generated operations: keys, versions of the configuration, alerts and runs of jobs, over six weeks.

The functions that make real ones make these, while the store's clock is set back.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Any

from peewee import Database

from supernova_ai.actor import acting
from supernova_ai.alerts import outbox
from supernova_ai.config import Config, Loaded
from supernova_ai.errors import ConfigError
from supernova_ai.keys import MasterKey, Vault, lifecycle
from supernova_ai.ledger.budgets import period_at
from supernova_ai.ledger.slices import Spent
from supernova_ai.ledger.thresholds import ThresholdWatch
from supernova_ai.money import to_nano
from supernova_ai.operations.jobs import runner
from supernova_ai.operations.jobs.leader import Lead, Leader
from supernova_ai.operations.jobs.planned import PLANNED, scheduled
from supernova_ai.operations.key_checks import remind
from supernova_ai.reload.versions import Cause, Versions
from supernova_ai.secret import Secret
from supernova_ai.store import Store
from supernova_ai.store.database import Clock
from supernova_ai.store.tables import JobRow

_DAY_S = 86_400
_PREFIXES = {"openai": "sk-", "anthropic": "sk-ant-", "huggingface": "hf_"}
_OUTCOMES = {
    "alerts": ("0 alerts to send", 21),
    "revoke": ("0 replaced keys revoked", 6),
    "keys": ("3 keys checked, 1 new reminder", 1340),
    "holds": ("0 holds became lost", 12),
    "expiry": ("3 rows deleted", 34),
    "reports": ("2 files written", 410),
    "backup": ("no passphrase: set backup.passphrase_file to a file that only this user can read", 3),
    "advice": ("0 deleted", 8),
    "verify": ("all right", 2700),
}
"""What each job did, and the milliseconds it took."""

_FAILING = "backup"


class _SetBack(Clock):
    """A clock that stands still, so many days before the present."""

    def __init__(self, now: float) -> None:
        super().__init__()
        self._now = now
        self.days = 0.0

    def __call__(self) -> float:
        return self._now - self.days * _DAY_S


class Operations:
    """What people did in the store, and the process that leads."""

    def __init__(self, store: Store, config: Config) -> None:
        self._store = store
        self._config = config
        self._leader = Leader(store)
        self._applied: list[tuple[int, str]] = []
        real = store.now
        store.now = clock = _SetBack(real())
        self._vault = Vault(store, MasterKey.of(secrets.token_bytes(32)))
        self._versions = Versions(store, self._vault)
        for clock.days, who, act in self._past():
            with acting("cli", who):
                act()
        store.now = real
        self.run_jobs()

    def version_at(self, at_ms: int) -> str:
        """Return the version of the configuration that was in force."""
        earlier = [version for since_ms, version in self._applied if since_ms <= at_ms]
        return earlier[-1] if earlier else self._applied[0][1]

    def run_jobs(self) -> None:
        """Lead, and record a run of each job that is due. No job is really run."""
        if lead := self._leader.claim():
            self._store.write(lambda database: self._record_due(database, lead)).result()

    def _past(self) -> Sequence[tuple[float, str, Callable[[], object]]]:
        """Return what was done: how many days ago, by whom, and how."""
        config = self._config
        firm, *others = config.budgets
        cautious = (firm.model_copy(update={"limit": Decimal(60)}), *others)
        slow = config.routing.model_copy(update={"wait": 10})
        hasty = config.routing.model_copy(update={"retries": 0})
        return (
            (46, "ann", self._add_keys),
            (46, "ann", partial(self._apply, "start", budgets=cautious, routing=slow)),
            (37, "ben", partial(self._apply, "set", budgets=cautious)),
            (24, "chiara", partial(self._apply, "watch", budgets=cautious, routing=hasty)),
            (23, "ben", partial(self._apply, "rollback", budgets=cautious)),
            (21, "ben", partial(self._rotate, "openai", timedelta(minutes=10))),
            (12, "chiara", self._refuse_an_edit),
            (9, "ann", partial(self._apply, "set")),
            (6, "ben", partial(self._set_expiry, "huggingface", timedelta(days=17))),
            (3, "ann", lambda: self._store.write(outbox.acknowledge).result()),
            (2, "ann", self._alert),
            (0.2, "ann", lambda: remind(self._store, config, self._store.now_ms())),
            (0.1, "ann", self._check_keys),
            (0.01, "ann", partial(self._rotate, "anthropic", timedelta(hours=2))),
            (0.0001, "ann", self._use_keys),
        )

    def _add_keys(self) -> None:
        for provider in _PREFIXES:
            self._vault.add(provider, "primary", _key(provider))

    def _apply(self, cause: Cause, **changed: Any) -> None:
        loaded = Loaded.of(self._config.model_copy(update=changed), environ={})
        self._versions.record(loaded, cause)
        self._applied.append((self._store.now_ms(), loaded.version))

    def _refuse_an_edit(self) -> None:
        wrong = ConfigError("config/supernova.yaml, line 41: 'budgets[2].limit' is -5: it must be above 0")
        self._versions.refused(wrong, "watch")

    def _rotate(self, provider: str, grace: timedelta) -> None:
        started = lifecycle.start_rotation(self._vault, provider, "primary", _key(provider))
        grace_ms = int(grace.total_seconds() * 1000)
        lifecycle.activate(self._vault, started, grace_ms=grace_ms, check_result="ok")

    def _set_expiry(self, provider: str, after: timedelta) -> None:
        expires = datetime.fromtimestamp(self._store.now(), UTC) + after
        lifecycle.set_expiry(self._vault, provider, "primary", expires)

    def _check_keys(self) -> None:
        for key in self._vault.list():
            if key.state == "active":
                lifecycle.note_check(self._vault, key, "ok")

    def _use_keys(self) -> None:
        def find_all(database: Database) -> list[Any]:
            return [self._vault.find(database, provider, "primary") for provider in _PREFIXES]

        for sealed in self._store.read(find_all):
            self._vault.note_use(sealed)

    def _alert(self) -> None:
        """Let a budget reach its thresholds."""
        budget = next(one for one in self._config.budgets if one.name == "research")
        limit, now_ms = to_nano(budget.limit), self._store.now_ms()
        period, _ = period_at(budget.per, datetime.fromtimestamp(now_ms / 1000, UTC))
        watch = ThresholdWatch({budget.name: limit}, self._config.alerts.thresholds)
        spent = Spent(budget.name, "", period, limit * 96 // 100)
        self._store.write(lambda database: watch.check(database, [spent], now_ms=now_ms)).result()

    def _record_due(self, database: Database, lead: Lead) -> None:
        rows = runner.rows(database)
        for job, schedule in scheduled(self._config, PLANNED):
            row = rows.get(job.name)
            if row and runner.due_ms(schedule, row, lead.now_ms) > lead.now_ms:
                continue
            started_ms = lead.now_ms if row else schedule.latest(lead.now_ms)
            failures = (row.failures if row else 3) + 1 if job.name == _FAILING else 0
            outcome, took_ms = _OUTCOMES[job.name]
            JobRow.insert(
                name=job.name,
                fence=lead.fence,
                started_ms=started_ms,
                ended_ms=started_ms + took_ms,
                done_ms=started_ms - failures * _DAY_S * 1000,
                duration_ms=took_ms,
                outcome=outcome,
                runs=row.runs + 1 if row else 1,
                failures=failures,
            ).on_conflict("REPLACE").execute(database)


def _key(provider: str) -> Secret:
    return Secret(f"{_PREFIXES[provider]}demo{secrets.token_hex(16)}")
