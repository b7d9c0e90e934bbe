"""The text of one stream, as it comes from LiteLLM's Router."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

from supernova_ai.execution.request_state import RequestState
from supernova_ai.litellm_adapter import error_mapping
from supernova_ai.litellm_adapter.router import Router


async def pieces_of(router: Router, call: RequestState, deadline: float | None) -> AsyncGenerator[str, None]:
    """Yield the text of one stream until it ends or breaks; each piece must come within its timeout."""
    async with asyncio.timeout_at(deadline):
        response = await router.ask(call, stream=True)
    attempt, clock = call.attempts[-1], asyncio.get_running_loop().time
    try:
        while True:
            try:
                between = attempt.timeout.between_tokens
                ends = [deadline, None if between is None else clock() + between]
                until = min((end for end in ends if end is not None), default=None)
                async with asyncio.timeout_at(until) as limit:
                    text = attempt.unread.popleft() if attempt.unread else ""
                    text = text or attempt.read((await anext(response)).choices)
            except StopAsyncIteration:
                return
            except Exception as error:
                if attempt.finish_reason:
                    return  # the answer is whole: only the end of the stream is missing
                if not isinstance(error, TimeoutError):
                    raise error_mapping.stream_error(error, attempt.deployment)  # noqa: B904 - it has its cause
                if not limit.expired() or until == deadline:
                    raise
                raise error_mapping.timed_out(attempt.deployment) from None
            if text and (new := call.add_text(text)):
                yield new
    finally:
        await response.aclose()
