"""What production refuses, and who else may read or change the files that are used."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING

from supernova_ai.config.fields import VAULT_PREFIX, mask
from supernova_ai.config.problems import problem
from supernova_ai.paths import is_server

if TYPE_CHECKING:
    from supernova_ai.config.load import Loaded

_WEAK = (
    (
        "require_tls",
        False,
        "plain http would show prompts and keys to others: use https, or a tunnel to 127.0.0.1",
    ),
    (
        "verify_tls",
        False,
        "any server could take the keys: set SSL_CERT_FILE to the certificates you trust",
    ),
    (
        "keys.allow_environment",
        True,
        "other programs can read variables: move the keys into the vault with `supernova keys import-env`",
    ),
    ("logs.level", "debug", "debug lines may quote prompts and answers: use info"),
)
"""The settings that production refuses, their weak values, and the reasons with the remedies."""


def weak_settings(loaded: Loaded) -> Iterator[str]:
    """Yield the problem of each setting that production refuses."""
    for name, weak, reason in _WEAK:
        value: object = reduce(getattr, name.split("."), loaded.config)
        if value == weak:
            origin = loaded.origins.get(name, "argument")
            yield problem(origin, name, weak, f"production refuses it, because {reason}")


def used_files(loaded: Loaded, read: Iterable[Path], environ: Mapping[str, str]) -> dict[Path, bool]:
    """Return the files that are read or written, and whether others may not even read them.

    A file of settings is private only if a password or token is written in it.

    Args:
        read: the files with settings; ``.env`` is always private.
    """
    config = loaded.config
    secret = {
        "database": mask(config.database or "") != (config.database or ""),
        "redis": mask(config.redis or "") != (config.redis or ""),
        "alerts.notify": any(not url.startswith(VAULT_PREFIX) for url in config.alerts.notify),
    }
    holders = {loaded.origins.get(name, "").rpartition(":")[0] for name, holds in secret.items() if holds}
    private = (
        None if is_server(loaded.database) else loaded.database,
        environ.get("SUPERNOVA_MASTER_KEY_FILE"),
        config.backup.passphrase_file,
        config.logs.file,
    )
    found = {file: file.name == ".env" or str(file) in holders for file in read}
    found |= {template: False for folder in loaded.prompts for template in folder.glob("*.md")}
    named = (os.path.expanduser(file) for file in private if file)  # noqa: PTH111 - raises nothing without a home
    return found | {Path(file): True for file in named}
