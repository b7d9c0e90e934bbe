"""The types of requests and replies: plain frozen records. A request validates only its identifiers."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any, Generic, Literal, Protocol

from typing_extensions import TypeVar

from supernova_ai.errors import ProviderTimeout
from supernova_ai.identifiers import checked_tags, identifier, label

T = TypeVar("T", default=Any)

Message = Mapping[str, Any]
"""A message in OpenAI's form: ``role``, ``content`` (a text or parts), and what else the role has."""

Tier = Literal["economy", "standard", "premium"]
"""The quality a request asks for."""

TIERS: tuple[Tier, ...] = ("economy", "standard", "premium")
"""Every tier, cheapest first."""

ModelGroup = Literal["economy", "standard", "premium", "embedding", "rerank"]
"""What a provider's model is configured for: a tier, ``embed`` or ``rerank``."""

EMBEDDING: Literal["embedding"] = "embedding"
"""The group and the task of ``embed``."""

RERANK: Literal["rerank"] = "rerank"
"""The group and the task of ``rerank``."""

MODEL_GROUPS: tuple[ModelGroup, ...] = (*TIERS, EMBEDDING, RERANK)
"""Every group of models."""

Complexity = Literal["simple", "moderate", "complex", "critical", "auto"]
"""How hard a question is; "auto" derives it from the text."""

ABANDONED = "Abandoned"
"""The error, in the ledger, of a stream that its reader left; cancelling with this message means it."""

PROBE = "probe"
"""The task of paid probes."""

OnInterrupt = Literal["resume", "raise"]
"""What to do when a stream breaks after its first token: resume at another deployment, or raise."""

CostBasis = Literal["exact", "estimated", "bound", "unknown", "cached"]
"""exact: from the provider's usage; estimated: counted from the received text; bound: the upper bound;
unknown: the model has no known price, which no budget allows; cached: no provider was called."""

PromptCache = Literal["5m", "1h"]
"""How long a provider keeps the stable beginning of a prompt."""

Kind = Literal["image", "pdf", "audio"]
"""The kind of an attachment."""

_WEAKEST: tuple[CostBasis, ...] = ("cached", "exact", "estimated", "bound", "unknown")


def weakest(bases: Iterable[CostBasis]) -> CostBasis | None:
    """Return the basis of a sum of costs: the weakest basis of its terms, None without terms.

    >>> weakest(["exact", "bound", "estimated"])
    'bound'
    """
    return max(bases, key=_WEAKEST.index, default=None)


Outcome = Literal["held", "settled", "released", "lost"]
"""The state of a hold: "held" while it is open, then settled, released or lost."""


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one attempt.

    ``cached`` and ``cache_write`` are part of ``prompt``, ``reasoning`` of ``completion``. ``cache_write_1h``
    is the part of ``cache_write`` that is cached for an hour, at another price.
    """

    prompt: int = 0
    completion: int = 0
    cached: int = 0
    cache_write: int = 0
    reasoning: int = 0
    cache_write_1h: int = 0


@dataclass(frozen=True, slots=True)
class FailurePattern:
    """Why an attempt failed: the name of our error class, the HTTP status if any, and the message.

    ``message`` contains no secrets, numbers or names, so that equal failures have equal ``fingerprint``.
    """

    fingerprint: str
    error: str
    status: int | None
    message: str


@dataclass(frozen=True, slots=True)
class Attachment:
    """An image, a PDF document with its number of pages, or audio with its length, sent with a request."""

    media_type: str
    data: bytes = field(repr=False)
    pages: int | None = None
    seconds: float | None = None

    @property
    def kind(self) -> Kind:
        """The input that a model must support."""
        if self.seconds is not None:
            return "audio"
        return "image" if self.pages is None else "pdf"


class AnswerSchema(Protocol):
    """The schema that an answer must have; ``requests.structured`` has the one."""

    @property
    def response_format(self) -> Mapping[str, Any]:
        """The schema as OpenAI's parameter ``response_format``."""

    def parse(self, text: str) -> Any:
        """Return the object that the text is.

        Raises:
            ValueError: the text is not JSON, or has another schema; ``problems`` explains each error.
        """


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call of a tool that the model asks for; ``arguments`` is the JSON text that it wrote."""

    id: str
    name: str
    arguments: str

    @property
    def is_whole(self) -> bool:
        """Whether the arguments are a JSON object: a model may write others, and max_tokens may cut them."""
        try:
            self.parsed()
        except ValueError:
            return False
        return True

    def parsed(self) -> dict[str, Any]:
        """Return the arguments by name.

        Raises:
            ValueError: they are not a JSON object.
        """
        values = json.loads(self.arguments or "{}")
        if not isinstance(values, dict):
            raise ValueError(f"the arguments of {self.name} are not a JSON object: {self.arguments:.60}")
        return values


@dataclass(frozen=True, slots=True)
class ToolRun:
    """One call that ``run_tools`` made: in which round, the result as the model read it, and any error."""

    round: int
    call: ToolCall
    result: str
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Request:
    """One call by the user, complete before anything is sent. Timeouts in seconds, ``max_cost`` in USD.

    ``messages`` are in OpenAI's form; in the place of a part there may be an ``Attachment``. ``texts`` are
    what ``embed`` embeds, or the documents that ``rerank`` ranks by the ``query``. ``parameters``
    are OpenAI's parameters by name, such as temperature and tools; ``extra`` are more, by provider.
    ``tier_reason`` says why the request has this tier; without ``may_degrade`` no cheaper tier may answer.
    ``cache`` allows an answer from the cache. ``began_ms`` is the store's time at the start of the call: if
    its user is erased later, the call stores nothing more. ``started`` is that start on the clock of
    ``time.perf_counter``, from which latencies count. ``earlier`` are attempts of the same request that
    ended before, whose cost counts towards ``max_cost``.

    Raises:
        InvalidRequest: an identifier is not valid; see ``identifiers.identifier``.
    """

    id: str
    messages: tuple[Message, ...]
    tier: ModelGroup
    task: str
    max_tokens: int
    texts: tuple[str, ...] = ()
    query: str | None = None
    user_id: str | None = None
    session_id: str | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    extra: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    answer: AnswerSchema | None = None
    prompt_cache: PromptCache | None = None
    timeout: float | None = None
    max_cost: Decimal | None = None
    on_interrupt: OnInterrupt = "resume"
    model: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    prompt_name: str | None = None
    prompt_hash: str | None = None
    tier_reason: str = "asked for"
    may_degrade: bool = True
    cache: bool = True
    began_ms: int | None = None
    started: float | None = None
    asked_timeout: float | None = None  # the caller's timeout, if part of it was used before sending
    earlier: tuple[Attempt, ...] = ()
    team: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def allowed(self) -> float | None:
        """The caller's timeout in seconds, for the whole call."""
        return self.timeout if self.asked_timeout is None else self.asked_timeout

    def after(self, seconds: float) -> Request:
        """Return the request with what is left of its timeout after so many seconds.

        Raises:
            ProviderTimeout: nothing is left.
        """
        if self.timeout is None:
            return self
        if seconds >= self.timeout:
            raise self.timed_out()
        return replace(self, timeout=self.timeout - seconds, asked_timeout=self.allowed)

    def timed_out(self) -> ProviderTimeout:
        """Return the error of a request that used up its timeout."""
        return ProviderTimeout(f"no whole answer within {self.allowed:g} s")

    @property
    def attachments(self) -> tuple[Attachment, ...]:
        """The images, documents and audio of all messages."""
        parts = (m["content"] for m in self.messages if isinstance(m.get("content"), list | tuple))
        return tuple(one for content in parts for one in content if isinstance(one, Attachment))

    def __post_init__(self) -> None:
        for name in _IDENTIFIERS:
            if (value := getattr(self, name)) is not None:
                identifier(name, value)
        for key in self.metadata:
            identifier("a key of metadata", key)
        if self.team is not None:
            label("team", self.team)
        checked_tags(self.tags)


_IDENTIFIERS = ("id", "user_id", "session_id", "task", "model", "prompt_name")


@dataclass(frozen=True, slots=True)
class Attempt:
    """One ended provider call of a request. Cost in USD, latencies in seconds."""

    id: str
    provider: str
    model: str
    tier: ModelGroup
    key_slot: str | None
    outcome: Outcome
    cost: Decimal
    cost_basis: CostBasis | None
    usage: Usage
    latency_s: float
    first_token_s: float | None
    error: str | None


@dataclass(frozen=True, slots=True)
class Probe:
    """The result of probing one provider's key: "ok" or the error class, and the latency in seconds.

    ``reason`` is the error's message, None if the result is "ok".
    """

    provider: str
    key_slot: str | None
    result: str
    latency_s: float
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Quote:
    """The maximum cost of a request, and the remaining amount of each budget, in USD; nothing is sent.

    ``worst_case`` is keyed by "provider/model", None if the price is unknown; ``headroom`` by budget.
    """

    tier: ModelGroup
    max_tokens: int
    worst_case: Mapping[str, Decimal | None]
    headroom: Mapping[str, Decimal]


@dataclass(frozen=True, slots=True)
class Reply(Generic[T]):
    """The answer to one request.

    ``cost`` is the USD of all attempts and ``cost_basis`` their weakest basis. ``latency_s`` and
    ``first_token_s`` count from the start of the call, including retries. ``quality_score`` is 0 to 1, None
    if nothing was checked. ``fitted_to`` is the limit of the answer in tokens if a budget lowered the
    requested one. ``tier_reason`` says why this tier answered. A ``cached`` answer comes from the cache,
    without a provider call; its ``usage`` is that of the original call. ``sentiment``, from -1 to 1, is the
    result of a sentiment analysis; without one, ``no_sentiment`` says why. ``reasoning`` is the model's
    visible reasoning, which is not part of ``content``. ``refusal`` is the model's refusal to answer;
    ``finish_reason`` is then "content_filter".

    ``tool_calls`` are the calls of tools that the model asks for. ``parsed`` is the object that
    ``response_model`` asked for; None without one, and where the model asks for tools first. ``dropped`` are
    the names of parameters that the model does not support and was not sent. ``tool_runs`` are the calls that
    ``run_tools`` made. ``logprobs`` are those of the answer's tokens, as the provider gives them.
    ``signed_thoughts`` are the reasoning that Anthropic wants back with the results of tools.
    """

    content: str
    provider: str
    model: str
    tier: Tier
    cost: Decimal
    cost_basis: CostBasis
    usage: Usage
    latency_s: float
    first_token_s: float | None
    request_id: str
    attempts: tuple[Attempt, ...]
    finish_reason: str | None
    fitted_to: int | None = None
    cached: bool = False
    quality_score: float | None = None
    tier_reason: str = ""
    sentiment: float | None = None
    no_sentiment: str | None = None
    reasoning: str | None = None
    refusal: str | None = None
    tool_calls: tuple[ToolCall, ...] = ()
    parsed: T = None  # type: ignore[assignment]  # the caller's type where there is a ``response_model``
    dropped: tuple[str, ...] = ()
    tool_runs: tuple[ToolRun, ...] = ()
    signed_thoughts: tuple[Mapping[str, Any], ...] = field(default=(), repr=False)
    logprobs: tuple[Mapping[str, Any], ...] | None = None

    def __str__(self) -> str:
        return self.content or self.refusal or ""

    @property
    def message(self) -> dict[str, Any]:
        """The answer as a message in OpenAI's form, to be sent back with the messages that follow.

        Arguments that are no JSON object become an empty one, because some providers refuse others.
        """
        said: dict[str, Any] = {"role": "assistant", "content": self.content or None}
        if self.tool_calls:
            if self.signed_thoughts:
                said["thinking_blocks"] = list(self.signed_thoughts)
            said["tool_calls"] = [
                {
                    "id": call.id,
                    "type": "function",
                    "function": {"name": call.name, "arguments": call.arguments if call.is_whole else "{}"},
                }
                for call in self.tool_calls
            ]
        return said


Vector = tuple[float, ...]
"""What a text is embedded as."""


@dataclass(frozen=True, slots=True)
class Embeddings:
    """The vectors of texts, in the order of the texts, all of one model and length.

    ``cost`` is the USD of all attempts and ``cost_basis`` their weakest basis; ``usage`` are their tokens.
    ``cached`` is how many of the vectors come from the cache, without a provider call. Vectors of different
    models cannot be compared: store ``model`` and ``dimensions`` beside them.
    """

    vectors: tuple[Vector, ...] = field(repr=False)
    provider: str
    model: str
    dimensions: int
    cost: Decimal
    cost_basis: CostBasis
    usage: Usage
    latency_s: float
    request_id: str
    attempts: tuple[Attempt, ...]
    cached: int = 0


@dataclass(frozen=True, slots=True)
class Ranked:
    """A document's place in the list that was ranked, and its score: the higher, the more relevant."""

    index: int
    score: float


@dataclass(frozen=True, slots=True)
class Ranking:
    """Documents by their relevance to a query, the most relevant first; otherwise as ``Embeddings``."""

    results: tuple[Ranked, ...]
    provider: str
    model: str
    cost: Decimal
    cost_basis: CostBasis
    usage: Usage
    latency_s: float
    request_id: str
    attempts: tuple[Attempt, ...]
    cached: bool = False
