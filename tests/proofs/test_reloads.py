"""Reloads: hundreds leave nothing behind, and a thousand damaged files never harm a client."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest
import yaml

from supernova_ai import ConfigError, ProviderError, Supernova
from supernova_ai.config import Config
from supernova_ai.testing import Failure, StubProvider
from tests import clients
from tests.processes import resident_bytes

pytestmark = pytest.mark.proof

Open = Callable[..., Supernova]
Stub = Callable[..., StubProvider]

RELOADS = 300
MUTATIONS = 1000


def held() -> tuple[int, int]:
    """Return how many threads and open files this process has."""
    return threading.active_count(), len(list(Path("/proc/self/fd").iterdir()))


async def test_reloads_leave_nothing_behind(warm: set[str], open_nova: Open, stub_provider: Stub) -> None:
    """Providers, budgets and the cache come and go: memory, threads, tasks and sockets stay as they were."""
    url = stub_provider("Diversify.").url
    nova = open_nova(dict.fromkeys(clients.PROVIDERS, url))
    plain = nova.config.model_dump() | {"database": nova.config.database}
    names = list(plain["providers"])
    configs = [
        Config.model_validate(
            {
                **plain,
                "providers": {name: plain["providers"][name] for name in names[: 1 + turn]},
                "routing": plain["routing"] | {"priority": names[: 1 + turn], "retries": turn},
                "budgets": [{"name": f"b{turn}", "limit": 50, "per": "day"}],
                "cache": {"type": ("off", "memory", "disk")[turn]},
            }
        )
        for turn in range(3)
    ]

    async def turns(count: int) -> None:
        for turn in range(count):
            await nova.reload(configs[turn % 3])
            if turn % 10 == 0:
                await nova.chat(f"What now? {turn}")

    await turns(30)
    before, memory = held(), resident_bytes()
    await turns(RELOADS)
    # A pool may have got a few more threads; what each reload left would be hundreds.
    assert [now <= then + RELOADS / 20 for now, then in zip(held(), before, strict=True)] == [True, True]
    assert clients.tasks_of(nova) <= {"Prober.run", "LoggingWorker._worker_loop"}
    assert resident_bytes() - memory < RELOADS * 20_000


async def test_what_was_learnt_survives_reloads(open_nova: Open, stub_provider: Stub) -> None:
    """Cooldowns, statistics, rate limits and spending are the same after many reloads."""
    bad, good = stub_provider(Failure(500)), stub_provider("Diversify.")
    routing = {"breaker": {"failures": 1, "cooldown": 600}}
    nova = open_nova({"openai": bad.url, "anthropic": good.url}, routing=routing)
    plain = nova.config.model_dump() | {"database": nova.config.database}
    plain["providers"]["anthropic"]["limits"] = {"rpm": 2}
    limited = [Config.model_validate({**plain, "streaming": streaming}) for streaming in (False, True)]
    await nova.reload(limited[0])
    await nova.warm_up()
    nova._runtime.engine._limits._clock = lambda: 0.0  # its minute does not end during the test
    await nova.chat("What now?")
    monitor = nova._runtime.engine.monitor
    seen = {name: monitor.stats.of(name).last_seen for name in nova._runtime.engine._deployments}
    for turn in range(50):
        await nova.reload(limited[turn % 2])
    assert {name: monitor.stats.of(name).last_seen for name in seen} == seen
    await nova.chat("What now?")
    assert (len(bad.chats), len(good.chats)) == (1, 2)
    with pytest.raises(ProviderError):
        await nova.chat("What now?", timeout=1)
    assert len(good.chats) == 2


TEXT = """\
environment: development   # which
streaming: false
database: {database}
providers:
  openai:
    api_base: '{url}/v1'
    models: {{standard: gpt-4o-mini}}
    keys: []
    timeout: {{connect: 5, total: 60}}
routing:
  priority: [openai]
  retries: 0   # none
  tasks: {{chat: standard}}
budgets:
  - {{name: daily, limit: 50.00, per: day}}
  - name: monthly
    limit: "1000"
    per: month
alerts:
  thresholds: [50, 80, 95]
jobs: {{time_zone: UTC}}
"""

SCALARS = [
    "null",
    "true",
    "7",
    "-1",
    "0x10",
    "1:30",
    "''",
    "[]",
    "{}",
    "~",
    "*a",
    "&a b",
    "!!str 7",
    "'x",
    ".nan",
]
PIECES = ["\t", "\x00", "\ufeff", ":", "- ", "{", "]", "#", "'", '"', "|\n", "---\n", "é", "\r", "\U0001f600"]


def mutated(text: str, chance: Random) -> bytes:
    """Return the text with one mistake: in its bytes, its lines, its tokens or its types."""
    lines = text.splitlines(keepends=True)
    at, other = chance.randrange(len(lines)), chance.randrange(len(lines))
    place = chance.randrange(len(text))
    match chance.randrange(9):
        case 0:  # one byte is another
            data = bytearray(text.encode())
            data[chance.randrange(len(data))] = chance.randrange(256)
            return bytes(data)
        case 1:  # cut off
            return text[:place].encode()
        case 2:
            lines.insert(other, lines[at])
        case 3:
            del lines[at]
        case 4:
            lines[at], lines[other] = lines[other], lines[at]
        case 5:
            lines[at] = " " * chance.randrange(1, 5) + lines[at]
        case 6:
            lines[at] = lines[at].lstrip()
        case 7:
            name, colon, _ = lines[at].partition(":")
            lines[at] = f"{name}{colon or ':'} {chance.choice(SCALARS)}\n"
        case _:
            lines = [text[:place], chance.choice(PIECES), text[place:]]
    return "".join(lines).encode()


def leaves(tree: Any, at: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    if isinstance(tree, dict):
        return [path for name, value in tree.items() for path in leaves(value, (*at, str(name)))] or [at]
    return [at]


def holds(config: Any, path: tuple[str, ...]) -> bool:
    for step in path:
        if not isinstance(config, dict) or step not in config:
            return False
        config = config[step]
    return True


def test_damaged_files_never_harm_a_client(tmp_path: Path, stub_provider: Stub, seed: int) -> None:
    """Of a thousand damaged files each is refused with its reason, or every setting in it is in force."""
    chance = Random(seed)
    file = tmp_path / "supernova.yaml"
    text = TEXT.format(database=tmp_path / "supernova.db", url=stub_provider("Diversify.").url)
    file.write_text(text)
    nova = Supernova(file, master=clients.MASTER)
    assert asyncio.run(nova.chat("What now?")).content == "Diversify."
    refused = 0
    for _ in range(MUTATIONS):
        content = mutated(text, chance)
        file.write_bytes(content)
        before = nova.config
        try:
            asyncio.run(nova.reload())
        except ConfigError:
            refused += 1
            assert nova.config is before
        else:
            tree = yaml.load(content, Loader=yaml.BaseLoader)
            config = nova.config.model_dump()
            assert [path for path in leaves(tree) if not holds(config, path)] == [], content.decode()
    assert MUTATIONS / 3 < refused < MUTATIONS
    file.write_text(text)
    asyncio.run(nova.reload())
    assert asyncio.run(nova.chat("And now?")).content == "Diversify."
    nova.close()
