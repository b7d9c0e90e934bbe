"""``supernova keys``, continued: rotate, revoke, check and expire keys, and show their states."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Annotated

import typer

from supernova_ai.cli.keys import KeyFile, Provider, Slot, app, read_key, vault_of
from supernova_ai.cli.options import (
    AsJson,
    ConfigPath,
    Confirmed,
    console,
    flag,
    load,
    moment,
    print_json,
    seconds,
)
from supernova_ai.errors import AuthenticationFailed, KeyCorrupt, KeyNotFound
from supernova_ai.keys import lifecycle
from supernova_ai.operations import key_checks, key_rotation
from supernova_ai.terminal import inventory_tables

__all__ = ["app"]

_NOT_VALID = {kind.__name__ for kind in (AuthenticationFailed, KeyCorrupt, KeyNotFound)}


@app.command()
def rotate(
    provider: Provider,
    config: ConfigPath = None,
    slot: Slot = "primary",
    file: KeyFile = None,
    grace: Annotated[
        str, typer.Option(help="How long the key before stays valid for calls under way: 30s, 10m, 2h or 1d.")
    ] = "10m",
    no_check: Annotated[
        bool, flag("--no-check", help="Do not check the new key with a free request.")
    ] = False,
) -> None:
    """Replace a slot's key while calls run: check the new one, then let the one before retire."""
    loaded = load(config)
    grace_s = int(seconds(grace))
    with vault_of(loaded) as vault:
        secret = read_key(loaded, vault, provider, file)
        checked = not no_check and key_rotation.can_be_checked(loaded.config, provider)
        done = key_rotation.rotate(
            vault, loaded.config, provider, slot, secret, grace_s=grace_s, check=checked
        )
    new = done.active
    typer.echo(f"{new.place}: version {new.version} is active, fingerprint {new.fingerprint}")
    if not checked:
        reason = "you said so" if no_check else f"{provider} has no free endpoint for it"
        typer.echo(f"It was not checked: {reason}. Watch 'supernova health' during the next calls.", err=True)
    if done.retiring:
        over = datetime.now().astimezone() + timedelta(seconds=done.grace_s)
        old = done.retiring.version
        typer.echo(f"Version {old} is retiring: delete it at {provider} after {over:%Y-%m-%d %H:%M}.")


@app.command()
def revoke(
    provider: Provider,
    config: ConfigPath = None,
    slot: Slot = "primary",
    version: Annotated[
        int | None, typer.Option(min=1, help="Only this version.", show_default="all versions of the slot")
    ] = None,
    yes: Confirmed = False,
) -> None:
    """Revoke a leaked key: once this returns, no process sends it any more."""
    with vault_of(load(config)) as vault:
        if not yes:
            what = f"version {version}" if version else "every version"
            typer.confirm(f"Revoke {what} of {provider}/{slot}? Calls fail over at once.", abort=True)
        revoked = key_rotation.revoke(vault, provider, slot, version=version)
    for key in revoked:
        typer.echo(f"revoked {key.place} version {key.version}, fingerprint {key.fingerprint}")
    typer.echo("Now delete it at the provider too: until then, anyone else who has it can use it.")


@app.command()
def check(
    config: ConfigPath = None,
    all_: Annotated[
        bool, flag("--all", "-a", help="Also check keys that the configuration does not use.")
    ] = False,
    json: AsJson = False,
) -> None:
    """Check each active key with a free request; exit with 4 if one is not valid, 6 if a provider fails."""
    loaded = load(config)
    with vault_of(loaded) as vault:
        checks = key_checks.check_keys(vault, loaded.config, everything=all_)
    if json:
        print_json(
            [
                {"provider": key.provider, "slot": key.slot, "version": key.version}
                | {"result": result, "reason": reason}
                for key, result, reason in checks
            ]
        )
    for key, result, reason in () if json else checks:
        outcome = ": ".join(filter(None, (result or "not checked", reason)))
        typer.echo(f"{key.place} version {key.version}: {outcome}")
    if not checks and not json:
        typer.echo("no active keys: supernova keys add <provider>")
    failures = {result for _, result, _ in checks} - {None, "ok"}
    if failures:
        raise typer.Exit(4 if failures & _NOT_VALID else 6)


@app.command()
def status(config: ConfigPath = None, json: AsJson = False) -> None:
    """Show the state of each key, its last use and check, its expiry and its next reminder."""
    loaded = load(config)
    with vault_of(loaded) as vault:
        now_ms = vault.now_ms()
        rows = key_checks.in_life(vault.list())
    reminders = [key_checks.next_reminder(key, loaded.config, now_ms) for key in rows]
    if json:
        print_json([asdict(key) | {"next_reminder": at} for key, at in zip(rows, reminders, strict=True)])
    elif not rows:
        typer.echo("no key is in use: supernova keys add <provider>, or supernova keys import-env")
    else:
        console.print(inventory_tables.key_status(zip(rows, reminders, strict=True)))
        for key in rows:
            if unfinished := key_checks.unfinished_rotation(key):
                typer.echo(unfinished)


@app.command()
def expire(
    provider: Provider,
    at: Annotated[
        str,
        typer.Option(help="A date or time such as 2026-12-31, in UTC unless it says otherwise; or never."),
    ],
    config: ConfigPath = None,
    slot: Slot = "primary",
) -> None:
    """Note when a key expires at its provider: it is not used after that, and an alert reminds before."""
    expires = None if at == "never" else _time(at)
    with vault_of(load(config)) as vault:
        if expires and expires.timestamp() * 1000 <= vault.now_ms():
            raise typer.BadParameter(
                f"{at} is over. To stop using a key now: supernova keys revoke {provider} --slot {slot}"
            )
        key = lifecycle.set_expiry(vault, provider, slot, expires)
    when = f"expires on {expires:%Y-%m-%d at %H:%M %Z}" if expires else "never expires"
    typer.echo(f"{key.place} version {key.version} {when}")


def _time(text: str) -> datetime:
    try:
        return moment(text)
    except ValueError:
        raise typer.BadParameter(
            f"{text!r} is not a date: write 2026-12-31, 2026-12-31T18:00 or never", param_hint="--at"
        ) from None
