"""The tables as peewee models. They are not bound to a database: pass it to ``query.execute(database)``.

Money is nano-USD in BIGINT, times are Unix milliseconds UTC in BIGINT. A change here needs a migration in
``migrations``; a test compares the two.
"""

from __future__ import annotations

import re

from peewee import (
    SQL,
    AutoField,
    BigIntegerField,
    BlobField,
    CompositeKey,
    IntegerField,
    Model,
    TextField,
)


def _table_name(model: type[Model]) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", model.__name__.removesuffix("Row")).lower()


def _saved() -> BigIntegerField:
    """Return the column of what prompt caches saved: rows from before it have 0."""
    return BigIntegerField(default=0, constraints=[SQL("DEFAULT 0")], column_name="saved_nano")


class Table(Model):
    class Meta:
        legacy_table_names = False
        table_function = _table_name


class MetaRow(Table):
    """Values about the store itself: its id, the master's id, the head of the audit chain."""

    name = TextField(primary_key=True)
    value = TextField()


class KeyRow(Table):
    """One version of the key in a provider's slot, encrypted."""

    id = TextField(primary_key=True)
    provider = TextField()
    slot = TextField()
    version = IntegerField()
    state = TextField()  # pending | active | retiring | revoked | failed
    master_id = TextField()
    fingerprint = TextField()
    sealed = BlobField()
    created_ms = BigIntegerField()
    reason = TextField(null=True)  # why a rotation failed, or a key was revoked
    activated_ms = BigIntegerField(null=True)
    until_ms = BigIntegerField(null=True)  # when a retiring version is revoked
    expires_ms = BigIntegerField(null=True)  # as the provider set it
    checked_ms = BigIntegerField(null=True)
    check_result = TextField(null=True)  # ok, or the class of the error
    used_ms = BigIntegerField(null=True)

    class Meta:
        table_name = "api_key"
        indexes = ((("provider", "slot", "version"), True),)


class AuditRow(Table):
    """The audit chain of operations; each row's MAC covers the row before."""

    number = IntegerField(primary_key=True)
    at_ms = BigIntegerField()
    event = TextField()
    subject = TextField()
    details = TextField()
    mac = TextField()
    actor = TextField(null=True)  # who; NULL in rows of the first releases, as the next two
    source = TextField(null=True)  # from where: the command, a program, the dashboard, with the machine
    outcome = TextField(null=True)  # done, or why it failed


class ProcessRow(Table):
    """A process that takes holds, and the end of its lease."""

    id = TextField(primary_key=True)
    host = TextField()
    pid = IntegerField()
    lease_ms = BigIntegerField()
    budgets = TextField(default="{}", constraints=[SQL("DEFAULT '{}'")])  # JSON: its budgets by name


class AttemptRow(Table):
    """One physical provider call, with its hold."""

    id = TextField(primary_key=True)
    request = TextField(index=True)
    process = TextField()
    user = TextField(null=True, column_name="user_id")
    session = TextField(null=True, column_name="session_id")
    task = TextField()
    tier = TextField()
    provider = TextField()
    model = TextField()
    slot = TextField(null=True, column_name="key_slot")
    state = TextField(index=True)  # held | settled | released | lost
    held = BigIntegerField(column_name="held_nano")
    cost = BigIntegerField(default=0, column_name="cost_nano")
    basis = TextField(null=True, column_name="cost_basis")  # exact | estimated | bound | unknown | cached
    windows = TextField(default="[]")  # JSON: ids of the budget windows that carry the hold
    prompt = IntegerField(default=0, column_name="prompt_tokens")
    completion = IntegerField(default=0, column_name="completion_tokens")
    cached = IntegerField(default=0, column_name="cached_tokens")
    cache_write = IntegerField(default=0, column_name="cache_write_tokens")
    reasoning = IntegerField(default=0, column_name="reasoning_tokens")
    started_ms = BigIntegerField(index=True)
    ended_ms = BigIntegerField(null=True)
    latency_ms = IntegerField(null=True)
    first_token_ms = IntegerField(null=True)
    error = TextField(null=True, column_name="error_class")
    prompt_name = TextField(null=True)
    prompt_hash = TextField(null=True)
    config_version = TextField()
    price_version = TextField()
    late = IntegerField(default=0)  # 1: settled after it had been declared lost
    response = TextField(null=True, column_name="response_id")  # the provider's id of the answer
    max_tokens = IntegerField(null=True)  # the limit sent for the answer
    fingerprint = TextField(null=True)  # of its failure_pattern
    address = TextField(null=True)  # the api_base used; NULL is the provider's default
    environment = TextField(null=True)  # development | production | …
    key_version = IntegerField(null=True)  # of the key in its slot; NULL is a key of the environment, or none
    team = TextField(null=True)
    tags = TextField(null=True)  # JSON: values by name, as ``ledger.labels`` writes it
    saved = _saved()  # by the provider's prompt cache; below 0 if writing to it cost more

    class Meta:
        indexes = ((("user",), False),)


class WindowRow(Table):
    """One period of one budget for one subject: the amounts settled, held and lost."""

    id = AutoField()
    budget = TextField()
    subject = TextField()  # the user, team or value of a tag where each has a window; else ""
    period = TextField()  # 2026-11-22 | 2026-W47 | 2026-11
    settled = BigIntegerField(default=0, column_name="settled_nano")
    held = BigIntegerField(default=0, column_name="held_nano")
    lost = BigIntegerField(default=0, column_name="lost_nano")
    # JSON: which of provider, tag, task, team, time zone and user the budget names; "" if none
    scope = TextField(default="", constraints=[SQL("DEFAULT ''")])

    class Meta:
        table_name = "budget_window"
        indexes = ((("budget", "subject", "period", "scope"), True),)


class SliceRow(Table):
    """The part of a window that a process counts in by itself; ``ledger.slices`` says how."""

    window = IntegerField(column_name="window_id")
    process = TextField()
    size = BigIntegerField(column_name="size_nano")
    settled = BigIntegerField(column_name="settled_nano")
    held = BigIntegerField(column_name="held_nano")
    lost = BigIntegerField(column_name="lost_nano")

    class Meta:
        table_name = "window_slice"
        primary_key = CompositeKey("window", "process")


class OpeningRow(Table):
    """The opening balance of a window: the cost of earlier attempts in its scope. NULL means any."""

    window = IntegerField(primary_key=True, column_name="window_id")
    provider = TextField(null=True)
    user = TextField(null=True, column_name="user_id")  # "" is calls without a user
    task = TextField(null=True)
    start_ms = BigIntegerField()
    end_ms = BigIntegerField()
    opened_ms = BigIntegerField()
    settled = BigIntegerField(column_name="settled_nano")
    team = TextField(null=True)  # "" is calls without a team
    tag = TextField(null=True)  # JSON: the value by the name; "" is calls without the tag

    class Meta:
        table_name = "window_opening"


class UsageRow(Table):
    """Rollup: tokens and cost of the attempts of one hour (since the epoch); empty text for none."""

    hour = IntegerField()
    provider = TextField()
    model = TextField()
    tier = TextField()
    task = TextField()
    prompt = TextField()
    error = TextField()
    attempts = IntegerField()
    cached = IntegerField()  # of those: answers from the cache, without a provider call
    settled = IntegerField()
    released = IntegerField()
    lost = IntegerField()
    cost = BigIntegerField(column_name="cost_nano")
    prompt_tokens = BigIntegerField()
    completion_tokens = BigIntegerField()
    cached_tokens = BigIntegerField()
    cache_write_tokens = BigIntegerField()
    reasoning_tokens = BigIntegerField()
    saved = _saved()

    class Meta:
        table_name = "usage_rollup"
        primary_key = CompositeKey("hour", "provider", "model", "tier", "task", "prompt", "error")


class PayerRow(Table):
    """Rollup: tokens and cost of one user's session in one hour."""

    hour = IntegerField()
    user = TextField(column_name="user_id")
    session = TextField(column_name="session_id")
    attempts = IntegerField()
    answered = IntegerField()
    cached = IntegerField()
    settled = IntegerField()
    released = IntegerField()
    lost = IntegerField()
    cost = BigIntegerField(column_name="cost_nano")
    prompt_tokens = BigIntegerField()
    completion_tokens = BigIntegerField()
    saved = _saved()

    class Meta:
        table_name = "payer_rollup"
        primary_key = CompositeKey("hour", "user", "session")


class DailyRow(Table):
    """Rollup: tokens and cost of one user in one UTC day (since the epoch), over all sessions."""

    day = IntegerField()
    user = TextField(column_name="user_id")
    attempts = IntegerField()
    answered = IntegerField()
    cached = IntegerField()
    settled = IntegerField()
    released = IntegerField()
    lost = IntegerField()
    cost = BigIntegerField(column_name="cost_nano")
    prompt_tokens = BigIntegerField()
    completion_tokens = BigIntegerField()
    saved = _saved()

    class Meta:
        table_name = "daily_rollup"
        primary_key = CompositeKey("day", "user")


class LabelRow(Table):
    """Rollup: tokens and cost of one team, or of one value of a tag, in one hour."""

    hour = IntegerField()
    label = TextField()  # team, or tag: and the tag's name
    value = TextField()
    attempts = IntegerField()
    answered = IntegerField()
    cached = IntegerField()
    settled = IntegerField()
    released = IntegerField()
    lost = IntegerField()
    cost = BigIntegerField(column_name="cost_nano")
    prompt_tokens = BigIntegerField()
    completion_tokens = BigIntegerField()
    saved = BigIntegerField(column_name="saved_nano")

    class Meta:
        table_name = "label_rollup"
        primary_key = CompositeKey("hour", "label", "value")


class LatencyRow(Table):
    """Rollup: histogram of the latencies of one hour; bucket bounds grow by a factor of √2."""

    hour = IntegerField()
    provider = TextField()
    model = TextField()
    what = TextField()  # answer | first
    bucket = IntegerField()
    attempts = IntegerField()

    class Meta:
        table_name = "latency_rollup"
        primary_key = CompositeKey("hour", "provider", "model", "what", "bucket")


class PatternRow(Table):
    """One kind of failure at one provider, with the number of times it occurred."""

    fingerprint = TextField(primary_key=True)
    provider = TextField()
    model = TextField()  # of the latest failure
    error = TextField()
    status = IntegerField(null=True)
    message = TextField()  # without secrets, numbers and names
    first_ms = BigIntegerField()
    last_ms = BigIntegerField()
    seen = IntegerField()

    class Meta:
        table_name = "failure_pattern"


class HealthRow(Table):
    """The state of a deployment's circuit breaker, and the result of its last probe."""

    deployment = TextField(primary_key=True)  # DeploymentIdentity.id of the next five columns
    tier = TextField()
    provider = TextField()
    model = TextField()
    slot = TextField(null=True, column_name="key_slot")
    address = TextField(null=True)
    state = TextField()  # closed | open | half-open
    since_ms = BigIntegerField()
    until_ms = BigIntegerField(null=True)
    failures = IntegerField()
    error = TextField(null=True)
    probed_ms = BigIntegerField(null=True)
    probe = TextField(null=True)  # ok, or the class of the error


class AlertRow(Table):
    """The alert outbox: one row per threshold that a budget window passed, and per notice of an operation."""

    id = AutoField()
    budget = TextField()  # of a notice: what it is about, such as openai/primary
    subject = TextField()
    period = TextField()
    threshold = IntegerField()  # percent of the limit; 0 is a spike or a notice
    spent = BigIntegerField(column_name="spent_nano")
    limit = BigIntegerField(column_name="limit_nano")
    at_ms = BigIntegerField()
    state = TextField(index=True)  # new | sent | failed | acknowledged
    tries = IntegerField()
    next_ms = BigIntegerField()
    detail = TextField(null=True)
    kind = TextField(default="budget", constraints=[SQL("DEFAULT 'budget'")])  # budget, or of a notice
    message = TextField(null=True)  # of a notice, as JSON

    class Meta:
        indexes = ((("kind", "budget", "subject", "period", "threshold"), True),)


class JournalRow(Table):
    """Manual changes and their reasons."""

    id = AutoField()
    at_ms = BigIntegerField()
    event = TextField()
    attempt = TextField(null=True)
    before = TextField()
    after = TextField()
    reason = TextField()


class AdviceRow(Table):
    """Recorded advice; each row's hash covers the row before it."""

    number = IntegerField(primary_key=True)
    id = TextField(unique=True)
    created_ms = BigIntegerField()
    # from UserTokenRow, never the user's id
    user = TextField(null=True, index=True, column_name="user_token")
    symbol = TextField()
    action = TextField()
    content = TextField()  # canonical JSON: inputs, computed facts, model calls and result
    bars = TextField(null=True)  # compressed; content holds their hash, so that they can be deleted
    news = TextField(null=True)  # likewise
    hash = TextField()


class LinkRow(Table):
    """The last row of the advice chain ("head"), and the last row deleted by age ("pruned")."""

    name = TextField(primary_key=True)
    number = IntegerField()
    hash = TextField()

    class Meta:
        table_name = "advice_chain"


class UserTokenRow(Table):
    """The token of a user in advice records; deleting this row makes the records anonymous."""

    user = TextField(primary_key=True, column_name="user_id")
    token = TextField(unique=True)


class SessionTurnRow(Table):
    """One exchange of a conversation, or a summary of earlier ones, encrypted."""

    user = TextField(column_name="user_id")  # "" if the call named none
    session = TextField(column_name="session_id")
    number = IntegerField()
    at_ms = BigIntegerField(index=True)
    sealed = BlobField()

    class Meta:
        primary_key = CompositeKey("user", "session", "number")


class StuckEndRow(Table):
    """The end of a hold that the database refused, with the reason; it is written later."""

    attempt = TextField(primary_key=True)
    at_ms = BigIntegerField()
    ending = TextField()  # JSON: the hold and its end
    reason = TextField()


class AnswerRow(Table):
    """A cached answer, encrypted."""

    place = TextField(primary_key=True)  # cache key: a hash of everything that may change the answer
    user = TextField(index=True, column_name="user_id")  # who asked; "" if the call named none
    created_ms = BigIntegerField(index=True)
    expires_ms = BigIntegerField(index=True)
    sealed = BlobField()


RATING_SCALE = 1000
"""Ratings are stored as thousandths."""


class RatingRow(Table):
    """The feedback on one request, the quality of its answer, and what both are reported by.

    The latter is of the attempt that answered; it is kept here because attempts move into archives.
    """

    request = TextField(primary_key=True)
    user = TextField(index=True, column_name="user_id")  # "" if the call named none
    provider = TextField()
    model = TextField()
    task = TextField()
    prompt = TextField()  # the prompt's name; "" for none
    started_ms = BigIntegerField(index=True)  # when the attempt was sent
    quality = IntegerField(null=True)  # thousandths, 0 to 1000; NULL if nothing was checked
    score = IntegerField(null=True)  # of the feedback: thousandths, -1000 to 1000; NULL without feedback
    at_ms = BigIntegerField(null=True)  # when the feedback was given
    sealed = BlobField(null=True)  # its comment, encrypted


class ErasedRow(Table):
    """Tombstone of a user who was erased, or of a session that was forgotten, in the last day."""

    subject = TextField(primary_key=True)  # a hash
    at_ms = BigIntegerField()


class ConfigVersionRow(Table):
    """A configuration that was applied, with its sources."""

    number = IntegerField(primary_key=True)
    at_ms = BigIntegerField()
    version = TextField()  # the hash of the settings, as attempts have it
    content_hash = TextField()  # of the settings with secrets hidden, and of the templates
    environment = TextField()
    actor = TextField()
    cause = TextField()  # start | reload | watch | signal | edit | set | apply | rollback
    settings = TextField()  # JSON: all settings, with secrets hidden, and hashes of the templates
    sealed = BlobField(null=True)  # the text of the files, encrypted; NULL if there was no master key

    class Meta:
        table_name = "config_version"


class JobRow(Table):
    """A scheduled job and its last run, written under the leader's fence."""

    name = TextField(primary_key=True)
    fence = IntegerField()
    started_ms = BigIntegerField()
    ended_ms = BigIntegerField(null=True)  # before started_ms: it is running, or was cut short
    done_ms = BigIntegerField(null=True)  # when its last run that succeeded had started
    duration_ms = IntegerField(null=True)
    outcome = TextField(null=True)  # what it did, or why it failed
    runs = IntegerField()
    failures = IntegerField()  # runs in a row that did not succeed, with the one that is running


class LeaderRow(Table):
    """The lease of the process that runs the jobs; its fence grows with each new holder."""

    role = TextField(primary_key=True)
    holder = TextField()
    fence = IntegerField()
    until_ms = BigIntegerField()


class DashboardUserRow(Table):
    """Who may sign in to the dashboard with a password."""

    name = TextField(primary_key=True)
    role = TextField()  # viewer | operator | admin
    password = TextField()  # a hash by Argon2id, as a PHC string
    state = TextField()  # active | disabled
    created_ms = BigIntegerField()
    changed_ms = BigIntegerField()  # of the role, the password or the state; it ends the user's sessions
    locked_until_ms = BigIntegerField(null=True)  # after wrong passwords

    class Meta:
        table_name = "dashboard_user"


TABLES: tuple[type[Table], ...] = (
    MetaRow,
    KeyRow,
    AuditRow,
    ProcessRow,
    AttemptRow,
    WindowRow,
    SliceRow,
    UsageRow,
    PayerRow,
    DailyRow,
    LabelRow,
    LatencyRow,
    PatternRow,
    HealthRow,
    AlertRow,
    JournalRow,
    AdviceRow,
    LinkRow,
    UserTokenRow,
    SessionTurnRow,
    StuckEndRow,
    AnswerRow,
    RatingRow,
    ErasedRow,
    OpeningRow,
    ConfigVersionRow,
    JobRow,
    LeaderRow,
    DashboardUserRow,
)
