"""SuperNova AI: the LLM layer of a financial advisor, over LiteLLM.

Budgets that cannot be overspent, keys that are never readable, all in-process.
Importing this imports almost nothing: each name brings what it needs when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from supernova_ai.advisor.advise import aadvise, advise
    from supernova_ai.advisor.details import Advice
    from supernova_ai.client import Supernova, analyze, chat, stream
    from supernova_ai.config import Config
    from supernova_ai.errors import (
        AccountRefused,
        AuthenticationFailed,
        BudgetExceeded,
        ConfigError,
        ContentRefused,
        ContextTooLong,
        ExtraMissing,
        InvalidRequest,
        KeyCorrupt,
        KeyFormatError,
        KeyNotFound,
        MasterKeyError,
        ModelNotFound,
        NoAnswer,
        NoProvider,
        ParameterRefused,
        PriceUnknown,
        ProviderError,
        ProviderTimeout,
        ProviderUnavailable,
        RateLimited,
        RequestRejected,
        SchemaTooNew,
        StoreError,
        StreamInterrupted,
        SupernovaError,
        UnknownOption,
        UnreadableAnswer,
        UnsupportedLoop,
        UserErased,
        VaultError,
    )
    from supernova_ai.streams import Stream
    from supernova_ai.types import Attempt, Quote, Reply, Usage

    __version__: str

__all__ = [
    "AccountRefused",
    "Advice",
    "Attempt",
    "AuthenticationFailed",
    "BudgetExceeded",
    "Config",
    "ConfigError",
    "ContentRefused",
    "ContextTooLong",
    "ExtraMissing",
    "InvalidRequest",
    "KeyCorrupt",
    "KeyFormatError",
    "KeyNotFound",
    "MasterKeyError",
    "ModelNotFound",
    "NoAnswer",
    "NoProvider",
    "ParameterRefused",
    "PriceUnknown",
    "ProviderError",
    "ProviderTimeout",
    "ProviderUnavailable",
    "Quote",
    "RateLimited",
    "Reply",
    "RequestRejected",
    "SchemaTooNew",
    "StoreError",
    "Stream",
    "StreamInterrupted",
    "Supernova",
    "SupernovaError",
    "UnknownOption",
    "UnreadableAnswer",
    "UnsupportedLoop",
    "Usage",
    "UserErased",
    "VaultError",
    "__version__",
    "aadvise",
    "advise",
    "analyze",
    "chat",
    "stream",
]

_HOMES = {
    **dict.fromkeys(("Supernova", "analyze", "chat", "stream"), "client"),
    **dict.fromkeys(("Attempt", "Quote", "Reply", "Usage"), "types"),
    **dict.fromkeys(("aadvise", "advise"), "advisor.advise"),
    "Advice": "advisor.details",
    "Config": "config",
    "Stream": "streams",
}


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object
    if name == "__version__":
        from importlib.metadata import version

        value = version("supernova-ai")
    else:
        home = import_module(f"{__name__}.{_HOMES.get(name, 'errors')}")
        value = getattr(home, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
