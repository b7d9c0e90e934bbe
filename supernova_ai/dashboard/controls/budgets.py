"""Edit a budget."""

from __future__ import annotations

from supernova_ai.dashboard.access import Role
from supernova_ai.dashboard.controls import settings
from supernova_ai.dashboard.controls.control import Control, Plan
from supernova_ai.dashboard.controls.fields import Field
from supernova_ai.dashboard.controls.task import Task


def _fields(task: Task) -> list[Field]:
    budgets = {budget.name: budget for budget in task.editor.loaded.config.budgets}
    names = [(name, f"{name}, per {budget.per}") for name, budget in budgets.items()]
    chosen = settings.chosen(task, "budget", "Budget", names)
    if chosen.kind == "first":
        return [chosen]
    return [chosen, Field("limit", "Limit in USD", value=f"{budgets[chosen.value].limit:f}")]


def _plan(task: Task) -> Plan:
    return settings.setting(task, {f"budgets.{task.values['budget']}.limit": task.values["limit"]})


BUDGET = Control(
    name="budget",
    title="Edit a budget",
    button="Change the budget",
    about="A new limit counts from the next call on; what was spent stays counted.",
    role=Role.ADMIN,
    page="money",
    fields=_fields,
    plan=_plan,
)
