"""A provider of single sign-on for tests, on loopback: OpenID Connect as far as the code flow goes."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit

from joserfc import jwk, jwt

from tests.servers import Sent, Server

CLIENT, SECRET = "the-dashboard", "canary-client-secret-7f3a"


class IdentityProvider:
    """Signs in whoever comes, as ``claims`` say. A test changes these, or how tokens are made."""

    def __init__(self, host: str = "127.0.0.1") -> None:
        self._server = Server(self._answer)
        self.url = f"http://{host}:{self._server.port}"
        self.key = jwk.RSAKey.generate_key(2048, {"kid": "1", "use": "sig", "alg": "RS256"})
        self.close = self._server.close
        self.reset()

    def reset(self) -> None:
        """Be as at first."""
        self.claims: dict[str, Any] = {"sub": "u-1", "preferred_username": "ann", "groups": ["staff"]}
        self.metadata: dict[str, Any] = {}
        self.header: dict[str, str] = {"alg": "RS256", "kid": "1"}
        self.signing_key: jwk.RSAKey | bytes = self.key
        """Bytes are a secret; none sign nothing."""
        self.secret: str | None = SECRET
        self.asked: list[dict[str, str]] = []
        """The parameters of each request for an authorization."""
        self._codes: dict[str, dict[str, str]] = {}

    def _answer(self, sent: Sent) -> tuple[int, Mapping[str, str], bytes]:
        url = urlsplit(sent.path)
        match url.path:
            case "/.well-known/openid-configuration":
                return _json(self._described())
            case "/keys":
                return _json({"keys": [self.key.as_dict(private=False)]})
            case "/authorize":
                asked = dict(parse_qsl(url.query))
                self.asked.append(asked)
                code = secrets.token_urlsafe(8)
                self._codes[code] = asked
                back = f"{asked['redirect_uri']}?{urlencode({'code': code, 'state': asked['state']})}"
                return 302, {"location": back}, b""
            case "/token":
                return self._token(sent)
        return 404, {}, b""

    def _described(self) -> dict[str, Any]:
        return {
            "issuer": self.url,
            "authorization_endpoint": f"{self.url}/authorize",
            "token_endpoint": f"{self.url}/token",
            "jwks_uri": f"{self.url}/keys",
            "id_token_signing_alg_values_supported": ["RS256", "HS256", "none"],
            **self.metadata,
        }

    def _token(self, sent: Sent) -> tuple[int, Mapping[str, str], bytes]:
        form = {name: values[0] for name, values in parse_qs(sent.body.decode()).items()}
        asked = self._codes.pop(form["code"])
        challenge = hashlib.sha256(form["code_verifier"].encode()).digest()
        told = base64.b64decode(sent.headers.get("authorization", "").removeprefix("Basic ")).decode()
        proves = (
            _base64(challenge) == asked["code_challenge"]
            and asked["code_challenge_method"] == "S256"
            and form["redirect_uri"] == asked["redirect_uri"]
            and told == (f"{CLIENT}:{self.secret}" if self.secret else "")
        )
        if not proves:
            return 401, {"content-type": "application/json"}, b'{"error": "invalid_client"}'
        now = int(time.time())
        usual = {"iss": self.url, "aud": CLIENT, "exp": now + 60, "iat": now, "nonce": asked["nonce"]}
        claims = {name: value for name, value in (usual | self.claims).items() if value is not None}
        answer = {"access_token": "an-access-token", "token_type": "Bearer", "expires_in": 60}
        return _json(answer | {"id_token": self._sign(claims)})

    def _sign(self, claims: dict[str, Any]) -> str:
        if isinstance(self.signing_key, jwk.RSAKey):
            return jwt.encode(self.header, claims, self.signing_key)
        signed = ".".join(_base64(json.dumps(part).encode()) for part in (self.header, claims))
        mac = hmac.digest(self.signing_key, signed.encode(), "sha256") if self.signing_key else b""
        return f"{signed}.{_base64(mac)}"


def _base64(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


def _json(value: dict[str, Any]) -> tuple[int, Mapping[str, str], bytes]:
    return 200, {"content-type": "application/json"}, json.dumps(value).encode()
