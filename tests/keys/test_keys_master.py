from __future__ import annotations

import base64
import os
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from keyring.backend import KeyringBackend

from supernova_ai.errors import MasterKeyError
from supernova_ai.keys import MasterKey, Vault, resolve
from supernova_ai.secret import Secret
from supernova_ai.store import Store

RAW = bytes(range(1, 33))
HEX = RAW.hex()
OTHER = bytes(range(2, 34)).hex()
PASSPHRASE = "correct horse battery staple, and then some"
KEY = Secret("sk-test-00000001")


@pytest.fixture
def private(tmp_path: Path) -> Path:
    """A file with a master key, readable by this user only."""
    file = tmp_path / "master"
    file.write_text(HEX + "\n")
    file.chmod(0o600)
    return file


def shown(error: BaseException) -> str:
    """The traceback of an error with all local variables, without the test's own frame."""
    assert error.__traceback__ is not None
    below = traceback.TracebackException(type(error), error, error.__traceback__.tb_next, capture_locals=True)
    return "".join(below.format())


def test_precedence_of_sources(
    store: Store, private: Path, tmp_path: Path, backend: KeyringBackend, kept: dict[tuple[str, str], str]
) -> None:
    """The order is argument, credential, file, variable, keyring: the first that exists decides."""
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    texts = [bytes([number] * 32).hex() for number in range(1, 5)]
    (credentials / "supernova-master").write_text(texts[0])
    private.write_text(texts[1])
    kept["supernova-ai", store.id] = texts[3]
    environ = {
        "CREDENTIALS_DIRECTORY": str(credentials),
        "SUPERNOVA_MASTER_KEY_FILE": str(private),
        "API_KEY_ENCRYPTION_KEY": texts[2],
    }
    explicit = MasterKey.of(RAW)
    assert resolve(store, explicit=explicit, environ=environ, backend=backend) is explicit
    for text in texts:
        assert resolve(store, environ=environ, backend=backend).id == MasterKey.of(bytes.fromhex(text)).id
        if environ:
            environ.pop(next(iter(environ)))


def test_credentials_of_other_services_are_ignored(store: Store, tmp_path: Path, private: Path) -> None:
    """A credentials folder without our credential is no error: the next source decides."""
    environ = {"CREDENTIALS_DIRECTORY": str(tmp_path), "SUPERNOVA_MASTER_KEY_FILE": str(private)}
    assert resolve(store, environ=environ).id == MasterKey.of(RAW).id


@pytest.mark.parametrize(
    "text", [HEX, HEX.upper(), base64.b64encode(RAW).decode(), base64.urlsafe_b64encode(RAW).decode()]
)
def test_spellings_of_one_master(store: Store, text: str) -> None:
    """Hex in either case and base64 in either alphabet give the same master; surrounding space is ignored."""
    assert resolve(store, environ={"API_KEY_ENCRYPTION_KEY": f" {text}\n"}).id == MasterKey.of(RAW).id


def test_passphrase_is_stretched_with_the_stores_salt(store: Store, tmp_path: Path) -> None:
    """A passphrase gives one master per store: always the same in one store, different between stores."""
    environ = {"API_KEY_ENCRYPTION_KEY": PASSPHRASE}
    with Store(tmp_path / "other.db") as other:
        assert resolve(store, environ=environ).id == resolve(store, environ=environ).id
        assert resolve(store, environ=environ).id != resolve(other, environ=environ).id


@pytest.mark.parametrize("text", ["short", "x" * 31, HEX[:30]])
def test_weak_text_is_refused(store: Store, text: str) -> None:
    """A text that is no key and too short for a passphrase is refused; the error says what is accepted."""
    with pytest.raises(MasterKeyError, match="openssl rand -hex 32") as caught:
        resolve(store, environ={"API_KEY_ENCRYPTION_KEY": text})
    assert f"this has {len(text)}" in str(caught.value)


def test_variable_is_removed_and_remembered(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reading the variable removes it from the process's environment; later stores still get its value."""
    monkeypatch.setenv("API_KEY_ENCRYPTION_KEY", HEX)
    first = resolve(store)
    assert "API_KEY_ENCRYPTION_KEY" not in os.environ
    with Store(tmp_path / "other.db") as other:
        assert first.id == resolve(store).id == resolve(other).id == MasterKey.of(RAW).id


def test_variable_is_removed_where_another_source_is_used(
    store: Store, private: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the master comes from a file, no child process gets the variable either."""
    monkeypatch.setenv("API_KEY_ENCRYPTION_KEY", OTHER)
    monkeypatch.setenv("SUPERNOVA_MASTER_KEY_FILE", str(private))
    assert resolve(store).id == MasterKey.of(RAW).id
    assert "API_KEY_ENCRYPTION_KEY" not in os.environ


def test_variable_is_removed_when_a_copy_is_given(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the caller passes a copy of the environment, the variable is removed from the process too."""
    monkeypatch.setenv("API_KEY_ENCRYPTION_KEY", HEX)
    copy: Mapping[str, str] = dict(os.environ)
    assert resolve(store, environ=copy).id == MasterKey.of(RAW).id
    assert "API_KEY_ENCRYPTION_KEY" not in os.environ
    assert resolve(store, environ={}).id == MasterKey.of(RAW).id


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660, 0o700])
def test_open_file_is_refused(store: Store, private: Path, mode: int) -> None:
    """A file that others may access is refused; the error names its mode and the command that fixes it."""
    private.chmod(mode)
    with pytest.raises(MasterKeyError, match=rf"mode {mode:04o}.*chmod 600"):
        resolve(store, environ={"SUPERNOVA_MASTER_KEY_FILE": str(private)})


@pytest.mark.parametrize("mode", [0o600, 0o400])
def test_private_file_is_accepted(store: Store, private: Path, mode: int) -> None:
    """A file with mode 0600 or stricter is read."""
    private.chmod(mode)
    assert resolve(store, environ={"SUPERNOVA_MASTER_KEY_FILE": str(private)}).id == MasterKey.of(RAW).id


@pytest.mark.parametrize("source", ["file", "credential"])
def test_a_fifo_is_no_key_file(source: str, store: Store, tmp_path: Path) -> None:
    """A FIFO is refused without waiting for a writer."""
    os.mkfifo(tmp_path / "supernova-master", 0o600)
    environ = {
        "file": {"SUPERNOVA_MASTER_KEY_FILE": str(tmp_path / "supernova-master")},
        "credential": {"CREDENTIALS_DIRECTORY": str(tmp_path)},
    }[source]
    with pytest.raises(MasterKeyError, match="not a regular file"):
        resolve(store, environ=environ)


def test_file_of_another_user_is_refused(
    store: Store, private: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that belongs to another user is refused even with mode 0600."""
    monkeypatch.setattr(os, "geteuid", lambda: private.stat().st_uid + 1)
    with pytest.raises(MasterKeyError, match="belongs to another user"):
        resolve(store, environ={"SUPERNOVA_MASTER_KEY_FILE": str(private)})


def test_link_is_judged_by_its_target(store: Store, private: Path, tmp_path: Path) -> None:
    """A symbolic link is followed, and its target must be private."""
    link = tmp_path / "link"
    link.symlink_to(private)
    environ = {"SUPERNOVA_MASTER_KEY_FILE": str(link)}
    assert resolve(store, environ=environ).id == MasterKey.of(RAW).id
    private.chmod(0o644)
    with pytest.raises(MasterKeyError, match="mode 0644"):
        resolve(store, environ=environ)


@pytest.mark.parametrize(
    ("content", "reason"),
    [(None, "No such file"), (b"", "must hold 32"), (RAW, "must hold 32"), (b"x" * 40, "must")],
)
def test_unusable_file_is_an_error(store: Store, private: Path, content: bytes | None, reason: str) -> None:
    """A named file that is missing or holds no key is an error; the next source is not used instead."""
    private.unlink() if content is None else private.write_bytes(content)
    environ = {"SUPERNOVA_MASTER_KEY_FILE": str(private), "API_KEY_ENCRYPTION_KEY": HEX}
    with pytest.raises(MasterKeyError, match=reason) as caught:
        resolve(store, environ=environ)
    assert str(private) in str(caught.value)


@pytest.mark.parametrize("variable", ["SUPERNOVA_MASTER_KEY_FILE", "API_KEY_ENCRYPTION_KEY"])
def test_tracebacks_show_no_master(store: Store, private: Path, variable: str) -> None:
    """When a master is refused, a traceback with local variables does not show it."""
    canary = "canary-of-31-characters-0123456"
    private.write_text(canary)
    environ = {variable: str(private) if variable.endswith("FILE") else canary}
    with pytest.raises(MasterKeyError) as caught:
        resolve(store, environ=environ)
    frames = shown(caught.value).replace(repr(environ), "")  # the caller's own variable
    assert "text = Secret([redacted])" in frames
    assert canary not in frames


@pytest.mark.parametrize("source", ["explicit", "file", "variable", "passphrase", "keyring"])
def test_wrong_master_is_refused_from_every_source(
    vault: Vault,
    store: Store,
    private: Path,
    backend: KeyringBackend,
    kept: dict[tuple[str, str], str],
    source: str,
) -> None:
    """A master that differs from the store's is refused, whatever its source."""
    vault.add("openai", "primary", KEY)
    kept["supernova-ai", store.id] = OTHER
    private.write_text(OTHER)
    explicit = MasterKey.of(bytes.fromhex(OTHER)) if source == "explicit" else None
    environ = {
        "file": {"SUPERNOVA_MASTER_KEY_FILE": str(private)},
        "variable": {"API_KEY_ENCRYPTION_KEY": OTHER},
        "passphrase": {"API_KEY_ENCRYPTION_KEY": PASSPHRASE},
    }.get(source, {})
    with pytest.raises(MasterKeyError, match="not the one the store was sealed with"):
        resolve(store, explicit=explicit, environ=environ, backend=backend, create=True)


def test_passphrase_opens_what_it_sealed(path: Path) -> None:
    """The same passphrase reveals a key after the store was closed and reopened."""
    environ = {"API_KEY_ENCRYPTION_KEY": PASSPHRASE}
    with Store(path) as store:
        Vault(store, resolve(store, environ=environ)).add("openai", "primary", KEY)
    with Store(path) as store:
        vault = Vault(store, resolve(store, environ=environ))
        assert vault.reveal("openai", "primary").reveal() == KEY.reveal()


def test_master_key_is_32_bytes() -> None:
    """A master of another length is refused."""
    calls: list[Callable[[], object]] = [lambda: MasterKey.of(b""), lambda: MasterKey.of(bytes(31))]
    for call in calls:
        with pytest.raises(MasterKeyError, match="32 bytes"):
            call()


def test_master_key_shows_only_its_id() -> None:
    """The repr of a master shows only its id, which is unique and no part of the master."""
    master = MasterKey.of(RAW)
    assert repr(master) == f"MasterKey(id='{master.id}')"
    assert master.id != MasterKey.of(bytes(32)).id
    assert master.id not in HEX
