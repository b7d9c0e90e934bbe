"""What a version of the configuration contains, and what differs between two."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any, NamedTuple

from supernova_ai.config import Loaded
from supernova_ai.config.differences import differences
from supernova_ai.secret import HIDDEN

BASE = "supernova.yaml"
"""The name of the base file in a version, whatever its name on a machine."""

_PROMPTS = "prompts/"
_MOST_SHOWN = 5


class Change(NamedTuple):
    """A setting that differs, with secrets hidden."""

    setting: str
    before: Any
    after: Any

    def __str__(self) -> str:
        return f"{self.setting}: {_shown(self.before)} → {_shown(self.after)}"


def changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Change]:
    """Return what differs between the settings of two versions."""
    return [Change(*difference) for difference in differences(before, after)]


def summary(changed: list[Change]) -> str:
    """Return the first changes as one line."""
    if not changed:
        return "only comments, or values that are hidden"
    more = f"; and {len(changed) - _MOST_SHOWN} more" if len(changed) > _MOST_SHOWN else ""
    return "; ".join(map(str, changed[:_MOST_SHOWN])) + more


def summary_without_users(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    """Return the changes for the audit and for notices, which keep what they say when a user is erased."""
    return summary(changes(_without_users(before), _without_users(after)))


def _without_users(settings: Mapping[str, Any]) -> dict[str, Any]:
    budgets = [
        budget if budget["user"] in (None, "*") else budget | {"user": HIDDEN}
        for budget in settings["budgets"]
    ]
    return {**settings, "budgets": budgets}


def settings_of(loaded: Loaded) -> dict[str, Any]:
    """Return the settings with secrets hidden, and a hash of each prompt."""
    prompts = {
        PurePosixPath(name).stem: hashlib.sha256(content).hexdigest()[:12]
        for name, content in files_of(loaded).items()
        if name.startswith(_PROMPTS)
    }
    return loaded.config.shown() | {"prompts": prompts}


def files_of(loaded: Loaded) -> dict[str, bytes]:
    """Return the text of the base file, the overlay and the prompts by name."""
    base = loaded.base
    return {
        BASE if path == base or base is None else path.relative_to(base.parent).as_posix(): content
        for path, content in loaded.texts.items()
    }


def _shown(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 80 else f"{text[:79]}…"
