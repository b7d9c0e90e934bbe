"""Find the configuration, lay its sources over each other, and check the result."""

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
from supernova_ai.config.nodes import Node, find, from_plain, merge, place_of, places, read_yaml, to_plain
from supernova_ai.config.problems import explain, problem, refuse
from supernova_ai.config.schema import Config
from supernova_ai.errors import ConfigError

_APP = "supernova-ai"
_FILE = "supernova.yaml"
_BUILT_IN = "built-in defaults"
_WITHOUT_OVERLAY = ("development", "production")


@dataclass(frozen=True, slots=True)
class Loaded:
    """A checked configuration, and where it came from.

    ``version`` names its content (12 hex digits); ``sources`` go from the strongest to the weakest;
    ``database`` is a path or URL; ``origins`` maps each dotted setting to the place that had the last word;
    ``prompts`` are the folders of the user's own templates, whether they exist or not.
    """

    config: Config
    version: str
    sources: tuple[str, ...]
    database: str = field(repr=False)  # a URL may carry a password
    origins: Mapping[str, str] = field(repr=False)
    prompts: tuple[Path, ...] = ()

    @classmethod
    def of(cls, config: Config, *, environ: Mapping[str, str] | None = None) -> Loaded:
        """Wrap a configuration made in code; ``environ``, as for ``load``, only says where its data goes."""
        merged = environment.read_environ() if environ is None else environment.present(environ)
        return _loaded(config, merged, ("argument",), {})


def load(
    path: str | Path | None = None,
    *,
    environ: Mapping[str, str] | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> Loaded:
    """Load and check the configuration.

    Precedence: ``overrides`` > environment variables > ``.env`` > the environment's overlay > the base file >
    built-in defaults. Mappings merge deep, lists replace.

    Args:
        path: the base file; otherwise ``SUPERNOVA_CONFIG``, ``./config/supernova.yaml``, the user's config
            folder, or the built-in defaults alone.
        environ: the only variables to honour; None is ``os.environ`` over the ``.env`` of the working folder.
        overrides: settings in the shape of the YAML, stronger than everything else.

    Raises:
        ConfigError: something is wrong; the message lists every problem with its place and remedy.
    """
    own = environment.present(os.environ if environ is None else environ)
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
        node, twice = read_yaml(base)
        tree, problems = merge(tree, node), problems + twice
    chosen = find(arguments, ("environment",)) or variables.get("SUPERNOVA_ENV") or tree.value["environment"]
    overlay = _overlay_file(base, chosen)
    if overlay:
        node, twice = read_yaml(overlay)
        tree, problems = merge(tree, node), problems + twice + _own_choice(node)
    tree, refused = environment.apply(tree, variables)
    tree = merge(tree, arguments)

    config = _validate(tree, problems + refused)
    # Process variables before those of .env.
    named = sorted((node.place for node in variables.values()), key=lambda place: place.startswith(".env"))
    files = [str(file) for file in (overlay, base) if file]
    sources = (*(["arguments"] if overrides else []), *named, *files, _BUILT_IN)
    prompts = (base.parent / "prompts",) if base else ()
    return _loaded(config, merged, sources, dict(places(tree)), prompts)


def data_folder(environ: Mapping[str, str]) -> Path:
    """Return the folder of the database: ``SUPERNOVA_HOME``, or the user's data folder."""
    home = environ.get("SUPERNOVA_HOME")
    if home:
        return _in_home(Path(home).expanduser)
    return _in_home(lambda: platformdirs.user_data_path(_APP, appauthor=False))


def _in_home(find: Callable[[], Path]) -> Path:
    """Return what is found in the home folder.

    Raises:
        ConfigError: HOME is not set, and the system does not know this user.
    """
    try:
        return find()
    except RuntimeError as error:
        raise ConfigError(
            f"there is no home folder here ({error}): set SUPERNOVA_HOME to a folder for the data, or write "
            f"the path in full"
        ) from None


def _base_file(path: str | Path | None, environ: Mapping[str, str]) -> Path | None:
    """Return the base file: the one that was named, which must be there, or the first there is."""
    if named := path or environ.get("SUPERNOVA_CONFIG"):
        file = _in_home(Path(named).expanduser)
        if not _is_file(file):
            by = "" if path else " (named by SUPERNOVA_CONFIG)"
            raise ConfigError(
                f"there is no configuration file at {file}{by}: correct the path, or create the file"
            )
        return file
    usual = [Path("config", _FILE)]
    with suppress(RuntimeError):  # without a home folder there is no configuration in it
        usual.append(platformdirs.user_config_path(_APP, appauthor=False) / _FILE)
    return next((file for file in usual if file.is_file()), None)


def _is_file(file: Path) -> bool:
    try:
        return file.is_file()
    except OSError:  # its name is too long
        return False


def _overlay_file(base: Path | None, chosen: Node) -> Path | None:
    """Return the overlay of the chosen environment, if it has one.

    A name of the user's own must have one: a misspelt "production" would lose its protection.
    """
    files = {file.stem: file for file in base.parent.glob("environments/*.yaml")} if base else {}
    known = sorted({*_WITHOUT_OVERLAY, *files})
    if not isinstance(chosen.value, str):
        return None  # the check of the settings refuses it
    if chosen.value not in known:
        own = f"; for one of your own, create {base.parent / 'environments' / '<name>.yaml'}" if base else ""
        remedy = f"must be one of {', '.join(known)}{own}.{nearest(chosen.value, known)}"
        raise refuse([problem(chosen.place, "environment", chosen.value, remedy)])
    return files.get(chosen.value)


def _own_choice(overlay: Node) -> list[str]:
    place = place_of(overlay, ("environment",))
    remedy = "an overlay cannot set the environment that chose it; remove it here"
    return [f"{place}: environment: {remedy}"] if "environment" in overlay.value else []


def _validate(tree: Node, problems: list[str]) -> Config:
    try:
        config = Config.model_validate(to_plain(tree))
    except ValidationError as error:
        problems = problems + explain(error, tree)
    if problems:
        # Outside the except block: the validation error holds the values, secrets too.
        raise refuse(problems)
    return config


def _loaded(
    config: Config,
    environ: Mapping[str, str],
    sources: tuple[str, ...],
    origins: Mapping[str, str],
    prompts: tuple[Path, ...] = (),
) -> Loaded:
    # What is shown is hashed: the hash of a password could confirm a guess at it.
    canonical = json.dumps(config.shown(), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return Loaded(
        config=config,
        version=hashlib.sha256(canonical.encode()).hexdigest()[:12],
        sources=sources,
        database=config.database or str(data_folder(environ) / "supernova.db"),
        origins=origins,
        prompts=prompts,
    )
