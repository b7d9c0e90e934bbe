"""The dashboard: pages over the store, which it only reads. The extra ``dashboard`` has its libraries."""

from __future__ import annotations

from importlib.util import find_spec

from supernova_ai.errors import ExtraMissing


def check_extra() -> None:
    """Check that the libraries of the dashboard are installed.

    Raises:
        ExtraMissing: they are not; the message says how to install them.
    """
    if any(find_spec(name) is None for name in ("starlette", "uvicorn", "python_multipart")):
        raise ExtraMissing(
            "the dashboard needs Starlette, uvicorn and python-multipart: "
            "pip install 'supernova-ai[dashboard]'"
        )


def check_sso_extra() -> None:
    """Check that the libraries of single sign-on are installed; raises as ``check_extra``."""
    if any(find_spec(name) is None for name in ("authlib", "itsdangerous")):
        raise ExtraMissing(
            "single sign-on needs Authlib and itsdangerous: pip install 'supernova-ai[dashboard,sso]'"
        )
