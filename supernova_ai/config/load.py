"""Find the configuration files, merge all sources by precedence, and validate the result."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import platformdirs
from pydantic import ValidationError

from supernova_ai.config import edits, environment, environments, safety
from supernova_ai.config.files import Files
from supernova_ai.config.nodes import Node, find, from_plain, merge, origins, to_plain
from supernova_ai.config.problems import config_error, explain
from supernova_ai.config.schema import Config
from supernova_ai.errors import ConfigError
from supernova_ai.log import get_logger
from supernova_ai.paths import access_fault, is_server, sqlite_path

log = get_logger(__name__)

_APP = "supernova-ai"
_FILE = "supernova.yaml"
_PROMPTS = "prompts"
BUILT_IN = "built-in defaults"
"""The origin of a setting that no source sets."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """A validated configuration and its sources.

    ``version`` is a hash of its content (12 hex digits); ``sources`` are ordered from the strongest to the
    weakest; ``database`` is a file's path or a server's URL; ``origins`` maps each dotted setting to the file
    and line, the variable or the argument that set it; ``prompts`` are the folders of the user's templates,
    which may not exist; ``environments`` are the names that may be chosen; ``files`` are those it is read
    from or names, and whether others may not even read them; ``refused`` says why the environment must not
    run with it, and is empty unless ``load`` was not strict; ``warnings`` names variables that are not read,
    and files that other users may change; ``texts`` are the base file, the overlay and the templates, as they
    were read.
    """

    config: Config
    version: str
    sources: tuple[str, ...]
    database: str = field(repr=False)  # a URL may contain a password
    origins: Mapping[str, str] = field(repr=False)
    prompts: tuple[Path, ...] = ()
    environments: tuple[str, ...] = environments.BUILT_IN
    files: Mapping[Path, bool] = field(default_factory=dict)
    refused: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    texts: Mapping[Path, bytes] = field(default_factory=dict, repr=False)

    @property
    def base(self) -> Path | None:
        """The base file; None if there is none."""
        return next(iter(self.texts), None)

    @classmethod
    def of(cls, config: Config, *, environ: Mapping[str, str] | None = None) -> Loaded:
        """Wrap a configuration made in code; ``environ``, as for ``load``, only sets the data folder."""
        merged = environment.read_environ() if environ is None else environment.non_empty(environ)
        return _strict(_loaded(_Merged(_defaults(), [], merged, ("argument",)), config, {}))


def load(
    path: str | Path | None = None,
    *,
    environ: Mapping[str, str] | None = None,
    overrides: Mapping[str, Any] | None = None,
    strict: bool = True,
    replaced: Mapping[Path, bytes | None] | None = None,
) -> Loaded:
    """Load and validate the configuration.

    Precedence: ``overrides`` > environment variables > ``.env`` > the environment's overlay > its section in
    the base file > the base file > built-in defaults. Mappings are merged recursively; lists are replaced.

    Args:
        path: the base file; otherwise ``SUPERNOVA_CONFIG``, ``./config/supernova.yaml``, the user's config
            folder, or only the built-in defaults.
        environ: the only variables to use; None means ``os.environ`` over the ``.env`` of the working folder.
        overrides: settings in the shape of the YAML, stronger than all other sources.
        strict: raise what the environment refuses; False, to show a configuration, leaves it in ``refused``.
        replaced: files with another content than they have, to try it; None is no file.

    Raises:
        ConfigError: the message lists every problem with its origin and remedy.
    """
    merged = _merge(path, environ, overrides or {}, Files(replaced))
    loaded = _loaded(merged, _validate(merged.tree, merged.problems), dict(origins(merged.tree)))
    return _strict(loaded) if strict else loaded


def salvage(path: str | Path | None = None) -> Loaded:
    """Return what files with problems still say: their environment and database; the rest is the default.

    Raises:
        ConfigError: there are no such files, or these two settings have problems.
    """
    merged = _merge(path, None, {}, Files(lenient=True))
    told = {name: merged.tree.value[name] for name in ("environment", "database")}
    return _loaded(merged, _validate(merge(_defaults(), Node(told, "")), []), {})


@dataclass(frozen=True, slots=True)
class _Merged:
    """All sources merged, not yet validated."""

    tree: Node
    problems: list[str]
    environ: Mapping[str, str] = field(repr=False)
    sources: tuple[str, ...]
    warnings: tuple[str, ...] = ()
    base: Path | None = None
    files: Files = field(default_factory=Files)
    dotenv: Path | None = None


def _merge(
    path: str | Path | None, environ: Mapping[str, str] | None, overrides: Mapping[str, Any], files: Files
) -> _Merged:
    own = environment.non_empty(os.environ if environ is None else environ)
    merged = environment.read_environ() if environ is None else own
    variables = {
        name: Node(merged[name], name if name in own else f".env: {name}")
        for name in (variable.name for variable in environment.VARIABLES)
        if name in merged
    }
    arguments = from_plain(overrides, "argument")

    tree = _defaults()
    unread = environment.unread(merged, (name for name, _ in origins(tree)))
    problems: list[str] = []
    sections = Node({}, "")
    base = _base_file(path, merged)
    if base:
        edits.finish(base)
        node, problems = files.read(base)
        node, sections = environments.split(node)
        tree = merge(tree, node)
    chosen = find(arguments, ("environment",)) or variables.get("SUPERNOVA_ENV") or tree.value["environment"]
    layers, more = environments.layers(base, sections, chosen, files)
    if base:
        files.read_templates(base.parent / _PROMPTS)
    for layer in layers.values():
        tree = environments.merge_layer(tree, layer)
    tree, refused = environment.apply(tree, variables)
    tree = merge(tree, arguments)

    # Process variables before those from .env.
    used = sorted((node.origin for node in variables.values()), key=lambda origin: origin.startswith(".env"))
    named = [*reversed(layers), *([str(base)] if base else [])]
    return _Merged(
        tree,
        problems + more + refused,
        merged,
        sources=(*(["arguments"] if overrides else []), *used, *named, BUILT_IN),
        warnings=tuple(f"{name} is not read: {remedy}" for name, remedy in unread.items()),
        base=base,
        files=files,
        dotenv=Path(".env") if environ is None else None,
    )


def _defaults() -> Node:
    return from_plain(Config().model_dump(), BUILT_IN)


def _examined(loaded: Loaded, read: Iterable[Path], environ: Mapping[str, str]) -> Loaded:
    """Add what the environment refuses, and who else may access the files.

    Files of other users are refused, because their owners could send the keys elsewhere. Outside production
    root may use them, as it often does in containers, and private files may be read by others.
    """
    production = loaded.config.environment == "production"
    files = safety.used_files(loaded, read, environ)
    refused = [*loaded.refused, *(safety.weak_settings(loaded) if production else ())]
    warnings = [*loaded.warnings]
    for path, private in files.items():
        if fault := access_fault(path, private=private and production):
            fatal = production or (fault.foreign and os.geteuid() != 0)
            if fatal or str(path) != loaded.database:  # opening a database warns by itself
                (refused if fatal else warnings).append(f"{fault.reason}: `{fault.remedy}`")
    return replace(loaded, files=files, refused=tuple(refused), warnings=tuple(warnings))


def _strict(loaded: Loaded) -> Loaded:
    """Return the configuration if its environment can run with it.

    Raises:
        ConfigError: the message lists everything that it refuses.
    """
    if loaded.refused:
        raise config_error(list(loaded.refused), f"environment {loaded.config.environment}")
    for warning in loaded.warnings:
        log.warning("config.doubtful", reason=warning)
    return loaded


def data_folder(environ: Mapping[str, str]) -> Path:
    """Return the folder of the database: ``SUPERNOVA_HOME``, or the user's data folder."""
    home = environ.get("SUPERNOVA_HOME")
    if home:
        return in_home(Path(home).expanduser)
    return in_home(lambda: platformdirs.user_data_path(_APP, appauthor=False))


def in_home(find: Callable[[], Path]) -> Path:
    """Call ``find``, which looks up the home folder.

    Raises:
        ConfigError: HOME is not set, and the system does not know this user.
    """
    try:
        return find()
    except RuntimeError as error:
        raise ConfigError(
            f"there is no home folder ({error}): set SUPERNOVA_HOME to a folder for the data, or write the "
            f"full path"
        ) from None


def _base_file(path: str | Path | None, environ: Mapping[str, str]) -> Path | None:
    """Return the named base file, which must exist, or the first default one that exists."""
    if named := path or environ.get("SUPERNOVA_CONFIG"):
        file = in_home(Path(named).expanduser)
        if not _is_file(file):
            by = "" if path else " (set in SUPERNOVA_CONFIG)"
            raise ConfigError(
                f"there is no configuration file at {file}{by}: correct the path, or create the file"
            )
        return file
    usual = [Path("config", _FILE)]
    with suppress(RuntimeError):  # there is no home folder
        usual.append(platformdirs.user_config_path(_APP, appauthor=False) / _FILE)
    return next((file for file in usual if file.is_file()), None)


def _is_file(file: Path) -> bool:
    try:
        return file.is_file()
    except OSError:  # the name is too long
        return False


def _validate(tree: Node, problems: list[str]) -> Config:
    try:
        config = Config.model_validate(to_plain(tree))
    except ValidationError as error:
        problems = problems + explain(error, tree)
    if problems:
        # Outside the except block: the validation error holds the values, which may be secrets.
        raise config_error(problems)
    return config


def _loaded(merged: _Merged, config: Config, origins: Mapping[str, str]) -> Loaded:
    # The masked values are hashed: the hash of a password could confirm a guess.
    canonical = json.dumps(config.shown(), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    database, forgotten = config.database, None
    if database is None:
        own = environments.default_database(data_folder(merged.environ), config.environment)
        database, forgotten = str(own), environments.forgotten_ledger(own, config.environment)
    elif not is_server(database):
        database = str(sqlite_path(database))
    loaded = Loaded(
        config=config,
        version=hashlib.sha256(canonical.encode()).hexdigest()[:12],
        sources=merged.sources,
        database=database,
        origins=origins,
        prompts=(merged.base.parent / _PROMPTS,) if merged.base else (),
        environments=environments.known_environments(merged.base, merged.files),
        refused=(forgotten,) if forgotten else (),
        warnings=merged.warnings,
        texts=merged.files.contents,
    )
    read = [*loaded.texts, *([merged.dotenv] if merged.dotenv else [])]
    return _examined(loaded, read, merged.environ)
