"""Whether certificates are checked: LiteLLM lets a variable or a line of the program switch that off."""

from __future__ import annotations

import os
import sys

from supernova_ai.errors import ConfigError


def unverified() -> str | None:
    """Name what switches the check of TLS certificates off in this process, None if nothing does."""
    name: str = "SSL_VERIFY in the environment"
    value: object = os.environ.get("SSL_VERIFY")
    if value is None:  # of the two LiteLLM obeys the variable
        name, value = "litellm.ssl_verify", getattr(sys.modules.get("litellm"), "ssl_verify", True)
    return f"{name} is {value}" if str(value).strip().lower() == "false" else None


def check_tls(*, verify: bool) -> None:
    """Refuse to send anything while certificates are not checked.

    Args:
        verify: the setting ``verify_tls``.

    Raises:
        ConfigError: they must be checked, and something switches that off.
    """
    if verify and (reason := unverified()):
        raise ConfigError(
            f"{reason}, so certificates are not checked and any server could take the keys: remove that, or "
            f"point SSL_CERT_FILE to the certificates you trust. If it must be so, set 'verify_tls: false'"
        )
