"""The options of each call, as TypedDicts, and the check for unknown ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Protocol, TypedDict

from supernova_ai.config.fields import nearest
from supernova_ai.errors import UnknownOption
from supernova_ai.requests.attachments import AttachmentSource
from supernova_ai.types import Complexity, OnInterrupt, Tier


class OnToken(Protocol):
    """A function, plain or async, that is called with each piece of text."""

    def __call__(self, token: str, /) -> object: ...


class RequestOptions(TypedDict, total=False):
    """The options of every call. None is the same as not given."""

    user_id: str | int | None
    """The user whose budgets and history count the call."""

    session_id: str | int | None
    """The conversation that the call belongs to."""

    task: str | None
    """chat, analysis, summary or a task of your own; it selects the tier. Default: the task of the prompt."""

    tier: Tier | None
    """economy, standard or premium. Default: the tier of the prompt, else of the task."""

    quality: Tier | None
    """Another name for ``tier``."""

    complexity: Complexity | None
    """Instead of a tier: simple, moderate, complex, critical, or auto, which estimates it from the text."""

    model: str | None
    """Only this configured model, such as "gpt-6-luna" or "openai/gpt-6-luna"."""

    max_tokens: int | None
    """The longest answer, in tokens. The hold covers all of it. Default: ``routing.max_tokens``."""

    max_cost: Decimal | float | str | None
    """The most that the call may cost, in USD, with all retries and fallbacks."""

    timeout: float | None
    """Seconds for the whole call, with all retries, fallbacks and waiting. Default: ``routing.deadline``."""

    temperature: float | None
    """0 to 2. Default: that of the model."""

    on_interrupt: OnInterrupt | None
    """When a stream breaks after its first token: resume it at another deployment, or raise.
    Default: ``routing.on_interrupt``."""

    cache: bool
    """False: do not read the answer from the cache, and do not store it there. Default: True."""

    metadata: Mapping[str, str] | None
    """Names and texts for LiteLLM's callbacks."""


class StreamOptions(RequestOptions, total=False):
    """The options of ``stream`` and ``quote``."""

    attachments: Sequence[AttachmentSource]
    """Images and PDF documents: their bytes or paths; https addresses where the configuration allows them."""


class ChatOptions(StreamOptions, total=False):
    """The options of ``chat``."""

    streaming: bool | None
    """Request the answer token by token. Default: ``streaming`` in the configuration."""

    on_token: OnToken | None
    """Called with each piece of text, and awaited if it is async. Implies ``streaming``."""


class AnalyzeOptions(ChatOptions, total=False):
    """The options of ``analyze``."""

    analysis_type: str
    """financial, sentiment, news, risk, summary, or one with a prompt of your own. Default: financial."""


def check_names(function: str, options: Mapping[str, object], known: type) -> None:
    """Check that a function has all of the given options.

    Args:
        function: the name of the function that the user called.
        options: the given options.
        known: the TypedDict of the function's options.

    Raises:
        UnknownOption: an option is unknown; the message names the nearest one, or all of them.
    """
    for name in options:
        if name not in known.__annotations__:
            names = sorted(known.__annotations__)
            hint = nearest(name, names) or f" Its options: {', '.join(names)}."
            raise UnknownOption(f"{function}() has no option {name!r}.{hint}")
