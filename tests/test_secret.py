"""A secret is never shown, and is redacted from any text while it is alive."""

from __future__ import annotations

import copy
import json
import logging
import pickle
import sys
import threading
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Callable, Iterator
from urllib.parse import quote

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from supernova_ai.secret import HIDDEN, Secret, redact

TEXT = "correct horse battery staple"


@pytest.fixture
def secret() -> Secret:
    return Secret(TEXT)


@pytest.mark.parametrize(
    "way",
    [
        repr,
        str,
        format,
        lambda secret: f"{secret}",
        lambda secret: f"{secret!r:>60}",
        lambda secret: f"{secret:>60}",
        lambda secret: "%s %r" % (secret, secret),  # noqa: UP031
        lambda secret: str([secret]) + str({"key": secret}),
        lambda secret: json.dumps({"key": secret}, default=str),
        lambda secret: str(dir(secret)),
    ],
)
def test_no_conversion_to_text_shows_it(secret: Secret, way: Callable[[Secret], str]) -> None:
    """Every common conversion of an object to text gives the placeholder or no part of the secret."""
    assert TEXT not in way(secret)


@pytest.mark.parametrize("way", [json.dumps, vars, *(lambda s, p=p: pickle.dumps(s, p) for p in range(6))])
def test_serialisation_is_refused(secret: Secret, way: Callable[[Secret], object]) -> None:
    """JSON, vars and every pickle protocol raise an error without the secret."""
    with pytest.raises(TypeError) as caught:
        way(secret)
    assert TEXT not in str(caught.value)


def test_a_copy_is_the_secret_itself(secret: Secret) -> None:
    """Copying, also deep in other data, returns the same object."""
    assert copy.copy(secret) is secret
    assert copy.deepcopy({"keys": [secret]})["keys"][0] is secret


def test_only_reveal_gives_the_text(secret: Secret) -> None:
    """``reveal()`` returns the text."""
    assert secret.reveal() == TEXT


def test_logging_it_shows_nothing(secret: Secret, caplog: pytest.LogCaptureFixture) -> None:
    """The standard logging module writes the placeholder for the object."""
    logging.getLogger("someone.else").warning("the key is %s, %r", secret, secret)
    assert TEXT not in caplog.text
    assert HIDDEN in caplog.text


@pytest.mark.parametrize("wrong", ["", None, b"bytes", 7])
def test_only_a_text_can_be_secret(wrong: object) -> None:
    """An empty text, which would redact everything, and other types are refused."""
    with pytest.raises(ValueError, match="non-empty text"):
        Secret(wrong)  # type: ignore[arg-type]


def test_redact_removes_every_occurrence_of_every_secret(secret: Secret) -> None:
    """Every occurrence of every live secret is removed."""
    other = Secret("tr0ub4dor&3 (with [regular] expression*)")
    text = f"{TEXT}{TEXT} and {other.reveal()}, quoted {TEXT!r}"
    assert redact(text) == f"{HIDDEN}{HIDDEN} and {HIDDEN}, quoted '{HIDDEN}'"


def test_the_longest_secret_is_removed_first() -> None:
    """If one secret contains another, the longer one is removed completely."""
    secrets = [Secret("inner"), Secret("outer-inner-outer"), Secret("outer")]
    assert redact("outer-inner-outer") == HIDDEN
    del secrets


def test_a_deleted_secret_is_no_longer_redacted() -> None:
    """A secret is redacted until its last reference is gone."""
    dead, twin = Secret("short-lived"), Secret("twice-there")
    living = [Secret("twice-there"), Secret("the-other")]
    del dead, twin
    living.append(Secret("newcomer"))
    assert redact("short-lived twice-there the-other newcomer") == f"short-lived {HIDDEN} {HIDDEN} {HIDDEN}"


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("Incorrect API key provided: sk-proj-abcdef123456.", f"Incorrect API key provided: {HIDDEN}."),
        ("key=sk-ant-api03-AbC_dEf-123", f"key={HIDDEN}"),
        ("hf_abcdefghijklmnop!", f"{HIDDEN}!"),
        ("Authorization: Bearer abc.def-ghi_123", f"Authorization: {HIDDEN}"),
        ("authorization: bearer abcdefgh", f"authorization: {HIDDEN}"),
        ("AKIAIOSFODNN7EXAMPLE, xoxb-123456789012-abcdef", f"{HIDDEN}, {HIDDEN}"),
        ("ghp_16C7e42F292c6912E7710c838347Ae178B4a", HIDDEN),
        ("AIzaSyDaGmWKa4JsXZ-HjGw7ISLn_3namBGewQe", HIDDEN),
        ("at=eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.dozjgNryP4J3jVmN", f"at={HIDDEN}"),
        ("sk_live_4eC39HqLyjWDarjtT1zdp7dc", HIDDEN),
        ("a task-oriented risk-adjusted half_year bearer bond", None),
        ("keys look like sk-ant-api03-… or sk-proj-", None),
    ],
)
def test_text_with_the_format_of_a_key_is_removed(text: str, clean: str | None) -> None:
    """Keys that were never a Secret are recognised by their format; ordinary words stay."""
    assert redact(text) == (clean or text)


PREFIXES = ("", "sk-", "sk-proj-", "sk-ant-api03-", "hf_", "AIza", "gsk_")
BODIES = st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-", min_size=20, max_size=90)
ODD_BODIES = st.text([chr(code) for code in range(33, 127)], min_size=20, max_size=40)
FORMS: dict[str, Callable[[str], str]] = {
    "plain": str,
    "upper": str.upper,
    "lower": str.lower,
    "reversed": lambda text: text[::-1],
    "base64": lambda text: b64encode(text.encode()).decode(),
    "base64, unpadded, for URLs": lambda text: urlsafe_b64encode(text.encode()).decode().rstrip("="),
    "base64, second place": lambda text: b64encode(b"?" + text.encode() + b"?").decode(),
    "base64, third place": lambda text: urlsafe_b64encode(b"??" + text.encode() + b"??").decode(),
    "hex": lambda text: text.encode().hex(),
    "HEX": lambda text: text.encode().hex().upper(),
    "hex with colons": lambda text: text.encode().hex(":"),
    "hex with dashes": lambda text: text.encode().hex("-"),
    "hex with spaces": lambda text: text.encode().hex(" ").upper(),
    "hex in a list": lambda text: ", ".join(f"0x{code:02x}" for code in text.encode()),
    "percent": lambda text: "".join(f"%{code:02x}" for code in text.encode()),
    "percent where needed": lambda text: quote(text, safe=""),
    "percent twice": lambda text: quote("".join(f"%{code:02X}" for code in text.encode())),
    "percent, dashes only": lambda text: text.replace("-", "%2D"),
    "JSON": lambda text: "".join(f"\\u{code:04x}" for code in text.encode()),
    "JSON in JSON": lambda text: json.dumps("".join(f"\\u{code:04X}" for code in text.encode()))[1:-1],
    "Python": lambda text: "".join(f"\\x{code:02x}" for code in text.encode()),
    "HTML": lambda text: "".join(f"&#{code};" for code in text.encode()),
    "HTML, hex": lambda text: "".join(f"&#x{code:X};" for code in text.encode()),
}


@settings(max_examples=40)
@given(data=st.data())
@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_a_secret_is_hidden_in_every_form_and_cut(form: Callable[[str], str], data: st.DataObject) -> None:
    """Twelve consecutive characters of a key are found in every encoding; little else is removed."""
    prefix = data.draw(st.sampled_from(PREFIXES))
    key = Secret(prefix + data.draw(BODIES | ODD_BODIES))
    text = key.reveal()
    start = data.draw(st.integers(0, len(text) - 12))
    part = text[start : data.draw(st.integers(start + 12, len(text)))]
    assume(part not in prefix)
    echo = form(part)
    found = redact(f"before {echo} after")
    assert found.startswith("before ")
    assert found.endswith(" after")
    left = found.removeprefix("before ").removesuffix(" after").replace(HIDDEN, "")
    assert len(left) <= 9, found  # in base64: characters shared with neighbouring bytes


@pytest.mark.parametrize("levels", range(4))
def test_a_percent_sign_in_a_secret_hides_nothing(levels: int) -> None:
    """A secret with a percent sign is found whole and in part, however often it was percent-encoded."""
    secret = Secret("000000000%0000000000")
    echo = secret.reveal()
    for _ in range(levels):
        echo = quote(echo)
    assert redact(f"before {echo} {echo[:-6]} after") == f"before {HIDDEN} {HIDDEN} after"


@given(texts=st.lists(st.text(), max_size=5), key=BODIES)
def test_text_around_a_secret_stays(texts: list[str], key: str) -> None:
    """Text between two occurrences, including escapes, is unchanged."""
    secret = Secret(f"Q7{key}7Q")
    assume(all(redact(text) == text and redact(f" {text} ") == f" {text} " for text in texts))
    assert redact(f" {secret.reveal()} ".join(texts)) == f" {HIDDEN} ".join(texts)


@pytest.mark.parametrize(
    "text",
    [
        "Keys begin with sk-ant-api03- or sk-proj-, SK-ANT-API03- is refused",
        b64encode(b"sk-ant-api03-").decode(),
        b"sk-ant-api03-".hex(),
        b"sk-ant-api03-".hex(" "),
        "sk-ant-api03-"[::-1],
        "model claude-haiku-4-5, request req_011CSHoEeqs5C35K2UUqR7Fy, 2026-11-28T23:46:18Z",
        "ad be de fa ce 00 11 22 33 44 55 66 77 88 99 %41%42%43 \\u0041\\u0042 &#65; C:\\\\new\\/",
    ],
)
def test_text_without_a_secret_stays(text: str) -> None:
    """Common key prefixes, ids and escapes are not redacted."""
    keys = [Secret("sk-ant-api03-Vt8xQ2mZr5Lw9Kp3"), Secret("sk-proj-Vt8xQ2mZr5Lw9Kp3")]
    assert redact(text) == text
    del keys


def test_short_secrets_are_found_only_whole() -> None:
    """A key of fewer than twelve characters is found in every encoding, but not in part."""
    key = Secret("p4ssW-rd")
    for form in (str, str.upper, FORMS["reversed"], FORMS["hex"], FORMS["percent"], FORMS["base64"]):
        assert len(redact(form(key.reveal())).replace(HIDDEN, "")) <= 2
    assert redact("p4ssW-r") == "p4ssW-r"


@pytest.fixture
def restless() -> Iterator[None]:
    """Switch threads after every few instructions."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


def test_secrets_may_come_and_go_while_another_thread_redacts(secret: Secret, restless: None) -> None:
    """Redaction works while other threads create and delete secrets."""
    done = threading.Event()

    def churn() -> None:
        while not done.is_set():
            for i in range(200):
                Secret(f"passing-{i}")

    threads = [threading.Thread(target=churn) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        assert {redact(f"say {TEXT}") for _ in range(300)} == {f"say {HIDDEN}"}
    finally:
        done.set()
        for thread in threads:
            thread.join()


def test_a_key_that_shares_a_part_with_a_secret_is_hidden_whole() -> None:
    """Nothing is left of a text with the format of a key, though only its end is that of a live secret."""
    live = Secret("sk-test-0123456789abcdef")
    assert redact("key: sk-canary0123456789abcdefghij!") == "key: [redacted]!"
    assert live.reveal()
