"""The section ``dashboard``: single sign-on that can be used safely, or an error that says how."""

from __future__ import annotations

import pytest

from supernova_ai.config import load
from supernova_ai.errors import ConfigError
from tests.config.test_config_problems import Write

CANARY = "canary-client-secret-7f3a"
WHOLE = "issuer: 'https://login.example/', client_id: nova, roles: {staff: viewer}"


def test_single_sign_on(write: Write) -> None:
    """The issuer stays as it is written: the provider's own name may end with a slash."""
    write("config/supernova.yaml", f"dashboard: {{oidc: {{{WHOLE}, client_secret: 'vault:sso'}}}}")
    oidc = load(environ={}).config.dashboard.oidc
    assert (oidc.issuer, oidc.roles) == ("https://login.example/", {"staff": "viewer"})
    assert (oidc.groups_claim, oidc.scopes) == ("groups", ("openid", "profile", "email"))


@pytest.mark.parametrize(
    ("yaml", "line"),
    [
        ("oidc: {issuer: 'http://login.example'}", "oidc.issuer is 'http://login.example': must be https"),
        ("oidc: {issuer: login.example}", "must be the issuer's URL as it names itself, such as https://"),
        ("oidc: {issuer: 'https://login.example?a=b'}", "must be the issuer's URL as it names itself"),
        ("oidc: {issuer: 'https://u:p@login.example'}", "must be the issuer's URL as it names itself"),
        ("oidc: {issuer: 'https://login.example', roles: {a: admin}}", "oidc.client_id is null: must be the"),
        (
            "oidc: {issuer: 'https://login.example', client_id: a}",
            "oidc.roles: must give a group of the issuer",
        ),
        (
            "oidc: {issuer: 'https://a.b', client_id: a, roles: {a: viewr}}",
            "roles.a is 'viewr': must be 'viewer'",
        ),
        (
            f"oidc: {{{WHOLE}, client_secret: {CANARY}}}",
            "client_secret is not usable (not shown here): must be",
        ),
        (f"oidc: {{{WHOLE}, scopes: [groups]}}", "must be names of scopes, with openid among them"),
        (f"oidc: {{{WHOLE}, isuer: a}}", "there is no such setting. Did you mean 'issuer'?"),
        ("address: 'https://nova.example/dashboard'", "must be an address without a path, such as https://"),
        ("address: nova.example", "must be a URL such as https://host"),
    ],
)
def test_what_is_wrong(write: Write, yaml: str, line: str) -> None:
    """The error names the setting and what would be right; a secret in the file is not repeated."""
    write("config/supernova.yaml", f"dashboard: {{{yaml}}}")
    with pytest.raises(ConfigError) as caught:
        load(environ={})
    assert line in str(caught.value)
    assert CANARY not in str(caught.value)
