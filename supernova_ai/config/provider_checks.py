"""What the settings of a provider may say: what its type needs, and which fixed parameters it may have."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

from supernova_ai.characters import names_in
from supernova_ai.config.fields import is_private_url
from supernova_ai.config.parameter_names import LENGTHS, SET_HERE, UNBOUND
from supernova_ai.config.providers import Provider
from supernova_ai.secret import HIDDEN, redact

Fault = tuple[tuple[str, ...], object, str]
"""The setting's path below the provider, its value, and the remedy."""

OWN: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "azure": {"api_version": "api_version"},
        "bedrock": {"region": "aws_region_name"},
        "vertex_ai": {"region": "vertex_location", "project": "vertex_project"},
    }
)
"""Settings that only these types have, and LiteLLM's name of each."""

_NEEDED = {"azure": ("api_base",), "bedrock": ("region",), "vertex_ai": ("project", "region")}
"""Settings without which LiteLLM would read a variable of the environment."""

RERANK_TYPES = frozenset(
    {"azure_ai", "cohere", "deepinfra", "fireworks_ai", "hosted_vllm", "infinity", "jina_ai", "nvidia_nim"}
    | {"voyage"}
)
"""Types of provider whose rerank models can be asked: LiteLLM sends to them with our HTTP client."""

_PRICED = UNBOUND.keys() | {"service_tier", "tools"}
"""They change the price of a call: what a call asks for is priced with the call."""

_SECRET = re.compile(
    r"(^|[_-])(keys?|secrets?|tokens?|passwords?|passphrase|credentials?|authorization|cookie)([_-]|$)|api-?key",
    re.I,
)
_ADDRESS = re.compile(r"(^|_)(url|uri|endpoint|host|proxy|base)$", re.I)


def provider_faults(name: str, provider: Provider, *, require_tls: bool, asked: bool) -> Iterator[Fault]:
    """Yield what is wrong with one provider's settings.

    Args:
        name: its name in the configuration.
        asked: ``routing.priority`` names it.
    """
    kind = provider.type or name
    for tier, model in provider.models.items():
        if model.startswith(f"{name}/"):
            yield ("models", tier), model, f"must be the model's name without '{name}/'"
    if "rerank" in provider.models and kind not in RERANK_TYPES:
        remedy = (
            f"must be of a provider of type {', '.join(sorted(RERANK_TYPES))}, and this is {kind}: remove it"
        )
        yield ("models", "rerank"), provider.models["rerank"], remedy
    for field in ("api_version", "project", "region"):
        takers = [taker for taker, fields in OWN.items() if field in fields]
        if getattr(provider, field) is not None and kind not in takers:
            remedy = f"is only for a provider of type {' or '.join(takers)}, and this is {kind}: remove it"
            yield (field,), getattr(provider, field), remedy
    for parameter, value in provider.params.items():
        if fault := _parameter_fault(parameter, value, kind):
            yield ("params", parameter), HIDDEN if _holds_secret(parameter, value) else value, fault
    if not provider.enabled:
        return
    if asked and not provider.models:
        yield (
            ("models",),
            {},
            "must name a model for at least one tier, embedding or rerank; or set 'enabled: false'",
        )
    for field in _NEEDED.get(kind, ()) if asked else ():
        if getattr(provider, field) is None:
            yield (field,), None, f"must be set for a provider of type {kind}; see docs/providers.md"
    if provider.api_base and require_tls and not is_private_url(provider.api_base):
        remedy = "must be https or on this machine; on a trusted network, set 'require_tls: false'"
        yield ("api_base",), provider.api_base, remedy


def _parameter_fault(name: str, value: Any, kind: str) -> str | None:
    if name == "extra_body" and isinstance(value, Mapping):  # its names are sent as parameters
        faults = (_parameter_fault(str(inner), each, kind) for inner, each in value.items())
        if fault := next(filter(None, faults), None):
            return fault
    if name in SET_HERE | LENGTHS:
        return "is set by this package for each call: remove it"
    if name in _PRICED or not (UNBOUND.keys() | LENGTHS).isdisjoint(names_in(value)):
        return "changes the price of a call, which this package must know: remove it"
    ours = {theirs: field for field, theirs in OWN.get(kind, {}).items()}
    if name in ours:
        return f"belongs beside 'params': write it as '{ours[name]}'"
    if name.startswith(("aws_", "vertex_", "azure_")) or _holds_secret(name, value):
        return "may hold a secret: store it with `supernova keys add`"
    if _ADDRESS.search(name):
        return "is an address, and requests go only to 'api_base': set that instead"
    return None


def _holds_secret(name: str, value: Any) -> bool:
    if isinstance(value, Mapping):
        return any(_holds_secret(str(key), each) for key, each in value.items())
    if isinstance(value, list):
        return any(_holds_secret(name, each) for each in value)
    return isinstance(value, str) and bool(_SECRET.search(name) or redact(value) != value)
