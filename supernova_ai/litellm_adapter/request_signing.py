"""Credentials of several fields: AWS's sign each request, a Google service account's sign a token for it.

LiteLLM would keep both in its caches, and pass them to callbacks. It only gets placeholders; the transport
asks here for the headers that take their place.
"""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Mapping

import httpx
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key

_SCOPE = "https://www.googleapis.com/auth/cloud-platform"
_LIFETIME_S = 3600


def signed_headers(fields: Mapping[str, str], request: httpx.Request, region: str) -> dict[str, str]:
    """Return the headers that authorize a request.

    Args:
        fields: of the key, as ``keys.formats`` names them.
        region: AWS's name of the region that the request goes to.
    """
    if "aws_secret_access_key" in fields:
        return _aws_signature(fields, request, region)
    return {"authorization": f"Bearer {_google_token(fields)}"}


def _aws_signature(fields: Mapping[str, str], request: httpx.Request, region: str) -> dict[str, str]:
    # Imported here: it takes a tenth of a second, and only Bedrock needs it.
    from botocore.auth import SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials

    content = {"content-type": request.headers["content-type"]}
    signed = AWSRequest(request.method, str(request.url), headers=content, data=request.content)
    credentials = Credentials(
        fields["aws_access_key_id"], fields["aws_secret_access_key"], fields.get("aws_session_token")
    )
    SigV4Auth(credentials, "bedrock", region).add_auth(signed)
    return dict(signed.headers.items())


def _google_token(fields: Mapping[str, str]) -> str:
    """Return a token that the service account signs itself, as Google's own clients make it (AIP-4111)."""
    now = int(time.time())
    email = fields["client_email"]
    head = {"alg": "RS256", "typ": "JWT", "kid": fields.get("private_key_id")}
    claims = {"iss": email, "sub": email, "scope": _SCOPE, "iat": now, "exp": now + _LIFETIME_S}
    text = b".".join(_base64(json.dumps(part).encode()) for part in (head, claims))
    # It was checked when it was added; to check it again takes 36 ms.
    key = load_pem_private_key(fields["private_key"].encode(), None, unsafe_skip_rsa_key_validation=True)
    assert isinstance(key, RSAPrivateKey)
    return b".".join((text, _base64(key.sign(text, PKCS1v15(), SHA256())))).decode()


def _base64(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")
