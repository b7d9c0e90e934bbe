"""Equal failures have the same fingerprint, and no message holds a secret."""

from __future__ import annotations

from base64 import b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supernova_ai.health import ErrorClass, PatternSummary, error_classes, fingerprint, patterns
from supernova_ai.health.patterns import MAX_LENGTH
from supernova_ai.secret import Secret
from supernova_ai.store import Store
from tests.health.conftest import NOW, Put

_NUMBERS = st.one_of(
    st.integers().map(str),
    st.integers(0).map("{:,}".format),
    st.decimals(-1000, 1000, places=3).map(str),
    st.sampled_from(["20ms", "6m0s", "1h2m3.5s", "2d", "127.0.0.1:8000"]),
)
_LETTERS = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
_IDS = st.one_of(
    st.uuids().map(str),
    st.binary(min_size=8, max_size=32).map(bytes.hex),
    st.text(_LETTERS, min_size=16, max_size=32).map("req_{}".format),
    st.text(_LETTERS, min_size=16, max_size=32).map("org-{}".format),
    st.integers(0).map(hex),
)
_NAMES = st.text(st.characters(exclude_characters="\"'`", categories=["L", "N", "P", "S"]), min_size=1)
_LINKS = st.text(_LETTERS + "/?&=%._-", min_size=1).map("https://platform.openai.com/{}".format)
_KEYS = st.tuples(st.text(_LETTERS, min_size=1), st.text(_LETTERS, min_size=4)).map(
    "sk-proj-{0[0]}***{0[1]}".format
)
_SPACES = st.text(" \n\t", min_size=1)

_MESSAGES = st.tuples(_NUMBERS, _IDS, _NAMES, _LINKS, _KEYS, _SPACES).map(
    lambda part: (
        f"Limit {part[0]} of{part[5]}`{part[2]}` reached in request {part[1]}, key {part[4]}: see {part[3]} ."
    )
)


def hash_of(
    message: str, provider: str = "openai", error: str = "RateLimited", status: int | None = 429
) -> str:
    return fingerprint(provider, error, status, message).fingerprint


@given(_MESSAGES, _MESSAGES)
def test_ids_numbers_names_and_links_do_not_matter(one: str, other: str) -> None:
    """Two messages that differ only in these have the same fingerprint."""
    assert fingerprint("openai", "RateLimited", 429, one) == fingerprint("openai", "RateLimited", 429, other)


def test_provider_class_status_and_text_matter() -> None:
    """Another provider, class, status or text gives another fingerprint of 12 hexadecimal digits."""
    found = {
        hash_of("Too many requests"),
        hash_of("Too many requests", provider="anthropic"),
        hash_of("Too many requests", error="ProviderUnavailable"),
        hash_of("Too many requests", status=529),
        hash_of("Too many requests", status=None),
        hash_of("Too many tokens"),
        hash_of(""),
    }
    assert len(found) == 7
    assert all(len(each) == 12 and int(each, 16) >= 0 for each in found)


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        (
            "Rate limit reached for gpt-4o-mini in organization org-Ab1 on tokens per min: Limit 200,000.",
            "Rate limit reached for <*> in organization org-Ab<*> on tokens per min: Limit <*>.",
        ),
        ("Model 'gpt-99' doesn't exist; it isn't known", "Model <*> doesn't exist; it isn't known"),
        ("Incorrect API key provided: sk-proj-****abcd.", "Incorrect API key provided: <*>."),
        ("at 2026-11-22 12:00:00", "at <*>-<*>-<*> <*>"),
        ("Cannot connect to host api.openai.com:443", "Cannot connect to host api.openai.com:<*>"),
    ],
)  # fmt: skip
def test_the_rest_of_the_message_stays(said: str, kept: str) -> None:
    """Words that are no id, number, name or link stay readable."""
    assert fingerprint("openai", "RateLimited", 429, said).message == kept


_SECRETS = st.text(st.characters(categories=["L", "N", "P", "Zs"]), min_size=16, max_size=60)


@given(_SECRETS, st.text(max_size=40), st.text(max_size=40))
def test_no_secret_is_kept(key: str, before: str, after: str) -> None:
    """No known secret is in the message, wherever it was: whole, in part, encoded or with more spaces."""
    secret = Secret(key)
    for said in (f"{before}{key}{after}", f"{before} {'  '.join(key.split(' '))} {after}"):
        assert key not in fingerprint("openai", "AuthenticationFailed", 401, said).message
    encoded, reversed_ = b64encode(key.encode()).decode(), key[::-1]
    for form, kept in ((encoded, encoded[4:-4]), (reversed_, reversed_), (key[2:-2], key[2:-2])):
        assert (
            kept not in fingerprint("openai", "AuthenticationFailed", 401, f"{before} {form} {after}").message
        )
    del secret


def test_an_unknown_key_is_not_kept() -> None:
    """A text with the format of a key is removed."""
    found = fingerprint(
        "openai", "AuthenticationFailed", 401, "wrong key sk-abcdefghijklmnopqrstuvwx, Bearer abcdefghijkl"
    )
    assert "abcdefgh" not in found.message


@pytest.mark.parametrize("unit", ["1", "1.", "a-", "a.", "x", "*", "1m", "0x", "'", "a*", "://", "f1-"])
def test_a_huge_message_is_cut(unit: str) -> None:
    """Of a message of hundreds of kilobytes at most 200 characters are stored."""
    found = fingerprint("openai", "ProviderUnavailable", 500, unit * 200_000)
    assert len(found.message) <= MAX_LENGTH


def test_patterns_are_counted_in_the_period(store: Store, put: Put) -> None:
    """The most frequent pattern comes first, with its count in the period, its total and its times."""
    often = fingerprint("openai", "RateLimited", 429, "Limit 5 reached")
    rare = fingerprint("openai", "ProviderTimeout", None, "no answer")
    put(7200 * 3, error="RateLimited", state="released", failure=often, times=2, user_id="earlier")
    put(3600, error="RateLimited", state="released", failure=often, times=2, model="gpt-mini", user_id="ann")
    put(3500, error="RateLimited", state="released", failure=often, model="gpt-mini", user_id="ben")
    put(60, error="ProviderTimeout", state="lost", basis="bound", failure=rare)
    put(60, error="RateLimited", state="released")  # from before there were fingerprints
    since = NOW - 7_200_000
    assert store.read(lambda database: patterns(database, since_ms=since, now_ms=NOW)) == [
        PatternSummary(
            often.fingerprint, "openai", "gpt-mini", "RateLimited", 429, "Limit <*> reached",
            count=3, per_hour=1.5, users=2, seen=5, first_ms=NOW - 21_599_000, last_ms=NOW - 3_499_000,
        ),
        PatternSummary(
            rare.fingerprint, "openai", "gpt", "ProviderTimeout", None, "no answer",
            count=1, per_hour=0.5, users=0, seen=1, first_ms=NOW - 59_000, last_ms=NOW - 59_000,
        ),
    ]  # fmt: skip
    assert store.read(lambda database: patterns(database, since_ms=NOW - 1000, now_ms=NOW)) == []


def test_error_classes_are_counted_in_the_period(store: Store, put: Put) -> None:
    """Each class has its count, the users it affected, and when it was first and last seen."""
    put(7200 * 3, error="RateLimited", state="released", user_id="earlier")
    put(3600, error="RateLimited", state="released", user_id="ann", times=2)
    put(60, error="RateLimited", state="released", user_id="ben")
    put(50, error="ProviderTimeout", state="lost", basis="bound")
    put(40)
    assert store.read(lambda database: error_classes(database, since_ms=NOW - 7_200_000)) == [
        ErrorClass("RateLimited", 3, 2, NOW - 3_600_000, NOW - 60_000),
        ErrorClass("ProviderTimeout", 1, 0, NOW - 50_000, NOW - 50_000),
    ]
    assert store.read(lambda database: error_classes(database, since_ms=NOW)) == []
