"""``supernova doctor``: every dependency and promise that can be checked, with a remedy for each fault."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from supernova_ai import config as configuration
from supernova_ai.errors import StoreError
from supernova_ai.keys import open_vault
from supernova_ai.operations.checks import budgets, files, keys, machine, records, settings
from supernova_ai.operations.checks.subject import Subject
from supernova_ai.operations.findings import Finding
from supernova_ai.secret import redact
from supernova_ai.store import Store

Check = Callable[[Subject], Iterator[Finding]]

CHECKS: dict[str, Check] = {
    "python": machine.python,
    "packages": machine.packages,
    "sqlite": machine.sqlite,
    "disk": machine.disk,
    "clock": machine.clock,
    "time zones": machine.time_zones,
    "files": files.permissions,
    "configuration": settings.validity,
    "tls": settings.certificates,
    "prices": settings.prices,
    "budgets": budgets.limits,
    "database": records.database,
    "ledger": records.ledger,
    "audit": records.audit,
    "advice": records.advice,
    "master key": keys.master,
    "keys": keys.slots,
    "providers": keys.providers,
    "backups": records.backups,
    "jobs": records.jobs,
}
"""Every check by name, in the order of the report."""


def examine(source: Path | None = None, *, offline: bool = False) -> list[Finding]:
    """Run every check and return what was found, in the order of the checks.

    Opening the database runs its migrations, as any command does.

    Args:
        source: the configuration file; None searches for it.
        offline: ask no provider.

    Raises:
        ConfigError: the configuration is wrong: nothing else can be checked before it is mended.
    """
    loaded = configuration.load(source, strict=False)
    without_store = {name: CHECKS[name] for name in _WITHOUT_STORE}
    if loaded.refused:  # the database may be a new one that must not be made
        return _in_order(_run(Subject(loaded, source), without_store))
    try:
        store = Store(loaded.database)
    except StoreError as error:
        broken = Finding("database", "error", str(error))
        return _in_order([broken, *_run(Subject(loaded, source), without_store)])
    with store:
        vault = open_vault(store, environ=configuration.read_environ())
        return _in_order(_run(Subject(loaded, source, store, vault, offline), CHECKS))


_WITHOUT_STORE = ("python", "packages", "sqlite", "disk", "files", "configuration", "tls", "prices")


def fix(findings: list[Finding]) -> list[Finding]:
    """Apply every safe fix; return the findings, with those that were fixed marked."""
    done = []
    for finding in findings:
        if finding.fix is not None:
            with suppress(OSError):
                finding.fix()
                finding = replace(finding, fixed=True)
        done.append(finding)
    return done


def _run(subject: Subject, checks: dict[str, Check]) -> Iterator[Finding]:
    for name, check in checks.items():
        try:
            yield from check(subject)
        except Exception as error:  # one broken part must not hide the others
            yield Finding(name, "error", redact(f"the check failed: {error}"))


def _in_order(findings: Iterator[Finding] | list[Finding]) -> list[Finding]:
    names = list(CHECKS)
    return sorted(findings, key=lambda it: names.index(it.check))
