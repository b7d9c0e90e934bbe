from __future__ import annotations

import copy
import json
import pickle
import sqlite3
import traceback
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from peewee import Database

from supernova_ai.audit import chain as audit
from supernova_ai.errors import (
    KeyCorrupt,
)
from supernova_ai.keys import MasterKey, Vault
from supernova_ai.secret import Secret
from supernova_ai.store import Store

CANARY = "sk-canary-7f3a9d5e1b"


def shown(value: Any) -> str:
    """The output of every usual way to show an object."""
    ways: list[Callable[[Any], object]] = [
        repr,
        str,
        lambda it: f"{it:}",
        lambda it: f"{it!r:>40}",
        vars,
        json.dumps,
        lambda it: json.dumps(it, default=str),
        lambda it: json.dumps(it, default=vars),
        pickle.dumps,
        copy.deepcopy,
        lambda it: [getattr(it, name, None) for name in getattr(it, "__slots__", ()) if name != "_text"],
    ]
    texts = []
    for way in ways:
        try:
            texts.append(repr(way(value)))
        except (TypeError, ValueError) as error:
            texts.append(str(error))
    return "\n".join(texts)


def test_canary_shows_nowhere(store: Store, path: Path, tmp_path: Path) -> None:
    """A key that was added, opened and removed is in no database file and in no object's output."""
    raw = bytes(range(100, 132))
    master = MasterKey.of(raw)
    vault = Vault(store, master)
    info = vault.add("openai", "primary", Secret(CANARY))
    sealed = store.read(lambda database: vault.find(database, "openai", "primary"))
    assert sealed is not None
    opened = vault.open(sealed)
    things: list[object] = [master, vault, info, sealed, opened, vault.verify_audit(), *vault.audit_events()]
    texts = [shown(thing) for thing in things]
    vault.remove("openai", "primary")

    files = [file.read_bytes() for file in tmp_path.iterdir() if file.is_file()]
    assert path.with_name(path.name + "-wal").exists()
    assert opened.reveal() == CANARY
    forms = (CANARY.upper(), CANARY.encode().hex(), b64encode(CANARY.encode()).decode())
    for secret in (CANARY, CANARY[3:], CANARY[::-1], *forms, raw.hex(), repr(raw)):
        assert not any(secret in text for text in texts)
        assert not any(secret.encode() in content for content in files)
    assert not any(raw in content for content in files)


def test_traceback_with_locals_shows_no_key(
    vault: Vault, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When adding or opening a key fails, a traceback with local variables does not show it."""
    secret = Secret(CANARY)

    def fail(database: Database, *_: object, **__: object) -> None:
        raise RuntimeError("in the middle")

    errors: list[BaseException] = []
    with monkeypatch.context() as patch:
        patch.setattr(audit.Chain, "append", fail)
        with pytest.raises(RuntimeError) as failed:
            vault.add("openai", "primary", secret)
        errors.append(failed.value)
    vault.add("openai", "primary", secret)
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE api_key SET slot = 'backup'")
    connection.close()
    with pytest.raises(KeyCorrupt) as corrupt:
        vault.reveal("openai", "backup")
    errors.append(corrupt.value)
    for error in errors:
        text = "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format())
        assert "provider = 'openai'" in text
        assert CANARY not in text
