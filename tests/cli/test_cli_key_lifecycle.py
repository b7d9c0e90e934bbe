"""``supernova keys`` rotate, revoke, check, status and expire."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from supernova_ai.operations import key_rotation
from supernova_ai.testing import Failure, StubProvider
from tests.cli.conftest import KEY, Supernova

NEXT = "sk-test-fedcba9876543210"


@pytest.fixture
def stub(configure: Callable[..., Path], stub_provider: Callable[..., StubProvider]) -> StubProvider:
    """A provider that the configuration names, with a key in the vault."""
    stub = stub_provider()
    configure(stub.url)
    return stub


@pytest.fixture
def added(supernova: Supernova) -> None:
    supernova("keys", "add", "openai", stdin=KEY)


@pytest.fixture(autouse=True)
def _without_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(key_rotation, "SETTLE_S", 0)


def states(supernova: Supernova) -> list[tuple[int, str]]:
    return [(row["version"], row["state"]) for row in supernova("keys", "list", "--json").json]


@pytest.mark.usefixtures("added")
def test_rotate(supernova: Supernova, stub: StubProvider, folder: Path) -> None:
    """The new key comes from standard input or a file, is checked, and replaces the one before."""
    done = supernova("keys", "rotate", "openai", stdin=NEXT)
    assert (done.code, done.err) == (0, "")
    assert "openai/primary: version 2 is active, fingerprint k1:" in done.out
    assert "Version 1 is retiring: delete it at openai after 20" in done.out
    assert [request.key for request in stub.requests] == [NEXT]
    (folder / "key.txt").write_text(f"{KEY}-third\n")
    again = supernova("keys", "rotate", "openai", "--file", "key.txt", "--grace", "2h")
    _, second, _ = supernova("keys", "status", "--json").json
    grace = datetime.fromisoformat(second["until"]) - datetime.now(UTC)
    assert timedelta(hours=1) < grace <= timedelta(hours=2)
    assert states(supernova) == [(1, "retiring"), (2, "retiring"), (3, "active")]
    assert "0123456789abcdef" not in done.out + again.out


@pytest.mark.usefixtures("added")
def test_a_refused_key_is_parked(supernova: Supernova, stub: StubProvider) -> None:
    """A refused key exits with 6 and stays as failed, with its reason in the status."""
    stub.probe = Failure(401)
    refused = supernova("keys", "rotate", "openai", stdin=NEXT)
    assert (refused.code, refused.out) == (6, "")
    assert "openai/primary was not rotated: openai refused the key. The slot stays as it was." in refused.err
    assert NEXT not in refused.err
    assert states(supernova) == [(1, "active"), (2, "failed")]
    assert "the rotation to version 2 failed: openai refused the key" in supernova("keys", "status").out
    unchecked = supernova("keys", "rotate", "openai", "--no-check", stdin=NEXT)
    assert unchecked.code == 0
    assert "It was not checked: you said so." in unchecked.err


def test_a_provider_without_a_free_endpoint(supernova: Supernova, folder: Path) -> None:
    """Its key is not checked, and the command says so."""
    (folder / "nova.yaml").write_text(
        "providers: {groq: {models: {standard: m}, price: free}}\nrouting: {priority: [groq]}\n"
    )
    done = supernova("keys", "rotate", "groq", "--config", "nova.yaml", stdin="gsk_0123456789abcdef")
    assert done.code == 0
    assert "It was not checked: groq has no free endpoint for it." in done.err
    assert states(supernova) == [(1, "active")]


@pytest.mark.parametrize(
    ("arguments", "stdin", "code", "said"),
    [
        (["rotate", "openai", "--grace", "soon"], NEXT, 2, "'soon' is no duration: write 30s, 10m, 2h"),
        (["rotate", "opnai"], NEXT, 2, "'opnai' is not configured"),
        (["rotate", "openai", NEXT], "", 2, "a key is never an argument"),
        (["rotate", "openai"], KEY, 2, "this is the key that openai/primary has already"),
        (["rotate", "openai"], " \n", 2, "the key is empty"),
        (["revoke", "openai", "--version", "7", "--yes"], "", 4, "has no version 7 that could be revoked"),
        (["revoke", "openai"], "n\n", 1, ""),
        (["expire", "openai", "--at", "soon"], "", 2, "'soon' is not a date: write 2026-12-31"),
        (["expire", "openai", "--at", "9999-12-31T23:00-10:00"], "", 2, "is not a date"),
        (["expire", "openai", "--at", "2020-01-01"], "", 2, "2020-01-01 is over"),
        (["expire", "openai", "--slot", "backup", "--at", "never"], "", 4, "has no active key"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
@pytest.mark.usefixtures("added", "stub")
def test_refusals(arguments: list[str], stdin: str, code: int, said: str, supernova: Supernova) -> None:
    """A wrong argument or key changes nothing, and the message says what is right."""
    result = supernova("keys", *arguments, stdin=stdin)
    assert result.code == code
    assert said in " ".join(result.err.replace("│", "").split())
    assert "fedcba9876543210" not in result.err
    assert states(supernova) == [(1, "active")]


@pytest.mark.usefixtures("added", "stub")
def test_revoke(supernova: Supernova) -> None:
    """It names each version, and says what is left to do at the provider."""
    supernova("keys", "rotate", "openai", stdin=NEXT)
    one = supernova("keys", "revoke", "openai", "--version", "1", "--yes")
    assert one.out.startswith("revoked openai/primary version 1, fingerprint k1:")
    rest = supernova("keys", "revoke", "openai", stdin="y\n")
    assert "Revoke every version of openai/primary?" in rest.out
    assert "Now delete it at the provider too" in rest.out
    assert states(supernova) == [(1, "revoked"), (2, "revoked")]
    assert "no key is in use" in supernova("keys", "status").out


@pytest.mark.usefixtures("added")
def test_check(supernova: Supernova, stub: StubProvider) -> None:
    """A valid key exits with 0, a refused one with 4, and a provider that fails with 6."""
    assert supernova("keys", "check").out == "openai/primary version 1: ok\n"
    for probe, code in ((Failure(401), 4), (Failure(500), 6)):
        stub.probe = probe
        assert supernova("keys", "check", "--all").code == code
    (row,) = supernova("keys", "check", "--json").json
    assert (row["slot"], row["result"]) == ("primary", "ProviderUnavailable")


def test_check_without_keys(supernova: Supernova) -> None:
    """Without keys the command says so."""
    assert "no active keys" in supernova("keys", "check").out


@pytest.mark.usefixtures("added", "stub")
def test_status_and_expiry(supernova: Supernova) -> None:
    """The status has the age, the check, the expiry and the next reminder; a date can be taken back."""
    supernova("keys", "rotate", "openai", stdin=NEXT)
    assert (
        "expires on 2100-01-01 at 00:00 UTC"
        in supernova("keys", "expire", "openai", "--at", "2100-01-01").out
    )
    shown = supernova("keys", "status").out
    for part in ("retiring", "active", " ok", "2100-01-01"):
        assert part in shown
    _, row = supernova("keys", "status", "--json").json
    assert row["expires"] == "2100-01-01T00:00:00+00:00"
    assert row["next_reminder"] > row["activated"]
    assert "never expires" in supernova("keys", "expire", "openai", "--at", "never").out
    assert supernova("keys", "status", "--json").json[1]["expires"] is None


@pytest.mark.usefixtures("added", "stub")
def test_an_unfinished_rotation_is_named(supernova: Supernova, monkeypatch: pytest.MonkeyPatch) -> None:
    """A rotation that was interrupted during its check is in the status, and the next one replaces it."""

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(key_rotation, "check_key", interrupted)
        assert supernova("keys", "rotate", "openai", stdin=NEXT).code == 130
    assert "the rotation to version 2 still runs, or did not finish" in " ".join(
        supernova("keys", "status").out.split()
    )
    supernova("keys", "rotate", "openai", stdin=NEXT)
    assert states(supernova) == [(1, "retiring"), (2, "failed"), (3, "active")]
    assert "did not finish" not in supernova("keys", "status").out
