"""Acknowledge alerts."""

from __future__ import annotations

from supernova_ai.alerts import outbox
from supernova_ai.alerts.acknowledging import acknowledge
from supernova_ai.alerts.outbox import AlertEvent
from supernova_ai.dashboard.access import Role
from supernova_ai.dashboard.controls.control import Control, Done, Plan
from supernova_ai.dashboard.controls.fields import Field
from supernova_ai.dashboard.controls.task import Task
from supernova_ai.errors import InvalidRequest

_ALL = "all"


def _open(task: Task) -> dict[str, AlertEvent]:
    budgets = task.loaded.config.all_budgets
    return {str(row.id): AlertEvent.of(row, budgets) for row in task.store.read(outbox.list_alerts)}


def _fields(task: Task) -> list[Field]:
    found = _open(task)
    if not found:
        raise InvalidRequest("no alert is open: all are acknowledged")
    each = [(number, f"{number}: {event.message().title}") for number, event in found.items()]
    return [Field("alert", "Alert", "choice", choices=[*each, (_ALL, f"all {len(found)}")])]


def _plan(task: Task) -> Plan:
    chosen = task.values["alert"]
    found = {number: event for number, event in _open(task).items() if chosen in (number, _ALL)}

    def do() -> Done:
        count = acknowledge(task.vault, [] if chosen == _ALL else [int(chosen)])
        return Done([f"{count} acknowledged."])

    return Plan(
        [f"Alert {number} is acknowledged: {event.message().text}" for number, event in found.items()],
        do,
        ["An acknowledged alert is not listed and not sent any more."],
    )


ACKNOWLEDGE = Control(
    name="acknowledge",
    title="Acknowledge alerts",
    button="Acknowledge",
    about="Take alerts off the list once somebody has seen to them.",
    role=Role.OPERATOR,
    page="now",
    fields=_fields,
    plan=_plan,
)
