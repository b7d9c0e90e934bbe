"""The circuit breaker: what opens a circuit, who may try it again, and who waits for that."""

from __future__ import annotations

import asyncio
import time

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from supernova_ai.config import Breaker as Settings
from supernova_ai.errors import (
    AccountRefused,
    AuthenticationFailed,
    ContentRefused,
    ContextTooLong,
    ModelNotFound,
    NoProvider,
    ProviderError,
    ProviderTimeout,
    ProviderUnavailable,
    RateLimited,
    RequestRejected,
    SupernovaError,
)
from supernova_ai.routing.circuit_breaker import Circuit, CircuitBreaker

HERE = "standard/openai/primary"
DOWN = ProviderUnavailable("down", status=503)


class Clock:
    """Seconds that pass when told."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def after(error: ProviderError, retry_after: float) -> ProviderError:
    error.retry_after = retry_after
    return error


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def news() -> list[tuple[str, Circuit]]:
    return []


@pytest.fixture
def breaker(clock: Clock, news: list[tuple[str, Circuit]]) -> CircuitBreaker:
    """Three failures open it for 30 seconds."""
    return CircuitBreaker(Settings(), lambda *told: news.append(told), clock)


def break_down(breaker: CircuitBreaker) -> None:
    for number in range(3):
        breaker.failed(HERE, f"r{number}", DOWN)


def test_failures_in_a_row_open_it(breaker: CircuitBreaker) -> None:
    """The third failure in a row opens the circuit, and no other deployment's."""
    for left in (2, 1):
        breaker.failed(HERE, "r", DOWN)
        assert breaker.circuit(HERE) == ("closed", 3 - left, 0, None)
        assert breaker.acquire(HERE, "r")
    breaker.failed(HERE, "r", DOWN)
    assert breaker.circuit(HERE) == ("open", 3, 30, "ProviderUnavailable")
    assert not breaker.admits(HERE)
    assert not breaker.acquire(HERE, "next")
    assert breaker.acquire("standard/openai/backup", "next")


def test_an_answer_ends_the_row(breaker: CircuitBreaker) -> None:
    """Failures with an answer among them do not add up."""
    for _ in range(4):
        breaker.failed(HERE, "r", DOWN)
        breaker.failed(HERE, "r", DOWN)
        breaker.succeeded(HERE, "s")
    assert breaker.circuit(HERE) == Circuit("closed")


def test_a_first_token_does_not_end_the_row(breaker: CircuitBreaker) -> None:
    """Streams that all begin and then break are failures in a row, too."""
    for _ in range(3):
        assert breaker.acquire(HERE, "r")
        breaker.first_token(HERE, "r")
        breaker.failed(HERE, "r", DOWN)
    assert breaker.circuit(HERE).state == "open"


@pytest.mark.parametrize(
    "error",
    [
        AuthenticationFailed("no", status=401),
        AuthenticationFailed("no", status=403),
        ModelNotFound("no", status=404),
        AccountRefused("no money", status=402),
    ],
    ids=lambda error: str(error.status),
)
def test_what_cannot_mend_itself_opens_it_at_once(breaker: CircuitBreaker, error: ProviderError) -> None:
    """A refused key, an unknown model and an empty account are not asked about three times."""
    breaker.failed(HERE, "r", error)
    assert breaker.circuit(HERE) == ("open", 1, 30, type(error).__name__)


@pytest.mark.parametrize(("asked", "rest"), [(0.5, 0.5), (90, 90), (10**9, 3600)])
def test_retry_after_is_honoured(breaker: CircuitBreaker, clock: Clock, asked: float, rest: float) -> None:
    """A limit that says how long it lasts opens the circuit at once and for that long, an hour at most."""
    breaker.failed(HERE, "r", after(RateLimited("slower", status=429), asked))
    assert breaker.circuit(HERE).left_s == rest
    clock.now += rest - 0.1
    assert not breaker.admits(HERE)
    clock.now += 0.2
    assert breaker.admits(HERE)


@pytest.mark.parametrize(
    "error",
    [RateLimited("slower", status=429), ProviderTimeout("late"), ProviderUnavailable("bad", status=500)],
    ids=lambda error: type(error).__name__,
)
def test_the_rest_counts(breaker: CircuitBreaker, error: ProviderError) -> None:
    """A limit that does not say how long it lasts counts like any other trouble of the provider's."""
    breaker.failed(HERE, "r", error)
    breaker.failed(HERE, "r", error)
    assert breaker.circuit(HERE).state == "closed"
    breaker.failed(HERE, "r", error)
    assert breaker.circuit(HERE).state == "open"


def test_trouble_that_says_how_long_it_lasts_is_believed(breaker: CircuitBreaker) -> None:
    """A 503 with "retry after" counts like any other, and the last one says how long the rest is."""
    break_down_after = after(ProviderUnavailable("maintenance", status=503), 300)
    for _ in range(3):
        breaker.failed(HERE, "r", break_down_after)
    assert breaker.circuit(HERE).left_s == 300


@pytest.mark.parametrize(
    "error",
    [RequestRejected("bad", status=400), ContextTooLong("long"), ContentRefused("no"), NoProvider("?"), None],
    ids=lambda error: type(error).__name__,
)
def test_what_the_caller_did_never_counts(breaker: CircuitBreaker, error: SupernovaError | None) -> None:
    """A request that was refused for what it asked, or left by its caller, says nothing of the provider."""
    for _ in range(10):
        breaker.failed(HERE, "r", error)
    assert breaker.circuit(HERE) == Circuit("closed")


def test_half_open_lets_one_through(breaker: CircuitBreaker, clock: Clock) -> None:
    """When its time is over one request may try it, and all others go elsewhere meanwhile."""
    break_down(breaker)
    clock.now += 30
    assert breaker.circuit(HERE).state == "half-open"
    assert [breaker.acquire(HERE, f"t{number}") for number in range(5)] == [True] + [False] * 4


def test_trial_that_is_answered_closes_it(breaker: CircuitBreaker, clock: Clock) -> None:
    """The trial's answer closes the circuit, and all is forgiven."""
    break_down(breaker)
    clock.now += 30
    breaker.acquire(HERE, "t")
    breaker.succeeded(HERE, "t")
    assert breaker.circuit(HERE) == Circuit("closed")


def test_trials_first_token_closes_it(breaker: CircuitBreaker, clock: Clock) -> None:
    """A long stream keeps nobody out; but if it breaks after all, the circuit opens again at once."""
    break_down(breaker)
    clock.now += 30
    breaker.acquire(HERE, "t")
    breaker.first_token(HERE, "t")
    assert breaker.circuit(HERE).state == "closed"
    assert breaker.acquire(HERE, "another")
    breaker.failed(HERE, "t", DOWN)
    assert breaker.circuit(HERE) == ("open", 4, 30, "ProviderUnavailable")


def test_trial_that_fails_opens_it_again(breaker: CircuitBreaker, clock: Clock) -> None:
    """One failure of the trial's opens the circuit for another full cooldown."""
    break_down(breaker)
    clock.now += 31
    breaker.acquire(HERE, "t")
    breaker.failed(HERE, "t", ProviderTimeout("late"))
    assert breaker.circuit(HERE) == ("open", 4, 30, "ProviderTimeout")


@pytest.mark.parametrize("said", [None, RequestRejected("bad", status=400)], ids=["left", "rejected"])
def test_trial_that_says_nothing_makes_way_for_the_next(
    breaker: CircuitBreaker, clock: Clock, said: SupernovaError | None
) -> None:
    """A trial whose caller left, or asked for nonsense, lets the next request try."""
    break_down(breaker)
    clock.now += 30
    breaker.acquire(HERE, "t")
    breaker.failed(HERE, "t", said)
    assert breaker.circuit(HERE).state == "half-open"
    assert breaker.acquire(HERE, "u")


def test_what_was_sent_before_it_opened_changes_nothing(breaker: CircuitBreaker, clock: Clock) -> None:
    """Late answers and late failures of requests sent earlier neither close an open circuit nor extend it."""
    break_down(breaker)
    clock.now += 10
    breaker.succeeded(HERE, "early")
    breaker.first_token(HERE, "early")
    breaker.failed(HERE, "early", DOWN)
    assert breaker.circuit(HERE) == ("open", 3, 20, "ProviderUnavailable")
    clock.now += 20
    breaker.acquire(HERE, "t")
    breaker.failed(HERE, "early", DOWN)
    breaker.succeeded(HERE, "early")
    assert not breaker.admits(HERE)  # the trial is still out


def test_changes_are_told(breaker: CircuitBreaker, clock: Clock, news: list[tuple[str, Circuit]]) -> None:
    """Opening, trying and closing are told once each; failures that are only counted are not."""
    break_down(breaker)
    clock.now += 30
    breaker.admits(HERE)
    breaker.acquire(HERE, "t")
    breaker.first_token(HERE, "t")
    breaker.succeeded(HERE, "t")
    assert [(name, circuit.state) for name, circuit in news] == [
        (HERE, "open"),
        (HERE, "half-open"),
        (HERE, "closed"),
    ]


def test_restored_circuit_rests_for_what_is_left(breaker: CircuitBreaker, clock: Clock) -> None:
    """What another process opened stays open for the rest of its time, and then takes one trial."""
    breaker.restore(HERE, "RateLimited", 12)
    assert breaker.circuit(HERE) == ("open", 3, 12, "RateLimited")
    clock.now += 12
    assert breaker.acquire(HERE, "t")
    assert not breaker.acquire(HERE, "u")


def test_probe_that_goes_well_lets_one_request_try(breaker: CircuitBreaker) -> None:
    """After a good probe the circuit is half-open before its time, and not closed."""
    break_down(breaker)
    breaker.half_open(HERE)
    assert breaker.circuit(HERE).state == "half-open"
    assert [breaker.acquire(HERE, "t"), breaker.acquire(HERE, "u")] == [True, False]


@pytest.mark.parametrize(
    "error",
    [after(RateLimited("slower", status=429), 90), ModelNotFound("no", status=404), AccountRefused("no")],
    ids=repr,
)
def test_probe_is_not_believed_where_it_says_nothing(breaker: CircuitBreaker, error: ProviderError) -> None:
    """A free probe tells nothing of limits, models and credit: a circuit open for these stays open."""
    breaker.failed(HERE, "r", error)
    breaker.half_open(HERE)
    assert breaker.circuit(HERE).state == "open"


@pytest.mark.parametrize("seconds", [29, 31])
def test_soon_is_within_a_time(breaker: CircuitBreaker, seconds: float) -> None:
    """One that rests admits a request within a time if its rest is over by then."""
    assert breaker.admits_within(HERE, 0)
    break_down(breaker)
    assert breaker.admits_within(HERE, seconds) is (seconds > 30)


def test_new_settings_leave_open_what_is_open(breaker: CircuitBreaker) -> None:
    """A reload changes what later failures do, and not how the circuits stand."""
    break_down(breaker)
    breaker.settings = Settings(failures=1, cooldown=5)
    assert breaker.circuit(HERE).left_s == 30
    breaker.failed("other", "r", DOWN)
    assert breaker.circuit("other").left_s == 5


@pytest.fixture
def live() -> CircuitBreaker:
    """A breaker on the machine's clock: waiting is done on the event loop's."""
    return CircuitBreaker(Settings(failures=1, cooldown=600), clock=time.monotonic)


async def test_room_at_once(live: CircuitBreaker) -> None:
    """Nobody waits where one of several admits a request."""
    live.failed(HERE, "r", DOWN)
    assert await live.wait_for_admission([HERE, "other"], 0)


async def test_room_is_not_waited_for_in_vain(live: CircuitBreaker) -> None:
    """Where all rest for longer than one may wait, the answer is no at once."""
    live.failed(HERE, "r", DOWN)
    async with asyncio.timeout(5):
        assert not await live.wait_for_admission([HERE], 500)


async def test_room_waits_for_a_circuit_that_is_due_soon(live: CircuitBreaker) -> None:
    """One that rests for a moment only is worth the wait."""
    live.failed(HERE, "r", DOWN)
    live.restore("other", None, 0.02)
    assert await live.wait_for_admission([HERE, "other"], 500)
    assert live.admits("other")


@pytest.mark.parametrize(("error", "room"), [(None, True), (DOWN, False)], ids=["left", "failed"])
async def test_room_waits_for_a_trials_outcome(
    live: CircuitBreaker, error: SupernovaError | None, room: bool
) -> None:
    """While one request tries the only deployment, the others wait to hear how that goes."""
    live.restore(HERE, None, 0)
    live.acquire(HERE, "t")
    waiting = asyncio.create_task(live.wait_for_admission([HERE], 500))
    await asyncio.sleep(0)
    assert not waiting.done()
    live.failed(HERE, "t", error)
    assert await waiting is room


async def test_everyone_who_waited_enters_once_it_closes(live: CircuitBreaker) -> None:
    """A trial's answer lets in all who waited."""
    live.restore(HERE, None, 0)
    live.acquire(HERE, "t")
    waiting = [asyncio.create_task(live.wait_for_admission([HERE], 500)) for _ in range(10)]
    await asyncio.sleep(0)
    live.succeeded(HERE, "t")
    assert await asyncio.gather(*waiting) == [True] * 10


async def test_patience_ends(live: CircuitBreaker) -> None:
    """A trial that takes for ever is waited for as long as one may, and no longer."""
    live.restore(HERE, None, 0)
    live.acquire(HERE, "t")
    assert not await live.wait_for_admission([HERE], 0.01)


ERRORS = [DOWN, AuthenticationFailed("no"), after(RateLimited("slower"), 7), RequestRejected("bad"), None]


class Traffic(RuleBasedStateMachine):
    """Requests come, go and end in any order, while time passes and probes succeed."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.breaker = CircuitBreaker(Settings(failures=2, cooldown=10), clock=self.clock)
        self.sent = 0
        self.under_way: list[str] = []
        self.trials: set[str] = set()

    @rule()
    def ask(self) -> None:
        request = f"r{self.sent}"
        closed = self.breaker.circuit(HERE).state == "closed"
        admits = self.breaker.admits(HERE)
        assert self.breaker.acquire(HERE, request) is admits
        if admits:
            self.sent += 1
            self.under_way.append(request)
            if not closed:
                self.trials.add(request)

    @precondition(lambda self: self.under_way)
    @rule(data=st.data(), error=st.sampled_from(ERRORS))
    def fail(self, data: st.DataObject, error: SupernovaError | None) -> None:
        request = self.leave(data)
        self.breaker.failed(HERE, request, error)
        self.trials.discard(request)

    @precondition(lambda self: self.under_way)
    @rule(data=st.data())
    def answer(self, data: st.DataObject) -> None:
        request = self.leave(data)
        tried = request in self.trials
        before = self.breaker.circuit(HERE).state
        self.breaker.succeeded(HERE, request)
        self.trials.discard(request)
        assert self.breaker.circuit(HERE).state == ("closed" if tried else before)

    @precondition(lambda self: self.under_way)
    @rule(data=st.data())
    def begin(self, data: st.DataObject) -> None:
        request = data.draw(st.sampled_from(self.under_way))
        self.breaker.first_token(HERE, request)
        self.trials.discard(request)

    @rule(seconds=st.sampled_from([1, 9, 30]))
    def wait(self, seconds: float) -> None:
        self.clock.now += seconds

    @rule()
    def probe(self) -> None:
        self.breaker.half_open(HERE)

    @invariant()
    def one_trial_at_most(self) -> None:
        assert len(self.trials) <= 1

    @invariant()
    def open_lets_nobody_in(self) -> None:
        assert self.breaker.circuit(HERE).state != "open" or not self.breaker.admits(HERE)

    @invariant()
    def never_shut_for_good(self) -> None:
        """With no trial out, the circuit admits somebody again once its time is over."""
        circuit = self.breaker.circuit(HERE)
        assert circuit.left_s <= 10
        assert circuit.state == "open" or self.trials or self.breaker.admits(HERE)

    def leave(self, data: st.DataObject) -> str:
        request = data.draw(st.sampled_from(self.under_way))
        self.under_way.remove(request)
        return request


Traffic.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestTraffic = Traffic.TestCase
