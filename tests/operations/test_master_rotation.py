"""Rotation of the master key, to and from every place, on both engines."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from keyring.backend import KeyringBackend
from peewee import BlobField

from supernova_ai.errors import KeyCorrupt, MasterKeyError
from supernova_ai.keys import MasterKey, Vault, open_vault, resolve, reveal
from supernova_ai.keys.master_places import create_key_file
from supernova_ai.ledger import Ledger
from supernova_ai.operations import master_rotation
from supernova_ai.operations.master_rotation import SEALED, MasterRotation, rotate_master
from supernova_ai.ratings import Feedback, give, latest
from supernova_ai.secret import Secret
from supernova_ai.sessions import SessionKey, history
from supernova_ai.sessions.history import ExchangeCipher
from supernova_ai.store import Store
from supernova_ai.store.tables import TABLES, AnswerRow, KeyRow, MetaRow, RatingRow
from tests.holds import entry, settle

FIRST = bytes(range(1, 33)).hex()
KEYS = {("openai", "primary"): "sk-test-00000001", ("groq", "backup"): "gsk-test-0000002"}
TALK = SessionKey("ann", "talk")


@dataclasses.dataclass
class Machine:
    """One machine's sources: what resolves the master there, and what rotates it."""

    store: Store
    backend: KeyringBackend
    folder: Path
    environ: dict[str, str]

    @property
    def file(self) -> Path:
        return self.folder / "master"

    def vault(self) -> Vault:
        return open_vault(self.store, environ=self.environ, backend=self.backend)

    def begin_in(self, kind: str) -> None:
        if kind == "keyring":
            self.backend.set_password("supernova-ai", self.store.id, FIRST)
        elif kind == "environment":
            self.environ["API_KEY_ENCRYPTION_KEY"] = FIRST
        else:
            name = self.folder / ("supernova-master" if kind == "credential" else "master")
            name.write_text(FIRST)
            name.chmod(0o600)
            variable = "CREDENTIALS_DIRECTORY" if kind == "credential" else "SUPERNOVA_MASTER_KEY_FILE"
            self.environ[variable] = str(self.folder if kind == "credential" else name)

    def move_to(self, kind: str, file: Path) -> None:
        """Do what the advice after a rotation says."""
        self.environ.clear()
        if kind == "file":
            self.environ["SUPERNOVA_MASTER_KEY_FILE"] = str(file)
        elif kind == "environment":
            self.environ["API_KEY_ENCRYPTION_KEY"] = file.read_text()

    def rotate(self, to: str | None = None, file: Path | None = None, grace_s: float = 0) -> MasterRotation:
        return rotate_master(
            self.store, to=to, file=file, grace_s=grace_s, environ=self.environ, backend=self.backend
        )


@pytest.fixture
def store(where: str) -> Iterator[Store]:
    with Store(where) as opened:
        yield opened


@pytest.fixture
def machine(store: Store, backend: KeyringBackend, tmp_path: Path) -> Machine:
    return Machine(store, backend, tmp_path, {})


def fill(vault: Vault, store: Store, turns: int = 1) -> None:
    """Store keys, exchanges and a cached answer."""
    for (provider, slot), key in KEYS.items():
        vault.add(provider, slot, Secret(key))
    cipher = ExchangeCipher(vault.session_cipher(), store.id, lambda count: bytes(count))
    for number in range(turns):
        message = f"message {number}"
        append = partial(
            history.append, cipher=cipher, key=TALK, at_ms=1, message=message, answer="an answer"
        )
        store.write(append).result()
    answer = AnswerRow.insert(place="p", user="", created_ms=1, expires_ms=2**40, sealed=b"x")
    store.write(answer.execute).result()


def sealed_comments(store: Store) -> list[bytes]:
    rows = store.read(lambda database: list(RatingRow.select().execute(database)))
    return [bytes(row.sealed) for row in rows if row.sealed is not None]


def check(vault: Vault, store: Store, turns: int = 1) -> None:
    """Everything opens, and the audit verifies."""
    for (provider, slot), key in KEYS.items():
        assert vault.reveal(provider, slot).reveal() == key
    cipher = ExchangeCipher(vault.session_cipher(), store.id, lambda count: bytes(count))
    found = store.read(lambda database: history.read(database, cipher, TALK, 0))
    assert [exchange.message for exchange in found] == [f"message {number}" for number in range(turns)]
    report = vault.verify_audit()
    assert report.ok, report.reason


@pytest.mark.parametrize("before", ["keyring", "file", "environment", "credential"])
@pytest.mark.parametrize("to", ["keyring", "file", "environment"])
def test_rotation_from_every_place_to_every_place(machine: Machine, before: str, to: str) -> None:
    """After a rotation, and after its advice is followed, the new master alone opens everything."""
    machine.begin_in(before)
    fill(machine.vault(), machine.store)
    file = machine.file if before == to == "file" else machine.folder / "new"
    done = machine.rotate(to, None if to == "keyring" else file)
    assert (done.kind, done.keys, done.rows, done.damaged, done.finished) == (to, 2, 1, 0, False)
    machine.move_to(to, file)
    assert "row 4 in" in str(machine.vault().verify_audit().anchor)  # master.created, two keys, the rotation
    check(machine.vault(), machine.store)
    with pytest.raises(MasterKeyError, match="not the one the store was sealed with"):
        Vault(machine.store, MasterKey.of(bytes.fromhex(FIRST))).unlock()


def test_its_own_place_is_the_default(machine: Machine, kept: dict[tuple[str, str], str]) -> None:
    """Without a place the new master replaces the old one where it is; nothing is left beside it."""
    machine.begin_in("keyring")
    fill(machine.vault(), machine.store)
    done = machine.rotate()
    assert done.advice == ()
    assert set(kept) == {("supernova-ai", machine.store.id + end) for end in ("", ".audit")}
    text = kept["supernova-ai", machine.store.id]
    assert MasterKey.of(bytes.fromhex(text)).id == done.master_id
    check(machine.vault(), machine.store)


def test_a_key_that_moves_out_of_the_keyring_leaves_nothing_there(
    machine: Machine, kept: dict[tuple[str, str], str]
) -> None:
    """The keyring's entry is deleted once the master is in a file."""
    machine.begin_in("keyring")
    fill(machine.vault(), machine.store)
    done = machine.rotate("file", machine.folder / "new")
    assert kept == {}
    assert "SUPERNOVA_MASTER_KEY_FILE" in done.advice[0]
    assert (machine.folder / "new").stat().st_mode & 0o777 == 0o600


def test_the_old_file_stays_for_other_databases(machine: Machine, new_database: Callable[[], str]) -> None:
    """A file that two databases use still opens the other one, which a rotation of its own moves over."""
    machine.begin_in("file")
    fill(machine.vault(), machine.store)
    with Store(new_database()) as store:
        other = dataclasses.replace(machine, store=store)
        fill(other.vault(), store)
        first = machine.rotate()
        check(other.vault(), store)
        assert first.advice[0].startswith(f"delete {machine.file}.")
        assert other.rotate().master_id == first.master_id
        check(other.vault(), store)
        check(machine.vault(), machine.store)


def test_the_audit_tells_of_it_and_covers_every_master(machine: Machine) -> None:
    """The chain has a row of each rotation, and verifies over the rows of all masters."""
    machine.begin_in("keyring")
    fill(machine.vault(), machine.store)
    ids = [machine.rotate().master_id for _ in range(3)]
    vault = machine.vault()
    vault.remove("groq", "backup")
    rows = vault.audit_events()
    assert [row.subject for row in rows if row.event == "master.rotated"] == ids
    report = vault.verify_audit()
    assert (report.ok, report.rows) == (True, 7)
    statement = "UPDATE audit SET subject = 'x' WHERE number = 2"
    machine.store.write(lambda database: database.execute_sql(statement)).result()
    assert machine.vault().verify_audit().first_bad == 2


def test_equal_keys_keep_equal_fingerprints(machine: Machine) -> None:
    """A key that is added again after a rotation has the fingerprint it had before."""
    machine.begin_in("keyring")
    vault = machine.vault()
    key = Secret("sk-test-00000001")
    before = vault.add("openai", "primary", key).fingerprint
    machine.rotate()
    assert machine.vault().add("openai", "primary", key).fingerprint == before


@pytest.mark.parametrize("grace_s", [600, 0])
def test_of_two_rotations_at_once_one_is_refused(
    machine: Machine, grace_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one that comes second says so, and breaks nothing."""
    machine.begin_in("keyring")
    fill(machine.vault(), machine.store)

    def revealed_before_another_rotation(*args: Any, **kwargs: Any) -> Any:
        monkeypatch.setattr(master_rotation, "reveal", reveal)
        found = reveal(*args, **kwargs)
        machine.rotate(grace_s=grace_s)
        return found

    monkeypatch.setattr(master_rotation, "reveal", revealed_before_another_rotation)
    with pytest.raises(MasterKeyError, match="another process rotated"):
        machine.rotate(grace_s=grace_s)
    check(machine.vault(), machine.store)


@pytest.mark.parametrize("grace_s", [600, 0])
def test_a_running_process_goes_on(machine: Machine, grace_s: float) -> None:
    """A vault that has the old master opens and adds keys, in the grace without asking its source."""
    machine.begin_in("keyring")
    fill(machine.vault(), machine.store)
    asked = 0

    def ask() -> MasterKey:
        nonlocal asked
        asked += 1
        return resolve(machine.store, environ=machine.environ, backend=machine.backend)

    running = Vault(machine.store, ask)
    sealed = machine.store.read(lambda database: running.find(database, "openai", "primary"))
    assert sealed is not None
    running.unlock()
    machine.rotate(grace_s=grace_s)
    assert running.open(sealed).reveal() == KEYS["openai", "primary"]  # it was read before
    check(running, machine.store)
    running.add("openai", "primary", Secret("sk-test-00000009"))
    assert machine.vault().reveal("openai", "primary").reveal() == "sk-test-00000009"
    assert running.verify_audit().ok
    assert asked == (1 if grace_s else 2)


def test_a_process_without_a_source_follows_several_rotations(machine: Machine) -> None:
    """In the grace the old master is enough, after two rotations as well; not after the grace."""
    machine.begin_in("environment")
    fill(machine.vault(), machine.store)
    old = MasterKey.of(bytes.fromhex(FIRST))
    machine.rotate("keyring", grace_s=600)
    machine.environ.clear()
    machine.rotate(grace_s=600)
    check(Vault(machine.store, old), machine.store)
    machine.store.now = lambda: 4_000_000_000.0  # type: ignore[assignment]
    with pytest.raises(MasterKeyError, match="which was in the keyring"):
        Vault(machine.store, old).unlock()
    machine.vault().remove("groq", "backup")
    left = machine.store.read(lambda database: [row.name for row in MetaRow.select().execute(database)])
    assert not [name for name in left if name.startswith("master.next.")]


def test_damaged_keys_stay_as_they_are(machine: Machine) -> None:
    """A record that did not open before is counted, and stops nothing."""
    machine.begin_in("keyring")
    fill(machine.vault(), machine.store)
    damage = KeyRow.update(sealed=b"x" * 99).where(KeyRow.provider == "groq")
    machine.store.write(damage.execute).result()
    done = machine.rotate()
    assert (done.keys, done.damaged) == (1, 1)
    with pytest.raises(KeyCorrupt):
        machine.vault().reveal("groq", "backup")
    assert machine.vault().reveal("openai", "primary").reveal() == KEYS["openai", "primary"]


@pytest.mark.proof
def test_many_exchanges_are_sealed_again(machine: Machine) -> None:
    """More rows than a page, each opens afterwards."""
    machine.begin_in("keyring")
    fill(machine.vault(), machine.store, turns=1203)
    assert machine.rotate().rows == 1203
    check(machine.vault(), machine.store, turns=1203)


def test_comments_are_sealed_again(machine: Machine) -> None:
    """The comment of a feedback opens with the new master; a score without a comment stays as it is."""
    machine.begin_in("keyring")
    ledger = Ledger(machine.store, ())
    for request in ("one", "two"):
        wanted = entry(request, 10**9, ledger.now_ms(), request=request)
        settle(ledger, ledger.write(partial(ledger.hold, entry=wanted)).result(), "0.5")
    ledger.close()
    give(machine.vault(), Feedback.of("one", "up", "Clear."))
    give(machine.vault(), Feedback.of("two", "down", None))
    before = sealed_comments(machine.store)
    assert machine.rotate().rows == 1
    assert {each.request: each.comment for each in latest(machine.vault(), limit=9)} == {
        "one": "Clear.",
        "two": None,
    }
    assert sealed_comments(machine.store) != before


def test_cached_answers_are_deleted(machine: Machine) -> None:
    """No answer remains that the old master opens."""
    machine.begin_in("keyring")
    fill(machine.vault(), machine.store)
    machine.rotate()
    assert machine.store.read(lambda database: AnswerRow.select().count(database)) == 0


@pytest.mark.parametrize(
    ("to", "reason"),
    [("environment", "cannot be set from here"), ("credential", "cannot be written")],
)
def test_a_place_that_cannot_be_used_changes_nothing(machine: Machine, to: str, reason: str) -> None:
    """The error says what to do; the old master stays in force."""
    machine.begin_in("keyring")
    fill(machine.vault(), machine.store)
    with pytest.raises(MasterKeyError, match=reason):
        machine.rotate(to)
    check(machine.vault(), machine.store)


def test_without_a_master_there_is_nothing_to_rotate(machine: Machine) -> None:
    """An empty store says so, and makes no master."""
    with pytest.raises(MasterKeyError, match="nothing is sealed"):
        machine.rotate()


def test_a_new_key_file_is_private_and_never_overwrites(tmp_path: Path) -> None:
    """The file and its new folder are for this user only; a file that exists stays."""
    path = tmp_path / "new" / "master"
    text = create_key_file(path)
    assert path.read_text().strip() == text.reveal()
    assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    with pytest.raises(MasterKeyError, match="never overwritten"):
        create_key_file(path)
    assert path.read_text().strip() == text.reveal()
    assert [one.name for one in path.parent.iterdir()] == ["master"]


def test_every_sealed_column_is_decided() -> None:
    """A new table with something sealed must be sealed again by a rotation, or be named here."""
    sealed = {
        table for table in TABLES if any(isinstance(field, BlobField) for field in table._meta.sorted_fields)
    }
    assert sealed - {table.table for table in SEALED} == {KeyRow, AnswerRow}
