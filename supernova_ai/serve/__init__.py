"""An OpenAI-compatible server over a client, as an ASGI application. The extra ``serve`` has its libraries.

``app`` is the one over the default client; ``create_app`` makes one over another client.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

from supernova_ai.errors import ExtraMissing

if TYPE_CHECKING:
    from starlette.applications import Starlette

    from supernova_ai.serve.application import create_app as create_app

    app: Starlette

VARIABLE = "SUPERNOVA_SERVE_TOKEN"
"""The environment variable with the token of ``app``, and of ``supernova serve``."""


def __getattr__(name: str) -> object:
    if name not in ("app", "create_app"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if find_spec("starlette") is None:
        raise ExtraMissing("the server needs Starlette and uvicorn: pip install 'supernova-ai[serve]'")
    from supernova_ai.serve import application

    value = application.create_app if name == "create_app" else application.default_app()
    globals()[name] = value
    return value
