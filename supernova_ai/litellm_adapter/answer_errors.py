"""Errors of answers that arrived and are paid for, but contain no answer for the caller."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, Protocol

from supernova_ai.characters import well_formed
from supernova_ai.errors import ContentRefused, NoAnswer, ProviderError, SupernovaError, UnreadableAnswer
from supernova_ai.litellm_adapter import error_mapping
from supernova_ai.litellm_adapter.error_mapping import AskedModel
from supernova_ai.litellm_adapter.reasoning import ReasoningSplitter
from supernova_ai.litellm_adapter.usage import usage_of
from supernova_ai.log import get_logger

log = get_logger(__name__)

_MAX_FIELDS = 12


class AnsweredAttempt(Protocol):
    """An attempt whose provider answered; ``answer`` is LiteLLM's whole answer."""

    answer: Any

    @property
    def deployment(self) -> AskedModel: ...

    @property
    def max_tokens(self) -> int: ...

    @property
    def finish_reason(self) -> str | None: ...

    @property
    def thoughts(self) -> ReasoningSplitter: ...


def empty(attempt: AnsweredAttempt) -> ProviderError:
    """Return the error of a complete answer with nothing in it for the caller."""
    if attempt.finish_reason == "content_filter":
        return _error(ContentRefused, attempt.deployment, "its content policy removed the whole answer")
    if attempt.finish_reason == "length":
        what = "its reasoning" if attempt.thoughts.text else "output without an answer"
        words = f"{what} used all {attempt.max_tokens} of max_tokens. Ask for more max_tokens."
    elif attempt.thoughts.text:
        words = "it wrote only reasoning, and no answer"
    else:
        words = f"its answer is empty (finish reason {attempt.finish_reason!r})"
    return _error(NoAnswer, attempt.deployment, words)


def reported(failure: Any, asked: AskedModel) -> Exception:
    """Return the failure that an answer reports, as an error that LiteLLM's Router treats as the provider's.

    Args:
        failure: a message, or an object with a message, a type and a code: a word or an HTTP status.
    """
    known = failure if isinstance(failure, dict) else {"message": failure}
    error: Exception = error_mapping.unavailable(str(known.get("message") or failure), asked)
    code = known.get("code")
    if type(code) is int:
        error.status_code = code  # type: ignore[attr-defined]
    elif isinstance(code, str):
        error.code = code  # type: ignore[attr-defined]
    error.type = known.get("type")  # type: ignore[attr-defined]
    return error


def failure_of(error: Exception, attempt: AnsweredAttempt, arrived: Sequence[Any]) -> Exception:
    """Return the error of an attempt by what its answer says, where LiteLLM raised another one.

    Args:
        arrived: the JSON of the answers of status 200 that the attempt received.
    """
    if not arrived or attempt.answer or isinstance(error, SupernovaError | TimeoutError):
        return error
    failure = arrived[-1].get("error") if isinstance(arrived[-1], dict) else None
    if not failure:
        log.debug("engine.answer.unreadable", reason=type(error).__name__, words=str(error))
        return unreadable(attempt, arrived[-1])
    # LiteLLM reports any error in an answer of status 200 as a refusal of the request.
    return reported(failure, attempt.deployment) if error_mapping.is_unexplained_refusal(error) else error


def unreadable(attempt: AnsweredAttempt, answer: Any) -> Exception:
    """Return the error of an answer that LiteLLM cannot read, and keep the usage that it reports.

    Without usage it may be a gateway's page and not a model's answer: then another deployment is asked.
    """
    fields = answer if isinstance(answer, dict) else {}
    report = fields.get("usage")
    report = report if isinstance(report, dict) else {}
    names = {
        "prompt_tokens": "input_tokens",
        "completion_tokens": "output_tokens",
    }  # Anthropic's and Cohere's
    usage = {ours: report.get(theirs) for ours, theirs in names.items()} | report
    found = (
        ", ".join(sorted(map(well_formed, fields))[:_MAX_FIELDS]) or f"none, it is a {type(answer).__name__}"
    )
    words = (
        f"its answer has an unknown format (fields: {found}). "
        f"Check that 'api_base' is right{_asked_at(attempt.deployment)}, and speaks the protocol of "
        f"{attempt.deployment.type}."
    )
    if usage_of(usage) is None:
        error: Exception = error_mapping.unavailable(words, attempt.deployment)
        return error
    attempt.answer = SimpleNamespace(choices=[], usage=usage, model=fields.get("model"))
    return _error(UnreadableAnswer, attempt.deployment, words)


def _asked_at(asked: AskedModel) -> str:
    return f" ({asked.address})" if asked.address else ""


def _error(kind: type[ProviderError], asked: AskedModel, words: str) -> ProviderError:
    provider, model = asked.provider, asked.model
    return kind(f"{provider} failed ({model}): {words}", provider=provider, model=model)
