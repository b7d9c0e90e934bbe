"""What every request passes: headers that browsers obey, the session, and the token of its forms."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from supernova_ai.dashboard.access import Access, Role, Session
from supernova_ai.dashboard.session_checks import SessionChecks
from supernova_ai.errors import SupernovaError
from supernova_ai.metrics.routes import LIVE, READY

SIGN_IN, STATIC = "/sign-in", "/static/"
SIGN_ON = f"{SIGN_IN}/sso"
"""Begins a single sign-on."""
SIGNED_ON = f"{SIGN_ON}/callback"
"""Where the provider of single sign-on sends a browser back to."""
_OPEN = (SIGN_IN, SIGN_ON, SIGNED_ON, LIVE, READY)
"""The paths that need no session, beside those of the files."""

_HEADERS = {
    "content-security-policy": "default-src 'self'; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'; object-src 'none'",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}
_READING = ("GET", "HEAD")


def cookie_name(request: Request) -> str:
    """Return the name of the session's cookie: cookies of all ports of a host are kept together."""
    return f"supernova_{request.url.port or 'session'}"


def session_of(request: Request) -> Session:
    """Return the session of a request that passed ``SessionRequired``."""
    session: Session = request.state.session
    return session


def require(request: Request, role: Role) -> Session:
    """Return the session of a request whose user has this role or a higher one.

    Raises:
        HTTPException: the user has not; the status is 403.
    """
    session = session_of(request)
    if session.role < role:
        raise HTTPException(
            403, f"This needs the role {role.name.lower()}; yours is {session.role.name.lower()}."
        )
    return session


class SecurityHeaders:
    """Adds the headers to every response; only what never changes may be kept by a browser."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(_HEADERS)
                headers["cache-control"] = "no-cache" if scope["path"].startswith(STATIC) else "no-store"
            await send(message)

        await self._app(scope, receive, send_with_headers if scope["type"] == "http" else send)


class SessionRequired:
    """Lets a request pass if it has a session, and, unless it only reads, the token of the session's forms.

    The request then has ``state.session``, and ``state.form`` if it had a form.

    Args:
        checks: say whether a session is still valid; one that is not ends.
        refused: answers a request without a session, or whose form is not of its session.
    """

    def __init__(
        self,
        app: ASGIApp,
        access: Access,
        checks: SessionChecks,
        refused: Callable[[Request, Exception], Awaitable[Response]],
    ) -> None:
        self._app = app
        self._access = access
        self._checks = checks
        self._refused = refused

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in _OPEN or scope["path"].startswith(STATIC):
            await self._app(scope, receive, send)
            return
        request = Request(scope, receive)
        try:
            await self._check(request)
        except (HTTPException, SupernovaError) as error:
            response = await self._refused(request, error)
            await response(scope, receive, send)
            return
        await self._app(scope, receive, send)

    async def _check(self, request: Request) -> None:
        session = self._access.session(request.cookies.get(cookie_name(request)))
        if session and not await self._checks.is_valid(session):
            self._access.end(id_=session.id)
            session = None
        if session is None:
            raise HTTPException(401, "")
        request.state.session = session
        if request.method not in _READING:
            request.state.form = await request.form()
            if not session.accepts(request.state.form.get("csrf")):
                raise HTTPException(403, "This form is not of your session: load the page again.")
