"""Everything about a configuration that can be checked before a call, for ``supernova config validate``."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from supernova_ai.alerts import channels
from supernova_ai.config import Loaded
from supernova_ai.config.environment import misspelt
from supernova_ai.config.fields import VAULT_PREFIX, notify_name
from supernova_ai.prompts import Library, faults


@dataclass(frozen=True, slots=True)
class ValidationResult:
    """The faults of a configuration that could be loaded, and what in it is probably a mistake."""

    problems: tuple[str, ...]
    warnings: tuple[str, ...]


def validate(loaded: Loaded, variables: Iterable[str]) -> ValidationResult:
    """Check templates, providers, models, prices, notification URLs and the names of variables.

    Args:
        variables: the names of all environment variables that are set.
    """
    from supernova_ai.routing import deployments  # imports LiteLLM, which lists providers and models

    config = loaded.config
    library = Library(loaded.prompts)
    problems = library.problems()
    for template in library.usable():
        problems += [f"{template.source}: {fault}" for fault in faults(template, config.routing.tasks)]
    unknown = deployments.unknown_providers(config)
    unpriced = [] if unknown else deployments.models_without_price(config)
    problems += unknown
    for i, url in enumerate(config.alerts.notify):
        if not url.startswith(VAULT_PREFIX) and not channels.is_valid(url):
            name = f"alerts.notify[{i}] ({notify_name(url)})"
            problems.append(f"{name}: Apprise knows no such URL, or a part of it is missing")
    warnings = [f"{name} is not read: did you mean {near}?" for name, near in misspelt(variables).items()]
    for name in config.providers:
        origins = {origin for at, origin in loaded.origins.items() if at.startswith(f"providers.{name}.")}
        if name not in config.routing.priority and origins - {"built-in defaults"}:
            warnings.append(f"providers.{name} is never asked: 'routing.priority' does not name it")
    (problems if config.budgets else warnings).extend(unpriced)
    return ValidationResult(tuple(problems), tuple(warnings))
