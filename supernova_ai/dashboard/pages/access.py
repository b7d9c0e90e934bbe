"""The page Access: who is signed in, and who may sign in with a password."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from supernova_ai.dashboard import users
from supernova_ai.dashboard.access import Access, Role, Way
from supernova_ai.dashboard.page import Page, Part, Reading

_WAYS: dict[Way, str] = {"link": "link", "password": "password", "sso": "single sign-on"}


def access_page(access: Access) -> Page:
    """Return the page over the sessions of a dashboard. Its template has the form that ends one."""

    def sessions(reading: Reading) -> Mapping[str, Any]:
        def ago(seconds: float) -> int:
            return reading.now_ms - round(seconds * 1000)

        rows = [
            (session, _WAYS[session.way], ago(since), ago(seen)) for session, since, seen in access.sessions()
        ]
        return {"rows": rows}

    return Page(
        "access",
        "Access",
        (Part("sessions", "Sessions", sessions), Part("accounts", "Users of the dashboard", _accounts)),
        role=Role.ADMIN,
    )


def _accounts(reading: Reading) -> Mapping[str, Any]:
    return {
        "rows": [(user, user.state(reading.now_ms)) for user in users.every_user(reading.database).values()]
    }
