"""Reports: what attempts took and cost, by period and group, from the rollups alone.

An ended attempt counts in the hour it was sent; open holds are in no rollup. A report reads sums and never
the attempts' rows, so that it is fast over a year and does not change when attempts are archived.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from peewee import Case, Database, Value, fn

from supernova_ai.errors import InvalidRequest
from supernova_ai.identifiers import tag_name
from supernova_ai.ledger.labels import TAG, TEAM
from supernova_ai.ledger.rollups import HOURS, bucket_ms
from supernova_ai.reports.periods import Period
from supernova_ai.store.tables import DailyRow, LabelRow, LatencyRow, PayerRow, UsageRow

Grouping = str
"""One of ``GROUPINGS``, or "tag:" and the name of a tag."""

GROUPINGS: tuple[Grouping, ...] = (
    "provider",
    "model",
    "tier",
    "task",
    "prompt",
    "error",
    "user",
    "session",
    TEAM,
)

# Two providers may have a model of the same name, and two users sessions of the same id.
_FIELDS: Mapping[Grouping | None, tuple[str, ...]] = {
    None: (),
    **{by: (by,) for by in GROUPINGS},
    "model": ("provider", "model"),
    "session": ("user", "session"),
    TEAM: ("value",),
}
_PAYERS: tuple[Grouping, ...] = ("user", "session")
_TIMED: tuple[Grouping | None, ...] = (None, "provider", "model")

_SUMS = (
    "attempts",
    "answered",
    "cached",
    "settled",
    "released",
    "lost",
    "cost",
    "prompt_tokens",
    "completion_tokens",
    "saved",
)

GroupKey = tuple[str, ...]
_Group = Counter[tuple[str, Any]]
"""The sums of a group by name, its errors by class, and its answers and first tokens by latency bucket."""


@dataclass(frozen=True, slots=True)
class ReportLine:
    """What the ended attempts of one group took and cost in one period. Money is nano-USD.

    ``name`` joins provider and model, or user and session, with a slash; a part that is unknown is empty.
    ``saved`` is what the prompt caches of providers took off the cost; below 0 if they added to it.
    ``answered`` counts the attempts that ended without an error, and ``cached`` those of them that the answer
    cache answered. A lost attempt costs its whole hold.

    Percentiles are milliseconds, over the answered attempts. They exist for the total, a provider and a
    model; else they are None. They are the upper ends of buckets of a factor of √2: the true percentile is at
    most the one given, and more than 0.7 of it. ``errors`` counts error classes; users, sessions, teams and
    tags have none.
    """

    period: str
    name: str
    attempts: int
    answered: int
    cached: int
    settled: int
    released: int
    lost: int
    cost: int
    prompt_tokens: int
    completion_tokens: int
    saved: int
    answer_p50_ms: int | None
    answer_p95_ms: int | None
    first_p50_ms: int | None
    first_p95_ms: int | None
    errors: Mapping[str, int]

    @property
    def success_rate(self) -> float | None:
        """The answered share, 0 to 1, of the attempts sent to a provider; None if there are none."""
        sent = self.attempts - self.cached
        return (self.answered - self.cached) / sent if sent else None

    @property
    def cost_per_attempt(self) -> int | None:
        """Nano-USD, rounded; None without attempts."""
        return round(self.cost / self.attempts) if self.attempts else None


def grouping(text: str) -> Grouping:
    """Return the grouping of this name.

    Raises:
        InvalidRequest: there is no such grouping.
    """
    if text.startswith(TAG):
        return f"{TAG}{tag_name(text.removeprefix(TAG))}"
    if text not in GROUPINGS:
        raise InvalidRequest(f"{text!r} is not one of: {', '.join(GROUPINGS)}, or {TAG}NAME for a tag")
    return text


def labels(database: Database, period: Period) -> list[Grouping]:
    """Return the groupings by team and by tag for which the period has attempts."""
    query = _within(LabelRow.select(LabelRow.label).distinct(), LabelRow, period)
    return [label for (label,) in query.order_by(LabelRow.label).tuples().execute(database)]


def report(
    database: Database, periods: Sequence[Period], by: Grouping | None = None
) -> tuple[list[ReportLine], list[ReportLine]]:
    """Return the lines of each period, and those of all periods together, the most expensive first.

    Without a grouping each period has one line, even if it is all zeros.
    """
    parts = []
    total: defaultdict[GroupKey, _Group] = defaultdict(Counter)
    for period in periods:
        for key, group in _groups(database, period, by).items():
            parts.append(_line(period.name, key, group))
            total[key].update(group)
    name = f"{periods[0].name} to {periods[-1].name}" if periods else ""
    totals = [_line(name, key, group) for key, group in total.items()]
    return parts, sorted(totals, key=lambda line: (-line.cost, -line.attempts, line.name))


def lines(
    database: Database,
    period: Period,
    by: Grouping | None = None,
    *,
    limit: int | None = None,
    only: str | None = None,
) -> list[ReportLine]:
    """Return one line per group of one period, the most expensive first, at most ``limit``.

    Args:
        only: only the groups of this user, team or value of the tag; ``by`` must be one of these, or
            "session".
    """
    groups = _groups(database, period, by, limit, only)
    return [_line(period.name, key, group) for key, group in groups.items()]


def _groups(
    database: Database, period: Period, by: Grouping | None, limit: int | None = None, only: str | None = None
) -> dict[GroupKey, _Group]:
    """Return the sums of each group, the most expensive first."""
    rows = _rows(period, by)
    fields = [getattr(rows.c, name) for name in _fields(by)]
    query = rows.select_from(*fields, *(fn.SUM(getattr(rows.c, name)) for name in _SUMS)).group_by(*fields)
    if only is not None:
        query = query.where(fields[0] == only)
    if _is_label(by):
        query = query.having(fn.SUM(rows.c.attempts) > 0)
    query = query.order_by(fn.SUM(rows.c.cost).desc(), fn.SUM(rows.c.attempts).desc(), *fields).limit(limit)
    found: dict[GroupKey, _Group] = {}
    for row in query.tuples().execute(database):
        sums = row[len(fields) :]
        found[tuple(row[: len(fields)])] = Counter(
            {("sum", name): int(value or 0) for name, value in zip(_SUMS, sums, strict=True)}
        )
    more = []
    if by not in _PAYERS and not _is_label(by):
        names = [getattr(UsageRow, name) for name in _fields(by)]
        query = UsageRow.select(*names, Value("error"), UsageRow.error, fn.SUM(UsageRow.attempts))
        more.append(
            _within(query.where(UsageRow.error != ""), UsageRow, period).group_by(*names, UsageRow.error)
        )
    if by in _TIMED:
        names = [getattr(LatencyRow, name) for name in _fields(by)]
        query = LatencyRow.select(*names, LatencyRow.what, LatencyRow.bucket, fn.SUM(LatencyRow.attempts))
        more.append(_within(query, LatencyRow, period).group_by(*names, LatencyRow.what, LatencyRow.bucket))
    for query in more:
        for *key, what, which, count in query.tuples().execute(database):
            if (group := found.get(tuple(key))) is not None:
                group[what, which] = int(count)
    return found


def _rows(period: Period, by: Grouping | None) -> Any:
    """Return the query of the period's rollup rows: the columns to group by, and those to add up.

    For users, whole UTC days come from the daily rollup, and the hours around them from the hourly one.
    """
    names = (*_fields(by), *_SUMS)
    if by is not None and _is_label(by):
        return _label_rows(period, by)
    if by not in _PAYERS:
        named = [getattr(UsageRow, name).alias(name) for name in _fields(by)]
        return _within(UsageRow.select(*named, *_usage_sums()), UsageRow, period)
    payers = PayerRow.select(*(getattr(PayerRow, name).alias(name) for name in names))
    first, after = period.hours
    start, end = math.ceil(first / HOURS["day"]), after // HOURS["day"]  # the whole days
    if by == "session" or start >= end:
        return _within(payers, PayerRow, period)
    days = DailyRow.select(*(getattr(DailyRow, name).alias(name) for name in names))
    query: Any = days.where((DailyRow.day >= start) & (DailyRow.day < end) & (DailyRow.attempts > 0))
    for begin, until in ((first, start * HOURS["day"]), (end * HOURS["day"], after)):
        if begin < until:
            query = query.union_all(_between(payers, PayerRow, begin, until))
    return query


def _label_rows(period: Period, label: Grouping) -> Any:
    """Return the query of a label's rollup rows. Calls without the label, as "", are all calls less these."""
    sums = [getattr(LabelRow, name).alias(name) for name in _SUMS]
    less = [(getattr(LabelRow, name) * -1).alias(name) for name in _SUMS]
    queries: list[Any] = [
        _within(LabelRow.select(LabelRow.value, *sums), LabelRow, period).where(LabelRow.label == label),
        _within(UsageRow.select(Value("").alias("value"), *_usage_sums()), UsageRow, period),
        _within(LabelRow.select(Value("").alias("value"), *less), LabelRow, period).where(
            LabelRow.label == label
        ),
    ]
    return queries[0].union_all(queries[1]).union_all(queries[2])


def _usage_sums() -> list[Any]:
    answered = Case(None, [(UsageRow.error == "", UsageRow.settled)], 0)
    return [(answered if name == "answered" else getattr(UsageRow, name)).alias(name) for name in _SUMS]


def _is_label(by: Grouping | None) -> bool:
    return by == TEAM or (by or "").startswith(TAG)


def _fields(by: Grouping | None) -> tuple[str, ...]:
    return _FIELDS[TEAM if _is_label(by) else by]


def _line(period: str, key: GroupKey, group: _Group) -> ReportLine:
    rest: list[Any] = [group["sum", name] for name in _SUMS]
    for what in ("answer", "first"):
        buckets = sorted((which, count) for (kind, which), count in group.items() if kind == what)
        rest += [_percentile(buckets, percent) for percent in (50, 95)]
    rest.append({which: count for (kind, which), count in sorted(group.items()) if kind == "error"})
    return ReportLine(period, "/".join(key), *rest)


def _within(query: Any, table: Any, period: Period) -> Any:
    return _between(query, table, *period.hours)


def _between(query: Any, table: Any, first: int, after: int) -> Any:
    # Late settlements may leave a row of zeros: they subtract the attempt and add it to another row.
    return query.where((table.hour >= first) & (table.hour < after) & (table.attempts > 0))


def _percentile(buckets: list[tuple[int, int]], percent: int) -> int | None:
    """Return the upper end of the bucket with the percentile (nearest rank), in milliseconds."""
    rank = math.ceil(sum(count for _, count in buckets) * percent / 100)
    for bucket, count in buckets:
        rank -= count
        if rank <= 0:
            return int(bucket_ms(bucket))
    return None
