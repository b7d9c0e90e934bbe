"""Find the configuration files, merge all sources by precedence, and validate the result."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import platformdirs
from pydantic import ValidationError

from supernova_ai.config import environment
from supernova_ai.config.fields import nearest
from supernova_ai.config.nodes import Node, find, from_plain, merge, origin_of, origins, read_yaml, to_plain
from supernova_ai.config.problems import config_error, explain, problem
from supernova_ai.config.schema import Config
from supernova_ai.errors import ConfigError

_APP = "supernova-ai"
_FILE = "supernova.yaml"
_BUILT_IN = "built-in defaults"
_WITHOUT_OVERLAY = ("development", "production")


@dataclass(frozen=True, slots=True)
class Loaded:
    """A validated configuration and its sources.

    ``version`` is a hash of its content (12 hex digits); ``sources`` are ordered from the strongest to the
    weakest; ``database`` is a path or URL; ``origins`` maps each dotted setting to the file and line, the
    variable or the argument that set it; ``prompts`` are the folders of the user's templates, which may not
    exist.
    """

    config: Config
    version: str
    sources: tuple[str, ...]
    database: str = field(repr=False)  # a URL may contain a password
    origins: Mapping[str, str] = field(repr=False)
    prompts: tuple[Path, ...] = ()

    @classmethod
    def of(cls, config: Config, *, environ: Mapping[str, str] | None = None) -> Loaded:
        """Wrap a configuration made in code; ``environ``, as for ``load``, only sets the data folder."""
        merged = environment.read_environ() if environ is None else environment.non_empty(environ)
        return _loaded(config, merged, ("argument",), {})


def load(
    path: str | Path | None = None,
    *,
    environ: Mapping[str, str] | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> Loaded:
    """Load and validate the configuration.

    Precedence: ``overrides`` > environment variables > ``.env`` > the environment's overlay > the base file >
    built-in defaults. Mappings are merged recursively; lists are replaced.

    Args:
        path: the base file; otherwise ``SUPERNOVA_CONFIG``, ``./config/supernova.yaml``, the user's config
            folder, or only the built-in defaults.
        environ: the only variables to use; None means ``os.environ`` over the ``.env`` of the working folder.
        overrides: settings in the shape of the YAML, stronger than all other sources.

    Raises:
        ConfigError: the message lists every problem with its origin and remedy.
    """
    own = environment.non_empty(os.environ if environ is None else environ)
    merged = environment.read_environ() if environ is None else own
    environment.warn_of_misspelt(merged)
    variables = {
        name: Node(merged[name], name if name in own else f".env: {name}")
        for name in (variable.name for variable in environment.VARIABLES)
        if name in merged
    }
    arguments = from_plain(overrides or {}, "argument")

    tree = from_plain(Config().model_dump(), _BUILT_IN)
    problems: list[str] = []
    base = _base_file(path, merged)
    if base:
        node, duplicates = read_yaml(base)
        tree, problems = merge(tree, node), problems + duplicates
    chosen = find(arguments, ("environment",)) or variables.get("SUPERNOVA_ENV") or tree.value["environment"]
    overlay = _overlay_file(base, chosen)
    if overlay:
        node, duplicates = read_yaml(overlay)
        tree, problems = merge(tree, node), problems + duplicates + _environment_problem(node)
    tree, refused = environment.apply(tree, variables)
    tree = merge(tree, arguments)

    config = _validate(tree, problems + refused)
    # Process variables before those from .env.
    used = sorted((node.origin for node in variables.values()), key=lambda origin: origin.startswith(".env"))
    files = [str(file) for file in (overlay, base) if file]
    sources = (*(["arguments"] if overrides else []), *used, *files, _BUILT_IN)
    prompts = (base.parent / "prompts",) if base else ()
    return _loaded(config, merged, sources, dict(origins(tree)), prompts)


def data_folder(environ: Mapping[str, str]) -> Path:
    """Return the folder of the database: ``SUPERNOVA_HOME``, or the user's data folder."""
    home = environ.get("SUPERNOVA_HOME")
    if home:
        return _in_home(Path(home).expanduser)
    return _in_home(lambda: platformdirs.user_data_path(_APP, appauthor=False))


def _in_home(find: Callable[[], Path]) -> Path:
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
        file = _in_home(Path(named).expanduser)
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


def _overlay_file(base: Path | None, chosen: Node) -> Path | None:
    """Return the overlay of the chosen environment, if it has one.

    Every name except development and production must have one: a misspelt "production" would lose its
    protection.
    """
    files = {file.stem: file for file in base.parent.glob("environments/*.yaml")} if base else {}
    known = sorted({*_WITHOUT_OVERLAY, *files})
    if not isinstance(chosen.value, str):
        return None  # validation refuses it later
    if chosen.value not in known:
        add = f"; to add another, create {base.parent / 'environments' / '<name>.yaml'}" if base else ""
        remedy = f"must be one of {', '.join(known)}{add}.{nearest(chosen.value, known)}"
        raise config_error([problem(chosen.origin, "environment", chosen.value, remedy)])
    return files.get(chosen.value)


def _environment_problem(overlay: Node) -> list[str]:
    origin = origin_of(overlay, ("environment",))
    remedy = "an overlay cannot set the environment that chose it; remove it here"
    return [f"{origin}: environment: {remedy}"] if "environment" in overlay.value else []


def _validate(tree: Node, problems: list[str]) -> Config:
    try:
        config = Config.model_validate(to_plain(tree))
    except ValidationError as error:
        problems = problems + explain(error, tree)
    if problems:
        # Outside the except block: the validation error holds the values, which may be secrets.
        raise config_error(problems)
    return config


def _loaded(
    config: Config,
    environ: Mapping[str, str],
    sources: tuple[str, ...],
    origins: Mapping[str, str],
    prompts: tuple[Path, ...] = (),
) -> Loaded:
    # The masked values are hashed: the hash of a password could confirm a guess.
    canonical = json.dumps(config.shown(), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return Loaded(
        config=config,
        version=hashlib.sha256(canonical.encode()).hexdigest()[:12],
        sources=sources,
        database=config.database or str(data_folder(environ) / "supernova.db"),
        origins=origins,
        prompts=prompts,
    )
