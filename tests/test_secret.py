"""A secret shows itself nowhere, and is taken out of any text while it lives."""

from __future__ import annotations

import copy
import json
import logging
import pickle
import sys
import threading
from collections.abc import Callable, Iterator

import pytest

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
def test_no_way_of_writing_shows_it(secret: Secret, way: Callable[[Secret], str]) -> None:
    """Every common way from an object to text gives the placeholder or nothing of the secret."""
    assert TEXT not in way(secret)


@pytest.mark.parametrize("way", [json.dumps, vars, *(lambda s, p=p: pickle.dumps(s, p) for p in range(6))])
def test_ways_that_would_copy_its_inside_are_refused(secret: Secret, way: Callable[[Secret], object]) -> None:
    """JSON, vars and every pickle protocol raise, and the error does not quote the secret."""
    with pytest.raises(TypeError) as caught:
        way(secret)
    assert TEXT not in str(caught.value)


def test_a_copy_is_the_secret_itself(secret: Secret) -> None:
    """Copying, also deep within other data, makes no second object to keep track of."""
    assert copy.copy(secret) is secret
    assert copy.deepcopy({"keys": [secret]})["keys"][0] is secret


def test_only_reveal_gives_the_text(secret: Secret) -> None:
    """The text comes out where it is asked for by name."""
    assert secret.reveal() == TEXT


def test_logging_it_shows_nothing(secret: Secret, caplog: pytest.LogCaptureFixture) -> None:
    """The standard logging module, given the object, writes the placeholder."""
    logging.getLogger("someone.else").warning("the key is %s, %r", secret, secret)
    assert TEXT not in caplog.text
    assert HIDDEN in caplog.text


@pytest.mark.parametrize("wrong", ["", None, b"bytes", 7])
def test_only_a_text_can_be_secret(wrong: object) -> None:
    """An empty text would redact everything, and other types cannot be found in text."""
    with pytest.raises(ValueError, match="non-empty text"):
        Secret(wrong)  # type: ignore[arg-type]


def test_redact_removes_every_occurrence_of_every_secret(secret: Secret) -> None:
    """All living secrets go, wherever and however often they stand."""
    other = Secret("tr0ub4dor&3 (with [regular] expression*)")
    text = f"{TEXT}{TEXT} and {other.reveal()}, quoted {TEXT!r}"
    assert redact(text) == f"{HIDDEN}{HIDDEN} and {HIDDEN}, quoted '{HIDDEN}'"


def test_the_longest_secret_is_removed_first() -> None:
    """A secret inside another one does not leave the rest of the longer one behind."""
    secrets = [Secret("inner"), Secret("outer-inner-outer"), Secret("outer")]
    assert redact("outer-inner-outer") == HIDDEN
    del secrets


def test_a_dead_secret_is_forgotten() -> None:
    """Redaction ends with the secret's life, and not before."""
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
        ("a task-oriented risk-adjusted half_year bearer bond", None),
    ],
)
def test_what_is_shaped_like_a_key_goes_too(text: str, clean: str | None) -> None:
    """Keys that never passed through a Secret are known by their shape; ordinary words are not."""
    assert redact(text) == (clean or text)


@pytest.fixture
def restless() -> Iterator[None]:
    """Threads change after every few instructions."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


def test_secrets_may_come_and_go_while_another_thread_redacts(secret: Secret, restless: None) -> None:
    """Redaction works while other threads make and drop secrets."""
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
