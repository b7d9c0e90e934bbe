"""Validation of the database path or URL, and private folders."""

from __future__ import annotations

import grp
import os
import pwd
from pathlib import Path
from types import SimpleNamespace

import pytest

from supernova_ai.config import Config
from supernova_ai.errors import StoreError
from supernova_ai.paths import access_fault, database_fault, private_folder
from supernova_ai.store import Store
from supernova_ai.store.database import without_password

PASSWORD = "SecretPart"


@pytest.mark.parametrize(
    ("where", "why"),
    [
        ("", "it is empty"),
        (" ", "it is empty"),
        ("a\0b.db", "a control character"),
        ("a\nb.db", "a control character"),
        (":memory:", "lost when the process ends"),
        ("/dev/null", "/dev/null is a device or a pipe"),
        ("file:x.db?mode=ro", "without file: and parameters"),
        ("sqlite:///tmp/a.db", "the relative path tmp/a.db, so write that, or /tmp/a.db"),
        ("sqlite:///:memory:", "lost when the process ends"),
        ("file:x?mode=memory", "lost when the process ends"),
        ("sqlite://rel.db", "write its path, without sqlite://"),
        ("sqlite:///", "write its path, without sqlite://"),
        ("${DB_URL}", "variables are not expanded"),
        ("$DB_URL", "variables are not expanded"),
        ("postgresql://nova:${PW}@db/nova", "variables are not expanded"),
        (f"host=db user=nova password={PASSWORD} dbname=nova", "write a connection string as such a URL"),
        (f" password = '{PASSWORD}'", "write a connection string as such a URL"),
        ("mysql://db/nova", "no driver for this scheme"),
        (f"postgresql://nova:My@{PASSWORD}@db/nova", "such as %40 for @"),
        (f"postgresql://nova:My/{PASSWORD}@db/nova", "such as %40 for @"),
        (f"postgresql://nova:My#{PASSWORD}@db/nova", "such as %40 for @"),
        (f"postgresql://nova:My?{PASSWORD}@db/nova", "such as %40 for @"),
    ],
)
def test_an_invalid_database_is_refused(
    where: str, why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The configuration and the store refuse it; nothing is created, and the error shows no password."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(StoreError, match="'database' must be a file") as raised:
        Store(where)
    assert why in str(raised.value)
    with pytest.raises(ValueError, match="must be a file") as refused:
        Config.model_validate({"database": where})
    assert PASSWORD not in f"{raised.value} {refused.value}"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "where",
    [
        "supernova.db",
        "/var/lib/a$b/nova.db",
        "sqlite:////var/lib/nova.db",
        "sqlite:///nova.db",
        "nova/a=b.db",
        "postgresql://db/nova",
        "postgres://nova:p%40ss$word@db:5432/nova?sslmode=require",
        "postgresql:///nova?host=/run/postgresql&password=a@b",
    ],
)
def test_a_valid_database_has_no_fault(where: str) -> None:
    """Paths and all forms of PostgreSQL URLs are valid."""
    assert database_fault(where) is None


@pytest.mark.parametrize(
    ("where", "shown"),
    [
        (f"postgresql://ann:{PASSWORD}@db:5432/nova?sslmode=require", "postgresql://db:5432/nova"),
        (f"postgresql://db/nova?user=ann&password=My@{PASSWORD}", "postgresql://db/nova"),
        (f"postgresql://ann@db/nova?password=My@{PASSWORD}&sslmode=require", "postgresql://db/nova"),
        (f"postgresql://db?password=My/{PASSWORD}", "postgresql://db"),
        (f"postgresql://ann:{PASSWORD}#a?{PASSWORD}@db/nova", "postgresql://db/nova"),
    ],
)
def test_no_part_of_a_password_is_shown(where: str, shown: str) -> None:
    """Messages show the address of a valid database; neither they nor the settings show its password."""
    assert database_fault(where) is None
    assert without_password(where) == shown
    assert PASSWORD not in str(Config.model_validate({"database": where}).shown())


def test_every_created_folder_is_private(tmp_path: Path) -> None:
    """Created parents are private too, whatever the umask; existing folders do not change."""
    above = tmp_path / "there"
    above.mkdir(mode=0o755)
    before = os.umask(0)
    try:
        private_folder(above / "home" / "archive")
        private_folder(above / "home" / "archive")
    finally:
        os.umask(before)
    modes = [path.stat().st_mode & 0o777 for path in (above, above / "home", above / "home" / "archive")]
    assert modes == [0o755, 0o700, 0o700]
    (above / "file").touch()
    with pytest.raises(FileExistsError):
        private_folder(above / "file")


def test_a_group_of_one_user_may_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Many systems give each user a group, and every file its group the right to write."""
    file = tmp_path / "file"
    file.touch()
    file.chmod(0o664)
    monkeypatch.setattr(pwd, "getpwuid", lambda _: SimpleNamespace(pw_name="ann"))
    monkeypatch.setattr(grp, "getgrgid", lambda _: SimpleNamespace(gr_name="ann", gr_mem=[]))
    assert access_fault(file, private=False) is None
    monkeypatch.setattr(grp, "getgrgid", lambda _: SimpleNamespace(gr_name="ann", gr_mem=["bob"]))
    fault = access_fault(file, private=False)
    assert fault
    assert fault.remedy == f"chmod 644 {file}"


def test_a_file_that_is_mounted_read_only_is_as_its_mounter_wants(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Containers mount settings of the host's users; a file with secrets must be private all the same."""
    file = tmp_path / "file"
    file.touch()
    file.chmod(0o666)
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    monkeypatch.setattr(os, "statvfs", lambda _: SimpleNamespace(f_flag=os.ST_RDONLY))
    assert access_fault(file, private=False) is None
    assert access_fault(file, private=True) is not None


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make files of root")
def test_a_service_may_read_a_file_of_root_through_its_group(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Settings with a password belong to root and have mode 0640, with the group of the service."""
    file = tmp_path / "file"
    file.touch()
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    file.chmod(0o640)
    assert access_fault(file, private=True) is None
    file.chmod(0o644)
    fault = access_fault(file, private=True)
    assert fault
    assert fault.mode == 0o640
