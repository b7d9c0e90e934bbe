"""Checks of the configuration: validity, weak settings of TLS, and the age of prices."""

from __future__ import annotations

import time
from collections.abc import Iterator

from supernova_ai import config as configuration
from supernova_ai.characters import counted
from supernova_ai.operations.checks.subject import Subject
from supernova_ai.operations.findings import Finding
from supernova_ai.operations.validation import validate
from supernova_ai.pricing import price_map

_OLD_PRICES_DAYS = 120


def validity(subject: Subject) -> Iterator[Finding]:
    """Report what ``supernova config validate`` reports."""
    result = validate(subject.loaded)
    for problem in (*subject.loaded.refused, *result.problems):
        yield Finding("configuration", "error", problem)
    for warning in (*subject.loaded.warnings, *result.warnings):
        yield Finding("configuration", "note", warning)
    files = [source for source in subject.loaded.sources if source.endswith(".yaml")]
    text = f"environment {subject.config.environment}, version {subject.loaded.version}, "
    text += f"from {', '.join(files)}" if files else "without a file: `supernova setup` writes one"
    yield Finding("configuration", "ok" if files else "note", text)


def certificates(subject: Subject) -> Iterator[Finding]:
    """Look for what switches the check of TLS certificates or the use of TLS off."""
    if reason := configuration.tls_unverified_by():
        yield Finding("tls", "error", f"certificates are not checked: {reason}", "remove that setting")
    for name in ("verify_tls", "require_tls"):
        if not getattr(subject.config, name):
            yield Finding(
                "tls", "warning", f"{name} is false: others could read keys and prompts", f"set {name}: true"
            )
    if subject.config.verify_tls and subject.config.require_tls and not configuration.tls_unverified_by():
        yield Finding("tls", "ok", "providers are reached by TLS, and their certificates are checked")


def prices(subject: Subject) -> Iterator[Finding]:
    """Say how old the bundled price map is at least, and which models have no price or end soon."""
    from supernova_ai.routing import provider_checks  # imports LiteLLM

    days = int((time.time() - price_map.file().stat().st_mtime) / 86_400)
    text = f"price map of {price_map.version()}, installed {counted(days, 'day')} ago"
    if days > _OLD_PRICES_DAYS:
        remedy = "upgrade this package, or write the prices of your models under 'providers.<name>.prices'"
        yield Finding("prices", "warning", f"{text}: providers may have changed prices since", remedy)
    else:
        yield Finding("prices", "ok", text)
    for line in provider_checks.models_without_price(subject.config):
        yield Finding("prices", "warning", line)
