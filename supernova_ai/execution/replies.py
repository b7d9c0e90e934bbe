"""The reply to a request that was answered: what the answer is, and what its attempts cost together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import astuple
from typing import Any, cast

from supernova_ai.characters import well_formed_json
from supernova_ai.errors import InvalidAnswer
from supernova_ai.execution.attempt_state import AttemptState
from supernova_ai.execution.request_state import RequestState
from supernova_ai.money import to_usd
from supernova_ai.types import ModelGroup, Reply, Tier, Usage, weakest


def reply_of(call: RequestState) -> Reply:
    """Return the finished answer, with a report of every attempt.

    Raises:
        InvalidAnswer: it does not have the schema that was asked for.
    """
    last = next(one for one in reversed(call.attempts) if one.end and one.end.error is None)
    earlier = call.asked.earlier
    ends = [attempt.end for attempt in call.attempts if attempt.end]
    bases = [*(end.basis for end in ends), *(attempt.cost_basis for attempt in earlier)]
    basis = weakest(one for one in bases if one)
    assert basis is not None  # what answered was settled
    firsts = [attempt.first_token for attempt in call.attempts if attempt.first_token is not None]
    answering = [one for one in call.attempts if one.first_token is not None or one is last]
    refusal = "".join(last.refusal) or None
    usages = [*(end.usage for end in ends), *(attempt.usage for attempt in earlier)]
    reason = last.finish_reason or ("stop" if last.streaming else None)
    return Reply(
        content=call.shown,
        provider=last.deployment.provider,
        model=last.deployment.model,
        tier=cast("Tier", last.deployment.tier),
        cost=to_usd(call.spent()),
        cost_basis=basis,
        usage=Usage(*map(sum, zip(*map(astuple, usages), strict=True))),
        latency_s=call.elapsed(),
        first_token_s=firsts[0] - call.started if firsts else None,
        request_id=call.request.id,
        attempts=(*earlier, *(attempt.report() for attempt in call.attempts)),
        finish_reason="content_filter" if refusal else reason,
        reasoning="\n\n".join(filter(None, (one.thoughts.text for one in answering))) or None,
        refusal=refusal,
        tier_reason=_tier_reason(call, last.deployment.tier),
        fitted_to=last.max_tokens if last.max_tokens < call.request.max_tokens else None,
        tool_calls=last.tool_calls,
        parsed=_parsed(call, last),
        dropped=last.dropped,
        signed_thoughts=tuple(well_formed_json(last.signed_thoughts)),
        logprobs=tuple(well_formed_json(last.logprobs)) or None,
    )


def _parsed(call: RequestState, last: AttemptState) -> Any:
    """Return what the answer is: an object, vectors or a ranking; None if a text or a call of tools."""
    answer = call.asked.answer
    if answer is None or last.tool_calls:
        return last.result
    problems: Sequence[Mapping[str, Any]] = ()
    if last.refusal:
        reason = f"the model refused: {''.join(last.refusal)}"
    else:
        try:
            return call.parse()
        except ValueError as error:
            reason, problems = str(error), getattr(error, "problems", ())
    if last.finish_reason == "length":
        reason = f"it was cut off at {last.max_tokens} tokens; ask for more max_tokens"
    invalid = InvalidAnswer(
        reason,
        provider=last.deployment.provider,
        model=last.deployment.model,
        text=call.shown,
        problems=problems,
    )
    if call.repair_failure is not None:
        invalid.add_note(f"asking once more failed: {call.repair_failure}")
    raise invalid


def _tier_reason(call: RequestState, tier: ModelGroup) -> str:
    """Return why this tier answered: why it was asked, and what became of a dearer one."""
    asked, reason = call.asked.tier, call.asked.tier_reason
    if tier == asked:
        return reason
    failed = any(attempt.deployment.tier == asked for attempt in call.attempts)
    why = "failed" if failed else "was in cooldown or over budget"
    return f"{reason}; {asked} {why}, degraded to {tier}"
