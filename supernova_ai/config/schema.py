"""The settings of the YAML: one frozen model per section, with the defaults of ``supernova.yaml``."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationError, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

from supernova_ai.config.advice import AdviceRules
from supernova_ai.config.dashboard import DashboardConfig, dashboard_faults
from supernova_ai.config.fields import (
    VAULT_PREFIX,
    Count,
    DatabaseName,
    Days,
    Factor,
    Identifier,
    Label,
    Name,
    NotifyUrl,
    OneTag,
    RedisUrl,
    Seconds,
    Section,
    TimeZone,
    Usd,
    mask,
    nearest,
    notify_name,
    unquoted_off,
)
from supernova_ai.config.operations import Backup, Jobs, Keys, Logs, Reload, Reports
from supernova_ai.config.provider_checks import provider_faults
from supernova_ai.config.providers import Provider, default_providers
from supernova_ai.secret import HIDDEN
from supernova_ai.types import EMBEDDING, PROBE, RERANK, OnInterrupt, Tier


class Breaker(Section):
    """After ``failures`` in a row a circuit opens for ``cooldown`` seconds, then one request tests it."""

    failures: Count = 3
    cooldown: Seconds = 30


class Routing(Section):
    """Which providers are used, in which order, and what follows a failure; only those in ``priority``.

    ``unsupported``: whether a parameter that a model does not support is left out, or the model is not asked.
    """

    priority: tuple[str, ...] = ("openai", "anthropic", "ollama", "huggingface")
    strategy: Literal["priority", "round_robin", "cost", "latency"] = "priority"
    tasks: dict[Name, Tier] = Field(default={"chat": "standard", "analysis": "premium", "summary": "economy"})
    degrade: tuple[Tier, ...] = ("premium", "standard", "economy")
    fallback: bool = True
    unsupported: Literal["drop", "refuse"] = "drop"
    retries: Annotated[int, Field(strict=True, ge=0, le=10)] = 2
    max_tokens: Annotated[int, Field(strict=True, ge=1, le=1_000_000)] = 4096
    min_tokens: Annotated[int, Field(strict=True, ge=1, le=1_000_000)] = 256
    wait: Annotated[float, Field(strict=True, ge=0, le=60)] = 2
    deadline: Seconds = 300
    on_interrupt: OnInterrupt = "resume"
    breaker: Breaker = Breaker()


class Health(Section):
    """Probes of deployments in cooldown or idle for ``idle`` seconds, at most one per ``every`` seconds.

    With ``paid``, a probe requests one token where no free endpoint exists. Paid probes, including those of
    the command line, may cost ``paid_limit`` USD a day.
    """

    probes: Annotated[Literal["off", "free", "paid"], unquoted_off] = "free"
    every: Seconds = 60
    idle: Seconds = 900
    paid_limit: Usd = Decimal("0.05")


class Cache(Section):
    """Where answers are cached, for how many seconds, and whether users share them."""

    type: Annotated[Literal["off", "memory", "disk", "redis"], unquoted_off] = "off"
    ttl: Annotated[int, Field(strict=True, ge=1, le=31_536_000)] = 3600
    shared: bool = False


class Budget(Section):
    """A limit in USD per period, over all calls or those of one provider, user, team, tag or task.

    ``"*"`` as the user, the team or the value of the tag: each has the limit.
    """

    name: Name
    limit: Usd
    per: Literal["day", "week", "month"]
    provider: str | None = None
    user: Identifier | None = None
    task: str | None = None
    time_zone: TimeZone = "UTC"
    team: Label | None = None
    tag: OneTag | None = None


class Spike(Section):
    """Alert if today's cost is ``factor`` times the usual and at least ``least`` USD. None: never."""

    factor: Factor | None = Decimal(4)
    least: Usd = Decimal(1)


class Alerts(Section):
    """Alert thresholds in percent of a budget, the spike rule, and the Apprise URLs to notify."""

    thresholds: tuple[Annotated[int, Field(strict=True, ge=1, le=100)], ...] = (50, 80, 95)
    spike: Spike = Spike()
    # Hidden in repr: an Apprise URL contains tokens.
    notify: tuple[NotifyUrl, ...] = Field(default=(), repr=False)


class Retention(Section):
    """Days after which attempts move into files, and records of advice are deleted, by ``supernova run`` or a
    command; and after which ``supernova run`` deletes versions of the configuration and ratings. None: never.
    """

    attempts: Days | None = None
    advice: Days | None = 2190
    versions: Days | None = None
    ratings: Days | None = None


class Sessions(Section):
    """Whether calls in a session include its history, of how many tokens and days."""

    history: bool = False
    tokens: Annotated[int, Field(strict=True, ge=1000, le=1_000_000)] = 4000
    keep_days: Days = 30


class Attachments(Section):
    """Whether attachments may be URLs, and the size limit of one call's attachments in megabytes."""

    urls: bool = False
    max_mb: Annotated[int, Field(strict=True, ge=1, le=30)] = 10


def _default_budgets() -> tuple[Budget, ...]:
    return (
        Budget(name="daily", limit=Decimal(50), per="day"),
        Budget(name="monthly", limit=Decimal(1000), per="month"),
    )


class Config(Section):
    """The whole configuration, validated."""

    environment: Name = "development"
    enabled: bool = True
    streaming: bool = False
    require_tls: bool = True
    verify_tls: bool = True
    # Hidden in repr: a URL may contain a password.
    database: DatabaseName | None = Field(default=None, repr=False)
    redis: RedisUrl | None = Field(default=None, repr=False)
    providers: dict[Name, Provider] = Field(default_factory=default_providers)
    routing: Routing = Routing()
    health: Health = Health()
    cache: Cache = Cache()
    budgets: tuple[Budget, ...] = Field(default_factory=_default_budgets)
    alerts: Alerts = Alerts()
    retention: Retention = Retention()
    sessions: Sessions = Sessions()
    attachments: Attachments = Attachments()
    keys: Keys = Keys()
    reload: Reload = Reload()
    backup: Backup = Backup()
    reports: Reports = Reports()
    logs: Logs = Logs()
    jobs: Jobs = Jobs()
    dashboard: DashboardConfig = DashboardConfig()
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
    def asked_providers(self) -> tuple[str, ...]:
        """The providers that calls may use: all active ones; without ``routing.fallback`` only the first."""
        return self.active_providers if self.routing.fallback else self.active_providers[:1]

    def type_of(self, provider: str) -> str:
        """Return LiteLLM's name of a provider."""
        return self.providers[provider].type or provider

    @property
    def custom_endpoints(self) -> frozenset[str]:
        """The providers with an ``api_base`` or a ``type``; their keys may have any format."""
        return frozenset(
            name for name, provider in self.providers.items() if provider.api_base or provider.type
        )

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


_OWN_TASKS = {EMBEDDING: "embed()", RERANK: "rerank()"}
"""The tasks that no tier answers, and the calls that have them unless they name another."""

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
        asked = name in routing.priority
        for at, value, remedy in provider_faults(name, provider, require_tls=config.require_tls, asked=asked):
            yield ("providers", name, *at), value, remedy
    for task in _OWN_TASKS:
        if task in routing.tasks:
            remedy = f"is reserved: it is the task of {_OWN_TASKS[task]}; choose another name"
            yield ("routing", "tasks", task), routing.tasks[task], remedy
    for i, budget in enumerate(config.budgets):
        if budget.name == PROBE:
            yield (
                ("budgets", i, "name"),
                budget.name,
                "is reserved: 'health.paid_limit' is the budget of that name",
            )
        each = {
            "user": budget.user,
            "team": budget.team,
            "tag": next(iter((budget.tag or {}).values()), None),
        }
        if len(starred := [name for name, value in each.items() if value == "*"]) > 1:
            remedy = f"only one of {' and '.join(starred)} may be '*': write a budget for each"
            yield ("budgets", i, starred[-1]), "*", remedy
        for scope, known in (("provider", list(providers)), ("task", [*routing.tasks, *_OWN_TASKS])):
            value = getattr(budget, scope)
            if value is not None and value not in known:
                yield ("budgets", i, scope), value, f"must be a known {scope}.{nearest(value, known)}"
    if config.cache.type == "redis" and config.redis is None:
        yield ("cache", "type"), "redis", "needs the address of the server: set 'redis' to redis://…"
    for at, value, remedy in dashboard_faults(config.dashboard):
        yield ("dashboard", *at), value, remedy
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
