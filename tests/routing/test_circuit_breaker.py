"""The circuit breaker: what opens a circuit, what tests a half-open one, and what waits for it."""

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
    """A fake clock, in seconds."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def with_retry_after(error: ProviderError, retry_after: float) -> ProviderError:
    error.retry_after = retry_after
    return error


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def changes() -> list[tuple[str, Circuit]]:
    return []


@pytest.fixture
def breaker(clock: Clock, changes: list[tuple[str, Circuit]]) -> CircuitBreaker:
    """Return a circuit breaker that three failures open for 30 seconds."""
    return CircuitBreaker(Settings(), lambda *told: changes.append(told), clock)


def open_circuit(breaker: CircuitBreaker) -> None:
    for number in range(3):
        breaker.failed(HERE, f"r{number}", DOWN)


def test_failures_in_a_row_open_the_circuit(breaker: CircuitBreaker) -> None:
    """The third failure in a row opens the deployment's circuit, and no other."""
    for left in (2, 1):
        breaker.failed(HERE, "r", DOWN)
        assert breaker.circuit(HERE) == ("closed", 3 - left, 0, None)
        assert breaker.acquire(HERE, "r")
    breaker.failed(HERE, "r", DOWN)
    assert breaker.circuit(HERE) == ("open", 3, 30, "ProviderUnavailable")
    assert not breaker.admits(HERE)
    assert not breaker.acquire(HERE, "next")
    assert breaker.acquire("standard/openai/backup", "next")


def test_answer_resets_the_failures(breaker: CircuitBreaker) -> None:
    """An answer resets the count of failures in a row."""
    for _ in range(4):
        breaker.failed(HERE, "r", DOWN)
        breaker.failed(HERE, "r", DOWN)
        breaker.succeeded(HERE, "s")
    assert breaker.circuit(HERE) == Circuit("closed")


def test_first_token_does_not_reset_the_failures(breaker: CircuitBreaker) -> None:
    """Streams that begin and then break count as failures in a row."""
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
def test_permanent_error_opens_the_circuit_at_once(breaker: CircuitBreaker, error: ProviderError) -> None:
    """A refused key, an unknown model or an empty account opens the circuit at the first failure."""
    breaker.failed(HERE, "r", error)
    assert breaker.circuit(HERE) == ("open", 1, 30, type(error).__name__)


@pytest.mark.parametrize(("asked", "cooldown"), [(0.5, 0.5), (90, 90), (10**9, 3600)])
def test_retry_after_is_honoured(
    breaker: CircuitBreaker, clock: Clock, asked: float, cooldown: float
) -> None:
    """A rate limit with ``retry_after`` opens the circuit at once, for that time and an hour at most."""
    breaker.failed(HERE, "r", with_retry_after(RateLimited("slower", status=429), asked))
    assert breaker.circuit(HERE).left_s == cooldown
    clock.now += cooldown - 0.1
    assert not breaker.admits(HERE)
    clock.now += 0.2
    assert breaker.admits(HERE)


@pytest.mark.parametrize(
    "error",
    [RateLimited("slower", status=429), ProviderTimeout("late"), ProviderUnavailable("bad", status=500)],
    ids=lambda error: type(error).__name__,
)
def test_temporary_errors_are_counted(breaker: CircuitBreaker, error: ProviderError) -> None:
    """A rate limit without ``retry_after``, a timeout and a server error each count as one failure."""
    breaker.failed(HERE, "r", error)
    breaker.failed(HERE, "r", error)
    assert breaker.circuit(HERE).state == "closed"
    breaker.failed(HERE, "r", error)
    assert breaker.circuit(HERE).state == "open"


def test_retry_after_of_a_503_sets_the_cooldown(breaker: CircuitBreaker) -> None:
    """A 503 with ``retry_after`` counts as one failure; the last one sets the cooldown."""
    maintenance = with_retry_after(ProviderUnavailable("maintenance", status=503), 300)
    for _ in range(3):
        breaker.failed(HERE, "r", maintenance)
    assert breaker.circuit(HERE).left_s == 300


@pytest.mark.parametrize(
    "error",
    [RequestRejected("bad", status=400), ContextTooLong("long"), ContentRefused("no"), NoProvider("?"), None],
    ids=lambda error: type(error).__name__,
)
def test_errors_of_the_caller_are_not_counted(breaker: CircuitBreaker, error: SupernovaError | None) -> None:
    """A request that was rejected, or that its caller left, is no failure of the provider."""
    for _ in range(10):
        breaker.failed(HERE, "r", error)
    assert breaker.circuit(HERE) == Circuit("closed")


def test_half_open_circuit_admits_one_request(breaker: CircuitBreaker, clock: Clock) -> None:
    """After the cooldown the circuit admits one request as its trial, and no other."""
    open_circuit(breaker)
    clock.now += 30
    assert breaker.circuit(HERE).state == "half-open"
    assert [breaker.acquire(HERE, f"t{number}") for number in range(5)] == [True] + [False] * 4


def test_answered_trial_closes_the_circuit(breaker: CircuitBreaker, clock: Clock) -> None:
    """An answer to the trial closes the circuit and resets its failures."""
    open_circuit(breaker)
    clock.now += 30
    breaker.acquire(HERE, "t")
    breaker.succeeded(HERE, "t")
    assert breaker.circuit(HERE) == Circuit("closed")


def test_first_token_of_the_trial_closes_the_circuit(breaker: CircuitBreaker, clock: Clock) -> None:
    """The trial's first token closes the circuit; if its stream then breaks, the circuit opens at once."""
    open_circuit(breaker)
    clock.now += 30
    breaker.acquire(HERE, "t")
    breaker.first_token(HERE, "t")
    assert breaker.circuit(HERE).state == "closed"
    assert breaker.acquire(HERE, "another")
    breaker.failed(HERE, "t", DOWN)
    assert breaker.circuit(HERE) == ("open", 4, 30, "ProviderUnavailable")


def test_failed_trial_reopens_the_circuit(breaker: CircuitBreaker, clock: Clock) -> None:
    """One failure of the trial opens the circuit for another full cooldown."""
    open_circuit(breaker)
    clock.now += 31
    breaker.acquire(HERE, "t")
    breaker.failed(HERE, "t", ProviderTimeout("late"))
    assert breaker.circuit(HERE) == ("open", 4, 30, "ProviderTimeout")


@pytest.mark.parametrize("said", [None, RequestRejected("bad", status=400)], ids=["left", "rejected"])
def test_inconclusive_trial_admits_the_next(
    breaker: CircuitBreaker, clock: Clock, said: SupernovaError | None
) -> None:
    """If the trial's caller leaves, or its request is rejected, the next request is admitted."""
    open_circuit(breaker)
    clock.now += 30
    breaker.acquire(HERE, "t")
    breaker.failed(HERE, "t", said)
    assert breaker.circuit(HERE).state == "half-open"
    assert breaker.acquire(HERE, "u")


def test_requests_sent_before_it_opened_change_nothing(breaker: CircuitBreaker, clock: Clock) -> None:
    """Late results of requests that were sent before the circuit opened neither close nor extend it."""
    open_circuit(breaker)
    clock.now += 10
    breaker.succeeded(HERE, "early")
    breaker.first_token(HERE, "early")
    breaker.failed(HERE, "early", DOWN)
    assert breaker.circuit(HERE) == ("open", 3, 20, "ProviderUnavailable")
    clock.now += 20
    breaker.acquire(HERE, "t")
    breaker.failed(HERE, "early", DOWN)
    breaker.succeeded(HERE, "early")
    assert not breaker.admits(HERE)  # the trial still runs


def test_changes_are_reported(
    breaker: CircuitBreaker, clock: Clock, changes: list[tuple[str, Circuit]]
) -> None:
    """Opening, half-opening and closing are reported once each; a failure that is only counted is not."""
    open_circuit(breaker)
    clock.now += 30
    breaker.admits(HERE)
    breaker.acquire(HERE, "t")
    breaker.first_token(HERE, "t")
    breaker.succeeded(HERE, "t")
    assert [(name, circuit.state) for name, circuit in changes] == [
        (HERE, "open"),
        (HERE, "half-open"),
        (HERE, "closed"),
    ]


def test_restored_circuit_stays_open_for_the_time_left(breaker: CircuitBreaker, clock: Clock) -> None:
    """A circuit that another process opened stays open for the time left, and then admits one trial."""
    breaker.restore(HERE, "RateLimited", 12)
    assert breaker.circuit(HERE) == ("open", 3, 12, "RateLimited")
    clock.now += 12
    assert breaker.acquire(HERE, "t")
    assert not breaker.acquire(HERE, "u")


def test_successful_probe_half_opens_the_circuit(breaker: CircuitBreaker) -> None:
    """A successful probe makes the circuit half-open before its cooldown ends, and does not close it."""
    open_circuit(breaker)
    breaker.half_open(HERE)
    assert breaker.circuit(HERE).state == "half-open"
    assert [breaker.acquire(HERE, "t"), breaker.acquire(HERE, "u")] == [True, False]


@pytest.mark.parametrize(
    "error",
    [
        with_retry_after(RateLimited("slower", status=429), 90),
        ModelNotFound("no", status=404),
        AccountRefused("no"),
    ],
    ids=repr,
)
def test_probe_does_not_clear_what_it_cannot_test(breaker: CircuitBreaker, error: ProviderError) -> None:
    """A free probe tests no limit, model or credit: a circuit that these opened stays open."""
    breaker.failed(HERE, "r", error)
    breaker.half_open(HERE)
    assert breaker.circuit(HERE).state == "open"


@pytest.mark.parametrize("seconds", [29, 31])
def test_admits_within_a_time(breaker: CircuitBreaker, seconds: float) -> None:
    """A deployment in cooldown admits a request within a time if its cooldown ends in that time."""
    assert breaker.admits_within(HERE, 0)
    open_circuit(breaker)
    assert breaker.admits_within(HERE, seconds) is (seconds > 30)


def test_new_settings_do_not_change_open_circuits(breaker: CircuitBreaker) -> None:
    """New settings apply to later failures, and leave open circuits as they are."""
    open_circuit(breaker)
    breaker.settings = Settings(failures=1, cooldown=5)
    assert breaker.circuit(HERE).left_s == 30
    breaker.failed("other", "r", DOWN)
    assert breaker.circuit("other").left_s == 5


@pytest.fixture
def live() -> CircuitBreaker:
    """Return a circuit breaker on the real clock: its waits run on the event loop."""
    return CircuitBreaker(Settings(failures=1, cooldown=600), clock=time.monotonic)


async def test_admission_at_once(live: CircuitBreaker) -> None:
    """If one of several deployments admits a request, there is no wait."""
    live.failed(HERE, "r", DOWN)
    assert await live.wait_for_admission([HERE, "other"], 0)


async def test_too_long_cooldown_is_not_waited_for(live: CircuitBreaker) -> None:
    """If every cooldown is longer than the allowed wait, the result is False at once."""
    live.failed(HERE, "r", DOWN)
    async with asyncio.timeout(5):
        assert not await live.wait_for_admission([HERE], 500)


async def test_short_cooldown_is_waited_for(live: CircuitBreaker) -> None:
    """A cooldown that ends within the allowed wait is waited for."""
    live.failed(HERE, "r", DOWN)
    live.restore("other", None, 0.02)
    assert await live.wait_for_admission([HERE, "other"], 500)
    assert live.admits("other")


@pytest.mark.parametrize(("error", "admitted"), [(None, True), (DOWN, False)], ids=["left", "failed"])
async def test_running_trial_is_waited_for(
    live: CircuitBreaker, error: SupernovaError | None, admitted: bool
) -> None:
    """While a trial tests the only deployment, the other requests wait for its result."""
    live.restore(HERE, None, 0)
    live.acquire(HERE, "t")
    waiting = asyncio.create_task(live.wait_for_admission([HERE], 500))
    await asyncio.sleep(0)
    assert not waiting.done()
    live.failed(HERE, "t", error)
    assert await waiting is admitted


async def test_answered_trial_admits_all_waiting_requests(live: CircuitBreaker) -> None:
    """An answer to the trial admits all waiting requests."""
    live.restore(HERE, None, 0)
    live.acquire(HERE, "t")
    waiting = [asyncio.create_task(live.wait_for_admission([HERE], 500)) for _ in range(10)]
    await asyncio.sleep(0)
    live.succeeded(HERE, "t")
    assert await asyncio.gather(*waiting) == [True] * 10


async def test_wait_for_a_trial_is_limited(live: CircuitBreaker) -> None:
    """A trial that does not end is waited for as long as allowed, and no longer."""
    live.restore(HERE, None, 0)
    live.acquire(HERE, "t")
    assert not await live.wait_for_admission([HERE], 0.01)


ERRORS = [
    DOWN,
    AuthenticationFailed("no"),
    with_retry_after(RateLimited("slower"), 7),
    RequestRejected("bad"),
    None,
]


class Traffic(RuleBasedStateMachine):
    """Requests start and end in any order, while time passes and probes succeed."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.breaker = CircuitBreaker(Settings(failures=2, cooldown=10), clock=self.clock)
        self.sent = 0
        self.running: list[str] = []
        self.trials: set[str] = set()

    @rule()
    def ask(self) -> None:
        request = f"r{self.sent}"
        closed = self.breaker.circuit(HERE).state == "closed"
        admits = self.breaker.admits(HERE)
        assert self.breaker.acquire(HERE, request) is admits
        if admits:
            self.sent += 1
            self.running.append(request)
            if not closed:
                self.trials.add(request)

    @precondition(lambda self: self.running)
    @rule(data=st.data(), error=st.sampled_from(ERRORS))
    def fail(self, data: st.DataObject, error: SupernovaError | None) -> None:
        request = self.pick_running(data)
        self.breaker.failed(HERE, request, error)
        self.trials.discard(request)

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def answer(self, data: st.DataObject) -> None:
        request = self.pick_running(data)
        tried = request in self.trials
        before = self.breaker.circuit(HERE).state
        self.breaker.succeeded(HERE, request)
        self.trials.discard(request)
        assert self.breaker.circuit(HERE).state == ("closed" if tried else before)

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def begin(self, data: st.DataObject) -> None:
        request = data.draw(st.sampled_from(self.running))
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
    def open_circuit_admits_none(self) -> None:
        assert self.breaker.circuit(HERE).state != "open" or not self.breaker.admits(HERE)

    @invariant()
    def circuit_always_recovers(self) -> None:
        """Without a running trial the circuit admits a request once its cooldown is over."""
        circuit = self.breaker.circuit(HERE)
        assert circuit.left_s <= 10
        assert circuit.state == "open" or self.trials or self.breaker.admits(HERE)

    def pick_running(self, data: st.DataObject) -> str:
        request = data.draw(st.sampled_from(self.running))
        self.running.remove(request)
        return request


Traffic.TestCase.settings = settings(max_examples=60, stateful_step_count=40)
TestTraffic = Traffic.TestCase
