"""Reservations: the deployment that an attempt's money is held for, and the ``max_tokens`` that fit.

A tight budget must not refuse needlessly. Tried in this order: the full answer at any candidate, a shorter
answer at any, and, where no cheaper tier is left, a short wait in line until other holds settle.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, NamedTuple

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
from supernova_ai.execution.entries import entry_of, payer_of
from supernova_ai.execution.request_state import RequestState, Versions
from supernova_ai.keys import KeySource, SealedKey
from supernova_ai.ledger import Batch, Hold, Ledger, Needs
from supernova_ai.money import to_nano, to_usd
from supernova_ai.routing.deployments import Deployment
from supernova_ai.secret import Secret
from supernova_ai.store.engines import Selects
from supernova_ai.types import Request

_POLL_S = 0.02
"""How often the first in line tries again, in seconds."""


class Reservation(NamedTuple):
    """A hold, the deployment it is for, and its key (None: it takes none)."""

    deployment: Deployment
    key: SealedKey | Secret | None
    hold: Hold
    max_tokens: int


def no_key(call: RequestState) -> NoProvider:
    """Return the error of a request for which no provider has a key: it names each remedy once."""
    refusals = call.passed_over.values()
    commands = dict.fromkeys(e.remedy for e in refusals if isinstance(e, KeyNotFound) and e.remedy)
    unused = call.unused_keys
    # A primary key is enough.
    least = [f"'{c}'" for c in commands if not any(c.startswith(f"{other} ") for other in commands)]
    remedies = [f"{name} has a key and is not asked: add it to 'routing.priority'" for name in unused]
    if least:
        remedies.append(f"no provider that is asked has a key: run {', or '.join(least)}")
    remedies += dict.fromkeys(str(e) for e in refusals if not getattr(e, "remedy", None))
    return NoProvider("; ".join(remedies))


class Reservations:
    """Takes holds.

    Args:
        versions: written to the ledger with each attempt.
        never_asked: the configured providers that are not in ``routing.priority``, or not enabled.
        unused: gets the holds of cancelled calls until they are taken and released again.
    """

    def __init__(
        self,
        ledger: Ledger,
        keys: KeySource,
        routing: Routing,
        versions: Versions,
        *,
        never_asked: Iterable[str],
        unused: set[asyncio.Future[Any]],
    ) -> None:
        self._ledger = ledger
        self._keys = keys
        self._routing = routing
        self._versions = versions
        self._never_asked = set(never_asked)
        self._unused = unused
        self._queue = asyncio.Lock()  # it wakes those who wait in the order they came

    async def take(self, call: RequestState, ranked: Sequence[Deployment], *, may_wait: bool) -> Reservation:
        """Take a hold for the first candidate that has a key and fits into every budget.

        Raises:
            BudgetExceeded: no candidate fits.
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
            async with asyncio.timeout(self._routing.wait), self._queue:
                while True:
                    try:
                        return await self._try(call, ranked)
                    except BudgetExceeded as refusal:
                        last = refusal
                        if not refusal.temporary:
                            break
                    await asyncio.sleep(_POLL_S)
        except TimeoutError:
            pass
        raise last

    async def _try(self, call: RequestState, ranked: Sequence[Deployment]) -> Reservation:
        """Try once, in one transaction."""
        taken_holds: list[Reservation] = []

        def reserve(batch: Batch) -> Reservation:
            taken_holds.append(self._hold_first(batch, call, ranked))
            return taken_holds[-1]

        waiting = asyncio.wrap_future(self._ledger.write(reserve, self._needs(call.request, ranked)))
        try:
            taken = await asyncio.shield(waiting)
        except (asyncio.CancelledError, StoreError):
            # The hold may exist all the same: a server can commit and fail before it confirms.
            self._unused.add(waiting)
            waiting.add_done_callback(partial(self._release_unused, taken_holds))
            raise
        call.begin_attempt(taken.deployment, taken.hold, taken.max_tokens)
        return taken

    def _release_unused(self, taken_holds: Sequence[Reservation], tried: asyncio.Future[Any]) -> None:
        """Release holds that no attempt will use."""
        self._unused.discard(tried)
        if not tried.cancelled():
            tried.exception()  # reading it here keeps asyncio from reporting it as never retrieved
        for taken in taken_holds:
            self._ledger.release(taken.hold)

    def _needs(self, request: Request, ranked: Sequence[Deployment]) -> Needs:
        """Return what a hold for the first of them reads; the others are rarely asked for."""
        if not ranked:
            return Needs()
        first = ranked[0]
        return self._ledger.needs_of_hold(
            provider=first.provider,
            payer=payer_of(request),
            task=request.task,
            began_ms=request.began_ms,
            selects=[self._keys.select(first.provider, first.slot)] if first.slot else [],
        )

    def _hold_first(self, batch: Batch, call: RequestState, ranked: Sequence[Deployment]) -> Reservation:
        refusals: list[SupernovaError] = []
        short: list[tuple[Deployment, SealedKey | Secret | None, BudgetExceeded]] = []
        for deployment in ranked:
            try:
                key = self.find_key(batch, deployment)
                most = call.request.max_tokens
                return Reservation(deployment, key, self._hold(batch, call, deployment, key, most), most)
            except BudgetExceeded as refusal:
                short.append((deployment, key, refusal))
            except (PriceUnknown, KeyNotFound) as refusal:
                if isinstance(refusal, KeyNotFound) and not call.unused_keys:
                    call.unused_keys = sorted(self._keys.providers(batch) & self._never_asked)
                refusals.append(refusal)
                call.passed_over[deployment.id] = refusal
        for deployment, key, _ in short:
            if fitted := self._shortened(batch, call, deployment):
                hold = self._hold(batch, call, deployment, key, fitted)
                return Reservation(deployment, key, hold, fitted)
        raise self._best_refusal(call, refusals, short)

    def find_key(self, database: Database | Selects, deployment: Deployment) -> SealedKey | Secret | None:
        """Return the deployment's key, sealed unless it is of the environment; None if it takes none.

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

    async def key_ids(self, deployments: Iterable[Deployment]) -> dict[str, str]:
        """Return the id of each deployment's key, where it has one."""

        def look(database: Database) -> dict[str, str]:
            found: dict[str, str] = {}
            for deployment in deployments:
                with suppress(KeyNotFound):
                    if key := self.find_key(database, deployment):
                        found[deployment.id] = self._keys.id_of(key)
            return found

        return await asyncio.to_thread(self._ledger.store.read, look)

    def _hold(
        self,
        batch: Batch,
        call: RequestState,
        deployment: Deployment,
        key: SealedKey | Secret | None,
        max_tokens: int,
    ) -> Hold:
        """Hold the most the attempt can cost; refuse it where a limit applies and that is unknown."""
        request = call.request
        amount = deployment.bound(request, max_tokens)
        if deployment.price is not None:
            self._check_cap(call, amount)
        elif request.max_cost is not None or self._ledger.has_budget(
            provider=deployment.provider, payer=payer_of(request), task=request.task
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
            key_version=key.binding.version if isinstance(key, SealedKey) else None,
            address=deployment.address,
            held=amount,
            max_tokens=max_tokens,
            now_ms=self._ledger.now_ms(),
        )
        return self._ledger.hold(batch, entry, began_ms=request.began_ms)

    def _check_cap(self, call: RequestState, amount: int) -> None:
        """Refuse an attempt with which the request could cost more than ``max_cost``."""
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

    def _shortened(self, batch: Batch, call: RequestState, deployment: Deployment) -> int | None:
        """Return the ``max_tokens`` that still fit into the budgets, None if they are too few."""
        request = call.request
        room = self._ledger.remaining(
            batch, provider=deployment.provider, payer=payer_of(request), task=request.task
        )
        if request.max_cost is not None:
            room = min(room, to_nano(request.max_cost) - call.spent())
        most = deployment.affordable_tokens(request, room)
        return most if self._min_tokens(call) <= most < request.max_tokens else None

    def _best_refusal(
        self,
        call: RequestState,
        refusals: Sequence[SupernovaError],
        short: Sequence[tuple[Deployment, SealedKey | Secret | None, BudgetExceeded]],
    ) -> SupernovaError:
        """Return the refusal that helps the caller most: money before prices before keys."""
        for deployment, _, refusal in short:
            least = deployment.bound(call.request, self._min_tokens(call))
            refusal.temporary = refusal.spent + to_usd(least) <= refusal.limit and refusal.held > 0
        unpriced = [refusal for refusal in refusals if isinstance(refusal, PriceUnknown)]
        exceeded = sorted((refusal for *_, refusal in short), key=lambda refusal: not refusal.temporary)
        first = [*exceeded, *unpriced][:1]
        return first[0] if first else no_key(call)

    def _min_tokens(self, call: RequestState) -> int:
        return min(self._routing.min_tokens, call.request.max_tokens)
