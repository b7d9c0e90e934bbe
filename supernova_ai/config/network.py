"""Network settings of the environment: proxies, TLS certificate checks and the TLS key log file.

Every command imports this module, so ``ssl`` and ``urllib.request`` are imported where they are used.
"""

from __future__ import annotations

import ipaddress
import os
import sys
from contextlib import suppress
from urllib.parse import urlsplit

from supernova_ai.config.fields import is_this_machine, mask
from supernova_ai.errors import ConfigError

LOOPBACK_HOSTS = ("127.0.0.1", "localhost", "[::1]")
"""The names by which programs on this machine reach the server.

A web page whose host name was pointed at this machine sends its own name, and is refused."""


def proxy_for(url: str) -> str | None:
    """Return the proxy for an address from HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY; None if none.

    Addresses of this machine never use a proxy: it could not reach them, and it would receive keys and
    prompts that may go there unencrypted.
    """
    from urllib.request import getproxies

    parts = urlsplit(url)
    host = parts.hostname or ""
    if is_this_machine(host):
        return None
    proxies = getproxies()
    proxy = proxies.get(parts.scheme) or proxies.get("all")
    if not proxy or _is_exempt(host, proxies.get("no", "")):
        return None
    return proxy if "://" in proxy else f"http://{proxy}"


def check_proxy(url: str) -> None:
    """Refuse a proxy that the HTTP clients cannot use for an address.

    Raises:
        ConfigError: it is a SOCKS proxy, or not a URL.
    """
    proxy = proxy_for(url)
    if proxy is None:
        return
    with suppress(ValueError):  # from urlsplit
        parts = urlsplit(proxy)
        if parts.scheme in ("http", "https") and parts.hostname:
            return
    asked = urlsplit(url)
    raise ConfigError(
        f"the environment's proxy for {asked.hostname} is {mask(proxy)}, and only HTTP proxies are "
        f"supported: set {asked.scheme.upper()}_PROXY to an http:// proxy, or add the host to NO_PROXY"
    )


def check_key_log() -> None:
    """Refuse an SSLKEYLOGFILE that cannot be written: TLS connections and LiteLLM's import would fail.

    Raises:
        ConfigError: the message names the file and the reason.
    """
    file = os.environ.get("SSLKEYLOGFILE")
    if not file:
        return
    import ssl

    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).keylog_filename = file
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"SSLKEYLOGFILE={file} cannot be written ({error}), so no TLS connection can be made: "
            f"unset it, or set it to a writable file"
        ) from None


def _is_exempt(host: str, no_proxy: str) -> bool:
    """Return whether NO_PROXY lists the host by name, by address, or by a network such as fd00::/8."""
    from urllib.request import proxy_bypass

    if proxy_bypass(host):
        return True
    with suppress(ValueError):
        address = ipaddress.ip_address(host)
        for entry in no_proxy.split(","):
            with suppress(ValueError):
                if address in ipaddress.ip_network(entry.strip().strip("[]"), strict=False):
                    return True
    return False


def tls_unverified_by() -> str | None:
    """Return what disables the check of TLS certificates in this process, None if nothing does."""
    name: str = "SSL_VERIFY in the environment"
    value: object = os.environ.get("SSL_VERIFY")
    if value is None:  # LiteLLM prefers the variable
        name, value = "litellm.ssl_verify", getattr(sys.modules.get("litellm"), "ssl_verify", True)
    return f"{name} is {value}" if str(value).strip().lower() == "false" else None


def check_tls(*, verify: bool) -> None:
    """Refuse to send anything if certificates must be checked and the check is disabled.

    Args:
        verify: the setting ``verify_tls``.

    Raises:
        ConfigError: the check is disabled.
    """
    if verify and (reason := tls_unverified_by()):
        raise ConfigError(
            f"{reason}, so certificates are not checked and any server could take the keys: remove that, or "
            f"set SSL_CERT_FILE to the certificates you trust. To accept this, set 'verify_tls: false'"
        )
