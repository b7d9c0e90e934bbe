"""What goes in and what comes out: plain frozen records. A request checks its identifiers, and no more."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Literal

from supernova_ai.identifiers import identifier

Tier = Literal["economy", "standard", "premium"]
"""The quality a request asks for."""

TIERS: tuple[Tier, ...] = ("economy", "standard", "premium")
"""Every tier, cheapest first."""

Complexity = Literal["simple", "moderate", "complex", "critical", "auto"]
"""How hard a question is; auto lets its text tell."""

PROBE = "probe"
"""The task of probes that cost money."""

OnInterrupt = Literal["resume", "raise"]
"""What to do when a stream breaks after its first token: go on at another deployment, or raise."""

CostBasis = Literal["exact", "estimated", "bound", "unknown", "cached"]
"""exact: the provider's own usage; estimated: counted from what was received; bound: the most it can be;
unknown: tokens are known and the model's price is not, which no budget allows; cached: nobody was asked."""

Kind = Literal["image", "pdf"]
"""What an attachment is."""

_WEAKEST: tuple[CostBasis, ...] = ("cached", "exact", "estimated", "bound", "unknown")


def weakest(bases: Iterable[CostBasis]) -> CostBasis | None:
    """Return the basis of a sum of costs: the weakest of theirs, None of none.

    >>> weakest(["exact", "bound", "estimated"])
    'bound'
    """
    return max(bases, key=_WEAKEST.index, default=None)


Outcome = Literal["held", "settled", "released", "lost"]
"""The state of a hold. Held is open; settled, released and lost are its three ends."""


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one attempt.

    ``cached`` and ``cache_write`` are part of ``prompt``, ``reasoning`` of ``completion``, and
    ``cache_write_1h``, which is kept for an hour at a price of its own, of ``cache_write``.
    """

    prompt: int = 0
    completion: int = 0
    cached: int = 0
    cache_write: int = 0
    reasoning: int = 0
    cache_write_1h: int = 0


@dataclass(frozen=True, slots=True)
class FailurePattern:
    """Why an attempt failed: the name of our error class, the HTTP status if there was an answer, the words.

    ``message`` has no secrets, numbers or names in it, so that the same trouble has the same ``fingerprint``.
    """

    fingerprint: str
    error: str
    status: int | None
    message: str


@dataclass(frozen=True, slots=True)
class Attachment:
    """An image, or a PDF document of so many pages, that goes along with a request."""

    media_type: str
    data: bytes = field(repr=False)
    pages: int | None = None

    @property
    def kind(self) -> Kind:
        """What a model must be able to read."""
        return "image" if self.pages is None else "pdf"


@dataclass(frozen=True, slots=True)
class Request:
    """One call by the user, complete before anything is sent. Timeout in seconds, ``max_cost`` in USD.

    ``tier_reason`` says why it is this tier; without ``may_degrade`` no cheaper one may answer. ``cache``
    says whether an answer kept from before will do. Attachments belong to the last of ``messages``.
    ``began_ms`` is the store's time when the call began: of a user who is erased later it keeps nothing.

    Raises:
        InvalidRequest: an identifier cannot be kept; ``identifier`` says what can.
    """

    id: str
    messages: tuple[Mapping[str, str], ...]
    tier: Tier
    task: str
    max_tokens: int
    user_id: str | None = None
    session_id: str | None = None
    temperature: float | None = None
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
    attachments: tuple[Attachment, ...] = ()
    began_ms: int | None = None
    asked_timeout: float | None = None  # what the caller allowed, where a part was used before sending

    @property
    def allowed(self) -> float | None:
        """The seconds that the caller allowed for everything."""
        return self.timeout if self.asked_timeout is None else self.asked_timeout

    def __post_init__(self) -> None:
        for name in _IDENTIFIERS:
            if (value := getattr(self, name)) is not None:
                identifier(name, value)
        for key in self.metadata:
            identifier("a key of metadata", key)


_IDENTIFIERS = ("id", "user_id", "session_id", "task", "model", "prompt_name")


@dataclass(frozen=True, slots=True)
class Attempt:
    """One physical provider call of a request, as it ended. Cost in USD, latencies in seconds."""

    id: str
    provider: str
    model: str
    tier: Tier
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
    """What a probe of one provider's key found: "ok" or the class of the error, and the seconds it took.

    ``reason`` is what the error says, None where all is well.
    """

    provider: str
    key_slot: str | None
    result: str
    latency_s: float
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Quote:
    """What a request could cost at most, and what the budgets can still bear, in USD, before it is sent.

    ``worst_case`` is by "provider/model", None where no price is known; ``headroom`` by budget.
    """

    tier: Tier
    max_tokens: int
    worst_case: Mapping[str, Decimal | None]
    headroom: Mapping[str, Decimal]


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer to one request.

    ``cost`` is USD over all attempts and ``cost_basis`` the weakest of theirs; ``latency_s`` and
    ``first_token_s`` count from the call itself, retries included. ``quality_score`` is 0 to 1, or
    None where nothing was checked. ``fitted_to`` is the bound on the answer, in tokens, where a budget had to
    lower what was asked for. ``tier_reason`` says in a few words why this tier answered. A ``cached`` answer
    was kept from before: nobody was asked, and ``usage`` is what it took then. ``sentiment``, from -1 to 1,
    is what a sentiment analysis found, or else ``no_sentiment`` says why there is none. ``reasoning`` is what
    the model shows of its thoughts, which are not part of ``content``. ``refusal`` is how the model declined
    to answer; ``finish_reason`` is "content_filter" then.
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

    def __str__(self) -> str:
        return self.content or self.refusal or ""
