"""Single sign-on by OpenID Connect: the code flow with PKCE, by Authlib. The extra ``sso`` has its libraries.

Authlib checks state, nonce, signature and time; the issuer and the audience are checked as we tell it. Only
the configured issuer is asked and believed. What belongs to one sign-in (state, nonce, the verifier of PKCE)
is in a signed cookie of its own for some minutes; the session that follows is the server's, as all are.
"""

from __future__ import annotations

import secrets
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from supernova_ai.concurrency import in_thread
from supernova_ai.config import Config, Oidc, read_environ
from supernova_ai.config.fields import VAULT_PREFIX, is_private_url
from supernova_ai.dashboard import check_sso_extra
from supernova_ai.dashboard.access import Role
from supernova_ai.dashboard.middleware import SIGN_ON, cookie_name
from supernova_ai.dashboard.vault_access import VaultAccess
from supernova_ai.errors import SupernovaError
from supernova_ai.identifiers import identifier
from supernova_ai.log import get_logger
from supernova_ai.secret import Secret

log = get_logger(__name__)

VARIABLE = "SUPERNOVA_OIDC_CLIENT_SECRET"
PREFIX = "sso:"
"""Begins the name of everybody who comes this way: no user with a password has such a name."""

_LASTS_S = 10 * 60
_TIMEOUT_S = 10.0
_FAILED = "Single sign-on failed; the log of the dashboard has the reason. Try again."
_ALGORITHMS = "id_token_signing_alg_values_supported"
_SIGNATURES = {f"{kind}{bits}" for kind in ("RS", "PS", "ES") for bits in (256, 384, 512)} | {"EdDSA"}
"""Signatures by a key that only the issuer has: not ``none``, and no secret that we know too."""


@dataclass(frozen=True, slots=True)
class Person:
    """Who has signed in at the provider, under which settings; ``role`` is None if no group has one."""

    name: str
    subject: str
    role: Role | None
    settings: Oidc


@dataclass(frozen=True, slots=True)
class _Client:
    """Authlib's client of a provider, and what it was made from. The secret is redacted while this lives."""

    settings: Oidc
    secret: Secret | None
    app: Any
    signer: Any


class SingleSignOn:
    """Sign-ins at the configured provider.

    Args:
        config: returns the configuration in force.
        vault: has the client's secret.
    """

    def __init__(self, config: Callable[[], Config], vault: VaultAccess) -> None:
        self._config = config
        self._vault = vault
        self._key = secrets.token_bytes(32)
        self._made: _Client | None = None

    async def begin(self, request: Request, back_to: str, *, secure: bool) -> Response:
        """Send the browser to the provider, which sends it back to this address.

        Raises:
            HTTPException: there is no single sign-on, or the provider cannot be used.
        """
        client = await self._client()
        state: dict[str, Any] = {}
        request.scope["session"] = state  # where Authlib keeps it
        try:
            await _check_provider(client)
            response: Response = await client.app.authorize_redirect(request, back_to)
        except (
            Exception
        ) as error:  # of Authlib, joserfc and the HTTP library, whose errors have no common root
            raise _failed(error) from error
        response.set_cookie(
            _cookie(request),
            client.signer.dumps(state),
            max_age=_LASTS_S,
            path=SIGN_ON,
            httponly=True,
            samesite="lax",  # it must come with the way back from another site
            secure=secure,
        )
        return response

    async def finish(self, request: Request) -> Person:
        """Return who comes back from the provider; raises as ``begin``."""
        client = await self._client()
        expected = {"iss": client.settings.issuer, "aud": client.settings.client_id}
        try:
            cookie = request.cookies.get(_cookie(request), "")
            request.scope["session"] = client.signer.loads(cookie, max_age=_LASTS_S)
            await _check_provider(client)
            options = {name: {"essential": True, "value": value} for name, value in expected.items()}
            token = await client.app.authorize_access_token(request, claims_options=options)
            return _person(token["userinfo"], client.settings)
        except Exception as error:  # as above: whatever fails, nobody gets in
            raise _failed(error) from error

    def forget(self, request: Request, response: Response) -> None:
        """Delete the cookie of the sign-in that has ended."""
        response.delete_cookie(_cookie(request), path=SIGN_ON)

    async def _client(self) -> _Client:
        oidc = self._config().dashboard.oidc
        if oidc.issuer is None:
            raise HTTPException(404, "There is no single sign-on here.")
        if self._made is None or self._made.settings != oidc:
            try:
                self._made = await in_thread(self._make, oidc)
            except SupernovaError as error:
                raise _failed(error) from error
        return self._made

    def _make(self, oidc: Oidc) -> _Client:
        check_sso_extra()
        with warnings.catch_warnings(
            record=True
        ):  # Authlib's, of httpx, which LiteLLM and OpenAI's client use
            from authlib.integrations.starlette_client import OAuth
        from itsdangerous import URLSafeTimedSerializer

        secret = self._secret(oidc)
        app = OAuth().register(
            "sso",
            client_id=oidc.client_id,
            client_secret=secret and secret.reveal(),
            server_metadata_url=f"{(oidc.issuer or '').rstrip('/')}/.well-known/openid-configuration",
            client_kwargs={
                "scope": " ".join(oidc.scopes),
                "code_challenge_method": "S256",
                "timeout": _TIMEOUT_S,
            },
        )
        return _Client(oidc, secret, app, URLSafeTimedSerializer(self._key, salt=SIGN_ON))

    def _secret(self, oidc: Oidc) -> Secret | None:
        if oidc.client_secret:
            return self._vault.reveal(oidc.client_secret.removeprefix(VAULT_PREFIX))
        text = read_environ().get(VARIABLE)
        return Secret(text) if text else None


async def _check_provider(client: _Client) -> None:
    """Check what the provider says of itself, and believe its safe signatures only."""
    metadata = await client.app.load_server_metadata()
    if metadata["issuer"] != client.settings.issuer:
        raise ValueError(f"the provider calls itself {metadata['issuer']!r:.200}: 'issuer' must be the same")
    for name in ("authorization_endpoint", "token_endpoint", "jwks_uri"):
        if not is_private_url(metadata[name]):
            raise ValueError(f"the provider's {name} is not https: {metadata[name]!r:.200}")
    metadata[_ALGORITHMS] = [name for name in metadata.get(_ALGORITHMS, ()) if name in _SIGNATURES]


def _person(claims: Mapping[str, Any], oidc: Oidc) -> Person:
    groups = claims.get(oidc.groups_claim)
    names = groups if isinstance(groups, list) else [groups]
    roles = [Role[role.upper()] for group, role in oidc.roles.items() if group in names]
    shown = claims.get("preferred_username") or claims.get("email") or claims["sub"]
    name = identifier("the user's name", f"{PREFIX}{shown}")
    return Person(name, identifier("sub", claims["sub"]), max(roles, default=None), oidc)


def _failed(error: Exception) -> HTTPException:
    log.warning("dashboard.sso.failed", error=type(error).__name__, reason=str(error))
    return HTTPException(401, _FAILED)


def _cookie(request: Request) -> str:
    return f"{cookie_name(request)}_sso"
