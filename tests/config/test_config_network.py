"""Network settings of the environment: proxies and the TLS key log file."""

from __future__ import annotations

from pathlib import Path

import pytest

from supernova_ai import ConfigError
from supernova_ai.config.network import check_key_log, check_proxy, proxy_for

PROXY = "http://proxy.test:3128"
REMOTE = "https://api.openai.com/v1"


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.mark.parametrize("name", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY"])
def test_a_remote_address_goes_through_the_proxy(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The proxy comes from the scheme's variable or ALL_PROXY, in upper or lower case."""
    monkeypatch.setenv(name, PROXY)
    assert proxy_for(REMOTE) == PROXY


def test_a_proxy_without_scheme_is_http(monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy given as host and port is an http:// proxy."""
    monkeypatch.setenv("HTTPS_PROXY", "proxy.test:3128")
    assert proxy_for(REMOTE) == PROXY


@pytest.mark.parametrize("host", ["localhost", "nova.localhost", "127.0.0.1", "127.8.8.8", "[::1]"])
@pytest.mark.parametrize("name", ["HTTP_PROXY", "ALL_PROXY"])
def test_this_machine_has_no_proxy(host: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Addresses of this machine never use a proxy, because keys go there unencrypted."""
    monkeypatch.setenv(name, PROXY)
    assert proxy_for(f"http://{host}:11434/api/chat") is None


@pytest.mark.parametrize(
    ("listed", "url"),
    [
        ("api.openai.com", REMOTE),
        (".openai.com", REMOTE),
        ("*", REMOTE),
        ("10.0.0.5", "http://10.0.0.5:8000"),
        ("10.0.0.0/8", "http://10.0.0.5:8000"),
        ("fd00::5", "http://[fd00::5]:8000"),
        ("[fd00::5]", "http://[fd00::5]:8000"),
        ("other.test, fd00::/8", "http://[fd00::5]:8000"),
    ],
)
def test_no_proxy_takes_names_addresses_and_networks(
    listed: str, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """NO_PROXY accepts host names, addresses and networks, including IPv6; other hosts keep the proxy."""
    monkeypatch.setenv("ALL_PROXY", PROXY)
    monkeypatch.setenv("NO_PROXY", listed)
    assert proxy_for(url) is None
    if listed != "*":
        assert proxy_for("http://[fd99::1]") == (None if "/8" in listed and "fd00" in listed else PROXY)
        assert proxy_for("https://api.anthropic.com") == PROXY


@pytest.mark.parametrize("proxy", ["socks5://user:pa55@proxy.test:1080", "ftp://proxy.test", "http://[proxy"])
def test_a_proxy_that_cannot_be_used_is_refused(proxy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the address and the remedy without the password; this machine needs no proxy."""
    monkeypatch.setenv("ALL_PROXY", proxy)
    with pytest.raises(
        ConfigError, match=r"proxy for api\.openai\.com .* set HTTPS_PROXY to an http://"
    ) as caught:
        check_proxy(REMOTE)
    assert "pa55" not in str(caught.value)
    check_proxy("http://localhost:11434")


def test_a_key_log_that_cannot_be_written_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An SSLKEYLOGFILE that cannot be written is refused, because every TLS connection would fail."""
    monkeypatch.setenv("SSLKEYLOGFILE", str(tmp_path / "keys.log"))
    check_key_log()
    monkeypatch.setenv("SSLKEYLOGFILE", str(tmp_path / "nowhere" / "keys.log"))
    with pytest.raises(ConfigError, match=r"SSLKEYLOGFILE=.*keys\.log cannot be written .*: unset it"):
        check_key_log()
