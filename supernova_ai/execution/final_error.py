"""The error that ends a request: the one that helps most, with the reasons of earlier failures as notes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from supernova_ai.errors import (
    KeyNotFound,
    NoProvider,
    ProviderError,
    ProviderUnavailable,
    StreamInterrupted,
    SupernovaError,
)
from supernova_ai.execution.request_state import RequestState
from supernova_ai.execution.reservations import no_key
from supernova_ai.litellm_adapter import error_mapping
from supernova_ai.routing.deployments import Deployment, is_local


def final_error(call: RequestState, error: Exception, deployments: Iterable[Deployment]) -> Exception:
    """Return the error to raise; its attempt has ended.

    It has no context and no traceback: those of LiteLLM's error may hold the key.

    Args:
        deployments: all of them.
    """
    ours = error_mapping.translate(error)
    if isinstance(error, TimeoutError):
        ours = call.error = call.request.timed_out()
    elif call.error and isinstance(ours, NoProvider | ProviderError):
        ours = call.error  # the last failure says more than "no deployment is left"
    if call.shown and isinstance(call.error, ProviderError):
        ours = StreamInterrupted(call.shown, call.error)
    keyless = _no_key_error(call)
    ours = keyless or ours
    notes = [f"before that: {error}" for error in call.errors]
    notes += [f"not asked: {reason}" for reason in _not_asked(call, deployments)]
    for line in dict.fromkeys(notes):
        if keyless is None and line.partition(": ")[2] not in str(ours):
            ours.add_note(line)
    ours.__context__ = None
    return ours.with_traceback(None)


def _not_asked(call: RequestState, deployments: Iterable[Deployment]) -> Iterator[str]:
    """Yield why a provider was not asked in a tier, where it lacks a key or a price."""
    groups: dict[tuple[str, str], list[SupernovaError | None]] = {}
    for d in deployments:
        groups.setdefault((d.tier, d.provider), []).append(call.passed_over.get(d.id))
    for reasons in groups.values():
        if reasons[0] and all(reasons):
            yield str(reasons[0])


def _no_key_error(call: RequestState) -> NoProvider | None:
    """Return an error if only a local server could take the request, and it is not running.

    Ollama is in the default priority, used or not: the real fault is that no other provider has a key.
    """
    tried = [attempt.deployment for attempt in call.attempts]
    missing = any(isinstance(reason, KeyNotFound) for reason in call.passed_over.values())
    unreachable = isinstance(call.error, ProviderUnavailable) and call.error.status is None
    if not (tried and missing and unreachable and all(is_local(d) for d in tried)) or call.spent():
        return None
    names = " or ".join(sorted({d.provider for d in tried}))
    return NoProvider(f"{no_key(call)}, or start {names}")
