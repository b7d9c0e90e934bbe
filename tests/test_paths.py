"""Validation of the database path or URL, and private folders."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from supernova_ai.config import Config
from supernova_ai.errors import StoreError
from supernova_ai.paths import database_fault, private_folder
from supernova_ai.store import Store

PASSWORD = "SecretPart"


@pytest.mark.parametrize(
    ("where", "why"),
    [
        ("", "it is empty"),
        (" ", "it is empty"),
        ("a\0b.db", "a control character"),
        ("a\nb.db", "a control character"),
        (":memory:", "lost when the process ends"),
        ("sqlite:///:memory:", "lost when the process ends"),
        ("file:x?mode=memory", "lost when the process ends"),
        ("sqlite://rel.db", "write its path, without sqlite://"),
        ("sqlite:///", "write its path, without sqlite://"),
        ("${DB_URL}", "variables are not expanded"),
        ("$DB_URL", "variables are not expanded"),
        ("postgresql://nova:${PW}@db/nova", "variables are not expanded"),
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
        "postgresql://db/nova",
        "postgres://nova:p%40ss$word@db:5432/nova?sslmode=require",
        "postgresql:///nova?host=/run/postgresql&password=a@b",
    ],
)
def test_a_valid_database_has_no_fault(where: str) -> None:
    """Paths and all forms of PostgreSQL URLs are valid."""
    assert database_fault(where) is None


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
