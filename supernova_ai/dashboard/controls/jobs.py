"""Run a job now."""

from __future__ import annotations

from peewee import Database

from supernova_ai.config import Config
from supernova_ai.dashboard.access import Role
from supernova_ai.dashboard.controls.control import Control, Done, Plan
from supernova_ai.dashboard.controls.fields import Field
from supernova_ai.dashboard.controls.task import Task
from supernova_ai.errors import InvalidRequest
from supernova_ai.keys.audited_store import Record
from supernova_ai.operations.jobs import once, runner
from supernova_ai.operations.jobs.leader import current_holder
from supernova_ai.operations.jobs.registry import JOBS


def _fields(_: Task) -> list[Field]:
    return [Field("job", "Job", "choice", choices=[(job.name, f"{job.name}: {job.does}") for job in JOBS])]


def _plan(task: Task) -> Plan:
    name = task.values["job"]
    (job,) = (job for job in JOBS if job.name == name)
    missing = _missing_for_backup(task.loaded.config) if name == "backup" else []
    if missing:
        raise InvalidRequest(f"the job backup needs {' and '.join(missing)}")
    if job.when(task.loaded.config) is None:
        raise InvalidRequest(
            f"the configuration switches the job {name!r} off: docs/operations.md says which setting"
        )
    leader = task.store.read(current_holder)

    def ask(_: Database, record: Record) -> None:
        record("job.asked", name)

    def do() -> Done:
        task.vault.audited(ask)
        results = once.maintain(task.store, task.loaded, [name])
        if results is None:
            return Done(
                [f"Another process leads, and has not run {name} yet: the list of jobs shows when."], ok=False
            )
        outcome = task.store.read(runner.rows)[name].outcome
        return Done([f"{name}: {'' if results[name] else 'FAILED: '}{outcome}"], ok=results[name])

    runs = f"{leader.name} runs it, because it leads; that takes up to a minute." if leader else ""
    return Plan([f"The job {name} runs now: {job.does}."], do, [runs] if runs else [])


def _missing_for_backup(config: Config) -> list[str]:
    settings = config.backup
    return [
        *(["backup.schedule as daily or weekly"] if settings.schedule == "off" else []),
        *(
            ["backup.passphrase_file, a file that only the user of the dashboard can read"]
            if settings.passphrase_file is None
            else []
        ),
    ]


RUN_JOB = Control(
    name="job",
    title="Run a job",
    button="Run it now",
    about="A scheduled job runs once more, now; its schedule stays.",
    role=Role.OPERATOR,
    page="keys",
    fields=_fields,
    plan=_plan,
    lasts=True,
)
