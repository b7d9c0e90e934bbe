"""One step of a control, from the call to the answer. Errors become text: what they hold is not sent back."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path

from supernova_ai.audit import acting
from supernova_ai.dashboard.controls import CONTROLS
from supernova_ai.dashboard.controls.control import Answer, Call, Control, Done
from supernova_ai.dashboard.controls.fields import Field, sent_values, with_values
from supernova_ai.dashboard.controls.task import Task
from supernova_ai.errors import SupernovaError
from supernova_ai.log import get_logger
from supernova_ai.secret import redact

log = get_logger(__name__)

_CHANGED = "This is not what was shown before: something changed meanwhile. Look again."


def perform(path: Path | None, call: Call) -> Answer:
    """Go one step with a control, as the user of the dashboard who called it.

    Args:
        path: the base file of the configuration, as for ``config.load``.
    """
    control = CONTROLS[call.control]
    asked: Sequence[Field] = ()
    with acting("dashboard", call.user), ExitStack() as opened:
        task = Task(path, call.user, call.values, opened)
        try:
            asked = control.fields(task)
            task.values = sent_values(asked, call.values, form=call.step != "link")
            return _answer(control, call, task, asked)
        except SupernovaError as error:
            problem = "\n".join([str(error), *getattr(error, "__notes__", ())])
        except Exception as error:  # it must not be pickled, because it may hold a key
            log.error(
                "dashboard.control.failed",
                control=call.control,
                user=call.user,
                error=type(error).__name__,
                reason=str(error),
            )
            problem = "It failed; the log has the reason."
        return Answer(with_values(asked, task.values), problem=redact(problem))


def _answer(control: Control, call: Call, task: Task, asked: Sequence[Field]) -> Answer:
    if call.step == "form" or (call.step == "link" and not (control.asks and _is_complete(asked, call))):
        return Answer(with_values(asked, task.values))
    task.values = {field.name: field.check(task.values[field.name]) for field in asked}
    plan = control.plan(task)
    lines, notes = _redacted(plan.lines), _redacted(plan.notes)
    changed = control.asks and call.step == "do" and lines != call.shown
    if call.step != "do" or changed:
        return Answer(plan=lines, notes=(*([_CHANGED] if changed else ()), *notes), values=task.values)
    done = plan.do()
    log.info("dashboard.control.done", control=call.control, user=call.user, ok=done.ok)
    return Answer(done=Done(_redacted(done.lines), redact(done.text), done.ok))


def _is_complete(fields: Sequence[Field], call: Call) -> bool:
    """Return whether a link gives all that must be given, so that there is nothing to fill in."""
    return all(field.optional or field.kind == "hidden" or field.name in call.values for field in fields)


def _redacted(lines: Iterable[str]) -> tuple[str, ...]:
    return tuple(map(redact, lines))
