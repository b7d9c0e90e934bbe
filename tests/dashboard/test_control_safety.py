"""Who may use a control, what is refused, and the process in which controls run."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from supernova_ai.alerts.outbox import list_alerts
from supernova_ai.dashboard.access import Role
from supernova_ai.dashboard.controls import CONTROLS
from supernova_ai.dashboard.controls.confirmations import VALID_S, Confirmations
from supernova_ai.dashboard.controls.control import Answer, Call
from supernova_ai.secret import Secret
from tests.dashboard.conftest import SignIn
from tests.dashboard.control_panel import Panel, put_alerts, text_of, token_of
from tests.dashboard.test_dashboard_pages import XSS

KEY = "sk-test-0123456789abcdef"


@pytest.fixture
def where(path: Path) -> str:
    return str(path)


def test_roles(panel: Panel) -> None:
    """A lower role gets no form, no link to it, and nothing done, with the token of its session too."""
    put_alerts(panel.store, "backup")
    panel.vault.add("openai", "primary", Secret(KEY))
    panel.set(dashboard={"try_prompts": True})
    for limit in ("70", "80"):  # two versions, so that one can come back
        panel.visitor().do("budget", budget="daily", limit=limit)
    before = panel.state()
    for role in Role:
        visitor = panel.visitor(role)
        pages = "".join(visitor.browser.get(f"/{name}").text for name in ("now", "money", "keys"))
        for name, control in CONTROLS.items():
            allowed = role >= control.role
            if control.page != "keys" or role > Role.VIEWER:
                assert (f'href="/control/{name}' in pages) == allowed, (role, name)
            if not allowed:
                assert [visitor.open(name).status_code, visitor.send(name).status_code] == [403, 403]
    assert panel.state() == before


def test_forms_of_others(panel: Panel, sign_in: SignIn) -> None:
    """Every control is refused without a session, and without the token of its forms."""
    before = panel.state()
    visitor, other = panel.visitor(), panel.visitor()
    stranger = panel.visitor().browser
    stranger.cookies.clear()
    for name in CONTROLS:
        for csrf in ("", "forged", other.csrf):
            assert visitor.send(name, csrf=csrf, job="verify").status_code == 403
        assert visitor.browser.post(f"/control/{name}").status_code == 403
        assert stranger.post(f"/control/{name}", data={"csrf": visitor.csrf}).status_code == 401
        assert stranger.get(f"/control/{name}").status_code == 401
    assert visitor.browser.put("/control/job", data={"csrf": visitor.csrf}).status_code == 405
    assert visitor.open("none").status_code == 404
    assert panel.state() == before
    assert "/control/" not in sign_in().get("/now").text  # a dashboard without controls


def test_only_what_was_shown_is_confirmed(panel: Panel) -> None:
    """A confirmation is of one user and one control, and works once; without one nothing is done."""
    before, visitor = panel.state(), panel.visitor()
    page = visitor.send("budget", budget="daily", limit="75")
    for wrong in ("", "forged", "é"):
        answer = visitor.send("budget", budget="daily", limit="75", confirmed=wrong)
        assert answer.status_code in (200, 409)
    assert visitor.send("provider", confirmed=token_of(page)).status_code == 409
    assert visitor.confirm("budget", page).status_code == 409
    page = visitor.send("budget", budget="daily", limit="76")
    form = visitor.confirm("budget", page, change="yes")
    assert 'name="limit" value="76"' in form.text
    assert panel.state() == before
    visitor.do("budget", budget="daily", limit="76")
    assert panel.loaded.config.budgets[0].limit == 76


def test_confirmations_end() -> None:
    """A confirmation waits for some minutes, for its user; the oldest of very many is forgotten."""
    now = [0.0]
    waiting = Confirmations(lambda: now[0])
    call, answer = Call("job", "ann", "plan", {}), Answer(plan=("a",), values={"job": "verify"})
    first, second, third = (waiting.keep(call, answer) for _ in range(3))
    confirmed = waiting.take(first, "job", "ann")
    assert confirmed
    assert (confirmed.step, confirmed.shown, confirmed.values) == ("do", ("a",), {"job": "verify"})
    assert waiting.take(first, "job", "ann") is None
    assert waiting.take(second, "job", "ben") is None
    now[0] = VALID_S
    assert waiting.take(third, "job", "ann") is None
    oldest, *_ = [waiting.keep(call, answer) for _ in range(101)]
    assert waiting.take(oldest, "job", "ann") is None


FULL: dict[str, dict[str, str]] = {
    "acknowledge": {"alert": "1"},
    "provider": {"provider": "openai", "enabled": "false"},
    "budget": {"budget": "daily", "limit": "75"},
    "price": {"model": "openai/gpt-4o-mini", "input": "1", "output": "2", "cached_input": ""},
    "setting": {"key": "routing.retries", "value": "3"},
    "file": {"text": "streaming: true", "before": "0" * 64},
    "rollback": {"version": "1"},
    "rotate": {
        "provider": "openai",
        "slot": "primary",
        "key": "sk-test-1111111111111111",
        "grace": "600",
        "confirm": "yes",
    },
    "revoke": {"key": "openai/primary"},
    "job": {"job": "verify"},
    "prompt": {"message": "What now?", "tier": "", "model": "openai/gpt-4o-mini", "max_tokens": "100"},
}
"""What each control takes."""


LONG, NUL = "x" * 1_000_000, "a\0b"
SURROGATE = "\ud800".encode("utf-8", "surrogatepass")
HOSTILE = [XSS, "../../etc/passwd", "[", "", NUL, SURROGATE]
FREE = {"message", "key", "value", "text"}
"""Fields that may have any text, if it is not too long."""
OPTIONAL = {("price", "cached_input"), ("prompt", "tier"), ("prompt", "model")}


def test_hostile_values(panel: Panel) -> None:
    """In any field, each is a clear error that repeats no markup, and changes nothing."""
    assert FULL.keys() == CONTROLS.keys()
    put_alerts(panel.store, "backup")
    panel.vault.add("openai", "primary", Secret(KEY))
    panel.set(dashboard={"try_prompts": True})
    visitor = panel.visitor()
    before = panel.state()
    for name, full in FULL.items():
        for field in full:
            for hostile in [LONG, NUL] if field in FREE else HOSTILE:
                if hostile == "" and (name, field) in OPTIONAL:
                    continue
                answer = visitor.send(name, **{**full, field: hostile})
                assert answer.status_code == 400, (name, field, str(hostile)[:20], text_of(answer)[:300])
                assert 'class="problem"' in answer.text
                assert "the log has the reason" not in answer.text
                assert "<script>alert" not in answer.text
    assert panel.state() == before


def test_wrong_values(panel: Panel) -> None:
    """What the configuration does not allow is refused with its reason; secrets are not sent back."""
    visitor = panel.visitor()
    before = panel.state()
    for name, values, problem in (
        ("budget", {"budget": "daily", "limit": "-3"}, "budgets[0].limit"),
        ("budget", {"budget": "daily", "limit": "{a: 1}"}, "budgets[0].limit"),
        ("budget", {"budget": "daily", "limit": "50"}, "Nothing would change"),
        ("setting", {"key": "routing.retrys", "value": "3"}, "Did you mean 'retries'?"),
        ("setting", {"key": "routing.retries", "value": "99"}, "must be less than or equal to 10"),
        ("setting", {"key": "database", "value": "postgresql://ann:pw@db/nova"}, "password or token"),
        ("setting", {"key": "alerts", "value": "{notify: ['slack://tok/en/x']}"}, "password or token"),
        ("rotate", {**FULL["rotate"], "key": "no key"}, "The text is not a key of openai"),
    ):
        answer = visitor.send(name, **values)
        assert (answer.status_code, problem in text_of(answer)) == (400, True), text_of(answer)
        for secret in ("pw@db", "tok/en", "no key<"):
            assert secret not in answer.text
        assert panel.state() == before
    upload = visitor.browser.post(
        "/control/budget", data={"csrf": visitor.csrf}, files={"limit": ("x", b"1" * 100)}
    )
    assert (upload.status_code, "A file was sent" in upload.text) == (400, True)


def test_a_file_with_a_secret_is_not_shown(panel: Panel) -> None:
    """Neither a password nor the token of a URL comes to a page, also in a section of another environment."""
    text = panel.file.read_text()
    for secret in (
        "redis: redis://ann:hunter22@cache\n",
        "alerts: {notify: ['slack://tok/en/abc']}\n",
        "environments: {production: {alerts: {notify: ['json://tok/en/abc']}}}\n",
        f"logs: {{file: {KEY}}}\n",
    ):
        panel.file.write_text(text + secret)
        answer = panel.visitor().open("file")
        assert (answer.status_code, "is not shown, because" in text_of(answer)) == (400, True)
        assert not any(part in answer.text for part in ("hunter22", "tok/en", KEY))
    panel.file.write_text(text)
    visitor = panel.visitor()
    panel.file.write_text(text + "  - [\n")
    assert "is not YAML" in text_of(visitor.open("file"))


class Watched(ProcessPoolExecutor):
    """Tells when something runs."""

    submitted = threading.Event()

    def submit(self, *args: Any, **kwargs: Any) -> Future[Any]:
        future = super().submit(*args, **kwargs)
        self.submitted.set()
        return future


def test_the_process_of_the_controls(panel: Panel) -> None:
    """It is another one; if it is killed, that is an error, and the next control works."""
    put_alerts(panel.store, "backup", "probes")
    make = partial(Watched, 1, multiprocessing.get_context("spawn"))
    visitor = panel.visitor(make=make)
    page = visitor.open("acknowledge", alert="1")
    (worker,) = multiprocessing.active_children()
    assert worker.pid
    visitor.confirm("acknowledge", page)
    assert panel.audited("alerts.acknowledged").subject == "1"
    with ThreadPoolExecutor(1) as thread:
        os.kill(worker.pid, signal.SIGSTOP)
        Watched.submitted.clear()
        asked = thread.submit(visitor.open, "acknowledge", alert="2")
        assert Watched.submitted.wait(60)
        os.kill(worker.pid, signal.SIGKILL)
        died = asked.result()
    assert (died.status_code, "ended before it was done" in text_of(died)) == (400, True)
    visitor.do("acknowledge", alert="2")
    assert panel.store.read(list_alerts) == []
    panel.opened.close()
    assert multiprocessing.active_children() == []
