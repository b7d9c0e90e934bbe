"""The records of requests and replies are immutable."""

from __future__ import annotations

import dataclasses
from decimal import Decimal
from typing import get_args

import pytest

from supernova_ai import ProviderTimeout, types
from supernova_ai.types import TIERS, Reply, Request, Tier, Usage

RECORDS = [kind for kind in vars(types).values() if dataclasses.is_dataclass(kind)]


@pytest.mark.parametrize("kind", RECORDS)
def test_records_are_frozen_and_slotted(kind: type) -> None:
    """No record can be changed or gets an unknown field."""
    record: object = object.__new__(kind)
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(record, dataclasses.fields(kind)[0].name, None)
    assert not hasattr(record, "__dict__")


def test_tiers_are_complete_and_ordered() -> None:
    """``TIERS`` contains every tier, cheapest first."""
    assert get_args(Tier) == TIERS == ("economy", "standard", "premium")


def test_a_request_knows_what_is_left_of_its_timeout() -> None:
    """Each part of a call takes some of it; an error names the timeout that the caller gave."""
    asked = Request(id="r", messages=(), tier="standard", task="chat", max_tokens=1)
    assert asked.after(5) is asked
    later = dataclasses.replace(asked, timeout=30.0).after(10).after(5)
    assert (later.timeout, later.allowed) == (15, 30)
    with pytest.raises(ProviderTimeout, match="no whole answer within 30 s"):
        later.after(15)


def test_a_reply_prints_as_its_text() -> None:
    """``str(reply)`` is the answer."""
    reply = Reply(
        content="Buy low.",
        provider="openai",
        model="m",
        tier="standard",
        cost=Decimal("0.01"),
        cost_basis="exact",
        usage=Usage(prompt=3, completion=2),
        latency_s=0.5,
        first_token_s=None,
        request_id="r",
        attempts=(),
        finish_reason="stop",
    )
    assert str(reply) == "Buy low."
    assert (reply.cached, reply.quality_score) == (False, None)


def test_requests_do_not_share_their_metadata() -> None:
    """Each request without metadata has its own empty mapping."""
    one, other = (Request(id=i, messages=(), tier="economy", task="chat", max_tokens=1) for i in ("1", "2"))
    assert one.metadata == {}
    assert one.metadata is not other.metadata
