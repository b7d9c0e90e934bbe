"""``supernova ledger``: verify the ledger, settle uncertain costs, archive, vacuum and copy it."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from supernova_ai.characters import counted
from supernova_ai.cli.cost_options import attempt_json, open_ledger
from supernova_ai.cli.options import (
    ArchiveFolder,
    AsJson,
    ConfigPath,
    archive_folder,
    flag,
    load,
    nano_of,
    print_json,
    retained_days,
    retention,
    searched,
    vault_for,
)
from supernova_ai.ledger import swept_ledger
from supernova_ai.money import show, to_usd
from supernova_ai.store import Store
from supernova_ai.store.engines import vacuum as vacuum_database
from supernova_ai.terminal.output import Terminal
from supernova_ai.upkeep import archive, booking, provider_bills, reconcile
from supernova_ai.upkeep import copy as copying
from supernova_ai.upkeep import verify as verifying
from supernova_ai.upkeep.reconcile import Correction, Match, Plan
from supernova_ai.upkeep.row_checks import LedgerFinding

app = typer.Typer(
    help="Verify, settle, reconcile, archive, restore, vacuum or copy the ledger.", no_args_is_help=True
)

_DAY_MS = 86_400_000


@app.command()
def verify(config: ConfigPath = None, folder: ArchiveFolder = None, json: AsJson = False) -> None:
    """Recompute windows and rollups from attempts, check the archives, and exit with 1 if one is wrong."""
    loaded = load(config)
    with Store(loaded.database) as store, Terminal(stderr=True).bar("Verifying days") as progress:
        report = verifying.verify_ledger(
            store, loaded.config.all_budgets, folder=archive_folder(folder), on_progress=progress
        )
    if json:
        print_json({"ok": report.ok, **asdict(report)})
    else:
        for name, count in report.checked.items():
            typer.echo(f"{count:>12,} {name}")
        _print_findings("known", report.flags)
        _print_findings("PROBLEM", report.problems)
        for kind, count in report.counts.items():
            if count > verifying.SHOWN:
                typer.echo(f"of {count:,} findings '{kind}' the first {verifying.SHOWN} are shown")
        typer.echo("the ledger is right" if report.ok else "the ledger is NOT right")
    if not report.ok:
        raise typer.Exit(1)


@app.command()
def lost(config: ConfigPath = None, json: AsJson = False) -> None:
    """List the attempts whose cost is not known exactly: lost or estimated."""
    with open_ledger(config) as (_, store):
        rows = store.read(lambda database: list(reconcile.uncertain_attempts(database)))
    if json:
        print_json(list(map(attempt_json, rows)))
        return
    for row in rows:
        started = datetime.fromtimestamp(row.started_ms / 1000).astimezone()
        error = f" {row.error}" if row.error else ""
        typer.echo(f"{row.id} {started:%Y-%m-%d %H:%M:%S} {row.provider} {row.model}")
        typer.echo(
            f"    {row.state}, counted as {show(row.cost)} ({row.basis}) of {show(row.held)} held{error}"
        )
    if not rows:
        typer.echo("the cost of every attempt is known exactly")


@app.command()
def settle(
    attempt: Annotated[
        str, typer.Argument(callback=searched, help="The attempt's id, as 'supernova ledger lost' shows it.")
    ],
    cost: Annotated[str, typer.Option(help="The cost, in USD.")],
    reason: Annotated[str, typer.Option(help="The reason, which the journal keeps.")],
    config: ConfigPath = None,
) -> None:
    """Settle an attempt at a cost that you found elsewhere."""
    loaded = load(config)
    nano = nano_of(cost, "--cost")
    with Store(loaded.database) as store:
        ledger = swept_ledger(store, loaded.config)
        correction = Correction(attempt, nano, reason)
        reconcile.settle_attempt(
            vault_for(store), correction, ledger.check_thresholds, now_ms=ledger.now_ms()
        )
    typer.echo(f"settled {attempt} at {show(nano)}")


@app.command("reconcile")
def reconcile_(
    file: Annotated[Path, typer.Argument(help="The provider's usage export, a CSV file.")],
    provider: Annotated[str, typer.Option(help="The provider of the export.")],
    columns: Annotated[
        str, typer.Option("--map", help="Its columns: time=…,model=…,prompt=…,completion=…,cost=…,id=…")
    ],
    tolerance: Annotated[
        float, typer.Option(min=0, max=86_400 * 31, help="Seconds by which its times may differ.")
    ] = 60,
    apply: Annotated[bool, flag("--apply", help="Settle what matches, instead of only showing it.")] = False,
    book: Annotated[
        bool, flag("--book", help="Count the lines that belong to no attempt or to a released one.")
    ] = False,
    config: ConfigPath = None,
    json: AsJson = False,
) -> None:
    """Match a provider's usage export with lost and estimated attempts, to settle these."""
    loaded = load(config)
    bills = list(provider_bills.read_bills(file, provider_bills.parse_mapping(columns)))
    with Store(loaded.database) as store:
        ledger = swept_ledger(store, loaded.config)
        plan = store.read(
            lambda database: reconcile.make_plan(database, bills, provider=provider, tolerance_s=tolerance)
        )
        settled = booked = None
        if book:  # first, because it may refuse a line, and then nothing must change
            booked = booking.book_lines(
                vault_for(store),
                plan,
                loaded.config.all_budgets,
                ledger.check_thresholds,
                provider=provider,
                source=file.name,
                clock=ledger.now_ms,
            )
        if apply:
            settled = reconcile.settle_matched(
                vault_for(store), plan, ledger.check_thresholds, source=file.name, now_ms=ledger.now_ms()
            )
    if json:
        print_json({"settled": settled, "booked": booked, **_jsonable_plan(plan)})
        return
    _print_plan(plan)
    if booked is not None:
        typer.echo(f"booked {counted(booked, 'line')}")
    elif outside := len(plan.released) + len(plan.unclaimed):
        typer.echo(
            f"{show(plan.uncounted)} in {counted(outside, 'line')} is not counted: add --book to count it"
        )
    if settled is None:
        typer.echo(
            f"{len(plan.matched)} of {counted(len(bills), 'line')} would settle an attempt: "
            f"add --apply to do it"
        )
    else:
        typer.echo(f"settled {counted(settled, 'attempt')}")


@app.command("archive")
def archive_(
    days: Annotated[
        int | None, retention("retention.attempts", "Keep attempts that ended in this many days.")
    ] = None,
    config: ConfigPath = None,
    folder: ArchiveFolder = None,
) -> None:
    """Move older attempts into compressed files, without changing budgets and reports."""
    loaded = load(config)
    kept = retained_days(days, loaded.config.retention.attempts, "retention.attempts")
    target = archive_folder(folder)
    with Store(loaded.database) as store, Terminal(stderr=True).bar("Archiving attempts") as progress:
        now_ms = store.now_ms()
        before_ms = now_ms - kept * _DAY_MS
        manifests = archive.archive_attempts(
            vault_for(store), target, before_ms=before_ms, now_ms=now_ms, on_progress=progress
        )
    for manifest in manifests:
        typer.echo(f"{counted(manifest.rows, 'attempt')} in {target / manifest.file}")
    archived = sum(manifest.rows for manifest in manifests)
    typer.echo(f"archived {counted(archived, 'attempt')} older than {counted(kept, 'day')}")


@app.command()
def restore(
    files: Annotated[list[Path], typer.Argument(help="Archives, .jsonl.gz files.")],
    config: ConfigPath = None,
) -> None:
    """Check the hashes of archives and put their attempts back into the ledger."""
    restored = 0
    bar = Terminal(stderr=True).progress("Restoring archives", len(files))
    with Store(load(config).database) as store, bar as advance:
        vault = vault_for(store)
        for file in files:
            count = archive.restore_attempts(vault, file, now_ms=store.now_ms())
            restored += count
            if not count:
                typer.echo(f"the attempts of {file.name} are in the ledger already")
            advance()
    if restored:
        typer.echo(f"restored {counted(restored, 'attempt')}")


@app.command()
def vacuum(config: ConfigPath = None) -> None:
    """Return the space of deleted rows to the disk."""
    with Store(load(config).database) as store:
        vault_for(store).audited(lambda _, record: record("ledger.vacuumed", store.id))
        store.read(vacuum_database)
    typer.echo("vacuumed the database")


@app.command()
def copy(
    to: Annotated[str, typer.Option("--to", help="An empty database: a path, or postgresql://…")],
    config: ConfigPath = None,
    json: AsJson = False,
) -> None:
    """Copy the ledger to an empty database and compare it row by row; after a crash, run this again."""
    loaded = load(config)
    with Store(loaded.database) as source, Store(to) as target:
        for store in (source, target):
            swept_ledger(store, loaded.config)
        with Terminal(stderr=True).bar("Copying rows") as progress:
            copied = copying.copy_ledger(source, vault_for(target), on_progress=progress)
    if json:
        print_json(copied)
        return
    for table, rows in copied.rows.items():
        typer.echo(f"{rows:>12,} {table}")
    typer.echo("the copy has every row. Set 'database' to the copy now, and never use both")
    if copied.keys_left:
        typer.echo(
            f"{counted(copied.keys_left, 'key')} not copied, because a key is encrypted for its database: "
            f"add each to the copy with 'supernova keys add'"
        )


def _print_findings(title: str, findings: tuple[LedgerFinding, ...]) -> None:
    for finding in findings:
        typer.echo(f"{title} ({finding.kind}): {finding.what}")
        typer.echo(f"    expected {finding.expected}; found {finding.found}")


def _print_plan(plan: Plan) -> None:
    for match in plan.matched:
        typer.echo(f"line {match.line}: {match.attempt} {show(match.counted)} → {show(match.billed)}")
    for attempt, lines in plan.ambiguous:
        typer.echo(f"ambiguous: {attempt} could be line {' or '.join(map(str, lines))}")
    for attempt in plan.unmatched:
        typer.echo(f"no line fits {attempt}")
    for match in plan.differing:
        counted, billed = show(match.counted), show(match.billed)
        typer.echo(f"line {match.line}: {match.attempt} was settled exactly at {counted}, billed {billed}")
    for match in plan.released:
        typer.echo(f"line {match.line}: {match.attempt} was released at no cost, billed {show(match.billed)}")
    for _, bill in plan.unclaimed:
        typer.echo(f"line {bill.line}: belongs to no attempt, billed {show(bill.cost)}")


def _jsonable_plan(plan: Plan) -> dict[str, Any]:
    def pair(match: Match) -> dict[str, Any]:
        amounts = {"counted": to_usd(match.counted), "billed": to_usd(match.billed)}
        return {"attempt": match.attempt, "line": match.line, **amounts}

    return {
        "matched": [pair(match) for match in plan.matched],
        "ambiguous": [{"attempt": attempt, "lines": lines} for attempt, lines in plan.ambiguous],
        "unmatched": plan.unmatched,
        "differing": [pair(match) for match in plan.differing],
        "released": [pair(match) for match in plan.released],
        "unclaimed": [asdict(bill) | {"cost": to_usd(bill.cost)} for _, bill in plan.unclaimed],
        "uncounted": to_usd(plan.uncounted),
    }
