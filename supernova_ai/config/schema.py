"""The settings of the YAML: one frozen model per section, with the defaults of ``supernova.yaml``."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

from supernova_ai.config.advice import AdviceRules
from supernova_ai.config.fields import (
    VAULT_PREFIX,
    Count,
    DatabaseName,
    Days,
    Factor,
    HttpUrl,
    Identifier,
    ModelName,
    Name,
    NotifyUrl,
    RedisUrl,
    Seconds,
    Slot,
    TimeZone,
    Usd,
    UsdPerMillion,
    is_private_url,
    mask,
    nearest,
    notify_name,
    unquoted_off,
)
from supernova_ai.secret import HIDDEN
from supernova_ai.types import PROBE, OnInterrupt, Tier


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class Timeout(_Section):
    """Timeouts of one attempt in seconds; ``total`` is for a call that does not stream.

    ``adaptive`` lowers ``first_token`` and ``total`` to the usual latency, but not below ``least``.
    """

    connect: Seconds = 5
    first_token: Seconds = 30
    between_tokens: Seconds = 30
    total: Seconds = 120
    adaptive: bool = True
    least: Seconds = 10


class Limits(_Section):
    """Requests and tokens per minute, and parallel requests. None: no limit."""

    rpm: Count | None = None
    tpm: Count | None = None
    parallel: Count | None = None


class Price(_Section):
    """USD per million tokens. The default price of cached input is that of input."""

    input: UsdPerMillion
    output: UsdPerMillion
    cached_input: UsdPerMillion | None = None


class Provider(_Section):
    """One provider, under LiteLLM's name. A model of null removes the tier."""

    enabled: bool = True
    api_base: HttpUrl | None = None
    models: dict[Tier, ModelName] = {}
    keys: tuple[Slot, ...] = ("primary", "backup")
    slots: Literal["standby", "share"] = "standby"
    timeout: Timeout = Timeout()
    limits: Limits = Limits()
    price: Literal["free"] | None = None
    prices: dict[ModelName, Price] = {}

    @field_validator("models", mode="before")
    @classmethod
    def _without_null(cls, value: object) -> object:
        return {tier: model for tier, model in value.items() if model} if isinstance(value, dict) else value


class Breaker(_Section):
    """After ``failures`` in a row a circuit opens for ``cooldown`` seconds, then one request tests it."""

    failures: Count = 3
    cooldown: Seconds = 30


class Routing(_Section):
    """Which providers are used, in which order, and what follows a failure; only those in ``priority``."""

    priority: tuple[str, ...] = ("openai", "anthropic", "ollama", "huggingface")
    strategy: Literal["priority", "round_robin", "cost", "latency"] = "priority"
    tasks: dict[Name, Tier] = {"chat": "standard", "analysis": "premium", "summary": "economy"}
    degrade: tuple[Tier, ...] = ("premium", "standard", "economy")
    fallback: bool = True
    retries: Annotated[int, Field(strict=True, ge=0, le=10)] = 2
    max_tokens: Annotated[int, Field(strict=True, ge=1, le=1_000_000)] = 4096
    min_tokens: Annotated[int, Field(strict=True, ge=1, le=1_000_000)] = 256
    wait: Annotated[float, Field(strict=True, ge=0, le=60)] = 2
    deadline: Seconds = 300
    on_interrupt: OnInterrupt = "resume"
    breaker: Breaker = Breaker()


class Health(_Section):
    """Probes of deployments in cooldown or idle for ``idle`` seconds, at most one per ``every`` seconds.

    With ``paid``, a probe requests one token where no free endpoint exists. Paid probes, including those of
    the command line, may cost ``paid_limit`` USD a day.
    """

    probes: Annotated[Literal["off", "free", "paid"], unquoted_off] = "free"
    every: Seconds = 60
    idle: Seconds = 900
    paid_limit: Usd = Decimal("0.05")


class Cache(_Section):
    """Where answers are cached, for how many seconds, and whether users share them."""

    type: Annotated[Literal["off", "memory", "disk", "redis"], unquoted_off] = "off"
    ttl: Annotated[int, Field(strict=True, ge=1, le=31_536_000)] = 3600
    shared: bool = False


class Budget(_Section):
    """A limit in USD per period, over all calls or one provider, user (``"*"``: each user) or task."""

    name: Name
    limit: Usd
    per: Literal["day", "week", "month"]
    provider: str | None = None
    user: Identifier | None = None
    task: str | None = None
    time_zone: TimeZone = "UTC"


class Spike(_Section):
    """Alert if today's cost is ``factor`` times the usual and at least ``least`` USD. None: never."""

    factor: Factor | None = Decimal(4)
    least: Usd = Decimal(1)


class Alerts(_Section):
    """Alert thresholds in percent of a budget, the spike rule, and the Apprise URLs to notify."""

    thresholds: tuple[Annotated[int, Field(strict=True, ge=1, le=100)], ...] = (50, 80, 95)
    spike: Spike = Spike()
    # Hidden in repr: an Apprise URL contains tokens.
    notify: tuple[NotifyUrl, ...] = Field(default=(), repr=False)


class Retention(_Section):
    """Days after which ``supernova ledger archive`` moves attempts into files and ``supernova advice prune``
    deletes records of advice. None: never.
    """

    attempts: Days | None = None
    advice: Days | None = 2190


class Sessions(_Section):
    """Whether calls in a session include its history, of how many tokens and days."""

    history: bool = False
    tokens: Annotated[int, Field(strict=True, ge=1000, le=1_000_000)] = 4000
    keep_days: Days = 30


class Attachments(_Section):
    """Whether attachments may be URLs, and the size limit of one call's attachments in megabytes."""

    urls: bool = False
    max_mb: Annotated[int, Field(strict=True, ge=1, le=30)] = 10


class Keys(_Section):
    """Whether API keys in environment variables are used. None: except in production."""

    allow_environment: bool | None = None


def _default_providers() -> dict[Name, Provider]:
    oss = {"economy": "openai/gpt-oss-20b:groq", "standard": "openai/gpt-oss-120b:groq"}
    written: dict[str, dict[str, Any]] = {
        "openai": {"models": {"economy": "gpt-6-luna", "standard": "gpt-6.1-sol", "premium": "gpt-6-astra"}},
        "anthropic": {
            "models": {
                "economy": "claude-haiku-5-5",
                "standard": "claude-sonnet-5-5",
                "premium": "claude-opus-5-5",
            }
        },
        "ollama": {
            "api_base": "http://localhost:11434",
            "models": {"economy": "gemma4:e4b", "standard": "gemma4:12b", "premium": "gemma4:31b"},
            "price": "free",
            "keys": (),
        },
        # The model's name contains HuggingFace's partner, because the price is the partner's.
        "huggingface": {
            "models": {**oss, "premium": oss["standard"]},
            "prices": {
                oss["economy"]: {"input": "0.075", "output": "0.30"},
                oss["standard"]: {"input": "0.15", "output": "0.60"},
            },
        },
    }
    return {name: Provider.model_validate(provider) for name, provider in written.items()}


def _default_budgets() -> tuple[Budget, ...]:
    return (
        Budget(name="daily", limit=Decimal(50), per="day"),
        Budget(name="monthly", limit=Decimal(1000), per="month"),
    )


class Config(_Section):
    """The whole configuration, validated."""

    environment: Name = "development"
    enabled: bool = True
    streaming: bool = False
    require_tls: bool = True
    verify_tls: bool = True
    # Hidden in repr: a URL may contain a password.
    database: DatabaseName | None = Field(default=None, repr=False)
    redis: RedisUrl | None = Field(default=None, repr=False)
    providers: dict[Name, Provider] = Field(default_factory=_default_providers)
    routing: Routing = Routing()
    health: Health = Health()
    cache: Cache = Cache()
    budgets: tuple[Budget, ...] = Field(default_factory=_default_budgets)
    alerts: Alerts = Alerts()
    retention: Retention = Retention()
    sessions: Sessions = Sessions()
    attachments: Attachments = Attachments()
    keys: Keys = Keys()
    advice: AdviceRules = AdviceRules()

    @model_validator(mode="after")
    def _agree(self) -> Self:
        errors = [
            InitErrorDetails(
                type=PydanticCustomError("disagreement", "{remedy}", {"remedy": remedy}), loc=loc, input=value
            )
            for loc, value, remedy in _disagreements(self)
        ]
        if errors:  # raised this way, each keeps its ``loc``
            raise ValidationError.from_exception_data("Config", errors)
        return self

    @property
    def all_budgets(self) -> tuple[Budget, ...]:
        """Every budget in force: ``budgets`` and the budget of paid probes."""
        return (*self.budgets, Budget(name=PROBE, limit=self.health.paid_limit, per="day", task=PROBE))

    @property
    def active_providers(self) -> tuple[str, ...]:
        """The enabled providers of ``routing.priority``, in order."""
        return tuple(name for name in self.routing.priority if self.providers[name].enabled)

    @property
    def custom_endpoints(self) -> frozenset[str]:
        """The providers with an ``api_base``; the keys of a custom endpoint may have any format."""
        return frozenset(name for name, provider in self.providers.items() if provider.api_base)

    @property
    def environment_keys_allowed(self) -> bool:
        """Whether an API key in an environment variable may be used."""
        allowed = self.keys.allow_environment
        return self.environment != "production" if allowed is None else allowed

    def shown(self) -> dict[str, Any]:
        """Return the settings as JSON types, with passwords and tokens hidden."""
        plain = self.model_dump(mode="json")
        for name in ("database", "redis"):
            plain[name] = plain[name] and mask(plain[name])
        plain["alerts"]["notify"] = [
            url if url.startswith(VAULT_PREFIX) else f"{notify_name(url)}://{HIDDEN}"
            for url in self.alerts.notify
        ]
        return plain


Disagreement = tuple[tuple[str | int, ...], object, str]


def _disagreements(config: Config) -> Iterator[Disagreement]:
    """Yield the problems between settings: the setting's path, its value and the remedy."""
    providers, routing = config.providers, config.routing
    yield from _repeats(("routing", "priority"), routing.priority)
    yield from _repeats(("routing", "degrade"), routing.degrade)
    yield from _repeats(("budgets",), tuple(budget.name for budget in config.budgets), "name")
    for i, name in enumerate(routing.priority):
        if name not in providers:
            hint = nearest(name, list(providers)) or f" Use one of {', '.join(providers)}."
            yield ("routing", "priority", i), name, f"must be one of 'providers'.{hint}"
    for name, provider in providers.items():
        at = ("providers", name)
        if provider.enabled and name in routing.priority and not provider.models:
            yield (*at, "models"), {}, "must name a model for at least one tier; or set 'enabled: false'"
        for tier, model in provider.models.items():
            if model.startswith(f"{name}/"):
                yield (*at, "models", tier), model, f"must be the model's name without '{name}/'"
        if (
            provider.enabled
            and provider.api_base
            and config.require_tls
            and not is_private_url(provider.api_base)
        ):
            remedy = "must be https or on this machine; on a trusted network, set 'require_tls: false'"
            yield (*at, "api_base"), provider.api_base, remedy
    for i, budget in enumerate(config.budgets):
        if budget.name == PROBE:
            yield (
                ("budgets", i, "name"),
                budget.name,
                "is reserved: 'health.paid_limit' is the budget of that name",
            )
        for scope, known in (("provider", list(providers)), ("task", list(routing.tasks))):
            value = getattr(budget, scope)
            if value is not None and value not in known:
                yield ("budgets", i, scope), value, f"must be a known {scope}.{nearest(value, known)}"
    if config.cache.type == "redis" and config.redis is None:
        yield ("cache", "type"), "redis", "needs the address of the server: set 'redis' to redis://…"
    steps = config.alerts.thresholds
    if list(steps) != sorted(set(steps)):
        yield ("alerts", "thresholds"), steps, "must be ascending without duplicates, such as [50, 80, 95]"


def _repeats(
    at: tuple[str, ...], values: tuple[str, ...], field: str | None = None
) -> Iterator[Disagreement]:
    seen = set()
    for i, value in enumerate(values):
        if value in seen:
            yield (*at, i, *([field] if field else [])), value, "must not appear twice"
        seen.add(value)
