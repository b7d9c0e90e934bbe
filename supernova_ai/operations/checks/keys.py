"""Checks of the master key, of the keys of providers, and of the providers themselves."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from supernova_ai import config as configuration
from supernova_ai.client import Supernova
from supernova_ai.errors import MasterKeyError
from supernova_ai.operations import key_checks
from supernova_ai.operations.checks.subject import Subject
from supernova_ai.operations.findings import Finding
from supernova_ai.types import Probe


def master(subject: Subject) -> Iterator[Finding]:
    """Look the master key up in its source."""
    try:
        found = subject.vault.unlock()
    except MasterKeyError as error:
        if subject.vault.has_master():
            yield Finding("master key", "error", str(error), "docs/recovery.md")
        else:
            remedy = "supernova setup makes one; so does the first supernova keys add"
            yield Finding("master key", "note", "there is no master key yet", remedy)
        return
    yield Finding("master key", "ok", f"from {found.source}")
    if subject.config.environment == "production" and found.kind == "environment":
        text = "the master key is in the environment, which other processes of this user can read"
        yield Finding("master key", "warning", text, "supernova keys rotate-master --to file")


def slots(subject: Subject) -> Iterator[Finding]:
    """Look for providers without a key, and for keys that expire, failed, or should be rotated."""
    yield from key_checks.findings(
        subject.config, subject.vault.list(), filled_slots(subject), subject.vault.now_ms()
    )


def filled_slots(subject: Subject) -> set[tuple[str, str]]:
    """Return the provider and slot of each key that a call can use."""
    environ = configuration.read_environ()
    return key_checks.filled_slots(subject.config, subject.vault.list(), environ, subject.vault.now_ms())


def providers(subject: Subject) -> Iterator[Finding]:
    """Ask each provider that has a key for its models, which costs nothing."""
    if subject.offline:
        yield Finding("providers", "note", "not asked: --offline")
        return
    filled = filled_slots(subject)
    working = 0
    for probe in asyncio.run(_probe(subject)):
        if probe.key_slot is not None and (probe.provider, probe.key_slot) not in filled:
            continue
        name = probe.provider if probe.key_slot is None else f"{probe.provider} ({probe.key_slot})"
        if probe.result == "ok":
            working += 1
            yield Finding("providers", "ok", f"{name} answered in {probe.latency_s:.2f} s")
        else:
            local = probe.key_slot is None  # its server need not be running
            yield Finding(
                "providers", "note" if local else "warning", f"{name}: {probe.reason or probe.result}"
            )
    if filled and not working:
        yield Finding("providers", "error", "no provider with a key answered", "supernova health check")


async def _probe(subject: Subject) -> list[Probe]:
    async with Supernova(subject.source) as nova:
        return await nova.probe()
