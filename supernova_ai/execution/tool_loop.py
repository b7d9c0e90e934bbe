"""The loop of ``run_tools``: ask the model, run the functions that it calls, tell it the results."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace

from pydantic import ValidationError

from supernova_ai.characters import well_formed
from supernova_ai.errors import ProviderTimeout, SupernovaError
from supernova_ai.log import get_logger, in_request
from supernova_ai.requests.structured import in_one_line
from supernova_ai.requests.tools import FunctionTool
from supernova_ai.traces import in_span
from supernova_ai.types import Message, Reply, Request, ToolCall, ToolRun

log = get_logger(__name__)


class ToolLoop:
    """Answers one request in rounds; each round is an attempt or more of the same request.

    Args:
        complete: sends a request.
        functions: by the name that the model knows.
        rounds: the most answers of the model.
        timer: seconds, monotonic.
    """

    def __init__(
        self,
        complete: Callable[[Request], Awaitable[Reply]],
        functions: Mapping[str, FunctionTool],
        rounds: int,
        *,
        timer: Callable[[], float] = time.monotonic,
    ) -> None:
        self._complete = complete
        self._functions = functions
        self._rounds = rounds
        self._timer = timer
        self._runs: list[ToolRun] = []

    async def run(self, request: Request) -> Reply:
        """Answer the request, with a report of all rounds.

        Raises:
            SupernovaError: a round failed; ``tool_runs`` are the calls before it.
        """
        with in_request(request), in_span(request):
            return await self._run(request)

    async def _run(self, request: Request) -> Reply:
        started = self._timer()
        asked = request
        try:
            for number in range(1, self._rounds + 1):
                if number == self._rounds:
                    asked = _without_calls(asked)
                reply = await self._complete(asked.after(self._timer() - started))
                if not reply.tool_calls or number == self._rounds:
                    break
                results = await self._call_all(number, reply.tool_calls, request, started)
                asked = replace(
                    asked,
                    messages=(*asked.messages, reply.message, *results),
                    parameters={
                        name: value for name, value in asked.parameters.items() if name != "tool_choice"
                    },
                    earlier=reply.attempts,
                    cache=False,
                )
        except SupernovaError as error:
            error.tool_runs, error.request_id = tuple(self._runs), request.id
            raise
        return replace(reply, tool_runs=tuple(self._runs))

    async def _call_all(
        self, number: int, calls: Sequence[ToolCall], request: Request, started: float
    ) -> list[Message]:
        """Run the functions at the same time; return their results as messages, in the order of the calls."""
        running: list[asyncio.Task[ToolRun]] = []
        try:
            async with asyncio.timeout(request.after(self._timer() - started).timeout):
                async with asyncio.TaskGroup() as group:
                    running += [group.create_task(self._call(number, call)) for call in calls]
        except TimeoutError:
            raise ProviderTimeout(f"the tools did not end within {request.allowed:g} s") from None
        finally:
            runs = [task.result() for task in running if not task.cancelled() and not task.exception()]
            self._runs += runs
        return [{"role": "tool", "tool_call_id": run.call.id, "content": run.result} for run in runs]

    async def _call(self, number: int, call: ToolCall) -> ToolRun:
        """Run one function. Its errors are sent to the model, which may correct its call."""
        function = self._functions.get(call.name)
        if function is None:
            reason = f"there is no tool {call.name!r}; the tools are {', '.join(self._functions)}"
            return ToolRun(number, call, f"Error: {reason}", error=reason)
        try:
            return ToolRun(number, call, await function.run(call))
        except ValidationError as error:
            reason = f"wrong arguments: {in_one_line(error.errors())}"
        except (Exception, asyncio.CancelledError) as error:
            task = asyncio.current_task()
            if isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling():
                raise  # the call is cancelled, and not something inside the function
            reason = well_formed(f"{type(error).__name__}: {error}")
            log.warning("tools.function.failed", tool=call.name, error=type(error).__name__)
        return ToolRun(number, call, f"Error: {reason}", error=reason)


def _without_calls(request: Request) -> Request:
    """Return the request for the last round: the model must answer with what it knows by then."""
    return replace(request, parameters={**request.parameters, "tool_choice": "none"})
