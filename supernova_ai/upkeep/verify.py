"""Verify the ledger: recompute every window and rollup from the attempts, in the table and in archives.

The database adds up the attempts in its table, all in one snapshot; those in archives are read one by one.
Rows are read only where something is wrong with them. Memory holds the sums of one day and of the windows.
"""

from __future__ import annotations

import heapq
import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import chain, groupby, product
from operator import itemgetter
from pathlib import Path

from peewee import Database

from supernova_ai import ratings
from supernova_ai.characters import counted
from supernova_ai.config import Budget
from supernova_ai.ledger import rollups
from supernova_ai.ledger.opening_balances import WindowScope
from supernova_ai.money import show, to_nano
from supernova_ai.store import Store, bulk
from supernova_ai.store.engines import snapshot
from supernova_ai.store.tables import (
    AttemptRow,
    OpeningRow,
    ProcessRow,
    RatingRow,
    SliceRow,
    StuckEndRow,
    WindowRow,
)
from supernova_ai.upkeep import archive, archive_files, attempt_sums, row_checks
from supernova_ai.upkeep.archive_files import Manifest
from supernova_ai.upkeep.attempt_sums import Amounts, Key, Sums
from supernova_ai.upkeep.row_checks import LedgerFinding, Row

SHOWN = 100
"""How many findings of one kind a report lists; it counts them all."""

_DAY_MS = attempt_sums.DAY_MS
_NO_DAY: tuple[int, Iterator[tuple[int, Row | None]]] = (-1, iter(()))
_MOST_TEXTS = 1_000
"""Arguments of one statement."""
_STATES = ("settled", "held", "lost")
_COLUMNS = bulk.columns(AttemptRow)

_Payer = tuple[str | None, str | None]
"""The user and the team of an opening; None is any."""


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """What was verified, and what was found.

    ``checked`` counts attempts, archived attempts, archives, windows, rollups and ratings. ``problems`` are
    errors in the ledger. ``flags`` are correct but worth knowing: overruns, late settlements, windows above
    their present limit, openings above the cost of their attempts, holds without a process, left-over files.
    Both list the first hundred findings of each kind; ``counts`` has the numbers.
    """

    checked: Mapping[str, int]
    problems: tuple[LedgerFinding, ...]
    flags: tuple[LedgerFinding, ...]
    counts: Mapping[str, int]

    @property
    def ok(self) -> bool:
        """Whether all sums agree with the attempts."""
        return not self.problems


def verify_ledger(
    store: Store,
    budgets: Sequence[Budget],
    *,
    folder: Path,
    on_progress: Callable[[int, int], object] = lambda *_: None,
) -> VerifyReport:
    """Compare every window and rollup with the attempts, and every archive with its hashes.

    Args:
        budgets: the budgets in force, to flag windows above their limits.
        folder: where the archives are.
        on_progress: called with the number of days that are compared, and of all.

    Raises:
        StoreError: the database cannot be read.
    """

    def operation(database: Database) -> VerifyReport:
        with snapshot(database):
            return _Verification(database, store.id, budgets, folder, on_progress).report()

    return store.read(operation)


@dataclass(slots=True)
class _Findings:
    named: list[LedgerFinding] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)

    def add(self, *findings: LedgerFinding) -> None:
        for finding in findings:
            self.counts[finding.kind] += 1
            if self.counts[finding.kind] <= SHOWN:
                self.named.append(finding)


class _Verification:
    def __init__(
        self,
        database: Database,
        store: str,
        budgets: Sequence[Budget],
        folder: Path,
        on_progress: Callable[[int, int], object],
    ) -> None:
        self._database = database
        self._store = store
        self._limits = {budget.name: to_nano(budget.limit) for budget in budgets}
        self._folder = folder
        self._progress = on_progress
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
        self._check_rows()
        self._count_uncounted()
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
            what = f"{counted(manifest.rows, 'attempt')} in archive {manifest.file}"
            self._problems.add(
                LedgerFinding("archive", what, "an undamaged file", f"cannot be checked: {reason}")
            )
            for window, (settled, lost) in manifest.windows.items():  # the journal has these sums
                sums = self._windows[int(window)]
                sums[0] += settled
                sums[2] += lost
        for file in archive.left_over(self._database, self._folder, self._store):
            what = "not in the journal: an interrupted run left it; its rows are in the ledger"
            self._flags.add(LedgerFinding("left over", str(file), "in the journal", what))
        return readable, unreadable

    def _check_attempts(self, readable: list[Manifest], unreadable: list[Manifest]) -> None:
        """Compare the rollups of each day with the attempts of that day."""
        for manifest in unreadable:
            for period, hours in rollups.HOURS.items():
                length = hours * rollups.HOUR_MS
                self._unknown[period].update(
                    range(manifest.first_ms // length, manifest.last_ms // length + 1)
                )
        days = attempt_sums.days(self._database)
        for manifest in readable:
            days.update(range(manifest.first_ms // _DAY_MS, manifest.last_ms // _DAY_MS + 1))
        merged = heapq.merge(*map(self._archived, readable), key=itemgetter(0))
        archived = groupby(merged, key=lambda item: item[0] // _DAY_MS)
        next_day, rows = next(archived, _NO_DAY)
        for done, day in enumerate(sorted(days), 1):
            sums = attempt_sums.of_day(self._database, day)
            if day == next_day:
                self._add_archived(sums, [row for _, row in rows if row is not None])
                next_day, rows = next(archived, _NO_DAY)
            for name, expected in sums.items():
                self._compare_rollup(name, day, expected)
            self._progress(done, len(days))

    def _check_rows(self) -> None:
        """Add the attempts in the table to the windows, and check those that may be wrong."""
        bad: list[str] = []
        for text, state, cost, held in attempt_sums.by_windows(self._database):
            self._add_to_windows(text, state, cost, held)
            if not row_checks.are_ids(text):
                bad.append(text)
        tags = [text for text in attempt_sums.tags(self._database) if not row_checks.are_tags(text)]
        where = row_checks.SUSPECT
        for column, texts in (("windows", bad), ("tags", tags)):
            if texts:
                where += f" OR {column} IN ({', '.join('?' * len(texts))})"
        if len(bad) + len(tags) > _MOST_TEXTS:
            where, bad, tags = "1 = 1", [], []
        pages = bulk.pages(
            self._database,
            AttemptRow,
            order=("started_ms", "id"),
            where=f"({where})",
            arguments=[*bad, *tags],
        )
        for values in chain.from_iterable(pages):
            self._check_row(dict(zip(_COLUMNS, values, strict=True)))
        if count := AttemptRow.select().count(self._database):
            self._checked["attempts"] = count

    def _check_row(self, row: Row) -> None:
        self._problems.add(*row_checks.problems(row))
        self._flags.add(*row_checks.flags(row, self._processes))

    def _archived(self, manifest: Manifest) -> Iterator[tuple[int, Row | None]]:
        yield manifest.first_ms, None  # so that merging opens the file only at this time
        for row in archive_files.read_rows(self._folder / manifest.file):
            self._checked["archived attempts"] += 1
            yield row["started_ms"], row

    def _add_archived(self, sums: Sums, rows: Sequence[Row]) -> None:
        """Check the archived rows of one day and add them to its sums and to the windows."""
        seen: set[str] = set()
        for start in range(0, len(rows), _MOST_TEXTS):
            ids = [row["id"] for row in rows[start : start + _MOST_TEXTS]]
            select = f"SELECT id FROM attempt WHERE id IN ({', '.join('?' * len(ids))})"  # noqa: S608
            seen.update(id_ for (id_,) in bulk.run(self._database, select, *ids).fetchall())
        for row in rows:
            if row["id"] in seen:
                where = "both in the ledger and in an archive, or in two archives"
                self._problems.add(LedgerFinding("attempt", f"attempt {row['id']}", "in one place", where))
            seen.add(row["id"])
            self._check_row(row)
            self._add_to_windows(row["windows"], row["state"], row["cost_nano"], row["held_nano"])
            if row["state"] != "held":
                self._add_uncounted(row)
                attempt_sums.include(sums, row)

    def _add_to_windows(self, windows: str, state: str, cost: int, held: int) -> None:
        if state in _STATES:
            for window in _ids(windows):
                self._windows[window][_STATES.index(state)] += held if state == "held" else cost

    def _add_uncounted(self, row: Row) -> None:
        """Add the row's cost to the openings whose scope contains it and whose window does not count it."""
        for payer in product({None, row["user_id"] or ""}, {None, row["team"] or ""}):
            for window, scope in self._openings.get(payer, ()):
                if scope.contains(row) and window not in _ids(row["windows"]):
                    self._uncounted[window] += row["cost_nano"]

    def _count_uncounted(self) -> None:
        """Add the attempts in the table to the openings in the same way."""
        for window, scope in chain.from_iterable(self._openings.values()):
            for windows, cost in attempt_sums.in_scope(self._database, scope):
                if window not in _ids(windows):
                    self._uncounted[window] += cost

    def _compare_rollup(self, name: str, day: int, expected: Mapping[Key, Amounts]) -> None:
        """Compare what a rollup has for the day, except where attempts are unreadable."""
        found = attempt_sums.stored(self._database, name, day)
        unknown = self._unknown[rollups.KEY_COLUMNS[name][0]]
        self._checked["rollups"] += sum(key[0] not in unknown for key in found) if unknown else len(found)
        if found == expected:
            return
        for key in sorted(expected.keys() | found.keys(), key=str):
            right, stored = (_nonzero(name, sums.get(key, ())) for sums in (expected, found))
            if right != stored and key[0] not in unknown:
                what = f"{name} {'/'.join(map(str, key))}"
                self._problems.add(LedgerFinding("rollup", what, _list_amounts(right), _list_amounts(stored)))

    def _report_set_aside(self) -> None:
        """Report the ends that the database refused: the cost of these attempts is not in the ledger."""
        for row in StuckEndRow.select().order_by(StuckEndRow.attempt).execute(self._database):
            what = f"attempt {row.attempt}"
            self._problems.add(LedgerFinding("set aside", what, "its end written", f"refused: {row.reason}"))

    def _check_ratings(self) -> None:
        if count := RatingRow.select().count(self._database):
            self._checked["ratings"] = count
        for request in ratings.contradictions(self._database):
            expected = "what its attempt has, a score from -1 to 1 and a quality from 0 to 1"
            self._problems.add(LedgerFinding("rating", f"rating of request {request}", expected, "another"))

    def _slices(self) -> defaultdict[int, list[int]]:
        """Return what each window lacks of what processes have counted in their slices."""
        lacking: defaultdict[int, list[int]] = defaultdict(lambda: [0, 0, 0])
        for row in SliceRow.select().execute(self._database):
            settled, held, lost = lacking[row.window]
            lacking[row.window] = [settled + row.settled, held + row.held - row.size, lost + row.lost]
            if row.settled + row.held + row.lost > row.size:
                what = f"slice of window {row.window}, process {row.process}"
                counted = show(row.settled + row.held + row.lost)
                self._problems.add(LedgerFinding("window", what, f"at most {show(row.size)}", counted))
        return lacking

    def _compare_windows(self) -> None:
        slices = self._slices()
        for page in bulk.pages(self._database, WindowRow):
            for id_, budget, subject, period, *sums, _ in page:
                found = [one + more for one, more in zip(sums, slices[id_], strict=True)]
                self._checked["windows"] += 1
                what = f"window {id_}: {' '.join(filter(None, (budget, subject, period)))}"
                expected = self._windows.pop(id_, [0, 0, 0])
                if found != expected:
                    self._problems.add(LedgerFinding("window", what, _show_sums(expected), _show_sums(found)))
                opened = self._opened.get(id_, 0)
                if opened > self._uncounted[id_]:
                    most = f"at most {show(self._uncounted[id_])}, the attempts that it does not count"
                    self._flags.add(LedgerFinding("opening", what, most, f"opened with {show(opened)}"))
                limit = self._limits.get(budget)
                if limit is not None and sum(found) > limit:
                    self._flags.add(
                        LedgerFinding("above limit", what, f"at most {show(limit)}", show(sum(found)))
                    )
        for id_, sums in self._windows.items():
            self._problems.add(LedgerFinding("window", f"window {id_}", _show_sums(sums), "no such window"))


@lru_cache(maxsize=1024)
def _ids(windows: str) -> tuple[int, ...]:
    """Return the ids of the windows; none from a damaged text, which ``row_checks`` reports."""
    return tuple(json.loads(windows)) if row_checks.are_ids(windows) else ()


def _nonzero(rollup: str, amounts: Amounts) -> dict[str, int]:
    named = zip(attempt_sums.AMOUNT_COLUMNS[rollup], amounts, strict=False)  # none where there is no row
    return {name: amount for name, amount in named if amount}


def _list_amounts(amounts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {amount}" for name, amount in amounts.items()) or "nothing"


def _show_sums(sums: Sequence[int]) -> str:
    return ", ".join(f"{state} {show(amount)}" for state, amount in zip(_STATES, sums, strict=True))
