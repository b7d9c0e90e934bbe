"""Feedback and quality scores are kept once per request, beside what they are reported by."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import pytest

from supernova_ai import InvalidRequest, MasterKeyError, StoreError, ratings
from supernova_ai.keys import Vault
from supernova_ai.ledger import Ledger
from supernova_ai.ratings import Feedback, give, latest
from supernova_ai.store import Store
from supernova_ai.store.tables import RatingRow
from tests.clients import vault_of
from tests.holds import entry, lose, release, settle

NOW_MS = 1_795_348_800_000

Ask = Callable[..., None]


@pytest.fixture
def ledger(store: Store) -> Iterator[Ledger]:
    ledger = Ledger(store, (), clock=lambda: NOW_MS / 1000)
    yield ledger
    ledger.close()


@pytest.fixture
def ask(ledger: Ledger) -> Ask:
    """Put an attempt of a request into the ledger, which ends as ``end`` ends a hold."""

    def make(request: str, end: Callable[[Ledger, Any], object] | None = None, **given: Any) -> None:
        at_ms = given.pop("started_ms", NOW_MS)
        name = f"{request}-{given.get('model', 'gpt')}"
        wanted = entry(name, 10**9, at_ms, request=request, **given)
        hold = ledger.write(lambda database: ledger.hold(database, wanted)).result()
        if end is not None:
            end(ledger, hold)

    return make


def answer(ledger: Ledger, hold: Any) -> None:
    settle(ledger, hold, "0.5")


def rows(store: Store) -> list[RatingRow]:
    return store.read(lambda database: list(RatingRow.select().order_by(RatingRow.request).execute(database)))


def no_master() -> Any:
    raise MasterKeyError("there is no master key")


def test_feedback_is_kept_with_its_request(store: Store, ask: Ask) -> None:
    """The score, the time and the comment, with the user, model, task and prompt of the request."""
    ask("one", answer, user_id="ann", prompt_name="chat")
    before_ms = store.now_ms()
    assert not give(vault_of(store), Feedback.of("one", -0.25, " Too long. "))
    (found,) = latest(vault_of(store), limit=9)
    assert (found.score, found.comment, found.quality) == (-0.25, "Too long.", None)
    assert (found.user, found.provider, found.model, found.task, found.prompt) == (
        "ann",
        "openai",
        "gpt",
        "chat",
        "chat",
    )
    assert before_ms <= found.at_ms <= store.now_ms()
    assert b"Too long" not in bytes(rows(store)[0].sealed or b"")


def test_the_second_feedback_replaces_the_first(store: Store, ask: Ask) -> None:
    """A request has one score and one comment; without a comment the earlier one goes."""
    ask("one", answer)
    assert not give(vault_of(store), Feedback.of("one", "up", "Good."))
    assert give(vault_of(store), Feedback.of("one", "down", None))
    (found,) = latest(vault_of(store), limit=9)
    assert (found.score, found.comment) == (-1, None)


@pytest.mark.parametrize(
    ("score", "kept"), [("up", 1000), ("down", -1000), (0, 0), (1, 1000), (-1.0, -1000), (0.12345, 123)]
)
def test_scores_are_kept_as_thousandths(store: Store, ask: Ask, score: float | str, kept: int) -> None:
    """Thumbs are the ends of the scale."""
    ask("one", answer)
    give(vault_of(store), Feedback.of("one", score, None))
    assert [row.score for row in rows(store)] == [kept]


@pytest.mark.parametrize("score", [1.01, -2, math.nan, math.inf, True, None, "good", "0.5", Decimal("0.5")])
def test_any_other_score_is_refused(score: Any) -> None:
    """The error says what a score is."""
    with pytest.raises(InvalidRequest, match='score must be a number from -1 to 1, "up" or "down", not'):
        Feedback.of("one", score, None)


@pytest.mark.parametrize(
    ("request_id", "comment", "reason"),
    [
        ("one", "x" * 2001, "comment has 2,001 characters; at most 2,000 are allowed"),
        ("one", "\ud800", "comment has a lone surrogate"),
        ("one", 5, "comment must be a text, not 5"),
        (5, None, "request_id must be a text, not 5"),
    ],
)
def test_other_wrong_arguments_are_refused(request_id: Any, comment: Any, reason: str) -> None:
    """The error names the argument."""
    with pytest.raises(InvalidRequest, match=reason):
        Feedback.of(request_id, "up", comment)


def test_a_comment_of_spaces_is_none() -> None:
    """It needs no master key either."""
    assert Feedback.of("one", "up", " \n").comment is None


@pytest.mark.parametrize("request_id", ["another", "running"])
def test_a_request_without_an_ended_attempt_is_refused(store: Store, ask: Ask, request_id: str) -> None:
    """The error names the request, and says where ids come from."""
    ask("one", answer)
    ask("running")
    with pytest.raises(
        InvalidRequest, match=f"no ended attempt of request '{request_id}': give the request_id"
    ):
        give(vault_of(store), Feedback.of(request_id, "up", "Good."))
    assert rows(store) == []


def test_the_attempt_that_answered_gets_the_feedback(store: Store, ask: Ask) -> None:
    """Whatever failed before and after it; of a request that failed, it is the last attempt."""
    ask("one", release, model="first", started_ms=NOW_MS)
    ask("one", answer, model="second", started_ms=NOW_MS + 1)
    ask("one", lose, model="third", started_ms=NOW_MS + 2)
    ask("two", release, model="first", started_ms=NOW_MS)
    ask("two", lose, model="second", started_ms=NOW_MS + 1)
    for request in ("one", "two"):
        give(vault_of(store), Feedback.of(request, "down", None))
    assert [(row.model, row.started_ms) for row in rows(store)] == [("second", NOW_MS + 1)] * 2


def test_without_a_master_key_only_scores_are_kept(store: Store, ask: Ask) -> None:
    """A comment is refused with a hint, and nothing of that feedback is kept."""
    ask("one", answer)
    vault = Vault(store, no_master)
    with pytest.raises(MasterKeyError) as caught:
        give(vault, Feedback.of("one", "up", "Good."))
    assert "give a score alone" in caught.value.__notes__[0]
    assert rows(store) == []
    give(vault, Feedback.of("one", "up", None))
    assert [found.score for found in latest(vault, limit=9)] == [1]


def test_a_comment_opens_only_for_its_request(store: Store, ask: Ask) -> None:
    """One that was moved to another request is an error that names the request."""
    for request in ("one", "two"):
        ask(request, answer)
        give(vault_of(store), Feedback.of(request, "up", f"About {request}."))
    moved = rows(store)[0].sealed
    store.write(RatingRow.update(sealed=moved).where(RatingRow.request == "two").execute).result()
    with pytest.raises(StoreError, match="comment on request 'two' cannot be decrypted"):
        latest(vault_of(store), limit=9)


def test_the_latest_comes_first(store: Store, ask: Ask) -> None:
    """A list can be limited to a number, a user and a time; requests without feedback are not in it."""
    for number, user in enumerate(("ann", "bob", "ann")):
        ask(str(number), answer, user_id=user)
        give(vault_of(store), Feedback.of(str(number), 0, None))
        change = RatingRow.update(at_ms=number).where(RatingRow.request == str(number))
        store.write(change.execute).result()
    store.write(RatingRow.update(score=None).where(RatingRow.request == "2").execute).result()
    ask("3", answer, user_id="ann")
    give(vault_of(store), Feedback.of("3", 0, None))

    def found(**given: Any) -> list[str]:
        return [each.request for each in latest(vault_of(store), **{"limit": 9} | given)]

    assert found() == ["3", "1", "0"]
    assert (found(limit=1), found(user="ann"), found(since_ms=1)) == (["3"], ["3", "0"], ["3", "1"])


def test_old_ratings_are_deleted(store: Store, ask: Ask) -> None:
    """By the time at which the request was sent."""
    for number in range(3):
        ask(str(number), answer, started_ms=NOW_MS + number)
        give(vault_of(store), Feedback.of(str(number), "up", None))
    assert store.write(lambda database: ratings.prune(database, before_ms=NOW_MS + 2)).result() == 2
    assert [row.request for row in rows(store)] == ["2"]
