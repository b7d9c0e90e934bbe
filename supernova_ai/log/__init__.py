"""Logs: structured events without secrets; how our own processes write them is in ``setup``."""

from supernova_ai.log.events import get_logger, in_request

__all__ = ["get_logger", "in_request"]
