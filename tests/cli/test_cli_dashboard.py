"""``supernova dashboard``: where it listens, what it needs, its link, and its end."""

from __future__ import annotations

import os
import re
import signal
import ssl
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import httpx
import pytest

from supernova_ai import config as configuration
from supernova_ai.audit import current_actor
from supernova_ai.cli.dashboard import _check_users
from supernova_ai.cli.listening import server_settings
from supernova_ai.keys import open_vault
from supernova_ai.store import ReadOnlyStore, Store
from tests.cli.conftest import KEY, Supernova
from tests.servers import self_signed
from tests.waiting import comes_true

PASSWORD = "correct horse battery"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--host", "192.0.2.1"], "192.0.2.1 can be reached from other machines"),
        (["--host", "192.0.2.1"], "others on the way could read the session: give --certfile and --keyfile"),
        (["--host", "0.0.0.0", "--without-tls"], "say by which name browsers reach it, as --trusted-host"),
        (["--keyfile", "key.pem"], "--keyfile needs --certfile"),
        (["--host", "192.0.2.1", "--without-tls"], "cannot listen at 192.0.2.1, port 8766"),
        (["--certfile", "none.pem", "--port", "0"], "the certificate cannot be used"),
        (["--time-zone", "Nowhere/None"], "is not a time zone"),
    ],
)
def test_where_it_may_listen(
    supernova: Supernova, configure: Callable[..., Path], options: list[str], message: str
) -> None:
    """Beyond this machine it listens only with TLS, or if it is told to do without, under a known name."""
    configure("http://127.0.0.1:9")
    Store(configuration.load().database).close()
    refused = supernova("dashboard", *options)
    assert refused.code == 2
    assert message in " ".join(refused.err.split())


def test_without_a_database(supernova: Supernova, configure: Callable[..., Path]) -> None:
    """It makes none; the error says what will, and where there is something to look at."""
    configure("http://127.0.0.1:9")
    refused = supernova("dashboard", "--port", "0")
    assert refused.code == 7
    assert "there is no database at" in refused.err
    assert "`supernova dashboard --demo` shows generated data" in " ".join(refused.err.split())
    assert not Path(configuration.load().database).exists()


@pytest.mark.parametrize(
    ("options", "settings"),
    [
        (["--trusted-host", "nova.example"], {}),
        ([], {"address": "https://nova.example"}),
        (["--host", "0.0.0.0", "--trusted-host", "nova.example", "--without-tls"], {}),
    ],
)
def test_production_wants_users(
    supernova: Supernova,
    configure: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
    options: list[str],
    settings: dict[str, str],
) -> None:
    """In production a dashboard that other machines reach, also through a proxy, refuses to start without."""
    monkeypatch.setenv("SUPERNOVA_ENV", "production")
    configure("http://127.0.0.1:9", dashboard=settings)
    database = configuration.load().database
    Store(database).close()
    refused = supernova("dashboard", "--port", "0", *options)
    assert refused.code == 3
    assert "production refuses a dashboard without users that other machines reach" in refused.err
    assert "supernova dashboard users add NAME --role viewer" in " ".join(refused.err.split())
    check = partial(_check_users, configuration.load(), ReadOnlyStore(database))
    check(reached=False)
    assert supernova("dashboard", "users", "add", "ann", "--role", "viewer", stdin=PASSWORD).code == 0
    check(reached=True)


def test_it_says_at_the_start_that_nobody_can_sign_in(
    supernova: Supernova,
    configure: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Sign-ins are signed with the master key; without it only the link works."""
    configure("http://127.0.0.1:9")
    supernova("dashboard", "users", "add", "ann", "--role", "viewer", stdin=PASSWORD)
    supernova("keys", "add", "openai", stdin=KEY)
    monkeypatch.setenv("API_KEY_ENCRYPTION_KEY", "6f" * 32)
    loaded = configuration.load()
    _check_users(loaded, ReadOnlyStore(loaded.database), reached=False)
    assert "only the link signs in, because sign-ins cannot be recorded: " in capsys.readouterr().err


def test_uvicorn_believes_no_proxy() -> None:
    """Addresses and schemes that a request names in headers are not taken over."""
    assert server_settings(lambda: None, None, None).proxy_headers is False


def test_users(supernova: Supernova, configure: Callable[..., Path]) -> None:
    """They are added, listed, changed and removed; each change is in the audit, and no password is shown."""
    configure("http://127.0.0.1:9")
    assert "no users yet" in supernova("dashboard", "users", "list").out
    added = supernova("dashboard", "users", "add", "ann", "--role", "viewer", stdin=f"{PASSWORD}\n")
    assert (added.code, added.out) == (0, "added ann as viewer\n")
    ran = [
        supernova("dashboard", "users", *words, stdin=f"{PASSWORD}, again\r\n")
        for words in (
            ("set-password", "ann"),
            ("set-role", "ann", "operator"),
            ("disable", "ann"),
            ("list", "--json"),
            ("list",),
            ("unlock", "ann"),
            ("remove", "ann", "--yes"),
        )
    ]
    assert [each.code for each in ran] == [0] * 7
    (user,) = ran[3].json
    assert (user["name"], user["role"], user["state"]) == ("ann", "operator", "disabled")
    assert set(user) == {"name", "role", "state", "created", "changed", "locked_until"}
    assert "ann" in ran[4].out
    audit = supernova("audit", "list").out
    for event in ("added", "password.set", "role.set", "disabled", "unlocked", "removed"):
        assert f"dashboard.user.{event} ann" in audit
    assert PASSWORD not in "".join(each.out + each.err for each in ran) + audit + added.err


@pytest.mark.parametrize(
    ("words", "given", "message"),
    [
        (
            ("add", "Ann", "--role", "admin"),
            PASSWORD,
            "the name of a user must be 1 to 64 of the letters a to",
        ),
        (("add", "ann", "--role", "admin"), "too short", "a password must have 12 to 1,000 characters; this"),
        (("add", "ann", "--role", "root"), PASSWORD, "'root' is not one of"),
        (("add", "ann"), PASSWORD, "Missing option '--role'"),
        (("add", "ann", "--role", "admin", PASSWORD), "", "a password is never an argument: it is in your"),
        (("add", "ann", "--role", "admin"), b"\xff" * 20, "standard input cannot be read as text"),
        (("set-password", "bob"), PASSWORD, "there is no user 'bob': see `supernova dashboard users list`"),
        (("set-role", "bob", "admin"), "", "there is no user 'bob'"),
        (("disable", "bob"), "", "there is no user 'bob'"),
        (("unlock", "bob"), "", "there is no user 'bob'"),
        (("remove", "bob", "--yes"), "", "there is no user 'bob'"),
    ],
)
def test_wrong_words_about_users(
    supernova: Supernova,
    configure: Callable[..., Path],
    words: tuple[str, ...],
    given: str | bytes,
    message: str,
) -> None:
    """The message says what is wrong; nothing is changed."""
    configure("http://127.0.0.1:9")
    refused = supernova("dashboard", "users", *words, stdin=given)
    assert refused.code == 2
    assert message in " ".join(re.sub("[│╭╰─╮╯]", " ", refused.err).split())
    assert supernova("dashboard", "users", "list", "--json").json == []


def test_a_user_is_added_once(supernova: Supernova, configure: Callable[..., Path]) -> None:
    """A second time is refused, and names the commands that change one."""
    configure("http://127.0.0.1:9")
    add = ("dashboard", "users", "add", "ann", "--role", "admin")
    assert supernova(*add, stdin=PASSWORD).code == 0
    again = supernova(*add, stdin=PASSWORD)
    assert (again.code, "there is a user ann already" in again.err) == (2, True)


Start = Callable[..., tuple[subprocess.Popen[str], str]]


@pytest.fixture
def start(script: str, configure: Callable[..., Path]) -> Iterator[Start]:
    """Start the command with these options; gives the process and its link."""
    configure("http://127.0.0.1:9")
    Store(configuration.load().database).close()
    with ExitStack() as started:

        def run(*options: str) -> tuple[subprocess.Popen[str], str]:
            process = subprocess.Popen(
                [script, "dashboard", "--port", "0", *options],
                env=os.environ,
                stderr=subprocess.PIPE,
                text=True,
            )
            started.callback(process.kill)
            assert process.stderr
            lines = [process.stderr.readline() for _ in range(2)]
            assert re.fullmatch(r"https?://127\.0\.0\.1:\d+/sign-in\?token=[\w-]{43}\n", lines[1]), lines
            return process, lines[1].strip()

        yield run


@pytest.mark.proof
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_shows_pages_until_it_is_stopped(
    start: Start, configure: Callable[..., Path], number: signal.Signals
) -> None:
    """The link opens it once; edits of the configuration are followed; it exits with 0."""
    process, link = start("--time-zone", "Asia/Tokyo", "--read-only")
    with httpx.Client(base_url=link.partition("/sign-in")[0], follow_redirects=True, timeout=60) as browser:
        assert "Times are Asia/Tokyo" in browser.get(link).text
        lower = os.getpriority(os.PRIO_PROCESS, process.pid) - os.getpriority(os.PRIO_PROCESS, 0)
        assert lower > 0  # callers on this machine come first
        assert "/control/" not in browser.get("/money").text
        assert httpx.get(link, timeout=60).status_code == 401
        configure("http://127.0.0.1:9", budgets=[{"name": "edited", "limit": 3, "per": "day"}])
        assert comes_true(lambda: "edited" in browser.get("/money").text)
        configure("http://127.0.0.1:9", budgets=[{"name": "wrong", "limit": -3, "per": "day"}])
        assert "edited" in browser.get("/money").text
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    assert "Traceback" not in said
    assert process.returncode == 0


@pytest.mark.proof
def test_the_demo_needs_nothing_and_leaves_nothing(
    start: Start, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has a ledger in a temporary folder, which it removes, and says that its data are generated."""
    temporary = folder / "temporary"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    process, link = start("--demo")
    assert list(temporary.glob("supernova-demo-*/demo.db"))
    with httpx.Client(base_url=link.partition("/sign-in")[0], follow_redirects=True, timeout=60) as browser:
        page = browser.get(link).text
        assert "Generated data" in page
        assert "claude-sonnet" in page
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=60)
    assert (said, process.returncode) == ("", 0)
    assert list(temporary.iterdir()) == []


@pytest.mark.proof
def test_controls_run_beside_it_and_end_with_it(
    start: Start, supernova: Supernova, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They audit with the master key, as the user of the link; if the dashboard is killed, they end."""
    assert supernova("keys", "add", "openai", stdin=KEY).code == 0
    monkeypatch.setenv("API_KEY_ENCRYPTION_KEY", "5e" * 32)  # the command has removed it
    process, link = start()
    with httpx.Client(base_url=link.partition("/sign-in")[0], follow_redirects=True, timeout=60) as browser:
        csrf = re.search(r'name="csrf" value="(.+?)"', browser.get(link).text)
        assert csrf
        page = browser.get("/control/job?job=verify")
        confirmed = re.search(r'name="confirmed" value="(.+?)"', page.text)
        assert confirmed, page.text
        sent = {"csrf": csrf[1], "confirmed": confirmed[1]}
        assert "verify: all right" in browser.post("/control/job", data=sent).text
    with Store(configuration.load().database) as store:
        (row,) = [row for row in open_vault(store).audit_events() if row.event == "job.asked"]
    assert (row.actor, row.source.split()[0]) == (current_actor().name, "dashboard")
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    assert len(children) >= 2
    process.kill()
    assert comes_true(lambda: not any(map(_runs, children)))


def _runs(pid: str) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.proof
def test_it_serves_tls(start: Start, tmp_path: Path) -> None:
    """With a certificate it speaks https, and so does its link; the cookie needs it."""
    certificate = self_signed(tmp_path / "cert.pem")
    _, link = start("--certfile", str(certificate))
    assert link.startswith("https://")
    answer = httpx.get(link, timeout=60, verify=ssl.create_default_context(cafile=certificate))
    assert "; Secure" in answer.headers["set-cookie"]
