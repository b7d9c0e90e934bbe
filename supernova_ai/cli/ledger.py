"""``supernova ledger``: verify the ledger, settle what is uncertain, archive, vacuum and copy it."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from supernova_ai import config as configuration
from supernova_ai.cli.options import (
    MOST_DAYS,
    ArchiveFolder,
    AsJson,
    ConfigPath,
    archives,
    flag,
    print_json,
    searchable,
)
from supernova_ai.ledger import swept_ledger
from supernova_ai.money import show, to_nano, to_usd
from supernova_ai.store import Store
from supernova_ai.store.engines import vacuum as vacuum_database
from supernova_ai.upkeep import archive, booking, provider_bills, reconcile
from supernova_ai.upkeep import copy as copying
from supernova_ai.upkeep import verify as verifying
from supernova_ai.upkeep.reconcile import Correction, Match, Plan
from supernova_ai.upkeep.row_checks import Finding

app = typer.Typer(help="The ledger: verify, settle, archive, copy.", no_args_is_help=True)

_DAY_MS = 86_400_000


@app.command()
def verify(config: ConfigPath = None, folder: ArchiveFolder = None, json: AsJson = False) -> None:
    """Recompute windows and rollups from attempts, and check the archives. Exits with 1 if not right."""
    loaded = configuration.load(config)
    with Store(loaded.database) as store:
        report = verifying.verify_ledger(store, loaded.config.all_budgets, folder=archives(folder))
    if json:
        print_json({"ok": report.ok, **asdict(report)})
    else:
        for name, count in report.checked.items():
            typer.echo(f"{count:>12,} {name}")
        _list("known", report.flags)
        _list("PROBLEM", report.problems)
        for kind, count in report.counts.items():
            if count > verifying.SHOWN:
                typer.echo(f"of {count:,} findings '{kind}' the first {verifying.SHOWN} are shown")
        typer.echo("the ledger is right" if report.ok else "the ledger is NOT right")
    if not report.ok:
        raise typer.Exit(1)


@app.command()
def lost(config: ConfigPath = None, json: AsJson = False) -> None:
    """List the attempts whose cost is not known exactly: lost, or estimated."""
    loaded = configuration.load(config)
    with Store(loaded.database) as store:
        swept_ledger(store, loaded.config)
        rows = store.read(lambda database: list(reconcile.uncertain_attempts(database)))
    if json:
        print_json([row.__data__ | {"held": to_usd(row.held), "cost": to_usd(row.cost)} for row in rows])
        return
    for row in rows:
        when = datetime.fromtimestamp(row.started_ms / 1000).astimezone()
        why = f" {row.error}" if row.error else ""
        typer.echo(f"{row.id} {when:%Y-%m-%d %H:%M:%S} {row.provider} {row.model}")
        typer.echo(
            f"    {row.state}, counted as {show(row.cost)} ({row.basis}) of {show(row.held)} held{why}"
        )
    if not rows:
        typer.echo("the cost of every attempt is known exactly")


@app.command()
def settle(
    attempt: Annotated[
        str,
        typer.Argument(callback=searchable, help="The attempt's id, as 'supernova ledger lost' shows it."),
    ],
    cost: Annotated[str, typer.Option(help="What it cost, in USD.")],
    reason: Annotated[str, typer.Option(help="Why; it is kept in the journal.")],
    config: ConfigPath = None,
) -> None:
    """Settle an attempt by hand at the cost it is found to have had."""
    loaded = configuration.load(config)
    try:
        nano = to_nano(cost)
    except ValueError as error:
        raise typer.BadParameter(f"{error}: write it as 5.00", param_hint="--cost") from None
    with Store(loaded.database) as store:
        ledger = swept_ledger(store, loaded.config)
        correction = Correction(attempt, nano, reason)
        reconcile.settle_attempt(store, correction, ledger.check_thresholds, now_ms=ledger.now_ms())
    typer.echo(f"settled {attempt} at {show(nano)}")


@app.command("reconcile")
def reconcile_(
    file: Annotated[Path, typer.Argument(help="The provider's usage export, a CSV file.")],
    provider: Annotated[str, typer.Option(help="Whose export it is.")],
    columns: Annotated[
        str,
        typer.Option("--map", help="Its columns: time=…,model=…,prompt=…,completion=…,cost=…,id=…"),
    ],
    tolerance: Annotated[
        float, typer.Option(min=0, max=86_400 * 31, help="Seconds its times may be off.")
    ] = 60,
    apply: Annotated[bool, flag("--apply", help="Settle what matches; otherwise only show it.")] = False,
    book: Annotated[
        bool,
        flag("--book", help="Count the lines of no attempt, and of released ones, from now on."),
    ] = False,
    config: ConfigPath = None,
    json: AsJson = False,
) -> None:
    """Settle lost and estimated attempts from a provider's usage export."""
    loaded = configuration.load(config)
    bills = list(provider_bills.read_bills(file, provider_bills.parse_mapping(columns)))
    with Store(loaded.database) as store:
        ledger = swept_ledger(store, loaded.config)
        plan = store.read(
            lambda database: reconcile.make_plan(database, bills, provider=provider, tolerance_s=tolerance)
        )
        count = booked = None
        if book:  # first: it refuses a line that it cannot book, and then nothing is to be changed
            booked = booking.book_lines(
                store,
                plan,
                loaded.config.all_budgets,
                ledger.check_thresholds,
                provider=provider,
                source=file.name,
                now_ms=ledger.now_ms(),
            )
        if apply:
            count = reconcile.settle_matched(
                store, plan, ledger.check_thresholds, source=file.name, now_ms=ledger.now_ms()
            )
    if json:
        print_json({"settled": count, "booked": booked, **_plain(plan)})
        return
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
    outside = len(plan.released) + len(plan.unclaimed)
    if booked is not None:
        typer.echo(f"booked {booked} lines")
    elif outside:
        typer.echo(
            f"{outside} lines are not counted, {show(plan.uncounted)} in all: add --book to count them"
        )
    if count is None:
        typer.echo(f"{len(plan.matched)} of {len(bills)} lines would settle an attempt: add --apply to do it")
    else:
        typer.echo(f"settled {count} attempts")


@app.command("archive")
def archive_(
    days: Annotated[
        int | None,
        typer.Option(
            "--days",
            "-d",
            min=1,
            max=MOST_DAYS,
            help="Keep the attempts of so many days; otherwise retention.attempts.",
        ),
    ] = None,
    config: ConfigPath = None,
    folder: ArchiveFolder = None,
) -> None:
    """Move older attempts into compressed files; budgets, reports and open holds keep everything."""
    loaded = configuration.load(config)
    days = days or loaded.config.retention.attempts
    if days is None:
        raise typer.BadParameter(
            "how long are attempts kept? Give --days, or set 'retention.attempts' in the configuration"
        )
    place = archives(folder)
    with Store(loaded.database) as store:
        now_ms = store.now_ms()
        made = archive.archive_attempts(store, place, before_ms=now_ms - days * _DAY_MS, now_ms=now_ms)
    for manifest in made:
        typer.echo(f"{manifest.rows:,} attempts in {place / manifest.file}")
    typer.echo(f"archived {sum(manifest.rows for manifest in made):,} attempts older than {days} days")


@app.command()
def restore(
    file: Annotated[Path, typer.Argument(help="The archive, a .jsonl.gz file.")], config: ConfigPath = None
) -> None:
    """Put the attempts of an archive back into the ledger, once its hashes are found right."""
    with Store(configuration.load(config).database) as store:
        count = archive.restore_attempts(store, file, now_ms=store.now_ms())
    typer.echo(f"restored {count:,} attempts" if count else f"the attempts of {file.name} are back already")


@app.command()
def vacuum(config: ConfigPath = None) -> None:
    """Give the space of deleted rows back to the disk."""
    with Store(configuration.load(config).database) as store:
        store.read(vacuum_database)
    typer.echo("vacuumed the database")


@app.command()
def copy(
    to: Annotated[str, typer.Option("--to", help="An empty database: a path, or postgresql://…")],
    config: ConfigPath = None,
    json: AsJson = False,
) -> None:
    """Copy the ledger to another database, and verify it row by row; after a crash, run it again."""
    loaded = configuration.load(config)

    def tell(table: str, rows: int) -> None:
        typer.echo(f"{table}: {rows:,} rows", err=True)

    with Store(loaded.database) as source, Store(to) as target:
        for store in (source, target):
            swept_ledger(store, loaded.config)
        copied = copying.copy_ledger(source, target, on_progress=tell)
    if json:
        print_json(copied)
        return
    for table, rows in copied.rows.items():
        typer.echo(f"{rows:>12,} {table}")
    typer.echo(
        "the copy has every row. Set 'database' to it before anybody goes on, and use only one of the two."
    )
    if copied.keys_left:
        typer.echo(
            f"{copied.keys_left} keys stayed behind: they are sealed for their own database and open in no "
            f"other. Add them to the copy with 'supernova keys add'."
        )


def _list(title: str, findings: tuple[Finding, ...]) -> None:
    for finding in findings:
        typer.echo(f"{title} ({finding.kind}): {finding.what}")
        typer.echo(f"    expected {finding.expected}; found {finding.found}")


def _plain(plan: Plan) -> dict[str, Any]:
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
