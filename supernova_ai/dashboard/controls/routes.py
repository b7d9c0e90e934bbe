"""The pages of a control: its form, what it will do, and what it did."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from supernova_ai.config import Config
from supernova_ai.dashboard.access import Role
from supernova_ai.dashboard.controls import CONTROLS
from supernova_ai.dashboard.controls.confirmations import Confirmations
from supernova_ai.dashboard.controls.control import Call, Control
from supernova_ai.dashboard.controls.processes import Processes
from supernova_ai.dashboard.middleware import require, session_of
from supernova_ai.dashboard.page import Page
from supernova_ai.dashboard.rendering import Renderer

_OVER = "This was confirmed before, or waited too long: begin again."


class ControlPages:
    """Serves the controls.

    Args:
        config: returns the configuration in force.
        pages: the pages of the navigation.
    """

    def __init__(
        self,
        processes: Processes,
        renderer: Renderer,
        config: Callable[[], Config],
        pages: Sequence[Page],
    ) -> None:
        self._processes = processes
        self._renderer = renderer
        self._config = config
        self._pages = pages
        self._confirmations = Confirmations()

    def routes(self) -> list[Route]:
        """Return the routes of all controls."""
        path = "/control/{name}"
        return [
            Route(path, self.form, methods=["GET"]),
            Route(path, self.submit, methods=["POST"]),
        ]

    def offered(self, role: Role) -> frozenset[str]:
        """Return the names of the controls that a user of this role may use."""
        config = self._config()
        return frozenset(
            name for name, control in CONTROLS.items() if role >= control.role and not control.off(config)
        )

    async def form(self, request: Request) -> Response:
        """Show the form, with what a link fills in; and what will be done, if a link fills in everything."""
        control = self._allowed(request)
        call = Call(control.name, session_of(request).user, "link", dict(request.query_params))
        return await self._answered(request, control, call)

    async def submit(self, request: Request) -> Response:
        """Show what a form will do; do what was confirmed."""
        control = self._allowed(request)
        form, user = request.state.form, session_of(request).user
        values = {name: value for name, value in form.items() if isinstance(value, str)}
        if len(values) != len(form):
            raise HTTPException(400, "A file was sent where a text is expected.")
        call = Call(control.name, user, "plan" if control.asks else "do", values)
        if token := values.get("confirmed"):
            confirmed = self._confirmations.take(token, control.name, user)
            if confirmed is None:
                raise HTTPException(409, _OVER)
            call = replace(confirmed, step="form") if "change" in values else confirmed
        return await self._answered(request, control, call)

    def _allowed(self, request: Request) -> Control:
        """Return the control that the path names.

        Raises:
            HTTPException: there is none, or the user or the configuration does not allow it.
        """
        control = CONTROLS.get(request.path_params["name"])
        if control is None:
            raise HTTPException(404)
        require(request, control.role)
        if reason := control.off(self._config()):
            raise HTTPException(403, reason)
        return control

    async def _answered(self, request: Request, control: Control, call: Call) -> Response:
        answer = await self._processes.run(call)
        if call.step == "do":
            self._renderer.forget()
        token = self._confirmations.keep(call, answer) if answer.plan else ""
        session = session_of(request)
        variables: dict[str, Any] = {
            "control": control,
            "answer": answer,
            "confirmed": token,
            "session": session,
            "page": next(page for page in self._pages if page.name == control.page),
            "pages": self._pages,
        }
        html = self._renderer.render("control.html", **variables)
        return HTMLResponse(html, 400 if answer.problem else 200)
