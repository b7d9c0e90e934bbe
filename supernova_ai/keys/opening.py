"""Open the vault of a store: its master key from the sources, and the anchor of its audit."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

from supernova_ai.audit.anchor import Anchor, AnchorFile
from supernova_ai.config import data_folder
from supernova_ai.keys.master import MasterKey
from supernova_ai.keys.master_sources import anchor_entry, resolve
from supernova_ai.keys.vault import Vault
from supernova_ai.secret import Secret
from supernova_ai.store import Store

if TYPE_CHECKING:
    from keyring.backend import KeyringBackend

_TIMEOUT_S = 2.0
"""An operation waits no longer for the keyring to take its anchor."""


def open_vault(
    store: Store,
    *,
    environ: Mapping[str, str] = os.environ,
    explicit: MasterKey | None = None,
    create: bool = False,
    backend: KeyringBackend | None = None,
    anchored: bool = True,
) -> Vault:
    """Return the store's vault. The master key is looked for when it is first needed.

    Args:
        environ: names the sources of the master key, and the data folder, where an anchor is kept.
        explicit: the master key itself.
        create: create a master key in the keyring if there is none.
        backend: the keyring; None takes the one that ``keyring`` chooses.
        anchored: keep the end of the audit chain outside the database too.
    """

    def anchor(kind: str | None) -> Anchor:
        folder = data_folder(environ) / "anchors"
        place = _AnchorKeyring(store, backend) if kind == "keyring" else AnchorFile(folder / store.id)
        return Anchor(place, folder / f"{store.id}.lock")

    def master() -> MasterKey:
        return resolve(store, explicit=explicit, environ=environ, backend=backend, create=create)

    return Vault(store, master, anchor=anchor if anchored else None)


class _AnchorKeyring:
    name = "the keyring"

    def __init__(self, store: Store, backend: KeyringBackend | None) -> None:
        self._entry = anchor_entry(store, backend=backend, timeout=_TIMEOUT_S)

    def get(self) -> str | None:
        text = self._entry.get()
        return text.reveal() if text else None

    def set(self, text: str) -> None:
        self._entry.set(Secret(text))
