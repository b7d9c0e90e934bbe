"""The steps of setup. Each finds what is there, adds what is missing, and says what it did."""

from __future__ import annotations

import asyncio
import os
import shlex
import subprocess
from collections.abc import Generator, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

from supernova_ai import config as configuration
from supernova_ai.client import Supernova
from supernova_ai.config import Loaded, yaml_edit
from supernova_ai.errors import ConfigError, MasterKeyError, SupernovaError
from supernova_ai.keys import Vault, import_environment, open_vault
from supernova_ai.keys.master_files import usual_file
from supernova_ai.keys.master_places import create_key_file
from supernova_ai.keys.master_sources import CREDENTIAL
from supernova_ai.keys.source import PROVIDERS, variable
from supernova_ai.keys.vault import SLOTS
from supernova_ai.operations.checks import machine
from supernova_ai.operations.checks.keys import filled_slots
from supernova_ai.operations.checks.subject import Subject
from supernova_ai.operations.findings import SEVERITIES
from supernova_ai.operations.key_entry import check_owner
from supernova_ai.operations.setup import files, models
from supernova_ai.paths import is_server, private_folder, reason_of
from supernova_ai.secret import Secret
from supernova_ai.store import Store

Place = Literal["keyring", "file", "credential"]
"""Where a new master key is stored."""

Outcome = Literal["done", "kept", "skipped", "failed"]
"""``kept``: it was there already. ``skipped``: not wanted, or not possible here."""

CREDENTIAL_FILE = Path("/etc/credstore.encrypted", CREDENTIAL)

_UNREADABLE = "only a systemd service that loads the credential can read the master key"
_TEST_LIMIT = "0.01"
_QUESTION = "Answer with one word: ready?"


@dataclass(frozen=True, slots=True)
class Answers:
    """What a person decided.

    Attributes:
        file: the configuration file; it is written if it does not exist.
        settings: settings to change in a new file, by key, as ``supernova config set`` takes them.
        master: where a new master key is stored, if there is none.
        import_keys: copy API keys from ``.env`` and the environment into the vault.
        blank: afterwards, empty the imported variables in ``.env``.
        keys: more keys, by provider and slot.
        ask: send a test question, which costs a cent at most.
        unit: where to write a systemd unit; None: nowhere.
    """

    file: Path
    settings: Mapping[str, str] = field(default_factory=dict)
    master: Place = "file"
    import_keys: bool = True
    blank: bool = False
    keys: Mapping[tuple[str, str], Secret] = field(default_factory=dict)
    ask: bool = True
    unit: Path | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """One line of the report: what was set up, how it went, and what a person should know."""

    name: str
    outcome: Outcome
    text: str


def run(answers: Answers) -> Iterator[Step]:
    """Set everything up, and yield each step when it is done. A failed step ends the set-up.

    Raises:
        ConfigError: a setting is wrong; nothing was made.
        InvalidRequest: a key is of a provider that is not configured; nothing was made.
    """
    text = _configured(answers)
    exists = answers.file.exists()
    config = configuration.load(answers.file).config if exists else configuration.Config()
    for provider, _ in answers.keys:
        check_owner(config, provider)
    for step in _steps(answers, text):
        yield step
        if step.outcome == "failed":
            return


def _configured(answers: Answers) -> str:
    """Return the text of a new configuration file, which was checked by loading it."""
    text = files.template(files.CONFIGURATION)
    for key, value in answers.settings.items():
        text = yaml_edit.set_value(text, answers.file, key, value)
    with TemporaryDirectory() as folder:
        file = Path(folder, answers.file.name)
        file.write_text(text, encoding="utf-8")
        try:
            configuration.load(file)
        except ConfigError as error:
            text = str(error).replace(str(file), str(answers.file))
            raise ConfigError(text.replace(folder, str(answers.file.parent))) from None
    return text


def _steps(answers: Answers, text: str) -> Iterator[Step]:
    yield from _machine(answers.file)
    yield from _configuration(answers, text)
    loaded = configuration.load(answers.file)
    with Store(loaded.database) as store:
        where = str(store.file) if store.file else "PostgreSQL"
        yield Step("database", "done", f"{where}, schema up to date")
        environ = configuration.read_environ()
        vault = open_vault(store, environ=environ, create=answers.master == "keyring")
        subject = Subject(loaded, answers.file, store, vault)
        readable = yield from _master_key(vault, answers.master)
        if readable:
            yield from _keys(subject, answers, environ)
        else:
            yield Step("keys", "skipped", f"{_UNREADABLE}; add each key with: {_adding(answers)}")
        filled = filled_slots(subject)
        for line in models.recommend(subject.config, filled):
            yield Step("models", "done", line)
    if readable:
        yield from _test_call(answers, bool(filled))
    else:
        yield Step("test call", "skipped", _UNREADABLE)
    yield from _systemd(answers, loaded)


def _machine(file: Path) -> Iterator[Step]:
    defaults = configuration.Loaded.of(configuration.Config())
    subject = Subject(configuration.load(file) if file.exists() else defaults)
    for check in (machine.python, machine.packages, machine.sqlite, machine.disk):
        for found in check(subject):
            failed = found.severity == SEVERITIES[-1]
            text = (
                f"{found.text}. {found.remedy[:1].upper()}{found.remedy[1:]}" if found.remedy else found.text
            )
            yield Step(found.check, "failed" if failed else "done", text)


def _configuration(answers: Answers, text: str) -> Iterator[Step]:
    if files.write_new(answers.file, text):
        yield Step("configuration", "done", f"written to {answers.file}")
    else:
        yield Step("configuration", "kept", f"{answers.file}; change it with `supernova config set`")
    example = answers.file.parent.parent / ".env.example"
    if files.write_new(example, files.template(files.ENVIRONMENT)):
        yield Step("variables", "done", f"every variable is explained in {example}")
    else:
        yield Step("variables", "kept", str(example))


def _master_key(vault: Vault, place: Place) -> Generator[Step, None, bool]:
    """Find or make the master key; return whether this process can read it."""
    missing: MasterKeyError | None = None
    if place != "keyring":
        try:
            yield Step("master key", "kept", f"in {vault.unlock().source}")
            return True
        except MasterKeyError as error:
            missing = error
    if place == "credential" and CREDENTIAL_FILE.exists():
        yield Step("master key", "kept", f"encrypted in {CREDENTIAL_FILE}")
        return False
    if missing and vault.has_master():  # a new one would not open what the store has
        yield Step("master key", "failed", str(missing))
        return False
    try:
        if place == "credential":
            _create_credential()
            yield Step("master key", "done", f"encrypted in {CREDENTIAL_FILE}")
            return False
        if place == "file":
            create_key_file(usual_file(configuration.read_environ()))
        yield Step("master key", "done", f"in {vault.unlock().source}; keep a copy elsewhere: docs/keys.md")
    except (MasterKeyError, OSError) as error:
        yield Step("master key", "failed", f"{missing or ''} {error}".strip())
    return True


def _create_credential() -> None:
    """Make a master key that systemd decrypts for services of this machine. It needs root.

    Raises:
        MasterKeyError: systemd-creds failed, for the reason that it gave.
        OSError: it cannot be started.
    """
    key = Secret(os.urandom(32).hex())
    done = subprocess.run(  # noqa: S603 - the arguments are ours
        ["systemd-creds", "encrypt", f"--name={CREDENTIAL}", "-", str(CREDENTIAL_FILE)],  # noqa: S607
        input=key.reveal().encode(),
        check=False,
        capture_output=True,
    )
    if done.returncode:
        raise MasterKeyError(f"systemd-creds failed: {done.stderr.decode(errors='replace').strip()}")


def _adding(answers: Answers) -> str:
    """Return the command that adds a key in a service of its own, which can read the credential."""
    return shlex.join(
        [
            *("systemd-run", "--pty", f"--property=LoadCredentialEncrypted={CREDENTIAL}"),
            f"--setenv=SUPERNOVA_HOME={machine.data_folder().absolute()}",
            *(str(files.COMMAND), "keys", "add", "PROVIDER", "--config", str(answers.file.absolute())),
        ]
    )


def _keys(subject: Subject, answers: Answers, environ: Mapping[str, str]) -> Iterator[Step]:
    custom = subject.config.custom_endpoints
    if answers.import_keys:
        added, skipped = import_environment(subject.vault, environ, PROVIDERS, custom_endpoints=custom)
        for info in added:
            yield Step(
                "keys", "done", f"{info.provider} {info.slot}: imported, fingerprint {info.fingerprint}"
            )
        for name in skipped:
            yield Step("keys", "skipped", f"{name}: the vault has another key there, which stays")
        if answers.blank and (env := Path(".env")).exists():
            yield from _blank(subject.vault, env, environ)
    for (provider, slot), secret in answers.keys.items():
        with suppress(SupernovaError):
            if subject.vault.reveal(provider, slot).reveal() == secret.reveal():
                yield Step("keys", "kept", f"{provider} {slot}")
                continue
        info = subject.vault.add(provider, slot, secret, any_format=provider in custom)
        yield Step("keys", "done", f"{provider} {slot}: stored, fingerprint {info.fingerprint}")
    if not filled_slots(subject):
        yield Step("keys", "skipped", "no provider has a key yet: supernova keys add openai")


def _blank(vault: Vault, env: Path, environ: Mapping[str, str]) -> Iterator[Step]:
    """Empty the variables of ``.env`` whose keys the vault has."""
    stored = {}
    for provider in PROVIDERS:
        for slot in SLOTS:
            if value := environ.get(variable(provider, slot)):
                with suppress(SupernovaError):
                    if vault.reveal(provider, slot).reveal() == value:
                        stored[variable(provider, slot)] = value
    for name in files.blank_variables(env, stored):
        yield Step("keys", "done", f"{name} is empty in {env} now; copies of that file still have it")


def _test_call(answers: Answers, usable: bool) -> Iterator[Step]:
    if not answers.ask or not usable:
        reason = "not wanted" if usable else "no provider has a key"
        yield Step("test call", "skipped", reason)
        return
    try:
        reply = asyncio.run(_ask(answers.file))
    except SupernovaError as error:
        yield Step("test call", "failed", str(error))
    else:
        yield Step("test call", "done", reply)


async def _ask(file: Path) -> str:
    async with Supernova(file) as nova:
        reply = await nova.chat(_QUESTION, tier="economy", max_tokens=256, max_cost=_TEST_LIMIT)
    return f"{reply.provider}/{reply.model} answered for ${reply.cost} in {reply.latency_s:.1f} s"


def _systemd(answers: Answers, loaded: Loaded) -> Iterator[Step]:
    if answers.unit is None:
        return
    file = answers.file.absolute()
    folders = [file.parent.parent / folder for folder in _written_folders(loaded)]
    try:
        for folder in folders:
            private_folder(folder)  # systemd starts no service with a writable folder that is missing
    except OSError as error:
        yield Step("systemd", "failed", f"{folder} cannot be made: {reason_of(error)}")
        return
    text = files.unit(
        file,
        machine.data_folder().absolute(),
        folders,
        credential=answers.master == "credential",
        system=answers.unit.is_relative_to("/etc"),
    )
    user = "" if answers.unit.is_relative_to("/etc") else " --user"
    start = f"systemctl{user} daemon-reload && systemctl{user} enable --now {answers.unit.stem}"
    if files.write_new(answers.unit, text):
        yield Step("systemd", "done", f"{answers.unit}; start it: {start}")
    else:
        yield Step("systemd", "kept", str(answers.unit))


def _written_folders(loaded: Loaded) -> list[Path]:
    """Return the configured folders that ``supernova run`` writes to."""
    config, database = loaded.config, loaded.database
    folders = (
        None if is_server(database) else Path(database).parent,
        config.backup.to,
        config.reports.folder,
        config.logs.file and config.logs.file.parent,
    )
    return [folder.expanduser() for folder in folders if folder]
