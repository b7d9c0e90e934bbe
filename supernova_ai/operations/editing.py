"""Edit the files of a configuration: every edit is validated before, and is a version itself."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from supernova_ai import config as configuration
from supernova_ai.config import Loaded, edits
from supernova_ai.config.environment import VARIABLES
from supernova_ai.config.environments import SECTIONS
from supernova_ai.config.fields import mask
from supernova_ai.config.problems import config_error
from supernova_ai.config.yaml_edit import has_value, set_value
from supernova_ai.errors import ConfigError, InvalidRequest
from supernova_ai.keys import open_vault
from supernova_ai.operations import validation
from supernova_ai.operations.validation import ValidationResult
from supernova_ai.reload.changes import BASE, Change, changes, settings_of
from supernova_ai.reload.versions import Cause, Version, Versions
from supernova_ai.secret import redact
from supernova_ai.store import Store

RESTART = ("database", "redis", "environment")
"""Settings that take effect only in a new process."""


@dataclass(frozen=True, slots=True)
class Edited:
    """What an edit did: its version (None if the content is as before), what changed, where, and warnings."""

    version: Version | None
    changes: tuple[Change, ...]
    files: tuple[Path, ...]
    warnings: tuple[str, ...]

    @property
    def result(self) -> str:
        """Which version is in force now, for people."""
        if self.version:
            return f"This is version {self.version.number}. Processes that watch the files apply it now."
        return "The settings are those of the version in force." if self.files else "Nothing changed."


class Editor:
    """Edits the files of one configuration. ``problem`` says why they cannot be loaded, None if they can.

    Args:
        path: the base file, as for ``config.load``.
        store: where the versions are.
    """

    def __init__(self, path: Path | None, loaded: Loaded, problem: ConfigError | None, store: Store) -> None:
        self._path = path
        self.loaded = loaded
        self.problem = problem
        self.vault = open_vault(store, environ=configuration.read_environ())
        self.versions = Versions(store, self.vault)

    @classmethod
    @contextmanager
    def open(cls, path: Path | None) -> Iterator[Editor]:
        """Open the store of the configuration, also if its files have problems."""
        problem = None
        try:
            loaded = configuration.load(path)
        except ConfigError as error:
            problem = error
            loaded = configuration.salvage(path)
        with Store(loaded.database) as store:
            yield cls(path, loaded, problem, store)

    def set(self, settings: Mapping[str, str], *, write: bool = True) -> Edited:
        """Change settings together, each in the overlay if that sets it, else in the base file.

        Args:
            settings: the value of each, in YAML.
            write: False only says what would change, and records nothing; so in the methods below.

        Raises:
            InvalidRequest: a key or a value is not usable.
            ConfigError: the files have problems, or would have, or the file cannot be changed so.
        """
        with self._locked(record=write) as base:
            if self.problem:
                raise self.problem
            texts: dict[Path, str] = {}
            shared: list[str] = []
            for key, value in settings.items():
                file, written = self._place_of(key, base)
                text = texts.get(file) or self.loaded.texts[file].decode()
                texts[file] = set_value(_with_budgets(text, file, written), file, written, value)
                shared += self._shared(file, written)
            files = {file: text.encode() for file, text in texts.items()}
            edited = self._write(base, files, "set", settings, write=write)
            return replace(edited, warnings=(*edited.warnings, *shared))

    def apply(self, content: bytes, named: object, *, write: bool = True) -> Edited:
        """Replace the content of the base file.

        Args:
            named: where the content comes from, for messages.

        Raises:
            ConfigError: it is no valid configuration; nothing was changed.
        """
        if not content.strip():
            raise ConfigError(f"{named} is empty, so nothing was changed: for the defaults, write a comment")
        with self._locked(record=write) as base:
            try:
                return self._write(base, {base: content}, "apply", write=write)
            except ConfigError as error:
                raise ConfigError(str(error).replace(f"{base}:", f"{named}:")) from None

    def rollback(self, number: int | None = None, *, write: bool = True) -> Edited:
        """Write the files of a version back.

        Args:
            number: None is the version in force if the files have problems, else the one before it.

        Raises:
            InvalidRequest: there is no such version.
            ConfigError: it has no text, is of another environment, or is not valid any more.
        """
        with self._locked(record=write) as base:
            version = self.versions.get(self._before_latest() if number is None else number)
            environment = self.loaded.config.environment
            if version.environment != environment:
                raise ConfigError(
                    f"version {version.number} is of the environment {version.environment!r}, and this is "
                    f"{environment!r}: choose another version, or set SUPERNOVA_ENV={version.environment}"
                )
            texts = self.versions.texts(version)
            files = {base if name == BASE else base.parent / name: text for name, text in texts.items()}
            removed = dict.fromkeys(path for path in _all_files(base, environment) if path not in files)
            return self._write(base, {**files, **removed}, "rollback", write=write)

    @contextmanager
    def _locked(self, *, record: bool) -> Iterator[Path]:
        """Keep other edits away, and record what was edited by hand before."""
        base = self.loaded.base
        if base is None:
            raise ConfigError(
                "there is no configuration file to change: create config/supernova.yaml, which may be empty"
            )
        with edits.locked(base):
            if not self.problem:
                self.loaded = configuration.load(self._path)
                if record:
                    self.versions.record(self.loaded, "edit")
            yield base

    def _place_of(self, key: str, base: Path) -> tuple[Path, str]:
        """Return the file that sets the setting, and the setting's name there.

        It is the overlay, the environment's section in the base file, or the base file, as one of them sets
        it; the base file if none does. Of an item of a list, it is the one that sets the list.
        """
        environment, texts = self.loaded.config.environment, self.loaded.texts
        setting = _setting(self.loaded, key)
        overlay = base.parent / SECTIONS / f"{environment}.yaml"
        if overlay in texts and has_value(texts[overlay].decode(), overlay, setting):
            return overlay, key
        section = f"{SECTIONS}.{environment}"
        own = has_value(texts[base].decode(), base, f"{section}.{setting}")
        return base, f"{section}.{key}" if own else key

    def _shared(self, file: Path, key: str) -> list[str]:
        """Return a warning if an environment's own command changed a setting that all environments share."""
        environment = self.loaded.config.environment
        if environment == "development" or file != self.loaded.base or key.startswith(f"{SECTIONS}."):
            return []
        alone = f"supernova config set {SECTIONS}.{environment}.{key}"
        return [f"{key} changed for all environments; for {environment} alone: `{alone}`"]

    def _before_latest(self) -> int:
        newest = self.versions.newest(2)
        at = 0 if self.problem else 1
        if len(newest) <= at:
            raise InvalidRequest("no version was recorded before this one, so none can come back")
        return newest[at].number

    def _write(
        self,
        base: Path,
        files: Mapping[Path, bytes | None],
        cause: Cause,
        keys: Iterable[str] = (),
        *,
        write: bool,
    ) -> Edited:
        """Validate the configuration with these files, write those that change, and record the version."""
        changing = {path: text for path, text in files.items() if _content(path) != text}
        try:
            loaded = configuration.load(self._path, replaced=files)
            findings = _findings(loaded, files)
            if findings.problems:
                raise config_error(list(findings.problems))
        except ConfigError as error:
            raise ConfigError(f"nothing was written, because with this edit {error}") from None
        if self.problem:
            latest = self.versions.latest()
            before = latest.settings if latest else {}
            broken = {path.with_name(f"{path.name}.broken"): _content(path) for path in changing}
            changing |= {path: text for path, text in broken.items() if text is not None}
        else:
            before = settings_of(self.loaded)
            if any(_content(path) != text for path, text in self.loaded.texts.items()):
                raise ConfigError(f"{base} was edited meanwhile: try again")
        version = None
        if write:
            with edits.replacing(base, changing):
                version = self.versions.record(loaded, cause)
        changed = tuple(changes(before, settings_of(loaded)))
        warnings = [*findings.warnings, *(warning for key in keys for warning in _overridden(loaded, key))]
        if restart := [change.setting for change in changed if change.setting in RESTART]:
            warnings.append(f"{', '.join(restart)} changes only in new processes: restart those that run")
        return Edited(version, changed, tuple(changing), tuple(warnings))


def holds_secret(key: str, value: str) -> bool:
    """Return whether the value of a setting holds a password, a token or a key."""
    notified = "://" in value and ("alerts" in key or "notify" in value)  # a token may be anywhere in a URL
    return notified or redact(value) != value or mask(value) != value


def _content(path: Path) -> bytes | None:
    return path.read_bytes() if path.exists() else None


def _all_files(base: Path, environment: str) -> list[Path]:
    """Return the overlay and the prompts that are there now."""
    overlay = base.parent / "environments" / f"{environment}.yaml"
    return [*([overlay] if overlay.exists() else []), *base.parent.glob("prompts/*.md")]


def _setting(loaded: Loaded, key: str) -> str:
    """Return the setting that the key is part of: of an item of a list, the list; else the key itself."""
    steps = key.replace('"', "").split(".")
    names = (".".join(steps[:n]) for n in range(len(steps), 0, -1))
    return next((name for name in names if name in loaded.origins), key)


def _with_budgets(text: str, file: Path, key: str) -> str:
    """Return the file's text, with the default budgets if one changes, because a list is set whole."""
    if not key.startswith("budgets.") or has_value(text, file, "budgets"):
        return text
    defaults = configuration.Config().budgets
    budgets = [budget.model_dump(mode="json", exclude_defaults=True) for budget in defaults]
    return set_value(text, file, "budgets", json.dumps(budgets))


def _overridden(loaded: Loaded, key: str) -> list[str]:
    """Return a warning if a variable overrides the setting in the files."""
    variable = loaded.origins.get(_setting(loaded, key), "").removeprefix(".env: ")
    if variable not in {one.name for one in VARIABLES}:
        return []
    return [f"{key} has another value in force: the variable {variable} overrides the files"]


def _findings(loaded: Loaded, files: Mapping[Path, bytes | None]) -> ValidationResult:
    """Validate the configuration, with the templates that it will have."""
    if not any(path.suffix == ".md" for path in files):
        return validation.validate(loaded)
    with tempfile.TemporaryDirectory() as name:
        for path, text in loaded.texts.items():
            if path.suffix == ".md":
                Path(name, path.name).write_bytes(text)
        found = validation.validate(replace(loaded, prompts=(Path(name),)))
    return replace(
        found, problems=tuple(problem.replace(name, str(loaded.prompts[0])) for problem in found.problems)
    )
