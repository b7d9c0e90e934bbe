"""The audit of every operation: who did what, when and from where, in a chain that shows changes to it."""

from supernova_ai.actor import Actor, acting, current_actor
from supernova_ai.audit.chain import AuditEvent, AuditReport, Details

__all__ = ["Actor", "AuditEvent", "AuditReport", "Details", "acting", "current_actor"]
