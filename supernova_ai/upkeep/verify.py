"""Verify the ledger: make every window and rollup again from the attempts, in the table and in archives.

The attempts are read once, day by day in the order they were sent, at one moment of the database; only one
day's sums are in memory, and those of the windows.
"""

from __future__ import annotations

import heapq
import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

from peewee import Database

from supernova_ai.config import Budget
from supernova_ai.ledger import archive_files, rollups
from supernova_ai.ledger.archive_files import Manifest
from supernova_ai.ledger.opening_balances import Scope
from supernova_ai.money import show, to_nano
from supernova_ai.store import Store, bulk
from supernova_ai.store.engines import snapshot
from supernova_ai.store.tables import AttemptRow, OpeningRow, ProcessRow, StuckEndRow, WindowRow
from supernova_ai.upkeep import archive, row_checks
from supernova_ai.upkeep.row_checks import Finding, Row

SHOWN = 100
"""How many findings of one kind a report names; it counts them all."""

_DAY_HOURS = rollups.HOURS["day"]
_STATES = ("settled", "held", "lost")
_COLUMNS = bulk.columns(AttemptRow)
_counted = itemgetter(*rollups.Ended._fields)

Sums = dict[tuple[str, tuple[Any, ...]], Mapping[str, int]]


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """What was verified, and what was found.

    ``checked`` counts attempts, archived attempts, archives, windows and rollups. ``problems`` are what
    should not be; ``flags`` are what happened and should be known: overruns, late settlements, windows above
    their limit as it is now, openings above their attempts, holds that no process answers for, left-over
    files. ``counts`` has the number of each kind of both, of which the first hundred are named.
    """

    checked: Mapping[str, int]
    problems: tuple[Finding, ...]
    flags: tuple[Finding, ...]
    counts: Mapping[str, int]

    @property
    def ok(self) -> bool:
        """Whether everything follows from the attempts."""
        return not self.problems


def verify(store: Store, budgets: Sequence[Budget], *, folder: Path) -> VerifyReport:
    """Compare every window and rollup with what the attempts say, and every archive with its hashes.

    Args:
        budgets: the limits in force, to flag the windows above them.
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

    def add(self, found: Iterable[Finding]) -> None:
        for finding in found:
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
        self._openings: defaultdict[str | None, list[tuple[int, Scope]]] = defaultdict(list)
        self._opened: dict[int, int] = {}
        for row in OpeningRow.select().execute(database):
            scope = Scope(row.provider, row.user, row.task, row.start_ms, row.end_ms)
            self._openings[row.user].append((row.window, scope))
            self._opened[row.window] = row.settled
            self._windows[row.window][0] += row.settled
        self._uncarried: Counter[int] = Counter()
        self._processes = {row.id for row in ProcessRow.select().execute(database)}

    def report(self) -> VerifyReport:
        sound, absent = self._archives()
        self._attempts(sound, absent)
        self._compare_windows()
        self._stuck()
        return VerifyReport(
            dict(self._checked),
            tuple(self._problems.named),
            tuple(self._flags.named),
            dict(self._problems.counts + self._flags.counts),
        )

    def _archives(self) -> tuple[list[Manifest], list[Manifest]]:
        """Check the archives; return those whose rows can be read, and those whose rows cannot."""
        sound, absent = [], []
        for manifest in archive.archives(self._database).values():
            self._checked["archives"] += 1
            reason = archive_files.damage(manifest, self._folder)
            if reason is None:
                sound.append(manifest)
                continue
            absent.append(manifest)
            what = f"{manifest.rows} attempts in archive {manifest.file}"
            self._problems.add([Finding("archive", what, "a sound file", f"cannot be checked: {reason}")])
            for window, (settled, lost) in manifest.windows.items():  # the journal still knows these
                sums = self._windows[int(window)]
                sums[0] += settled
                sums[2] += lost
        for file in archive.left_over(self._database, self._folder, self._store):
            what = "not in the journal: an interrupted run left it, and its rows in the ledger"
            self._flags.add([Finding("left over", str(file), "in the journal", what)])
        return sound, absent

    def _attempts(self, sound: list[Manifest], absent: list[Manifest]) -> None:
        """Read every attempt once; compare each day's rollups as soon as the day is over."""
        for manifest in absent:
            for period, hours in rollups.HOURS.items():
                length = hours * rollups.HOUR_MS
                self._unknown[period].update(
                    range(manifest.first_ms // length, manifest.last_ms // length + 1)
                )
        stored = set()
        for name, (period, *_) in rollups.TABLES.items():
            select = f"SELECT DISTINCT {period} FROM {name}"  # noqa: S608 - names of ours
            for (number,) in bulk.run(self._database, select).fetchall():
                stored.add(number * rollups.HOURS[period] // _DAY_HOURS)
        streams = (self._archived(manifest) for manifest in sound)
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
        yield manifest.first_ms, None  # so that merging opens the file only when its time has come
        for row in archive_files.read(self._folder / manifest.file):
            self._checked["archived attempts"] += 1
            yield row["started_ms"], row

    def _sum(self, rows: Iterable[Row]) -> Sums:
        """Check each row by itself and add it up."""
        seen: set[str] = set()
        sums: defaultdict[tuple[str, tuple[Any, ...]], Counter[str]] = defaultdict(Counter)
        for row in rows:
            if row["id"] in seen:
                where = "both in the ledger and in an archive, or in two archives"
                self._problems.add([Finding("attempt", f"attempt {row['id']}", "there once", where)])
            seen.add(row["id"])
            self._problems.add(row_checks.faults(row))
            self._flags.add(row_checks.remarks(row, self._processes))
            if row["state"] in _STATES:
                amount = row["held_nano"] if row["state"] == "held" else row["cost_nano"]
                for window in _ids(row["windows"]):
                    self._windows[window][_STATES.index(row["state"])] += amount
            if row["state"] != "held":
                self._count_uncarried(row)
                for table, key, amounts in rollups.contributions(rollups.Ended(*_counted(row))):
                    sums[table, key].update(amounts)
        return dict(sums)

    def _count_uncarried(self, row: Row) -> None:
        """Add up, for each opening, what the attempts of its scope cost that do not carry its window."""
        for user in {None, row["user_id"] or ""}:
            for window, scope in self._openings.get(user, ()):
                if scope.holds(row) and window not in _ids(row["windows"]):
                    self._uncarried[window] += row["cost_nano"]

    def _compare_rollups(self, day: int, expected: Sums) -> None:
        """Compare the rollups of the day and of its hours, but for those with unreadable attempts."""
        found: Sums = {}
        for table in rollups.ROLLUPS:
            name, names = table._meta.table_name, bulk.columns(table)
            keys = rollups.TABLES[name]
            place = [names.index(column) for column in keys]
            each = _DAY_HOURS // rollups.HOURS[keys[0]]
            where = f"{keys[0]} >= ? AND {keys[0]} < ?"
            select = f"SELECT {', '.join(names)} FROM {name} WHERE {where}"  # noqa: S608 - names of ours
            for row in bulk.run(self._database, select, day * each, (day + 1) * each).fetchall():
                amounts = {n: v for n, v in zip(names, row, strict=True) if n not in keys}
                found[name, tuple(row[i] for i in place)] = amounts
        known = {
            (name, key)
            for name, key in expected.keys() | found.keys()
            if key[0] not in self._unknown[rollups.TABLES[name][0]]
        }
        self._checked["rollups"] += len(known & found.keys())
        for at in sorted(known, key=str):
            right, wrong = _present_only(expected.get(at, {})), _present_only(found.get(at, {}))
            if right != wrong:
                what = f"{at[0]} {'/'.join(map(str, at[1]))}"
                self._problems.add([Finding("rollup", what, _listed(right), _listed(wrong))])

    def _stuck(self) -> None:
        """Name the ends that the database refused: what these attempts cost is not in the books."""
        for row in StuckEndRow.select().order_by(StuckEndRow.attempt).execute(self._database):
            what = f"attempt {row.attempt}"
            self._problems.add([Finding("set aside", what, "its end written", f"refused: {row.reason}")])

    def _compare_windows(self) -> None:
        for page in bulk.pages(self._database, WindowRow):
            for id_, budget, subject, period, *found, _ in page:
                self._checked["windows"] += 1
                what = f"window {id_}: {' '.join(filter(None, (budget, subject, period)))}"
                expected = self._windows.pop(id_, [0, 0, 0])
                if found != expected:
                    self._problems.add([Finding("window", what, _stands(expected), _stands(found))])
                opened = self._opened.get(id_, 0)
                if opened > self._uncarried[id_]:
                    most = f"at most {show(self._uncarried[id_])}, the attempts that do not carry it"
                    self._flags.add([Finding("opening", what, most, f"opened with {show(opened)}")])
                limit = self._limits.get(budget)
                if limit is not None and sum(found) > limit:
                    self._flags.add(
                        [Finding("above limit", what, f"at most {show(limit)}", show(sum(found)))]
                    )
        for id_, sums in self._windows.items():
            self._problems.add([Finding("window", f"window {id_}", _stands(sums), "no such window")])


@lru_cache(maxsize=1024)
def _ids(windows: str) -> tuple[int, ...]:
    """Return the ids of the windows; none from a damaged text, which is a finding of its own."""
    return tuple(json.loads(windows)) if row_checks.are_ids(windows) else ()


def _present_only(amounts: Mapping[str, int]) -> dict[str, int]:
    return {name: amount for name, amount in amounts.items() if amount}


def _listed(amounts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {amount}" for name, amount in amounts.items()) or "nothing"


def _stands(sums: Sequence[int]) -> str:
    return ", ".join(f"{state} {show(amount)}" for state, amount in zip(_STATES, sums, strict=True))
