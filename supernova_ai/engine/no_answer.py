"""Errors of providers that answered, and were paid, without giving an answer."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

from supernova_ai.engine import faults
from supernova_ai.engine.deployments import Deployment
from supernova_ai.engine.flight import Flight
from supernova_ai.engine.usage import usage_of
from supernova_ai.errors import ContentRefused, NoAnswer, ProviderError, SupernovaError, UnreadableAnswer
from supernova_ai.log import get_logger

log = get_logger(__name__)

_MOST_FIELDS = 12


def empty(flight: Flight) -> ProviderError:
    """Return the error of an answer that came to its end with nothing in it for the caller."""
    if flight.finish_reason == "content_filter":
        return _error(ContentRefused, flight.deployment, "its content policy left nothing of the answer")
    if flight.finish_reason == "length":
        what = "its thoughts" if flight.thoughts.text else "what it wrote, none of it an answer,"
        words = f"{what} took all {flight.max_tokens} of max_tokens. Ask for more max_tokens."
    elif flight.thoughts.text:
        words = "it wrote only thoughts, and no answer"
    else:
        words = f"its answer is empty (finish reason {flight.finish_reason!r})"
    return _error(NoAnswer, flight.deployment, words)


def told(failure: Any, deployment: Deployment) -> Exception:
    """Return the failure that an answer tells of, as an error that LiteLLM's Router takes for the provider's.

    Args:
        failure: a message, or an object with a message, a type and a code, which is a word or an HTTP status.
    """
    known = failure if isinstance(failure, dict) else {"message": failure}
    error: Exception = faults.unavailable(str(known.get("message") or failure), deployment)
    code = known.get("code")
    if type(code) is int:
        error.status_code = code  # type: ignore[attr-defined]
    elif isinstance(code, str):
        error.code = code  # type: ignore[attr-defined]
    error.type = known.get("type")  # type: ignore[attr-defined]
    return error


def failure_of(error: Exception, flight: Flight, arrived: Sequence[Any]) -> Exception:
    """Return what an attempt failed with, where LiteLLM made another error of what its answer says.

    Args:
        arrived: the JSON of the answers of status 200 that the attempt was given.
    """
    if not arrived or flight.answer or isinstance(error, SupernovaError | TimeoutError):
        return error
    failure = arrived[-1].get("error") if isinstance(arrived[-1], dict) else None
    if not failure:
        log.debug("engine.answer.unreadable", reason=type(error).__name__, words=str(error))
        return unreadable(flight, arrived[-1])
    # LiteLLM makes a refusal of the request of any error in an answer of status 200.
    return told(failure, flight.deployment) if faults.is_refused(error) else error


def unreadable(flight: Flight, answer: Any) -> Exception:
    """Return the error of an answer whose shape LiteLLM cannot read, and note what usage it reports.

    Without usage it may be a gateway's page and no model's answer: then others are asked.
    """
    fields = answer if isinstance(answer, dict) else {}
    report = fields.get("usage")
    report = report if isinstance(report, dict) else {}
    # Anthropic's and Cohere's names.
    names = {"prompt_tokens": "input_tokens", "completion_tokens": "output_tokens"}
    usage = {ours: report.get(theirs) for ours, theirs in names.items()} | report
    found = ", ".join(sorted(map(str, fields))[:_MOST_FIELDS]) or f"none, it is a {type(answer).__name__}"
    words = (
        f"its answer has a shape that cannot be read (fields: {found}). "
        f"Check that 'api_base' speaks the protocol of {flight.deployment.provider}."
    )
    if usage_of(usage) is None:
        error: Exception = faults.unavailable(words, flight.deployment)
        return error
    flight.answer = SimpleNamespace(choices=[], usage=usage, model=fields.get("model"))
    return _error(UnreadableAnswer, flight.deployment, words)


def _error(kind: type[ProviderError], deployment: Deployment, words: str) -> ProviderError:
    provider, model = deployment.provider, deployment.model
    return kind(f"{provider} failed ({model}): {words}", provider=provider, model=model)
