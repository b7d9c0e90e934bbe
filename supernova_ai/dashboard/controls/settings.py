"""Plans that change settings in the files of the configuration."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from supernova_ai.dashboard.controls.control import Done, Plan
from supernova_ai.dashboard.controls.fields import Field
from supernova_ai.dashboard.controls.task import Task
from supernova_ai.errors import InvalidRequest

if TYPE_CHECKING:  # its import takes long
    from supernova_ai.operations.editing import Edited


def plan(tried: Edited, write: Callable[[], Edited]) -> Plan:
    """Return the plan of an edit.

    Args:
        tried: what it would do.
        write: does it.

    Raises:
        InvalidRequest: nothing would change.
    """
    if not tried.files:
        raise InvalidRequest("nothing would change: the files have this already")

    def do() -> Done:
        edited = write()
        return Done([*map(str, edited.changes), edited.result])

    changes = list(map(str, tried.changes)) or ["Only comments change, or values that are hidden."]
    return Plan([*changes, *(f"{file} is written." for file in tried.files)], do, tried.warnings)


def setting(task: Task, settings: Mapping[str, str]) -> Plan:
    """Return the plan that changes these settings together; raises as ``plan`` and ``Editor.set`` do."""
    return plan(task.editor.set(settings, write=False), lambda: task.editor.set(settings))


def chosen(task: Task, name: str, label: str, choices: list[tuple[str, str]]) -> Field:
    """Return a field that is fixed once a link or a form has chosen its value, and asked first before."""
    value = task.values.get(name, "")
    return Field(name, label, "fixed" if value in dict(choices) else "first", value, choices)
