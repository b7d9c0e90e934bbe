"""No text of one user ever reaches another: not in a prompt, a reply, a piece of advice or an export."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable, Iterable
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from supernova_ai import InvalidRequest, Reply, Supernova, aadvise
from supernova_ai.advisor.bars import load_csv
from supernova_ai.testing import Received, StubProvider
from supernova_ai.upkeep import privacy
from tests import clients
from tests.advisor.sample_advice import CSV

# Ids that would be one if user and session were joined carelessly, and calls without a user.
USERS: tuple[str | None, ...] = ("a", "a:b", "a/b", "A", "%", None)
SESSIONS = ("c", "b:c", "b/c", "%", None)

BARS = load_csv(CSV)
TIERS = ("economy", "standard", "premium")

_CANARY = re.compile(r"canary(\d)x\d+y")
_ANSWER = re.compile(r"answer(\d+)z")


class Call(NamedTuple):
    """One call: by which user, in which session, and whether its text is the same for every user."""

    kind: str
    user: int
    session: str | None
    shared: bool


KINDS = ("chat", "chat", "stream", "analyze", "ask", "quote", "advise", "forget", "together")
CALLS = st.lists(
    st.builds(
        Call,
        st.sampled_from(KINDS),
        st.integers(0, len(USERS) - 1),
        st.sampled_from(SESSIONS),
        st.booleans(),
    ),
    min_size=4,
    max_size=16,
)


class Users:
    """Makes calls for several users of one client, and notes whose text was seen where."""

    def __init__(self, nova: Supernova, stub: StubProvider) -> None:
        self._nova = nova
        self._stub = stub
        self._numbers = count()
        self._caller: int | None = None  # None: several at once
        self._asked_by: dict[str, int] = {}  # who got the stub's answer
        self._mixed: list[str] = []  # prompts with the text of another user
        stub.reply = self._answer

    def _answer(self, request: Received) -> str:
        """Answer with a text of its own, and with everything that the prompt has of any user."""
        number = str(next(self._numbers))
        prompt = json.dumps(request.body)
        named = {int(owner) for owner in _CANARY.findall(prompt)}
        caller = min(named) if self._caller is None else self._caller
        if named - {caller}:
            self._mixed.append(prompt)  # not raised here, on the thread of the stub
        self._asked_by[number] = caller
        return f"answer{number}z. You said: {' '.join(found[0] for found in _CANARY.finditer(prompt))}."

    async def make(self, calls: Iterable[Call]) -> None:
        for call in calls:
            if call.kind == "together":
                self._caller = None
                await asyncio.gather(
                    *(self._make("chat", user, call.session, shared=False) for user in range(len(USERS)))
                )
            else:
                self._caller = call.user
                await self._make(call.kind, call.user, call.session, shared=call.shared)

    async def _make(self, kind: str, user: int, session: str | None, *, shared: bool) -> None:
        nova, whose = self._nova, {"user_id": USERS[user], "session_id": session}
        text = "What now?" if shared else f"canary{user}x{next(self._numbers)}y: what now?"
        options: dict[str, Any] = {**whose, "task": "chat"}
        got: object = None
        match kind:
            case "chat":
                got = await nova.chat(text, **options)
            case "stream":
                async with nova.stream(text, **options) as stream:
                    got = [token async for token in stream]
            case "analyze":
                got = await nova.analyze(text, **options)
            case "ask":
                got = await nova.ask("chat", {"message": text}, **options)
            case "quote":
                got = await nova.quote(text, **options)
            case "advise":
                got = await aadvise(BARS, symbol="AAPL", news=text, user_id=USERS[user], client=nova)
            case "forget" if session is not None:
                await nova.forget(session, user_id=USERS[user])
        self.check(user, "".join(got) if isinstance(got, list) else _text(got))

    def check(self, user: int, text: str) -> None:
        """Check that the text, and every prompt so far, has nothing of any other user."""
        assert self._mixed == []
        assert {int(owner) for owner in _CANARY.findall(text)} <= {user}, text
        assert {self._asked_by[number] for number in _ANSWER.findall(text)} <= {user}, text

    def check_exports(self, folder: Path) -> None:
        """Check that the export of each user has only their own text."""
        vault = clients.vault_of(self._nova.store())
        for user, name in enumerate(USERS):
            try:
                found = privacy.export_user(vault, name or "", folder=folder)
            except InvalidRequest:  # there is nothing of this user
                continue
            assert name is not None, "calls without a user are nobody's"
            self.check(user, json.dumps(found, default=repr))


def _text(got: object) -> str:
    return got.content if isinstance(got, Reply) else repr(got)


@pytest.mark.proof
@pytest.mark.parametrize("cache", ["off", "memory", "disk"])
def test_no_user_gets_text_of_another(cache: str, stub_provider: Callable[..., StubProvider]) -> None:
    """Random calls of users with similar ids in sessions with similar names, with and without a cache."""
    stub = stub_provider("")

    @settings(max_examples=5, derandomize=False)
    @given(CALLS)
    def check(calls: list[Call]) -> None:
        with TemporaryDirectory() as folder:
            path = Path(folder, "supernova.db")
            config = clients.configure(
                path,
                {"openai": {"url": stub.url, "models": dict.fromkeys(TIERS, "gpt-4o-mini")}},
                sessions={"history": True, "tokens": 1000},
                cache={"type": cache},
                budgets=[],
            )
            nova = Supernova(config, master=clients.MASTER)
            try:
                users = Users(nova, stub)
                asyncio.run(users.make(calls))
                users.check_exports(Path(folder, "archive"))
            finally:
                nova.close()

    check()


def test_a_shared_answer_would_be_found(stub_provider: Callable[..., StubProvider], tmp_path: Path) -> None:
    """The check finds what it is for: with a shared cache, users do get each other's answers."""
    stub = stub_provider("")
    config = clients.configure(
        tmp_path / "supernova.db", {"openai": stub.url}, cache={"type": "memory", "shared": True}
    )
    nova = Supernova(config, master=clients.MASTER)
    try:
        users = Users(nova, stub)
        same = [Call("chat", user, None, shared=True) for user in (0, 1)]
        with pytest.raises(AssertionError, match="answer"):
            asyncio.run(users.make(same))
    finally:
        nova.close()
