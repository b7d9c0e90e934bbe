"""SuperNova AI: the LLM layer of a financial advisor, over LiteLLM.

Budgets that cannot be overspent, keys that are never readable, all in-process.
Importing this imports almost nothing: each name brings what it needs when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from supernova_ai.advisor.advise import aadvise, advise
    from supernova_ai.advisor.advise_many import (
        AdviceManyOptions,
        RankedAdvice,
        SymbolAdvice,
        aadvise_many,
        advise_many,
    )
    from supernova_ai.advisor.backtest import backtest
    from supernova_ai.advisor.backtest_chart import save_chart
    from supernova_ai.advisor.backtest_result import (
        Backtest,
        BacktestBar,
        BacktestTrade,
        ConfidenceBucket,
        ShiftedExposure,
    )
    from supernova_ai.advisor.bar_values import DecimalMark
    from supernova_ai.advisor.bars import Bar, History, Repair
    from supernova_ai.advisor.details import Advice, Details
    from supernova_ai.advisor.ensemble import Action
    from supernova_ai.advisor.explain import Sentence, SentenceSource
    from supernova_ai.advisor.facts import Fact
    from supernova_ai.advisor.indicators import Indicators
    from supernova_ai.advisor.news import NewsItem
    from supernova_ai.advisor.option_contract import OptionContract
    from supernova_ai.advisor.options import AdviceOptions
    from supernova_ai.advisor.portfolio import Correlation
    from supernova_ai.advisor.position import Position
    from supernova_ai.advisor.signals import Horizon, Signal
    from supernova_ai.advisor.simulation import Performance
    from supernova_ai.alerts.outbox import AlertEvent
    from supernova_ai.client import Supernova
    from supernova_ai.client_sync import (
        StreamSync,
        SupernovaSync,
        analyze_sync,
        chat_sync,
        embed_sync,
        feedback_sync,
        rerank_sync,
        run_tools_sync,
        stream_sync,
    )
    from supernova_ai.config import Config, configure_logging
    from supernova_ai.config.advice import AdviceRules, AssetClass, LanguageCode, Regime
    from supernova_ai.default_client import analyze, chat, embed, feedback, rerank, run_tools, stream
    from supernova_ai.errors import (
        AccountRefused,
        AuthenticationFailed,
        BackupError,
        BudgetExceeded,
        ConfigError,
        ContentRefused,
        ContextTooLong,
        ExtraMissing,
        InvalidAnswer,
        InvalidRequest,
        KeyCorrupt,
        KeyFormatError,
        KeyNotFound,
        KeyRevoked,
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
        UnknownModel,
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
        Effort,
        EmbedOptions,
        OnToken,
        RequestOptions,
        ServiceTier,
        StreamOptions,
        TextOptions,
    )
    from supernova_ai.requests.structured import ResponseModel
    from supernova_ai.requests.tools import Tool
    from supernova_ai.streams import Stream
    from supernova_ai.types import (
        Attempt,
        Complexity,
        CostBasis,
        Embeddings,
        ModelGroup,
        OnInterrupt,
        Outcome,
        Probe,
        PromptCache,
        Quote,
        Ranked,
        Ranking,
        Reply,
        Tier,
        ToolCall,
        ToolRun,
        Usage,
        Vector,
    )

    __version__: str

__all__ = [
    "AccountRefused",
    "Action",
    "Advice",
    "AdviceManyOptions",
    "AdviceOptions",
    "AdviceRules",
    "AlertEvent",
    "AnalyzeOptions",
    "AssetClass",
    "AttachmentSource",
    "Attempt",
    "AuthenticationFailed",
    "Backtest",
    "BacktestBar",
    "BacktestTrade",
    "BackupError",
    "Bar",
    "BudgetExceeded",
    "ChatOptions",
    "Complexity",
    "ConfidenceBucket",
    "Config",
    "ConfigError",
    "ContentRefused",
    "ContextTooLong",
    "Correlation",
    "CostBasis",
    "DecimalMark",
    "Details",
    "Effort",
    "EmbedOptions",
    "Embeddings",
    "ExtraMissing",
    "Fact",
    "History",
    "Horizon",
    "Indicators",
    "InvalidAnswer",
    "InvalidRequest",
    "KeyCorrupt",
    "KeyFormatError",
    "KeyNotFound",
    "KeyRevoked",
    "LanguageCode",
    "MasterKey",
    "MasterKeyError",
    "ModelGroup",
    "ModelNotFound",
    "NewsItem",
    "NoAnswer",
    "NoProvider",
    "OnInterrupt",
    "OnToken",
    "OptionContract",
    "Outcome",
    "ParameterRefused",
    "Performance",
    "Position",
    "PriceUnknown",
    "Probe",
    "PromptCache",
    "ProviderError",
    "ProviderTimeout",
    "ProviderUnavailable",
    "Quote",
    "Ranked",
    "RankedAdvice",
    "Ranking",
    "RateLimited",
    "Regime",
    "Repair",
    "Reply",
    "RequestOptions",
    "RequestRejected",
    "ResponseModel",
    "SchemaTooNew",
    "Sentence",
    "SentenceSource",
    "ServiceTier",
    "ShiftedExposure",
    "Signal",
    "StoreError",
    "Stream",
    "StreamInterrupted",
    "StreamOptions",
    "StreamSync",
    "Supernova",
    "SupernovaError",
    "SupernovaSync",
    "SymbolAdvice",
    "TextOptions",
    "Tier",
    "Tool",
    "ToolCall",
    "ToolRun",
    "UnknownModel",
    "UnknownOption",
    "UnreadableAnswer",
    "UnsupportedLoop",
    "Usage",
    "UserErased",
    "VaultError",
    "Vector",
    "__version__",
    "aadvise",
    "aadvise_many",
    "advise",
    "advise_many",
    "analyze",
    "analyze_sync",
    "backtest",
    "chat",
    "chat_sync",
    "configure_logging",
    "embed",
    "embed_sync",
    "feedback",
    "feedback_sync",
    "rerank",
    "rerank_sync",
    "run_tools",
    "run_tools_sync",
    "save_chart",
    "stream",
    "stream_sync",
]

_HOMES = {
    "advisor.advise": ("aadvise", "advise"),
    "advisor.advise_many": (
        "AdviceManyOptions",
        "RankedAdvice",
        "SymbolAdvice",
        "aadvise_many",
        "advise_many",
    ),
    "advisor.backtest": ("backtest",),
    "advisor.backtest_chart": ("save_chart",),
    "advisor.backtest_result": (
        "Backtest",
        "BacktestBar",
        "BacktestTrade",
        "ConfidenceBucket",
        "ShiftedExposure",
    ),
    "advisor.bar_values": ("DecimalMark",),
    "advisor.bars": ("Bar", "History", "Repair"),
    "advisor.details": ("Advice", "Details"),
    "advisor.ensemble": ("Action",),
    "advisor.facts": ("Fact",),
    "advisor.explain": ("Sentence", "SentenceSource"),
    "advisor.indicators": ("Indicators",),
    "advisor.news": ("NewsItem",),
    "advisor.option_contract": ("OptionContract",),
    "advisor.options": ("AdviceOptions",),
    "advisor.portfolio": ("Correlation",),
    "advisor.position": ("Position",),
    "advisor.signals": ("Horizon", "Signal"),
    "advisor.simulation": ("Performance",),
    "alerts.outbox": ("AlertEvent",),
    "client": ("Supernova",),
    "client_sync": (
        "StreamSync",
        "SupernovaSync",
        "analyze_sync",
        "chat_sync",
        "embed_sync",
        "feedback_sync",
        "rerank_sync",
        "run_tools_sync",
        "stream_sync",
    ),
    "config": ("Config", "configure_logging"),
    "config.advice": ("AdviceRules", "AssetClass", "LanguageCode", "Regime"),
    "default_client": ("analyze", "chat", "embed", "feedback", "rerank", "run_tools", "stream"),
    "keys": ("MasterKey",),
    "requests.attachments": ("AttachmentSource",),
    "requests.options": (
        "AnalyzeOptions",
        "ChatOptions",
        "Effort",
        "EmbedOptions",
        "OnToken",
        "RequestOptions",
        "ServiceTier",
        "StreamOptions",
        "TextOptions",
    ),
    "requests.structured": ("ResponseModel",),
    "requests.tools": ("Tool",),
    "streams": ("Stream",),
    "types": (
        "Attempt",
        "Complexity",
        "CostBasis",
        "Embeddings",
        "ModelGroup",
        "OnInterrupt",
        "Outcome",
        "Probe",
        "PromptCache",
        "Quote",
        "Ranked",
        "Ranking",
        "Reply",
        "Tier",
        "ToolCall",
        "ToolRun",
        "Usage",
        "Vector",
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
