"""The ASGI application: its routes, and what answers when something is wrong."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from supernova_ai.concurrency import in_thread
from supernova_ai.config import Config
from supernova_ai.dashboard.access import Access, Session
from supernova_ai.dashboard.controls.processes import Processes
from supernova_ai.dashboard.controls.routes import ControlPages
from supernova_ai.dashboard.lockout import Lockout
from supernova_ai.dashboard.middleware import (
    SIGN_IN,
    SIGN_ON,
    SIGNED_ON,
    STATIC,
    SecurityHeaders,
    SessionRequired,
    require,
)
from supernova_ai.dashboard.page import Page
from supernova_ai.dashboard.pages import PAGES
from supernova_ai.dashboard.pages.access import access_page
from supernova_ai.dashboard.passwords import Passwords
from supernova_ai.dashboard.rendering import Renderer, row_parameters
from supernova_ai.dashboard.session_checks import SessionChecks
from supernova_ai.dashboard.sign_in import SignIn
from supernova_ai.dashboard.throttle import Throttle
from supernova_ai.dashboard.vault_access import VaultAccess
from supernova_ai.errors import SupernovaError
from supernova_ai.log import get_logger
from supernova_ai.metrics import routes as monitoring
from supernova_ai.reports import export
from supernova_ai.secret import redact
from supernova_ai.store import ReadOnlyStore

log = get_logger(__name__)

_TITLES = {403: "Not allowed", 404: "Not found", 405: "Not allowed", 500: "Something failed"}


def create_app(
    store: ReadOnlyStore,
    config: Callable[[], Config],
    access: Access,
    *,
    hosts: Sequence[str],
    time_zone: ZoneInfo,
    notice: str = "",
    secure: bool = False,
    pages: Sequence[Page] = PAGES,
    passwords: Passwords | None = None,
    vault: VaultAccess | None = None,
    processes: Processes | None = None,
) -> Starlette:
    """Return the dashboard over a store.

    Args:
        store: what the pages show; nothing is written through it.
        config: returns the configuration in force: its budgets and providers are shown.
        access: who may use it, and the clock for that.
        hosts: the names in the header ``Host`` that are answered.
        time_zone: of all times on the pages.
        notice: what every page says of its data.
        secure: it is reached by https only, so that browsers send the session's cookie by nothing else.
        pages: the pages, in the order of the navigation; the page of sessions follows.
        passwords: checks them; None does it at the usual cost.
        vault: records sign-ins; None does it in the store.
        processes: where controls run; None: there are none.
    """
    renderer = Renderer(store, config, time_zone, {"notice": notice})
    checks = SessionChecks(store, config, access.clock)
    vault, throttle = vault or VaultAccess(store.where), Throttle(access.clock)
    sign_in = SignIn(
        store,
        config,
        access,
        checks,
        renderer,
        vault=vault,
        passwords=passwords or Passwords(),
        throttle=throttle,
        lockout=Lockout(store, vault, throttle),
        secure=secure,
    )
    pages = (*pages, access_page(access))
    controls = ControlPages(processes, renderer, config, pages) if processes else None
    dashboard = _Dashboard(renderer, sign_in, pages, controls)
    files = StaticFiles(directory=Path(__file__).with_name("static"))
    return Starlette(
        routes=[
            Route("/", dashboard.first),
            Route(SIGN_IN, sign_in.by_link, methods=["GET"]),
            Route(SIGN_IN, sign_in.by_password, methods=["POST"]),
            Route(SIGN_ON, sign_in.begin_single_sign_on, methods=["GET"]),
            Route(SIGNED_ON, sign_in.by_single_sign_on, methods=["GET"]),
            Route("/sign-out", sign_in.sign_out, methods=["POST"]),
            Route("/access/end", sign_in.end_session, methods=["POST"]),
            *(route for page in pages for route in dashboard.routes(page)),
            *(controls.routes() if controls else ()),
            *monitoring.routes(config, lambda: store),
            Mount(STATIC.rstrip("/"), files),
        ],
        middleware=[
            Middleware(SecurityHeaders),
            Middleware(TrustedHostMiddleware, list(hosts), www_redirect=False),
            Middleware(SessionRequired, access, checks, dashboard.failed),
        ],
        exception_handlers=dict.fromkeys((HTTPException, SupernovaError, Exception), dashboard.failed),
    )


class _Dashboard:
    def __init__(
        self, renderer: Renderer, sign_in: SignIn, pages: Sequence[Page], controls: ControlPages | None
    ) -> None:
        self._renderer = renderer
        self._sign_in = sign_in
        self._pages = pages
        self._controls = controls

    def routes(self, page: Page) -> list[Route]:
        """Return the routes of a page: itself, its parts alone, and its file."""

        async def whole(request: Request) -> Response:
            session = require(request, page.role)
            chosen = row_parameters(request.query_params, tuple(request.query_params))
            may = self._may(session)
            variables = {"page": page, "pages": self._pages, "session": session, "chosen": chosen, "may": may}
            parts = await self._renderer.parts(page, chosen, may)
            return HTMLResponse(self._renderer.render(f"{page.name}.html", parts=parts, **variables))

        async def parts_alone(request: Request) -> Response:
            session = require(request, page.role)
            parts = await self._renderer.parts(page, request.query_params, self._may(session))
            return _unless_known(request, "".join(parts.values()))

        async def file(request: Request) -> Response:
            require(request, page.role)
            assert page.download
            chosen = row_parameters(request.query_params, page.download.takes)
            name, columns, rows = await in_thread(self._renderer.read, page.download.rows, chosen)
            return _csv(name, columns, rows)

        routes = [Route(f"/{page.name}", whole), Route(f"/{page.name}/parts", parts_alone)]
        return [*routes, Route(f"/{page.name}.csv", file)] if page.download else routes

    def _may(self, session: Session) -> frozenset[str]:
        return self._controls.offered(session.role) if self._controls else frozenset()

    async def first(self, _: Request) -> Response:
        return RedirectResponse(f"/{self._pages[0].name}", 303)

    async def failed(self, request: Request, error: Exception) -> Response:
        """Answer an error by a page that repeats nothing of the request."""
        if isinstance(error, HTTPException) and error.status_code == 401:
            return await self._sign_in.page(request, error.detail)
        status, reason, headers = 500, "The log has the reason.", None
        if isinstance(error, HTTPException):
            status, reason, headers = error.status_code, error.detail, error.headers
        elif isinstance(error, SupernovaError):
            log.warning("dashboard.failed", error=type(error).__name__, reason=str(error))
            status, reason = 503, redact(str(error))
        title = _TITLES.get(status, "Not possible")
        return HTMLResponse(self._renderer.render("message.html", title=title, text=reason), status, headers)


def _unless_known(request: Request, html: str) -> Response:
    """Answer 304, without the text, if the browser has it already."""
    tag = f'"{sha256(html.encode()).hexdigest()[:32]}"'
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers={"etag": tag})
    return HTMLResponse(html, headers={"etag": tag})


def _csv(name: str, columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> Response:
    file = io.StringIO(newline="")
    export.write_rows(columns, rows, file, "csv")
    headers = {"content-disposition": f'attachment; filename="{name}.csv"'}
    return Response(file.getvalue(), media_type="text/csv", headers=headers)
