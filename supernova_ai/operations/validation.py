"""Everything about a configuration that can be checked before a call, for ``supernova config validate``."""

from __future__ import annotations

from dataclasses import dataclass

from supernova_ai.alerts import channels
from supernova_ai.config import Loaded
from supernova_ai.config.fields import VAULT_PREFIX, notify_name
from supernova_ai.prompts import Library, faults


@dataclass(frozen=True, slots=True)
class ValidationResult:
    """The faults of a configuration that could be loaded, and what in it is probably a mistake."""

    problems: tuple[str, ...]
    warnings: tuple[str, ...]


def validate(loaded: Loaded) -> ValidationResult:
    """Check templates, providers, models, prices and notification URLs."""
    from supernova_ai.routing import provider_checks  # imports LiteLLM, which lists providers and models

    config = loaded.config
    library = Library(loaded.prompts)
    problems = library.problems()
    for template in library.usable():
        problems += [f"{template.source}: {fault}" for fault in faults(template, config.routing.tasks)]
    unknown = provider_checks.unknown_providers(config)
    unpriced = [] if unknown else provider_checks.models_without_price(config)
    problems += unknown
    for i, url in enumerate(config.alerts.notify):
        if not url.startswith(VAULT_PREFIX) and not channels.is_valid(url):
            name = f"alerts.notify[{i}] ({notify_name(url)})"
            problems.append(f"{name}: Apprise knows no such URL, or a part of it is missing")
    problems += provider_checks.address_variables(config, fatal=True)
    warnings = [*provider_checks.never_asked(config), *provider_checks.address_variables(config, fatal=False)]
    (problems if config.budgets else warnings).extend(unpriced)
    return ValidationResult(tuple(problems), tuple(warnings))
