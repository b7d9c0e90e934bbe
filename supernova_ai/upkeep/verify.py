"""Verify the ledger: recompute every window and rollup from the attempts, in the table and in archives.

The attempts are read once, in the order they were sent, from one snapshot of the database. Memory holds the
sums of one day and of the windows.
"""

from __future__ import annotations

import heapq
import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import groupby, product
from operator import itemgetter
from pathlib import Path
from typing import Any

from peewee import Database

from supernova_ai import ratings
from supernova_ai.config import Budget
from supernova_ai.ledger import rollups
from supernova_ai.ledger.opening_balances import WindowScope
from supernova_ai.money import show, to_nano
from supernova_ai.store import Store, bulk
from supernova_ai.store.engines import snapshot
from supernova_ai.store.tables import AttemptRow, OpeningRow, ProcessRow, RatingRow, StuckEndRow, WindowRow
from supernova_ai.upkeep import archive, archive_files, row_checks
from supernova_ai.upkeep.archive_files import Manifest
from supernova_ai.upkeep.row_checks import Finding, Row

SHOWN = 100
"""How many findings of one kind a report lists; it counts them all."""

_DAY_HOURS = rollups.HOURS["day"]
_STATES = ("settled", "held", "lost")
_COLUMNS = bulk.columns(AttemptRow)
_counted = itemgetter(*rollups.EndedAttempt._fields)

_Payer = tuple[str | None, str | None]
"""The user and the team of an opening; None is any."""

Sums = dict[tuple[str, tuple[Any, ...]], Mapping[str, int]]


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """What was verified, and what was found.

    ``checked`` counts attempts, archived attempts, archives, windows, rollups and ratings. ``problems`` are
    errors in the ledger. ``flags`` are correct but worth knowing: overruns, late settlements, windows above
    their present limit, openings above the cost of their attempts, holds without a process, left-over files.
    Both list the first hundred findings of each kind; ``counts`` has the numbers.
    """

    checked: Mapping[str, int]
    problems: tuple[Finding, ...]
    flags: tuple[Finding, ...]
    counts: Mapping[str, int]

    @property
    def ok(self) -> bool:
        """Whether all sums agree with the attempts."""
        return not self.problems


def verify_ledger(store: Store, budgets: Sequence[Budget], *, folder: Path) -> VerifyReport:
    """Compare every window and rollup with the attempts, and every archive with its hashes.

    Args:
        budgets: the budgets in force, to flag windows above their limits.
        folder: where the archives are.

    Raises:
        StoreError: the database cannot be read.
    """

    def operation(database: Database) -> VerifyReport:
        with snapshot(database):
            return _Verification(database, store.id, budgets, folder).report()

    return store.read(operation)


@dataclass(slots=True)
class _Findings:
    named: list[Finding] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)

    def add(self, *findings: Finding) -> None:
        for finding in findings:
            self.counts[finding.kind] += 1
            if self.counts[finding.kind] <= SHOWN:
                self.named.append(finding)


class _Verification:
    def __init__(self, database: Database, store: str, budgets: Sequence[Budget], folder: Path) -> None:
        self._database = database
        self._store = store
        self._limits = {budget.name: to_nano(budget.limit) for budget in budgets}
        self._folder = folder
        self._problems, self._flags = _Findings(), _Findings()
        self._checked: Counter[str] = Counter()
        self._windows: defaultdict[int, list[int]] = defaultdict(lambda: [0, 0, 0])
        self._unknown: dict[str, set[int]] = {period: set() for period in rollups.HOURS}
        self._openings: defaultdict[_Payer, list[tuple[int, WindowScope]]] = defaultdict(list)
        self._opened: dict[int, int] = {}
        for row in OpeningRow.select().execute(database):
            self._openings[row.user, row.team].append((row.window, WindowScope.of_opening(row)))
            self._opened[row.window] = row.settled
            self._windows[row.window][0] += row.settled
        self._uncounted: Counter[int] = Counter()
        self._processes = {row.id for row in ProcessRow.select().execute(database)}

    def report(self) -> VerifyReport:
        readable, unreadable = self._check_archives()
        self._check_attempts(readable, unreadable)
        self._compare_windows()
        self._report_set_aside()
        self._check_ratings()
        return VerifyReport(
            dict(self._checked),
            tuple(self._problems.named),
            tuple(self._flags.named),
            dict(self._problems.counts + self._flags.counts),
        )

    def _check_archives(self) -> tuple[list[Manifest], list[Manifest]]:
        """Check the archives; return those whose rows can be read, and those whose rows cannot."""
        readable, unreadable = [], []
        for manifest in archive.current_archives(self._database).values():
            self._checked["archives"] += 1
            reason = archive_files.find_damage(manifest, self._folder)
            if reason is None:
                readable.append(manifest)
                continue
            unreadable.append(manifest)
            what = f"{manifest.rows} attempts in archive {manifest.file}"
            self._problems.add(Finding("archive", what, "an undamaged file", f"cannot be checked: {reason}"))
            for window, (settled, lost) in manifest.windows.items():  # the journal has these sums
                sums = self._windows[int(window)]
                sums[0] += settled
                sums[2] += lost
        for file in archive.left_over(self._database, self._folder, self._store):
            what = "not in the journal: an interrupted run left it; its rows are in the ledger"
            self._flags.add(Finding("left over", str(file), "in the journal", what))
        return readable, unreadable

    def _check_attempts(self, readable: list[Manifest], unreadable: list[Manifest]) -> None:
        """Read every attempt once; compare each day's rollups when all attempts of the day are read."""
        for manifest in unreadable:
            for period, hours in rollups.HOURS.items():
                length = hours * rollups.HOUR_MS
                self._unknown[period].update(
                    range(manifest.first_ms // length, manifest.last_ms // length + 1)
                )
        stored = set()
        for name, (period, *_) in rollups.KEY_COLUMNS.items():
            select = f"SELECT DISTINCT {period} FROM {name}"  # noqa: S608 - names of ours
            for (number,) in bulk.run(self._database, select).fetchall():
                stored.add(number * rollups.HOURS[period] // _DAY_HOURS)
        streams = (self._archived(manifest) for manifest in readable)
        merged = heapq.merge(self._present(), *streams, key=itemgetter(0))
        for day, rows in groupby(merged, key=lambda item: item[0] // (_DAY_HOURS * rollups.HOUR_MS)):
            self._compare_rollups(day, self._sum(row for _, row in rows if row is not None))
            stored.discard(day)
        for day in sorted(stored):
            self._compare_rollups(day, {})

    def _present(self) -> Iterator[tuple[int, Row | None]]:
        for page in bulk.pages(self._database, AttemptRow, order=("started_ms", "id")):
            for values in page:
                self._checked["attempts"] += 1
                row = dict(zip(_COLUMNS, values, strict=True))
                yield row["started_ms"], row

    def _archived(self, manifest: Manifest) -> Iterator[tuple[int, Row | None]]:
        yield manifest.first_ms, None  # so that merging opens the file only at this time
        for row in archive_files.read_rows(self._folder / manifest.file):
            self._checked["archived attempts"] += 1
            yield row["started_ms"], row

    def _sum(self, rows: Iterable[Row]) -> Sums:
        """Check each row and add it up."""
        seen: set[str] = set()
        sums: defaultdict[tuple[str, tuple[Any, ...]], Counter[str]] = defaultdict(Counter)
        for row in rows:
            if row["id"] in seen:
                where = "both in the ledger and in an archive, or in two archives"
                self._problems.add(Finding("attempt", f"attempt {row['id']}", "in one place", where))
            seen.add(row["id"])
            self._problems.add(*row_checks.problems(row))
            self._flags.add(*row_checks.flags(row, self._processes))
            if row["state"] in _STATES:
                amount = row["held_nano"] if row["state"] == "held" else row["cost_nano"]
                for window in _ids(row["windows"]):
                    self._windows[window][_STATES.index(row["state"])] += amount
            if row["state"] != "held":
                self._add_uncounted(row)
                for table, key, amounts in rollups.contributions(rollups.EndedAttempt(*_counted(row))):
                    sums[table, key].update(amounts)
        return dict(sums)

    def _add_uncounted(self, row: Row) -> None:
        """Add the row's cost to the openings whose scope contains it and whose window does not count it."""
        for payer in product({None, row["user_id"] or ""}, {None, row["team"] or ""}):
            for window, scope in self._openings.get(payer, ()):
                if scope.contains(row) and window not in _ids(row["windows"]):
                    self._uncounted[window] += row["cost_nano"]

    def _compare_rollups(self, day: int, expected: Sums) -> None:
        """Compare the rollups of the day and its hours, except where attempts are unreadable."""
        found: Sums = {}
        for table in rollups.ROLLUPS:
            name, names = table._meta.table_name, bulk.columns(table)
            keys = rollups.KEY_COLUMNS[name]
            indices = [names.index(column) for column in keys]
            per_day = _DAY_HOURS // rollups.HOURS[keys[0]]
            where = f"{keys[0]} >= ? AND {keys[0]} < ?"
            select = f"SELECT {', '.join(names)} FROM {name} WHERE {where}"  # noqa: S608 - names of ours
            for row in bulk.run(self._database, select, day * per_day, (day + 1) * per_day).fetchall():
                amounts = {n: v for n, v in zip(names, row, strict=True) if n not in keys}
                found[name, tuple(row[i] for i in indices)] = amounts
        known = {
            (name, key)
            for name, key in expected.keys() | found.keys()
            if key[0] not in self._unknown[rollups.KEY_COLUMNS[name][0]]
        }
        self._checked["rollups"] += len(known & found.keys())
        for rollup in sorted(known, key=str):
            right, stored = _nonzero(expected.get(rollup, {})), _nonzero(found.get(rollup, {}))
            if right != stored:
                name, key = rollup
                what = f"{name} {'/'.join(map(str, key))}"
                self._problems.add(Finding("rollup", what, _list_amounts(right), _list_amounts(stored)))

    def _report_set_aside(self) -> None:
        """Report the ends that the database refused: the cost of these attempts is not in the ledger."""
        for row in StuckEndRow.select().order_by(StuckEndRow.attempt).execute(self._database):
            what = f"attempt {row.attempt}"
            self._problems.add(Finding("set aside", what, "its end written", f"refused: {row.reason}"))

    def _check_ratings(self) -> None:
        if count := RatingRow.select().count(self._database):
            self._checked["ratings"] = count
        for request in ratings.contradictions(self._database):
            expected = "what its attempt has, a score from -1 to 1 and a quality from 0 to 1"
            self._problems.add(Finding("rating", f"rating of request {request}", expected, "another"))

    def _compare_windows(self) -> None:
        for page in bulk.pages(self._database, WindowRow):
            for id_, budget, subject, period, *found, _ in page:
                self._checked["windows"] += 1
                what = f"window {id_}: {' '.join(filter(None, (budget, subject, period)))}"
                expected = self._windows.pop(id_, [0, 0, 0])
                if found != expected:
                    self._problems.add(Finding("window", what, _show_sums(expected), _show_sums(found)))
                opened = self._opened.get(id_, 0)
                if opened > self._uncounted[id_]:
                    most = f"at most {show(self._uncounted[id_])}, the attempts that it does not count"
                    self._flags.add(Finding("opening", what, most, f"opened with {show(opened)}"))
                limit = self._limits.get(budget)
                if limit is not None and sum(found) > limit:
                    self._flags.add(Finding("above limit", what, f"at most {show(limit)}", show(sum(found))))
        for id_, sums in self._windows.items():
            self._problems.add(Finding("window", f"window {id_}", _show_sums(sums), "no such window"))


@lru_cache(maxsize=1024)
def _ids(windows: str) -> tuple[int, ...]:
    """Return the ids of the windows; none from a damaged text, which ``row_checks`` reports."""
    return tuple(json.loads(windows)) if row_checks.are_ids(windows) else ()


def _nonzero(amounts: Mapping[str, int]) -> dict[str, int]:
    return {name: amount for name, amount in amounts.items() if amount}


def _list_amounts(amounts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {amount}" for name, amount in amounts.items()) or "nothing"


def _show_sums(sums: Sequence[int]) -> str:
    return ", ".join(f"{state} {show(amount)}" for state, amount in zip(_STATES, sums, strict=True))
