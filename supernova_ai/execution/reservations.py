"""Reservations: which candidate an attempt's money is held for, and how long its answer may be for that.

A tight budget must not refuse needlessly. In this order: the full answer at any candidate, a shorter answer
at any, and, where no cheaper tier is left to try, a short wait in line for others' holds to settle.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import NamedTuple

from peewee import Database

from supernova_ai.config import Routing
from supernova_ai.errors import (
    BudgetExceeded,
    KeyNotFound,
    NoProvider,
    PriceUnknown,
    StoreError,
    SupernovaError,
)
from supernova_ai.execution.request_state import RequestState
from supernova_ai.keys import KeySource, SealedKey
from supernova_ai.ledger import Entry, Hold, Ledger
from supernova_ai.litellm_adapter import prices
from supernova_ai.money import to_nano, to_usd
from supernova_ai.routing.deployments import Deployment
from supernova_ai.secret import Secret
from supernova_ai.types import Request, Tier

_LOOK_AGAIN_S = 0.02
"""How often the first in line looks whether others' holds have settled."""


class Taken(NamedTuple):
    """A hold, the candidate it is for, and where its key is (None: it needs none)."""

    deployment: Deployment
    key: SealedKey | Secret | None
    hold: Hold
    max_tokens: int


def no_key(call: RequestState) -> NoProvider:
    """Return the error of a request that nobody has a key for: what to do first, and each thing once."""
    refusals = call.passed_over.values()
    commands = dict.fromkeys(e.remedy for e in refusals if isinstance(e, KeyNotFound) and e.remedy)
    # A primary key is enough.
    least = [f"'{c}'" for c in commands if not any(c.startswith(f"{other} ") for other in commands)]
    told = [f"{name} has a key and is not asked: add it to 'routing.priority'" for name in call.unused_keys]
    if least:
        told.append(f"no provider that is asked has a key: run {', or '.join(least)}")
    told += dict.fromkeys(str(e) for e in refusals if not getattr(e, "remedy", None))
    return NoProvider("; ".join(told))


class Reservations:
    """Takes holds.

    Args:
        versions: of the configuration and the price map, for the ledger.
        outside: the configured providers that are never asked.
    """

    def __init__(
        self,
        ledger: Ledger,
        keys: KeySource,
        routing: Routing,
        versions: tuple[str, str],
        outside: Iterable[str] = (),
    ) -> None:
        self._ledger = ledger
        self._keys = keys
        self._routing = routing
        self._outside = set(outside)
        self._versions = versions
        self._line = asyncio.Lock()  # it wakes those who wait in the order they came

    async def take(self, call: RequestState, ranked: Sequence[Deployment], *, may_wait: bool) -> Taken:
        """Take a hold for the first candidate that has a key and that every budget can bear.

        Raises:
            BudgetExceeded: no candidate can be borne.
            PriceUnknown: a budget applies and no candidate has a price.
            NoProvider: none has a key.
        """
        try:
            return await self._try(call, ranked)
        except BudgetExceeded as refusal:
            if not (may_wait and refusal.temporary and self._routing.wait):
                raise
            last = refusal
        try:
            async with asyncio.timeout(self._routing.wait), self._line:
                while True:
                    try:
                        return await self._try(call, ranked)
                    except BudgetExceeded as refusal:
                        last = refusal
                        if not refusal.temporary:
                            break
                    await asyncio.sleep(_LOOK_AGAIN_S)
        except TimeoutError:
            pass
        raise last

    async def _try(self, call: RequestState, ranked: Sequence[Deployment]) -> Taken:
        """Try once, in one operation of the ledger."""
        placed: list[Taken] = []

        def place(database: Database) -> Taken:
            placed.append(self._place(database, call, ranked))
            return placed[-1]

        waiting = asyncio.wrap_future(self._ledger.write(place))
        try:
            taken = await asyncio.shield(waiting)
        except (asyncio.CancelledError, StoreError):
            # The hold may be taken all the same: a server can commit and be gone before it says so.
            waiting.add_done_callback(lambda _: self._forgo(placed))
            raise
        call.begin_attempt(taken.deployment, taken.hold, taken.max_tokens)
        return taken

    def _forgo(self, placed: Sequence[Taken]) -> None:
        """Release what was placed and nobody will use."""
        for taken in placed:
            with suppress(StoreError):  # it was closed, and what was held is lost
                self._ledger.forgo(taken.hold)

    def _place(self, database: Database, call: RequestState, ranked: Sequence[Deployment]) -> Taken:
        refusals: list[SupernovaError] = []
        short: list[tuple[Deployment, SealedKey | Secret | None]] = []
        for deployment in ranked:
            try:
                key = self.key(database, deployment)
                most = call.request.max_tokens
                return Taken(deployment, key, self._hold(database, call, deployment, most), most)
            except BudgetExceeded as refusal:
                refusals.append(refusal)
                short.append((deployment, key))
            except (PriceUnknown, KeyNotFound) as refusal:
                if isinstance(refusal, KeyNotFound) and not call.unused_keys:
                    call.unused_keys = sorted(self._keys.providers(database) & self._outside)
                refusals.append(refusal)
                call.passed_over[deployment.id] = refusal
        for deployment, key in short:
            if fitted := self._fit(database, call, deployment):
                return Taken(deployment, key, self._hold(database, call, deployment, fitted), fitted)
        raise self._refusal(call, refusals, short)

    def key(self, database: Database, deployment: Deployment) -> SealedKey | Secret | None:
        """Return where the deployment's key is, None if it takes none; inside an operation of the ledger.

        Raises:
            KeyNotFound: its slot is empty.
        """
        if deployment.slot is None:
            return None
        found = self._keys.find(database, deployment.provider, deployment.slot)
        if found is None:
            slot = "" if deployment.slot == "primary" else f" --slot {deployment.slot}"
            remedy = f"supernova keys add {deployment.provider}{slot}"
            missing = KeyNotFound(f"no key for {deployment.provider} ({deployment.slot}): run '{remedy}'")
            missing.remedy = remedy
            raise missing
        return found

    async def ids(self, deployments: Iterable[Deployment]) -> dict[str, str]:
        """Return the id of each deployment's key, where it has one."""

        def look(database: Database) -> dict[str, str]:
            found: dict[str, str] = {}
            for deployment in deployments:
                with suppress(KeyNotFound):
                    if key := self.key(database, deployment):
                        found[deployment.id] = self._keys.id_of(key)
            return found

        return await asyncio.wrap_future(self._ledger.write(look))

    def _hold(self, database: Database, call: RequestState, deployment: Deployment, max_tokens: int) -> Hold:
        """Hold the most the attempt can cost, refusing what no limit could be kept for."""
        request = call.request
        amount = self._bound(call, deployment, max_tokens)
        if deployment.price is not None:
            self._check_cap(call, amount)
        elif request.max_cost is not None or self._ledger.is_bounded(
            provider=deployment.provider, user=request.user_id, task=request.task
        ):
            raise PriceUnknown(
                f"no price is known for {deployment.provider}/{deployment.model} and a budget applies: "
                f"write it under providers.{deployment.provider}.prices, or 'price: free' if it is"
            )
        entry = entry_of(
            request,
            self._versions,
            tier=deployment.tier,
            provider=deployment.provider,
            model=deployment.model,
            slot=deployment.slot,
            address=deployment.address,
            held=amount,
            max_tokens=max_tokens,
            now_ms=self._ledger.now_ms(),
        )
        return self._ledger.place(database, entry, began_ms=request.began_ms)

    def _check_cap(self, call: RequestState, amount: int) -> None:
        """Refuse what would pass the caller's own cap over all attempts of the request."""
        cap = call.request.max_cost
        if cap is not None and call.spent() + amount > to_nano(cap):
            raise BudgetExceeded(
                budget="max_cost",
                spent=to_usd(call.spent()),
                held=to_usd(0),
                limit=cap,
                needed=to_usd(amount),
                resets_at=None,
            )

    def _fit(self, database: Database, call: RequestState, deployment: Deployment) -> int | None:
        """Return how long an answer the budgets still bear, None if that is too short to be of use."""
        request, price = call.request, deployment.price
        room = self._ledger.room(
            database, provider=deployment.provider, user=request.user_id, task=request.task
        )
        if request.max_cost is not None:
            room = min(room, to_nano(request.max_cost) - call.spent())
        most = price.fit(prices.bound(request, deployment.model), room) if price else 0
        return most if self._least(call) <= most < request.max_tokens else None

    def _refusal(
        self,
        call: RequestState,
        refusals: Sequence[SupernovaError],
        short: Sequence[tuple[Deployment, SealedKey | Secret | None]],
    ) -> SupernovaError:
        """Return the refusal that tells the caller most: money before prices before keys."""
        exceeded = [refusal for refusal in refusals if isinstance(refusal, BudgetExceeded)]
        for refusal, (deployment, _) in zip(exceeded, short, strict=True):
            least = self._bound(call, deployment, self._least(call))
            refusal.temporary = refusal.spent + to_usd(least) <= refusal.limit and refusal.held > 0
        unpriced = [refusal for refusal in refusals if isinstance(refusal, PriceUnknown)]
        first = [*sorted(exceeded, key=lambda refusal: not refusal.temporary), *unpriced][:1]
        return first[0] if first else no_key(call)

    def _least(self, call: RequestState) -> int:
        return min(self._routing.min_tokens, call.request.max_tokens)

    def _bound(self, call: RequestState, deployment: Deployment, max_tokens: int) -> int:
        price = deployment.price
        return 0 if price is None else price.bound(prices.bound(call.request, deployment.model), max_tokens)


def entry_of(
    request: Request,
    versions: tuple[str, str],
    *,
    tier: Tier,
    provider: str,
    model: str,
    slot: str | None,
    held: int,
    max_tokens: int,
    now_ms: int,
    address: str | None = None,
) -> Entry:
    """Return the row; ``versions`` are of the configuration and the price map, ``held`` is nano-USD."""
    return Entry(
        id=uuid.uuid4().hex,
        request=request.id,
        process="",
        user_id=request.user_id,
        session_id=request.session_id,
        task=request.task,
        tier=tier,
        provider=provider,
        model=model,
        key_slot=slot,
        held_nano=held,
        started_ms=now_ms,
        prompt_name=request.prompt_name,
        prompt_hash=request.prompt_hash,
        config_version=versions[0],
        price_version=versions[1],
        max_tokens=max_tokens,
        address=address,
    )
