"""The demo of an outage: of two models on this machine, one fails during an answer and recovers."""

from __future__ import annotations

import asyncio
import secrets
import tempfile
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

import yaml

from supernova_ai import health
from supernova_ai.client import Supernova
from supernova_ai.demo.local_model import LocalModel, LocalProcess
from supernova_ai.keys import MasterKey, Vault
from supernova_ai.secret import Secret
from supernova_ai.store import Store
from supernova_ai.terminal import health_tables
from supernova_ai.terminal.output import Terminal
from supernova_ai.types import Reply

_QUESTION = "Explain to a new investor what diversification is and why it matters."
_DATABASE = "demo.db"
_COOLDOWN_S = 6
_PAUSE_S = 0.5


def run(console: Terminal) -> None:
    """Show a stream that survives its provider, and a circuit breaker that opens and closes.

    Raises:
        ExtraMissing: the ``local`` extra is not installed.
    """
    keys = {"openai": f"sk-demo-{secrets.token_hex(16)}", "huggingface": f"hf_{secrets.token_hex(16)}"}
    console.print("[bold]SuperNova AI demo: an outage[/] — two real models on this machine.")
    with (
        tempfile.TemporaryDirectory(prefix="supernova-demo-") as folder,
        LocalModel(api_keys=list(keys.values())) as second,
    ):
        first = LocalProcess(api_keys=list(keys.values()))
        path = _write_config(Path(folder), {"openai": first.url, "huggingface": second.url})
        master = MasterKey.of(secrets.token_bytes(32))
        with Store(path.with_name(_DATABASE)) as store:
            vault = Vault(store, master)
            for provider, key in keys.items():
                vault.add(provider, "primary", Secret(key))
        console.print("Watch it from another terminal:")
        console.print(f"  supernova health --watch --config {path}", highlight=False, soft_wrap=True)
        console.print("\n[dim]Loading LiteLLM takes a few seconds …[/]\n")
        asyncio.run(_Outage(path, master, keys["openai"], first, console).run())


class _Outage:
    """The steps of the demo, in one event loop."""

    def __init__(
        self, path: Path, master: MasterKey, key: str, model: LocalProcess, console: Terminal
    ) -> None:
        self._path = path
        self._master = master
        self._key = key
        self._model = model
        self._port = int(urlsplit(model.url).port or 0)
        self._console = console

    async def run(self) -> None:
        async with Supernova(self._path, master=self._master) as nova:
            await nova.warm_up()
            await self._ask(nova, "Both providers are healthy: the first answers.")
            await self._ask(
                nova, "The first fails during its answer: the second continues where it stopped.", kill=True
            )
            await self._ask(nova, "The first is down: the second answers.")
            self._show_health()  # at once, during the cooldown
            for _ in range(2):
                await self._ask(nova, "The first is in cooldown: only the second is asked.")
            self._model = LocalProcess(api_keys=[self._key], port=self._port)
            self._console.print(f"[dim]The first is back; its cooldown ends in {_COOLDOWN_S} s …[/]\n")
            await asyncio.sleep(_COOLDOWN_S)
            await self._ask(nova, "One request tests the first, and its circuit breaker closes.")
            self._show_health()
        self._model.kill()

    async def _ask(self, nova: Supernova, title: str, *, kill: bool = False) -> None:
        self._console.print(f"[bold cyan]{title}[/]")
        async with nova.stream(_QUESTION, max_tokens=40) as tokens:
            count = 0
            async for token in tokens:
                self._console.print(token, end="", markup=False, highlight=False, soft_wrap=True)
                count += 1
                if kill and count == 10:
                    self._model.kill()
                    self._console.print("[bold red] ✂ [/]", end="")
        self._console.print(_footer(tokens.reply))
        await asyncio.sleep(_PAUSE_S)

    def _show_health(self) -> None:
        with Store(self._path.with_name(_DATABASE)) as store:
            now_ms = store.now_ms()
            rows = store.read(lambda database: health.deployments(database, now_ms=now_ms))
        self._console.print(health_tables.deployments("Health", rows, now_ms=now_ms))


def _write_config(folder: Path, urls: Mapping[str, str]) -> Path:
    def provider(url: str) -> dict[str, object]:
        return {
            "api_base": f"{url}/v1",
            "models": {"standard": LocalModel.name},
            "keys": ["primary"],
            "prices": {LocalModel.name: {"input": 0.15, "output": 0.60}},
        }

    path = folder / "demo.yaml"
    config = {
        "database": str(folder / _DATABASE),
        "providers": {name: provider(url) for name, url in urls.items()},
        "routing": {
            "priority": list(urls),
            "breaker": {"failures": 2, "cooldown": _COOLDOWN_S},
        },
    }
    path.write_text(yaml.safe_dump(config), encoding="utf-8")
    return path


def _footer(reply: Reply) -> str:
    attempts = " → ".join(f"{a.provider} ({a.error or 'answered'})" for a in reply.attempts)
    return f"\n[dim]— {attempts}; {reply.latency_s:.2f} s[/]\n"
