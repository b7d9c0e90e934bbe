"""Every job with the function that does it."""

from __future__ import annotations

from supernova_ai.operations.jobs import work
from supernova_ai.operations.jobs.job import Job
from supernova_ai.operations.jobs.planned import PLANNED

_WORK = {
    "alerts": work.alerts,
    "probes": work.probes,
    "revoke": work.revoke,
    "keys": work.keys,
    "holds": work.holds,
    "expiry": work.expiry,
    "reports": work.reports,
    "backup": work.backup,
    "archive": work.archive,
    "advice": work.advice,
    "logs": work.logs,
    "verify": work.verify,
}

JOBS = tuple(Job(job.name, job.does, job.when, _WORK[job.name]) for job in PLANNED)
"""Every job, in the order in which they start if several are due."""
