"""What attempts took and cost, period by period and group by group, from the rollups alone.

An attempt counts to the hour it was sent in, once it has ended; what is still held is in no rollup. So a
report over a year reads some sums, never the rows, and stands when the rows have been archived.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from peewee import Case, Database, Value, fn

from supernova_ai.ledger.rollups import HOURS, bucket_ms
from supernova_ai.reports.periods import Period
from supernova_ai.store.tables import DailyRow, LatencyRow, PayerRow, UsageRow

By = Literal["provider", "model", "tier", "task", "prompt", "error", "user", "session"]
BYS: tuple[By, ...] = get_args(By)

# The same model may be had from two providers, and two users may number their sessions alike.
_FIELDS: Mapping[By | None, tuple[str, ...]] = {
    None: (),
    **{by: (by,) for by in BYS},
    "model": ("provider", "model"),
    "session": ("user", "session"),
}
_PAYERS: tuple[By, ...] = ("user", "session")
_TIMED: tuple[By | None, ...] = (None, "provider", "model")

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
)

Key = tuple[str, ...]
_Group = Counter[tuple[str, Any]]
"""What a group adds up to: sums by name, errors by class, answers and first tokens by step."""


@dataclass(frozen=True, slots=True)
class ReportLine:
    """What the ended attempts of one group took and cost in one period. The cost is nano-USD.

    ``name`` joins provider and model, or user and session, with a slash; nothing is empty text.
    ``answered`` are the attempts that ended without an error, and ``cached`` those of them whose answer was
    kept from before, so that nobody was asked. What a lost one costs is its whole hold.

    Percentiles are of the answered attempts, in milliseconds, and known for everything, for a provider and
    for a model; elsewhere they are None. They come from steps of a factor of √2 and are a step's upper end:
    the true percentile is at most that, and more than 0.7 of it. ``errors`` counts error classes; of users
    and sessions none are kept.
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
    answer_p50_ms: int | None
    answer_p95_ms: int | None
    first_p50_ms: int | None
    first_p95_ms: int | None
    errors: Mapping[str, int]

    @property
    def success_rate(self) -> float | None:
        """The share that was answered, 0 to 1, of the attempts that asked somebody; None without such."""
        asked = self.attempts - self.cached
        return (self.answered - self.cached) / asked if asked else None

    @property
    def cost_per_attempt(self) -> int | None:
        """Nano-USD, to the nearest; None without attempts."""
        return round(self.cost / self.attempts) if self.attempts else None


def report(
    database: Database, periods: Sequence[Period], by: By | None = None
) -> tuple[list[ReportLine], list[ReportLine]]:
    """Return the lines of each period, and those of all of them together, dearest first.

    Without a grouping each period has one line, zeros included.
    """
    parts = []
    whole: defaultdict[Key, _Group] = defaultdict(Counter)
    for span in periods:
        for key, group in _groups(database, span, by).items():
            parts.append(_line(span.name, key, group))
            whole[key].update(group)
    name = f"{periods[0].name} to {periods[-1].name}" if periods else ""
    together = [_line(name, key, group) for key, group in whole.items()]
    return parts, sorted(together, key=lambda line: (-line.cost, -line.attempts, line.name))


def lines(
    database: Database,
    span: Period,
    by: By | None = None,
    *,
    limit: int | None = None,
    user: str | None = None,
) -> list[ReportLine]:
    """Return one line per group of one period, dearest first, at most ``limit``.

    Args:
        user: only this user's; with ``by`` "user" or "session".
    """
    groups = _groups(database, span, by, limit, user)
    return [_line(span.name, key, group) for key, group in groups.items()]


def _groups(
    database: Database, span: Period, by: By | None, limit: int | None = None, user: str | None = None
) -> dict[Key, _Group]:
    """Return what each group adds up to, dearest first."""
    rows = _rows(span, by)
    fields = [getattr(rows.c, name) for name in _FIELDS[by]]
    query = rows.select_from(*fields, *(fn.SUM(getattr(rows.c, name)) for name in _SUMS)).group_by(*fields)
    if user is not None:
        query = query.where(rows.c.user == user)
    query = query.order_by(fn.SUM(rows.c.cost).desc(), fn.SUM(rows.c.attempts).desc(), *fields).limit(limit)
    found: dict[Key, _Group] = {}
    for row in query.tuples().execute(database):
        sums = row[len(fields) :]
        found[tuple(row[: len(fields)])] = Counter(
            {("sum", name): int(value or 0) for name, value in zip(_SUMS, sums, strict=True)}
        )
    more = []
    if by not in _PAYERS:
        names = [getattr(UsageRow, name) for name in _FIELDS[by]]
        query = UsageRow.select(*names, Value("error"), UsageRow.error, fn.SUM(UsageRow.attempts))
        more.append(
            _within(query.where(UsageRow.error != ""), UsageRow, span).group_by(*names, UsageRow.error)
        )
    if by in _TIMED:
        names = [getattr(LatencyRow, name) for name in _FIELDS[by]]
        query = LatencyRow.select(*names, LatencyRow.what, LatencyRow.bucket, fn.SUM(LatencyRow.attempts))
        more.append(_within(query, LatencyRow, span).group_by(*names, LatencyRow.what, LatencyRow.bucket))
    for query in more:
        for *key, what, which, count in query.tuples().execute(database):
            if (group := found.get(tuple(key))) is not None:
                group[what, which] = int(count)
    return found


def _rows(span: Period, by: By | None) -> Any:
    """Return the query of the rollup rows of the span: what they are grouped by, and what to add up.

    Of users, whole days of UTC are read from the daily rollup, and the hours around them from the hourly one.
    """
    names = (*_FIELDS[by], *_SUMS)
    if by not in _PAYERS:
        answered = Case(None, [(UsageRow.error == "", UsageRow.settled)], 0)
        columns = (answered if name == "answered" else getattr(UsageRow, name) for name in names)
        named = (column.alias(name) for name, column in zip(names, columns, strict=True))
        return _within(UsageRow.select(*named), UsageRow, span)
    payers = PayerRow.select(*(getattr(PayerRow, name).alias(name) for name in names))
    first, after = span.hours
    start, end = math.ceil(first / HOURS["day"]), after // HOURS["day"]  # the whole days
    if by == "session" or start >= end:
        return _within(payers, PayerRow, span)
    days = DailyRow.select(*(getattr(DailyRow, name).alias(name) for name in names))
    query: Any = days.where((DailyRow.day >= start) & (DailyRow.day < end) & (DailyRow.attempts > 0))
    for begin, until in ((first, start * HOURS["day"]), (end * HOURS["day"], after)):
        if begin < until:
            query = query.union_all(_between(payers, PayerRow, begin, until))
    return query


def _line(period: str, key: Key, group: _Group) -> ReportLine:
    rest: list[Any] = [group["sum", name] for name in _SUMS]
    for what in ("answer", "first"):
        steps = sorted((which, count) for (kind, which), count in group.items() if kind == what)
        rest += [_percentile(steps, percent) for percent in (50, 95)]
    rest.append({which: count for (kind, which), count in sorted(group.items()) if kind == "error"})
    return ReportLine(period, "/".join(key), *rest)


def _within(query: Any, table: Any, span: Period) -> Any:
    return _between(query, table, *span.hours)


def _between(query: Any, table: Any, first: int, after: int) -> Any:
    # A row whose attempts were all taken out again, after late settlements, is a row of zeros.
    return query.where((table.hour >= first) & (table.hour < after) & (table.attempts > 0))


def _percentile(steps: list[tuple[int, int]], percent: int) -> int | None:
    """Return the upper end of the step that holds the percentile (nearest rank), in milliseconds."""
    rank = math.ceil(sum(count for _, count in steps) * percent / 100)
    for bucket, count in steps:
        rank -= count
        if rank <= 0:
            return int(bucket_ms(bucket))
    return None
