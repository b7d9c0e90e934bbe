"""``supernova chat`` and ``analyze`` with a stub: output, requests and exit codes."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from supernova_ai.testing import Answer, Failure, Hang, Raw, StubProvider
from supernova_ai.types import Usage
from tests.cli.conftest import KEY, Supernova
from tests.processes import running

Stub = Callable[..., StubProvider]
Configure = Callable[..., Path]


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)


def _attempts(supernova: Supernova) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = supernova("costs", "--json").json["attempts"]
    return rows


def test_chat_prints_answer_and_cost_to_different_streams(
    stub_provider: Stub, configure: Configure, supernova: Supernova
) -> None:
    """The answer goes to standard output; provider, model and cost go to standard error."""
    stub = stub_provider("Buy low, sell high.")
    configure(stub.url)
    result = supernova("chat", "What now?")
    assert (result.code, result.out) == (0, "Buy low, sell high.\n")
    assert "openai/gpt-6.1-sol · standard (task 'chat') · 1 attempt · 2+4 tokens · $" in result.err
    assert stub.requests[0].body["stream"] is True


def _screen(written: str) -> list[str]:
    """The lines that a terminal shows once this was written to it."""
    lines, row = [""], 0
    for part in re.findall(r"\x1b\[[\d;?]*\w|\r|\n|[^\x1b\r\n]+", written):
        if part == "\n":
            row += 1
            lines += [""] * (row == len(lines))
        elif part == "\x1b[1A":
            row -= 1
        elif part == "\x1b[2K":
            lines[row] = ""
        elif part[0] not in "\x1b\r":
            lines[row] += part
    return list(filter(None, lines))


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
@pytest.mark.parametrize("json_asked", [False, True], ids=["text", "json"])
def test_a_terminal_shows_a_spinner_until_the_first_token(
    json_asked: bool,
    stub_provider: Stub,
    configure: Configure,
    supernova: Supernova,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """On a terminal a spinner turns until the answer comes and leaves no trace; --json has none."""
    configure(stub_provider("Hold.").url)
    terminal, side = os.openpty()
    with open(side, "w") as stderr:  # noqa: PTH123 - a number, not a path
        monkeypatch.setattr(sys, "stderr", stderr)
        result = supernova("chat", "What now?", *(["--json"] if json_asked else []))
        print("the end", file=stderr, flush=True)
        output = b""
        while b"the end" not in output:
            output += os.read(terminal, 1024)
    os.close(terminal)
    written = output.decode()
    assert result.code == 0
    assert ("Waiting for the model" in written) is not json_asked
    if not json_asked:
        shown = _screen(written)
        assert re.match(r"\d+-\d+-\d+ [\d:]+ WARNING keys.environment.used", shown[0])
        assert not any("Waiting" in line for line in shown)
        assert "openai/gpt-6.1-sol · standard" in "".join(shown)
        assert written.index("\x1b[?25l") < written.rindex("\x1b[?25h")  # the cursor is back


def test_chat_prints_a_refusal(stub_provider: Stub, configure: Configure, supernova: Supernova) -> None:
    """The refusal is printed instead of the answer; JSON has it in its own field."""
    delta = {"choices": [{"index": 0, "delta": {"refusal": "I can not."}, "finish_reason": "stop"}]}
    configure(stub_provider(Raw(200, "text/event-stream", f"data: {json.dumps(delta)}\n\n")).url)
    assert supernova("chat", "What now?").out == "I can not.\n"
    whole = {"choices": [{"message": {"content": None, "refusal": "I can not."}}]}
    configure(stub_provider(Raw(200, "application/json", json.dumps(whole))).url)
    reply = supernova("chat", "What now?", "--json").json
    assert (reply["content"], reply["refusal"], reply["reasoning"]) == ("", "I can not.", None)


def test_teams_and_tags_are_counted(stub_provider: Stub, configure: Configure, supernova: Supernova) -> None:
    """They have budgets, totals, reports and exports of their own; what others spend is not in them."""
    budgets = [
        {"name": "each-team", "limit": "0.50", "per": "day", "team": "*"},
        {"name": "spot", "limit": "0.50", "per": "day", "tag": {"desk": "spot"}},
    ]
    usage = Usage(prompt=2000, completion=10, cached=1500)
    configure(stub_provider(Answer("Hold.", usage=usage)).url, budgets=budgets)
    for options in (("--team", "fx", "--tag", "desk=spot", "--tag", "book=delta"), ("--team", "rates"), ()):
        assert supernova("chat", "What now?", "--max-tokens", "50", *options).code == 0
    for option, budget in ((("--team", "fx"), "each-team"), (("--tag", "desk=spot"), "spot")):
        shown = supernova("costs", *option, "--json").json
        (attempt,), (total,) = shown["attempts"], shown["totals"]
        assert (attempt["team"], attempt["tags"]) == ("fx", {"book": "delta", "desk": "spot"})
        assert attempt["saved"] == total["saved"] > "0"
        (full,) = (row for row in shown["budgets"] if row["budget"] == budget)
        assert full["settled"] == total["cost"] == attempt["cost"]
    for by, names in (("team", ["", "fx", "rates"]), ("tag:desk", ["", "spot"])):
        lines = supernova("costs", "report", "--by", by, "--json").json["whole"]
        assert sorted(line["name"] for line in lines) == names
        assert sum(line["attempts"] for line in lines) == 3
    assert "Saved" in supernova("costs", "top", "team").out
    (row,) = supernova("costs", "export", "--format", "json", "--tag", "book=delta").json
    assert (row["team"], row["tags"]) == ("fx", {"book": "delta", "desk": "spot"})
    assert row["saved_usd"] == attempt["saved"]
    assert ",book=delta desk=spot," in supernova("costs", "export", "--team", "fx").out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("chat", "Hi", "--tag", "desk"), "--tag 'desk' must be NAME=VALUE, such as desk=fx"),
        (("chat", "Hi", "--tag", "a=b", "--tag", "a=c"), "a tag can have one value only"),
        (("chat", "Hi", "--team", ""), "team must have 1 to 64 characters, not 0"),
        (("costs", "--team", "fx", "--user", "ann"), "give one of --user, --team and --tag"),
        (("costs", "report", "--by", "tag:"), "the name of a tag must be 1 to 32 of the letters"),
    ],
)
def test_wrong_labels_are_usage_errors(
    arguments: tuple[str, ...], message: str, configure: Configure, supernova: Supernova
) -> None:
    """The message says what would be right."""
    configure("http://127.0.0.1:9")
    result = supernova(*arguments)
    assert result.code == 2
    assert message in " ".join(result.err.replace("│", " ").split())


def test_chat_json(stub_provider: Stub, configure: Configure, supernova: Supernova) -> None:
    """With --json the whole reply is one JSON object, and its cost is the ledger's."""
    configure(stub_provider("Hold.").url)
    reply = supernova("chat", "What now?", "--json").json
    assert (reply["content"], reply["provider"], reply["tier"]) == ("Hold.", "openai", "standard")
    assert reply["usage"]["completion"] == 1
    (attempt,) = _attempts(supernova)
    assert (attempt["cost"], attempt["request"]) == (reply["cost"], reply["request_id"])
    assert [row["outcome"] for row in reply["attempts"]] == ["settled"]


def test_chat_estimates_the_tier(stub_provider: Stub, configure: Configure, supernova: Supernova) -> None:
    """With --complexity auto the text decides the tier; the summary line and the JSON say why."""
    configure(stub_provider("Hold.").url)
    assert (
        "economy (complexity auto: simple (4 words, 1 question))"
        in supernova("chat", "What is a bond?", "--complexity", "auto").err
    )
    reply = supernova("chat", "What is a bond?", "--complexity", "critical", "--json").json
    assert (reply["tier"], reply["tier_reason"]) == ("premium", "complexity: critical")
    assert supernova("chat", "What now?", "--complexity", "auto", "--tier", "economy").code == 2


def test_chat_reads_standard_input(stub_provider: Stub, configure: Configure, supernova: Supernova) -> None:
    """A message of - is read from standard input, in UTF-8."""
    stub = stub_provider()
    configure(stub.url)
    assert supernova("chat", "-", stdin="Què és un bo? 債券\n").code == 0
    assert stub.requests[0].body["messages"] == [{"role": "user", "content": "Què és un bo? 債券\n"}]


def test_chat_options_reach_request_and_ledger(
    stub_provider: Stub, configure: Configure, supernova: Supernova
) -> None:
    """Tier, task, user and max_tokens of the options are in the request and the ledger."""
    stub = stub_provider("one two three")
    configure(stub.url)
    options = ["--tier", "economy", "--task", "summary", "--user", "ann", "--max-tokens", "2"]
    assert supernova("chat", "Count.", *options).out == "one two\n"
    body = stub.requests[0].body
    assert (body["model"], body.get("max_completion_tokens") or body.get("max_tokens")) == ("gpt-6-luna", 2)
    (attempt,) = _attempts(supernova)
    assert (attempt["tier"], attempt["task"], attempt["user"]) == ("economy", "summary", "ann")


def test_chat_pins_a_model(stub_provider: Stub, configure: Configure, supernova: Supernova) -> None:
    """--model asks that model; the error for an unknown model lists the configured ones."""
    stub = stub_provider()
    configure(stub.url)
    assert supernova("chat", "Hi.", "--model", "gpt-6-astra").code == 0
    assert stub.requests[0].body["model"] == "gpt-6-astra"
    unknown = supernova("chat", "Hi.", "--model", "gpt-1")
    assert (unknown.code, unknown.out) == (2, "")
    assert "openai/gpt-6-astra, openai/gpt-6-luna, openai/gpt-6.1-sol" in unknown.err


@pytest.mark.parametrize("piped", [False, True], ids=["file", "stdin"])
def test_analyze(
    piped: bool, stub_provider: Stub, configure: Configure, supernova: Supernova, folder: Path
) -> None:
    """A text from a file or standard input is sent as the content of the named analysis."""
    stub = stub_provider("Some risk.")
    configure(stub.url)
    text = "Rates may rise."
    (folder / "news.txt").write_text(text)
    source, stdin = ("-", text) if piped else ("news.txt", "")
    result = supernova("analyze", source, "--type", "risk", stdin=stdin)
    assert (result.code, result.out) == (0, "Some risk.\n")
    assert "Rates may rise.\nCONTENT>>>" in stub.requests[0].body["messages"][-1]["content"]
    assert _attempts(supernova)[0]["prompt_name"] == "analysis-risk"


@pytest.mark.parametrize(
    ("arguments", "stdin", "said"),
    [
        (["chat", ""], b"", "message must be a text that is not empty"),
        (["chat", "-"], b"\xff\xfe", "standard input cannot be read as text"),
        (["chat", "hi", "--task", "poetry"], b"", "task 'poetry' is not configured"),
        (["chat", "hi", "--max-tokens", "0"], b"", "max_tokens must be a whole number from 1"),
        (["chat", "hi", "--timeout", "-1"], b"", "timeout must be a number"),
        (["chat", "hi", "--max-cost", "cheap"], b"", "max_cost must be an amount of USD"),
        (["analyze", "absent.txt"], b"", "No such file"),
        (["analyze", "-"], b" \n", "content must be a text that is not empty"),
        (
            ["analyze", "-", "--type", "tarot"],
            b"x",
            "analysis_type 'tarot' is not known; choose one of: financial",
        ),
    ],
)
def test_wrong_arguments_send_nothing(
    arguments: list[str],
    stdin: bytes,
    said: str,
    stub_provider: Stub,
    configure: Configure,
    supernova: Supernova,
) -> None:
    """A wrong argument exits with 2 and a reason, before anything is sent."""
    stub = stub_provider()
    configure(stub.url)
    result = supernova(*arguments, stdin=stdin)
    assert (result.code, result.out, stub.requests) == (2, "", [])
    assert said in " ".join(result.err.replace("│", "").split())


def test_budget_refusal_exits_with_5(stub_provider: Stub, configure: Configure, supernova: Supernova) -> None:
    """A request that exceeds a budget is not sent, and the budget is named."""
    stub = stub_provider()
    configure(stub.url, budgets=[{"name": "tiny", "limit": "0.000001", "per": "day"}])
    result = supernova("chat", "Hi.")
    assert (result.code, result.out, stub.requests) == (5, "", [])
    assert "budget 'tiny' is too low for this request" in result.err
    assert supernova("chat", "Hi.", "--max-cost", "0.0000001").code == 5


def test_failing_provider_exits_with_6(
    stub_provider: Stub, configure: Configure, supernova: Supernova
) -> None:
    """A refused key exits with 6 and a remedy, and the key is in no output."""
    configure(stub_provider(Failure(401, f"Incorrect API key provided: {KEY}")).url)
    result = supernova("chat", "Hi.")
    assert (result.code, result.out) == (6, "")
    assert "supernova keys add" in result.err
    assert KEY not in result.err


def test_missing_key_exits_with_6(
    stub_provider: Stub, configure: Configure, supernova: Supernova, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a key nothing is sent, and the message gives the command that adds one."""
    monkeypatch.delenv("OPENAI_API_KEY")
    stub = stub_provider()
    configure(stub.url)
    result = supernova("chat", "Hi.")
    assert (result.code, result.out, stub.requests) == (6, "", [])
    assert "supernova keys add openai" in result.err


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGINT to send")
@pytest.mark.parametrize(
    "options",
    [pytest.param([], id="streamed"), pytest.param(["--json"], id="plain", marks=pytest.mark.proof)],
)
def test_interrupt_exits_with_130_and_ends_the_hold(
    options: list[str], stub_provider: Stub, configure: Configure, supernova: Supernova, script: str
) -> None:
    """Ctrl-C during an answer exits with 130, without a traceback, and the hold is counted as lost."""
    stub = stub_provider(Hang())
    configure(stub.url)
    with running(
        [script, "chat", "Hi.", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as command:
        stub.wait_for_requests(1, timeout=60)
        command.send_signal(signal.SIGINT)
        out, err = command.communicate()
    assert (command.returncode, out) == (130, "")
    assert "Traceback" not in err
    (attempt,) = _attempts(supernova)
    assert (attempt["state"], attempt["error"]) == ("lost", "Cancelled")


def test_an_answer_that_nobody_reads_costs_what_it_used(
    stub_provider: Stub, configure: Configure, supernova: Supernova, script: str
) -> None:
    """If the output cannot be written, the answer is read to its end, so that it costs its usage."""
    configure(stub_provider(Answer("Buy low, sell high.", usage=Usage(prompt=2, completion=4))).url)
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer) as closed:
        done = subprocess.run([script, "chat", "Hi."], stdout=closed, stderr=subprocess.PIPE, text=True)
    assert (done.returncode, "Traceback" in done.stderr) == (1, False)
    (attempt,) = _attempts(supernova)
    assert (attempt["state"], attempt["basis"]) == ("settled", "exact")


@pytest.mark.proof
@pytest.mark.skipif(sys.platform != "linux", reason="only there a dead process is noticed at once")
def test_a_killed_stream_is_lost(
    stub_provider: Stub, configure: Configure, supernova: Supernova, script: str
) -> None:
    """After a kill during a stream, the next ``costs`` shows the attempt as lost, and its hold counts."""
    stub = stub_provider(Answer("Buy low, sell high.", gate=Event()))
    configure(stub.url)
    with running([script, "chat", "Hi."], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as command:
        assert command.stdout is not None
        assert command.stdout.read(3) == b"Buy"
        command.kill()
    costs = supernova("costs", "--json").json
    (attempt,) = costs["attempts"]
    assert (attempt["state"], attempt["error"]) == ("lost", "ProcessDied")
    assert float(attempt["held"]) > 0
    assert costs["budgets"][0]["lost"] == attempt["held"]
    assert "lost" in supernova("costs").out


def test_chat_and_analyze_take_attachments(
    stub_provider: Stub, configure: Configure, supernova: Supernova, tmp_path: Path
) -> None:
    """Each --attach is sent, and one that cannot be read exits with 2."""
    stub = stub_provider("A chart.")
    configure(stub.url)
    chart, report = tmp_path / "chart.png", tmp_path / "report.txt"
    chart.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(20))
    report.write_text("Acme rose.")
    assert supernova("chat", "What is this?", "--attach", str(chart), "--attach", str(chart)).code == 0
    assert supernova("analyze", str(report), "--attach", str(chart)).code == 0
    sent = [request.body["messages"][-1]["content"] for request in stub.chats]
    assert [[part["type"] for part in parts] for parts in sent] == [
        ["image_url", "image_url", "text"],
        ["image_url", "text"],
    ]
    refused = supernova("chat", "What is this?", "--attach", str(report))
    assert (refused.code, len(stub.chats)) == (2, 2)
    assert "neither a PNG" in refused.err


def test_chat_names_its_session(stub_provider: Stub, configure: Configure, supernova: Supernova) -> None:
    """With --session the ledger has the id of the conversation."""
    configure(stub_provider("Hold.").url)
    assert supernova("chat", "What now?", "--session", "talk").code == 0
    assert [row["session"] for row in _attempts(supernova)] == ["talk"]


@pytest.mark.parametrize("word", ["caf\udce9", "\udcff"])
def test_an_argument_outside_the_locale_names_the_locale(
    word: str, stub_provider: Stub, configure: Configure, supernova: Supernova
) -> None:
    """For bytes that the locale cannot decode, the error names the argument and the remedy."""
    stub = stub_provider("Diversify.")
    configure(stub.url)
    for words in (("chat", word), ("chat", "What now?", "--user", word)):
        result = supernova(*words)
        assert result.code == 2
        assert f"argument {words.index(word) + 1} is not text in this locale's encoding" in result.err
        assert "set LC_ALL to a UTF-8 locale" in result.err
    assert stub.requests == []


def test_standard_input_must_be_utf8(supernova: Supernova, configure: Configure) -> None:
    """Latin-1 on standard input is refused as not being UTF-8."""
    configure("http://127.0.0.1:1")
    result = supernova("chat", "-", stdin="café".encode("latin-1"))
    assert result.code == 2
    assert "It must be in UTF-8" in " ".join(result.err.replace("│", "").split())
