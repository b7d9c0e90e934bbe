"""SuperNova AI: the LLM layer of a financial advisor, over LiteLLM.

Budgets that cannot be overspent, keys that are never readable, all in-process.
Importing this imports almost nothing: each name brings what it needs when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from supernova_ai.advisor.advise import aadvise, advise
    from supernova_ai.advisor.bars import Bar, History
    from supernova_ai.advisor.details import Advice, Details
    from supernova_ai.advisor.ensemble import Action
    from supernova_ai.advisor.facts import Fact
    from supernova_ai.advisor.grounding import Claim, GroundingReport
    from supernova_ai.advisor.indicators import Indicators
    from supernova_ai.advisor.options import AdviceOptions
    from supernova_ai.advisor.rationale import RationaleSource
    from supernova_ai.advisor.signals import Signal
    from supernova_ai.alerts.outbox import AlertEvent
    from supernova_ai.client import Supernova, analyze, chat, stream
    from supernova_ai.config import Config
    from supernova_ai.config.advice import AssetClass, Regime
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
    from supernova_ai.keys import MasterKey
    from supernova_ai.requests.attachments import AttachmentSource
    from supernova_ai.requests.options import (
        AnalyzeOptions,
        ChatOptions,
        OnToken,
        RequestOptions,
        StreamOptions,
    )
    from supernova_ai.streams import Stream
    from supernova_ai.types import (
        Attempt,
        Complexity,
        CostBasis,
        OnInterrupt,
        Outcome,
        Probe,
        Quote,
        Reply,
        Tier,
        Usage,
    )

    __version__: str

__all__ = [
    "AccountRefused",
    "Action",
    "Advice",
    "AdviceOptions",
    "AlertEvent",
    "AnalyzeOptions",
    "AssetClass",
    "AttachmentSource",
    "Attempt",
    "AuthenticationFailed",
    "Bar",
    "BudgetExceeded",
    "ChatOptions",
    "Claim",
    "Complexity",
    "Config",
    "ConfigError",
    "ContentRefused",
    "ContextTooLong",
    "CostBasis",
    "Details",
    "ExtraMissing",
    "Fact",
    "GroundingReport",
    "History",
    "Indicators",
    "InvalidRequest",
    "KeyCorrupt",
    "KeyFormatError",
    "KeyNotFound",
    "MasterKey",
    "MasterKeyError",
    "ModelNotFound",
    "NoAnswer",
    "NoProvider",
    "OnInterrupt",
    "OnToken",
    "Outcome",
    "ParameterRefused",
    "PriceUnknown",
    "Probe",
    "ProviderError",
    "ProviderTimeout",
    "ProviderUnavailable",
    "Quote",
    "RateLimited",
    "RationaleSource",
    "Regime",
    "Reply",
    "RequestOptions",
    "RequestRejected",
    "SchemaTooNew",
    "Signal",
    "StoreError",
    "Stream",
    "StreamInterrupted",
    "StreamOptions",
    "Supernova",
    "SupernovaError",
    "Tier",
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
    "advisor.advise": ("aadvise", "advise"),
    "advisor.bars": ("Bar", "History"),
    "advisor.details": ("Advice", "Details"),
    "advisor.ensemble": ("Action",),
    "advisor.facts": ("Fact",),
    "advisor.grounding": ("Claim", "GroundingReport"),
    "advisor.indicators": ("Indicators",),
    "advisor.options": ("AdviceOptions",),
    "advisor.rationale": ("RationaleSource",),
    "advisor.signals": ("Signal",),
    "alerts.outbox": ("AlertEvent",),
    "client": ("Supernova", "analyze", "chat", "stream"),
    "config": ("Config",),
    "config.advice": ("AssetClass", "Regime"),
    "keys": ("MasterKey",),
    "requests.attachments": ("AttachmentSource",),
    "requests.options": ("AnalyzeOptions", "ChatOptions", "OnToken", "RequestOptions", "StreamOptions"),
    "streams": ("Stream",),
    "types": (
        "Attempt",
        "Complexity",
        "CostBasis",
        "OnInterrupt",
        "Outcome",
        "Probe",
        "Quote",
        "Reply",
        "Tier",
        "Usage",
    ),
}
"""The module of each name; the names that are not here are errors."""


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object
    if name == "__version__":
        from importlib.metadata import version

        value = version("supernova-ai")
    else:
        home = next((home for home, names in _HOMES.items() if name in names), "errors")
        value = getattr(import_module(f"{__name__}.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
