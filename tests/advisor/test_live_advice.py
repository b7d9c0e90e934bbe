"""Advice with the real local model. Its sentences are poor: the tests assert what is shown of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from supernova_ai import Supernova, aadvise
from supernova_ai.demo.local_model import LocalModel
from tests.advisor.sample_advice import SAMPLE, SEED

pytestmark = pytest.mark.proof

Open = Callable[..., Supernova]


def local(url: str) -> dict[str, Any]:
    model = LocalModel.name
    return {
        "openai": {
            "url": url,
            "models": {"premium": model},
            "prices": {model: {"input": "2", "output": "5"}},
            "params": {"temperature": 0},
            "timeout": {"total": 500},
        }
    }


async def test_some_sentences_of_a_real_model_are_shown(open_nova: Open, local_model: LocalModel) -> None:
    """The server's grammar makes it answer in JSON; what holds is shown, and the rest is named."""
    advice = await aadvise(SAMPLE, client=open_nova(local(local_model.url)), timeout=600, **SEED)
    written = [each for each in advice.details.sentences if each.source != "generated"]
    assert written, advice.details.why
    assert all(each.text in advice.rationale for each in written)
    assert all(attempt.cost_basis == "exact" for attempt in advice.details.attempts)


async def test_a_slow_model_is_not_waited_for(open_nova: Open, local_model: LocalModel) -> None:
    """A real model that needs longer than the timeout leaves advice with our sentences, and a record."""
    advice = await aadvise(SAMPLE, client=open_nova(local(local_model.url)), timeout=2, **SEED)
    assert (advice.action, advice.details.source) == ("buy", "generated")
    assert "ProviderTimeout" in advice.details.why
    assert advice.details.record_id
