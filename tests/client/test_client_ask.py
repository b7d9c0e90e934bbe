"""``ask`` answers any prompt of the library, and ``store`` opens without a model."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from supernova_ai import InvalidRequest, StoreError, Supernova
from supernova_ai.testing import StubProvider
from tests import clients


async def test_a_prompt_is_asked_by_name(nova: Supernova, stub: StubProvider, path: Path) -> None:
    """Values are checked, None means not given, and the attempt has the name and hash of the prompt."""
    template = nova.template("summary")
    values = dict(template.example) | {"unheard_of": None}
    reply = await nova.ask("summary", values, user_id="ann", tier="standard")
    assert reply.content == "Diversify, always."
    (row,) = clients.attempts(path)
    assert (row.prompt_name, row.prompt_hash, row.user) == ("summary", template.hash, "ann")
    with pytest.raises(InvalidRequest, match="there is no prompt 'poem'"):
        await nova.ask("poem", {})
    with pytest.raises(InvalidRequest, match="unheard_of is not one of its variables"):
        await nova.ask("summary", dict(template.example) | {"unheard_of": "x"})
    assert len(stub.chats) == 1


async def test_store_is_that_of_calls(nova: Supernova) -> None:
    """``store()`` returns the store that calls use; closing the client closes it."""
    store = nova.store()
    await nova.chat("What now?", tier="standard")
    assert nova.store() is store
    nova.close()
    assert store.closed
    nova.close()


def test_the_store_needs_no_litellm(tmp_path: Path) -> None:
    """With ``preload=False`` the store opens and closes without importing LiteLLM."""
    program = (
        "import sys; from supernova_ai import Supernova\n"
        f"nova = Supernova({str(tmp_path / 'supernova.yaml')!r}, preload=False)\n"
        "nova.store().read(lambda database: None); nova.close()\n"
        "sys.exit('litellm' in sys.modules)"
    )
    (tmp_path / "supernova.yaml").write_text(f"database: {tmp_path / 'nova.db'}\n")
    assert subprocess.run([sys.executable, "-c", program], cwd=tmp_path, check=False).returncode == 0


def test_store_that_cannot_be_opened_is_an_error(nova: Supernova) -> None:
    """Every call raises the error, and the client can be closed."""
    broken = Supernova(nova.config.model_copy(update={"database": "/dev/null/x/nova.db"}))
    for _ in range(2):
        with pytest.raises(StoreError, match="/dev/null"):
            broken.store()
    broken.close()
