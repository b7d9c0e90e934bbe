"""docs/recovery.md as a person follows it at night: its commands, as they are written, on a fresh home."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from supernova_ai.config import Budget
from supernova_ai.keys import open_vault
from supernova_ai.ledger import Ledger
from supernova_ai.operations.backup.retention import backups_in
from supernova_ai.store import Store
from supernova_ai.store.tables import AttemptRow
from supernova_ai.upkeep.verify import verify_ledger
from tests.holds import place_hold, settled

pytestmark = pytest.mark.proof

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "recovery.md").read_text(encoding="utf-8")
KEY, NEW_KEY = "sk-old-0123456789abcdef", "sk-new-0123456789abcdef"


def commands(section: str) -> str:
    """Return the commands of a section, and of one of its parts after ``**part**``, in order."""
    title, _, part = section.partition("/")
    text = PAGE.partition(f"\n## {title}\n")[2].partition("\n## ")[0]
    if part:
        text = text.partition(f"**{part}**")[2]
    text = text.partition("\n**")[0]
    found = re.findall(r"^ {8}(\S.*)$", text, re.MULTILINE)
    assert found, section
    return "\n".join(found)


class Machine:
    """A home with nothing in it, and the disk with the backups, which all machines share."""

    def __init__(self, folder: Path, disk: Path) -> None:
        self.home = folder
        self.data = folder / ".local" / "share" / "supernova-ai"
        self.disk = disk
        self.work = folder / "work"
        self.work.mkdir(parents=True, exist_ok=True)
        self.environ = {
            "HOME": str(folder),
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "COLUMNS": "200",
            "PYTHON_KEYRING_BACKEND": "keyring.backends.fail.Keyring",
        }

    def run(self, script: str) -> str:
        """Run the commands; each must succeed."""
        newest = ["NAME.backup", *(one.file.name for one in backups_in(self.disk))][-1]
        script = script.replace("/mnt/backups", str(self.disk)).replace("NAME.backup", newest)
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            env=self.environ,
            cwd=self.work,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{script}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def spend(self, name: str) -> None:
        """Add a settled attempt, as a program does."""
        with Store(self.data / "supernova.db") as store:
            ledger = Ledger(store, (Budget(name="daily", limit=Decimal(50), per="day"),))
            hold = ledger.write(place_hold(ledger, name, 1000)).result()
            assert ledger.end(hold, settled(900, ledger.now_ms())).result()
            ledger.close()

    def key(self) -> str:
        with Store(self.data / "supernova.db") as store:
            vault = open_vault(store, environ={"SUPERNOVA_HOME": str(self.data)})
            assert vault.verify_audit().ok
            assert verify_ledger(store, (), folder=self.data / "archive").problems == ()
            return vault.reveal("openai", "primary").reveal()


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Machine:
    """A machine that was set up, has spent something, and was backed up as the page says."""
    folder = tmp_path_factory.mktemp("prepared")
    (folder / "disk").mkdir()
    machine = Machine(folder / "home", folder / "disk")
    (machine.work / "old-key.txt").write_text(KEY)
    machine.run("supernova setup --yes --no-test --master file --key-file openai=old-key.txt")
    machine.spend("before")
    makes, then, checks = commands("Before anything happens").partition("supernova backup list")
    machine.run(makes)
    assert "is whole" in machine.run(then + checks)
    (machine.work / "new-key.txt").write_text(NEW_KEY)
    return machine


@pytest.fixture
def machine(prepared: Machine, tmp_path: Path) -> Machine:
    """Another machine with the same content and disk."""
    for folder in (prepared.home, prepared.disk):
        shutil.copytree(folder, tmp_path / folder.name)
    return Machine(tmp_path / "home", tmp_path / "disk")


def attempts(machine: Machine) -> set[str]:
    with Store(machine.data / "supernova.db") as store:
        return {row.id for row in store.read(lambda each: list(AttemptRow.select().execute(each)))}


def test_lost_machine(machine: Machine, tmp_path: Path) -> None:
    """A new machine has the ledger, the audit and the configuration, and the new key."""
    new = Machine(tmp_path / "new home", machine.disk)
    for name in (".supernova-passphrase", "work/new-key.txt"):
        shutil.copy(machine.home / name, new.home / name)
    said = new.run(commands("Lost machine"))
    for expected in (
        "restored the backup of",
        "the chain is intact",
        "the ledger is right",
        "added openai primary",
    ):
        assert expected in said
    assert new.key() == NEW_KEY
    assert attempts(new) == {"before"}
    yaml = "config/supernova.yaml"
    assert (new.work / yaml).read_bytes() == (machine.work / yaml).read_bytes()


def test_lost_master_key(machine: Machine) -> None:
    """The key of the backup opens the database, which keeps what was spent since."""
    machine.spend("after")
    (machine.data / "master.key").unlink()
    assert "the chain is intact" in machine.run(commands("Lost master key/With a backup"))
    assert machine.key() == KEY
    assert attempts(machine) == {"before", "after"}


def test_lost_master_key_without_a_backup(machine: Machine) -> None:
    """The new database has what was spent, and the new key."""
    (machine.data / "master.key").unlink()
    said = machine.run(commands("Lost master key/Without a backup"))
    assert "the copy has every row" in said
    assert machine.key() == NEW_KEY
    assert attempts(machine) == {"before"}


def test_lost_database(machine: Machine) -> None:
    """All of the backup is there again, with the configuration and the master key that stayed."""
    machine.spend("after")
    for file in machine.data.glob("supernova.db*"):
        file.unlink()
    said = machine.run(commands("Lost database"))
    assert "budgets do not know what was spent after" in said
    assert machine.key() == KEY
    assert attempts(machine) == {"before"}


def test_corrupt_database(machine: Machine) -> None:
    """The damaged file is kept, and the backup in its place."""
    file = machine.data / "supernova.db"
    file.write_bytes(b"not a database, " * 4096)
    machine.run(commands("Corrupt database"))
    assert machine.key() == KEY
    assert (machine.data / "broken" / "supernova.db").exists()


def test_leaked_key(machine: Machine) -> None:
    """The new key is in force, and what the old one did is listed; then everything is sealed anew."""
    said = machine.run(commands("Leaked key"))
    assert "key.revoked" in said
    assert machine.key() == NEW_KEY
    before = (machine.data / "master.key").read_text()
    machine.run(commands("Leaked key/If a backup and its passphrase leaked, all keys leaked."))
    assert machine.key() == NEW_KEY
    assert (machine.data / "master.key").read_text() != before


def test_what_budgets_do_not_know(machine: Machine) -> None:
    """Lines of the provider's export that belong to no attempt count in the budgets."""
    now = datetime.now(UTC).isoformat()
    (machine.work / "usage.csv").write_text(f"date,model,input,output,usd\n{now},gpt-6-luna,9,9,1.25\n")
    assert "booked 1 line" in machine.run(commands("What budgets do not know"))
    assert "1.25" in machine.run("supernova costs")
