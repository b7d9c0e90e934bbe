"""Signing in by a link, a password or single sign-on, and signing out.

Nobody gets in by a password or single sign-on without a row in the audit. A link is of this process itself,
whose user may do everything anyway: it also works if the database cannot be written.
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Callable, Mapping
from functools import partial
from hmac import compare_digest
from urllib.parse import parse_qsl, urlsplit

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from supernova_ai.characters import counted
from supernova_ai.concurrency import in_thread
from supernova_ai.config import Config
from supernova_ai.dashboard import users
from supernova_ai.dashboard.access import SESSION_S, Access, Role, Way
from supernova_ai.dashboard.lockout import Lockout
from supernova_ai.dashboard.middleware import SIGN_ON, SIGNED_ON, cookie_name, require, session_of
from supernova_ai.dashboard.passwords import Passwords
from supernova_ai.dashboard.rendering import Renderer
from supernova_ai.dashboard.session_checks import SessionChecks
from supernova_ai.dashboard.single_sign_on import SingleSignOn
from supernova_ai.dashboard.throttle import Throttle
from supernova_ai.dashboard.vault_access import VaultAccess
from supernova_ai.errors import SupernovaError
from supernova_ai.secret import redact
from supernova_ai.store import ReadOnlyStore

_LONGEST_FORM = 16 * 1024
_FORM_TOKEN = 43
"""Characters of the token that binds the form to the browser that loaded it."""

_LINK = "Sign in with the link that `supernova dashboard` printed."
_USED = (
    "This link was used before, or is of another start of the dashboard: each works once. "
    "Start the dashboard again for a new one."
)
_WRONG = "The name or the password is wrong, or the user is locked."
_FOREIGN = "This form is not of this browser, or its cookie is gone: try again."


class SignIn:
    """The ways into one dashboard, and out of it.

    Args:
        store: has the users.
        config: returns the configuration in force.
        vault: records who signs in.
        secure: browsers reach the dashboard by https only.
    """

    def __init__(
        self,
        store: ReadOnlyStore,
        config: Callable[[], Config],
        access: Access,
        checks: SessionChecks,
        renderer: Renderer,
        *,
        vault: VaultAccess,
        passwords: Passwords,
        throttle: Throttle,
        lockout: Lockout,
        secure: bool,
    ) -> None:
        self._store = store
        self._config = config
        self._access = access
        self._checks = checks
        self._renderer = renderer
        self._vault = vault
        self._passwords = passwords
        self._throttle = throttle
        self._lockout = lockout
        self._secure = secure
        self._single_sign_on = SingleSignOn(config, vault)

    async def page(
        self, request: Request, text: str = "", status: int = 401, headers: Mapping[str, str] | None = None
    ) -> Response:
        """Return the page that says how to sign in."""
        dashboard = self._config().dashboard
        sign_on = (dashboard.address or "") + SIGN_ON if dashboard.oidc.issuer else ""
        try:
            has_users = bool(await self._checks.users())
        except SupernovaError as error:
            has_users, text = False, redact(str(error))
        known = request.cookies.get(_form_cookie(request), "")
        csrf = known if len(known) == _FORM_TOKEN else secrets.token_urlsafe(32)
        variables = {"has_users": has_users, "sign_on": sign_on, "csrf": csrf}
        is_wrong = bool(text) and status >= 400
        text = text or ("" if has_users or sign_on else _LINK)
        html = self._renderer.render("sign_in.html", text=text, is_wrong=is_wrong, **variables)
        response = HTMLResponse(html, status, headers)
        if has_users and csrf != known:
            self._set_cookie(request, response, _form_cookie(request), csrf)
        return response

    async def by_link(self, request: Request) -> Response:
        """Sign in by a link; without its token, show the page."""
        token = request.query_params.get("token")
        if token is None:
            return await self.page(request)
        if (found := self._access.redeem(token)) is None:
            return await self.page(request, _USED)
        user, role = found
        await self._vault.tried(self._signed_in(request, user, role, "link"))
        return self._enter(request, RedirectResponse("/", 303), user, role, "link")

    async def by_password(self, request: Request) -> Response:
        """Sign in by name and password. A wrong name looks like a wrong password, and takes as long."""
        form = await _small_form(request)
        if not _is_own(request, form.get("csrf", "")):
            return await self.page(request, _FOREIGN, 403)
        name, address = form.get("name", "").strip().lower(), _address(request)
        if wait := math.ceil(self._throttle.begin(name, address)):
            text = f"Too many attempts. Try again in {counted(wait, 'second')}."
            return await self.page(request, text, 429, {"retry-after": str(wait)})
        user = await in_thread(self._store.read, partial(users.find, name=name))
        stored = user.password if user else None
        is_right = await self._passwords.match(form.get("password", ""), stored)
        if user is None or not is_right or not self._lockout.may_sign_in(user):
            response = await self.page(request, _WRONG)
            response.background = self._lockout.refused(name, user, is_right, address)
            return response
        await in_thread(self._signed_in(request, name, user.role, "password"))
        self._throttle.succeeded(name, address)
        entered = RedirectResponse("/", 303)
        return self._enter(request, entered, name, user.role, "password", basis=user.changed_ms)

    async def begin_single_sign_on(self, request: Request) -> Response:
        """Send the browser to the provider of single sign-on."""
        address = self._config().dashboard.address or f"{request.url.scheme}://{request.url.netloc}"
        back_to = f"{address}{SIGNED_ON}"
        return await self._single_sign_on.begin(request, back_to, secure=self._is_secure(request))

    async def by_single_sign_on(self, request: Request) -> Response:
        """Sign in a browser that comes back from the provider."""
        person = await self._single_sign_on.finish(request)
        if person.role is None:
            details = {"way": "sso", "address": _address(request), "subject": person.subject}
            refused = partial(self._vault.record, "dashboard.sign_in.refused", person.name, details)
            await self._vault.tried(partial(refused, "no group with a role", by=person.name))
            raise HTTPException(403, "None of your groups may use the dashboard: ask who configures it.")
        await in_thread(self._signed_in(request, person.name, person.role, "sso", subject=person.subject))
        # Not a redirect: some browsers send no strict cookie with one that began at another site.
        html = self._renderer.render("message.html", title="Signed in", text=f"You are {person.name}.")
        entered = HTMLResponse(html, headers={"refresh": "0; url=/"})
        self._single_sign_on.forget(request, entered)
        return self._enter(request, entered, person.name, person.role, "sso", basis=person.settings)

    async def sign_out(self, request: Request) -> Response:
        """End the session."""
        session = session_of(request)
        self._access.end(id_=session.id)
        details = {"way": session.way}
        await self._vault.tried(
            partial(self._vault.record, "dashboard.signed_out", session.user, details, by=session.user)
        )
        response = await self.page(request, "You are signed out.", 200)
        response.delete_cookie(cookie_name(request))
        return response

    async def end_session(self, request: Request) -> Response:
        """End the session that an administrator has chosen."""
        admin = require(request, Role.ADMIN)
        for session in self._access.end(id_=str(request.state.form.get("session"))):
            details = {"way": session.way, "address": session.address}
            await self._vault.tried(
                partial(self._vault.record, "dashboard.session.ended", session.user, details, by=admin.user)
            )
        return RedirectResponse("/access", 303)

    def _signed_in(
        self, request: Request, user: str, role: Role, way: Way, **more: str
    ) -> Callable[[], None]:
        """Return what records a sign-in."""
        details = {"way": way, "role": role.name.lower(), "address": _address(request), **more}
        return partial(self._vault.record, "dashboard.signed_in", user, details, by=user)

    def _enter(
        self, request: Request, response: Response, user: str, role: Role, way: Way, *, basis: object = None
    ) -> Response:
        """Start a session and put its cookie into the response. One that the browser had before ends."""
        if before := self._access.session(request.cookies.get(cookie_name(request))):
            self._access.end(id_=before.id)
        cookie = self._access.start(user, role, way, address=_address(request), basis=basis)
        self._set_cookie(request, response, cookie_name(request), cookie, max_age=SESSION_S)
        return response

    def _set_cookie(
        self, request: Request, response: Response, name: str, value: str, *, max_age: int | None = None
    ) -> None:
        secure = self._is_secure(request)
        response.set_cookie(name, value, max_age, httponly=True, samesite="strict", secure=secure)

    def _is_secure(self, request: Request) -> bool:
        """Return whether the browser has come by https."""
        address = urlsplit(self._config().dashboard.address or "")
        return self._secure or (address.scheme == "https" and address.netloc == request.url.netloc)


async def _small_form(request: Request) -> dict[str, str]:
    """Return the fields of a form that anybody may send."""
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > _LONGEST_FORM:
            raise HTTPException(413, "This form is too long.")
    return dict(parse_qsl(body.decode(errors="replace")))


def _is_own(request: Request, csrf: str) -> bool:
    """Return whether this browser loaded the form here: another site must sign nobody in as somebody else."""
    known = request.cookies.get(_form_cookie(request), "")
    is_foreign = request.headers.get("sec-fetch-site", "none") not in ("same-origin", "none")
    return bool(known) and not is_foreign and compare_digest(known.encode(), csrf.encode())


def _form_cookie(request: Request) -> str:
    return f"{cookie_name(request)}_form"


def _address(request: Request) -> str:
    return request.client.host if request.client else ""
