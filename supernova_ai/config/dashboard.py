"""The section ``dashboard`` of the YAML: where browsers reach it, single sign-on, and what it offers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, field_validator

from supernova_ai.config.fields import VAULT_PREFIX, HttpUrl, Identifier, Section, is_private_url

RoleName = Literal["viewer", "operator", "admin"]

Fault = tuple[tuple[str, ...], object, str]
"""The path of a setting below ``dashboard``, its value, and the remedy."""


def _address(value: str) -> str:
    if urlsplit(value).path:
        raise ValueError("must be an address without a path, such as https://dashboard.example")
    return value


def _issuer(value: str) -> str:
    url = urlsplit(value)
    if not url.hostname or url.username is not None or url.query or url.fragment:
        raise ValueError("must be the issuer's URL as it names itself, such as https://login.example")
    if not is_private_url(value):
        raise ValueError("must be https: others on the way could sign in as anybody")
    return value  # as it is: it is compared with what the issuer calls itself, also its last slash


def _slot(value: str) -> str:
    if not re.fullmatch(rf"{VAULT_PREFIX}[a-z0-9][a-z0-9_\-]{{0,254}}", value):
        raise ValueError("must be vault:NAME; `supernova keys add NAME` stores the secret under that name")
    return value


Address = Annotated[HttpUrl, AfterValidator(_address)]
Issuer = Annotated[str, AfterValidator(_issuer)]
SecretSlot = Annotated[str, AfterValidator(_slot)]


class Oidc(Section):
    """Single sign-on by OpenID Connect; an ``issuer`` of None: there is none. ``roles`` are by group.

    A ``client_secret`` of None: it is in the variable SUPERNOVA_OIDC_CLIENT_SECRET, or the client has none.
    """

    issuer: Issuer | None = None
    client_id: Identifier | None = None
    client_secret: SecretSlot | None = None
    scopes: tuple[str, ...] = ("openid", "profile", "email")
    groups_claim: Identifier = "groups"
    roles: dict[str, RoleName] = Field(default={})

    @field_validator("scopes")
    @classmethod
    def _with_openid(cls, scopes: tuple[str, ...]) -> tuple[str, ...]:
        if "openid" not in scopes or any(not scope or scope.split() != [scope] for scope in scopes):
            raise ValueError("must be names of scopes, with openid among them, such as [openid, groups]")
        return scopes


class DashboardConfig(Section):
    """The ``address`` by which browsers reach the dashboard through a proxy, and single sign-on.

    With ``try_prompts``, operators may ask a model from it.
    """

    address: Address | None = None
    oidc: Oidc = Oidc()
    try_prompts: bool = False


def dashboard_faults(dashboard: DashboardConfig) -> Iterator[Fault]:
    """Yield what disagrees in the section."""
    oidc = dashboard.oidc
    if oidc.issuer is None:
        return
    if oidc.client_id is None:
        yield ("oidc", "client_id"), None, "must be the id that the issuer knows the dashboard by"
    if not oidc.roles:
        remedy = "must give a group of the issuer a role, such as {llm-operators: operator}"
        yield ("oidc", "roles"), oidc.roles, remedy
