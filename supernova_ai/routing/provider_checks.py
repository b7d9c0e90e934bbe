"""Checks of the configured providers: types, addresses, prices, and which of them are never asked."""

from __future__ import annotations

import os
import re

from supernova_ai.config import Config, network
from supernova_ai.config.environment import VARIABLES
from supernova_ai.config.fields import nearest
from supernova_ai.config.providers import default_providers
from supernova_ai.errors import ConfigError
from supernova_ai.litellm_adapter.setup import litellm
from supernova_ai.log import get_logger
from supernova_ai.routing.deployments import api_base, build, usual_address

_KNOWN = frozenset(getattr(name, "value", name) for name in litellm.provider_list)
_ADDRESS = re.compile(r"_(API_BASE|BASE_URL|API_URL|ENDPOINT|HOST|URL)$")
_STEMS = {"bedrock": ("AWS_BEDROCK",), "huggingface": ("HUGGINGFACE", "HF"), "vertex_ai": ("VERTEX",)}
"""How the names of a provider's variables begin, where it is not with its first word."""
_SETTINGS = frozenset(variable.name for variable in VARIABLES)

log = get_logger(__name__)


def check_providers(config: Config) -> None:
    """Refuse a provider that LiteLLM does not know, or whose address a variable would decide.

    Raises:
        ConfigError: it names the provider and the remedy.
    """
    if wrong := [*unknown_providers(config), *address_variables(config, fatal=True)]:
        raise ConfigError("\n".join(wrong))
    for line in address_variables(config, fatal=False):
        log.warning("engine.address.ignored", reason=line)
    for line in never_asked(config):
        log.warning("engine.provider.never_asked", reason=line)
    for provider in config.active_providers:
        usual = usual_address(config.type_of(provider)) or f"https://{provider}"
        network.check_proxy(api_base(config, provider) or usual)


def address_variables(config: Config, *, fatal: bool) -> list[str]:
    """Return a line for each variable that would decide the address of a provider with its usual one.

    Args:
        fatal: those that LiteLLM would read, because only it knows the usual address; False returns those
            that are ignored.
    """
    lines = []
    for provider in config.active_providers:
        kind, address = config.type_of(provider), api_base(config, provider)
        usual = usual_address(kind)
        if address not in (None, usual) or fatal == (usual is not None):
            continue
        if variable := _address_variable(kind):
            setting = f"'providers.{provider}.api_base'"
            lines.append(
                f"{variable} is set, and only the configuration decides where requests go: write the address "
                f"under {setting}, or unset the variable"
                if fatal
                else f"{variable} is ignored, because only the configuration decides where requests go: to "
                f"use the address, write it under {setting}"
            )
    return lines


def _address_variable(kind: str) -> str | None:
    """Return a variable that names an address for providers of this type, if one is set."""
    stems = _STEMS.get(kind) or (re.split("[_-]", kind)[0].upper(),)
    named = (name for name, value in sorted(os.environ.items()) if name.startswith(stems) and value.strip())
    return next((name for name in named if _ADDRESS.search(name) and name not in _SETTINGS), None)


def never_asked(config: Config) -> list[str]:
    """Return a line for each enabled provider of the user's own that ``routing.priority`` does not name."""
    usual = default_providers()
    priority = config.routing.priority
    return [
        f"providers.{name} is never asked: 'routing.priority' does not name it. Run supernova config set "
        f"routing.priority '[{', '.join((*priority, name))}]', or set 'providers.{name}.enabled: false'"
        for name, provider in config.providers.items()
        if provider.enabled and provider.models and name not in priority and provider != usual.get(name)
    ]


def unknown_providers(config: Config) -> list[str]:
    """Return a line for each enabled provider that LiteLLM does not know."""
    return [
        f"providers.{provider}: LiteLLM knows no provider of this "
        f"{'type' if config.providers[provider].type else 'name'}.{nearest(kind, sorted(_KNOWN))} A name of "
        f"your own needs a 'type': 'openai' for any OpenAI-compatible server"
        for provider in config.active_providers
        if (kind := config.type_of(provider)) not in _KNOWN
    ]


def models_without_price(config: Config) -> list[str]:
    """Return a line for each enabled model without a known price, with the nearest name that has one."""
    lines = []
    for d in build(config).values():
        if d.price is None:
            known = sorted(name.rpartition("/")[2] for name in litellm.models_by_provider.get(d.type, ()))
            lines.append(
                f"providers.{d.provider}.models.{d.tier} is {d.model!r}: no price is known, so it is not "
                f"asked where a budget applies: correct the name, or give 'providers.{d.provider}.prices'."
                f"{nearest(d.model, known)}"
            )
    return list(dict.fromkeys(lines))  # one for all key slots
