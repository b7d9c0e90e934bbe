"""Answers to ``embed`` and ``rerank``: what LiteLLM returns for them, checked before anything is believed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from supernova_ai.errors import UnreadableAnswer
from supernova_ai.litellm_adapter.error_mapping import AskedModel
from supernova_ai.litellm_adapter.usage import token_count
from supernova_ai.types import Ranked, Request, Vector


@dataclass(frozen=True, slots=True)
class VectorAnswer:
    """What an answer without text says of itself, in the form of an answer of a chat."""

    id: str | None
    model: str
    usage: Any
    searches: int | None
    choices: tuple[()] = ()


def describe(response: Any) -> VectorAnswer:
    """Return what the answer says of itself, as far as it can be read."""
    usage, searches = getattr(response, "usage", None), None
    if isinstance(meta := getattr(response, "meta", None), Mapping):  # that of an answer to ``rerank``
        billed, tokens = (_mapping(meta.get(name)) for name in ("billed_units", "tokens"))
        searches = token_count(billed.get("search_units")) or None
        counts = (billed.get("total_tokens"), billed.get("input_tokens"), tokens.get("input_tokens"))
        usage = {"prompt_tokens": max(map(token_count, counts))}
    model, name = getattr(response, "model", None), getattr(response, "id", None)
    return VectorAnswer(
        name if isinstance(name, str) else None, model if isinstance(model, str) else "", usage, searches
    )


def read_vectors(response: Any, request: Request, asked: AskedModel) -> tuple[Vector, ...]:
    """Return the vectors of an answer, in the order of the texts.

    Raises:
        UnreadableAnswer: there is not one for each text, or one is not of finite numbers or of the length
            that was asked for.
    """
    entries = [_mapping(entry) for entry in _sequence(response.data)]
    if len(entries) != len(request.texts):
        raise _wrong(asked, f"it has {len(entries)} vectors for {len(request.texts)} texts")
    if sorted(str(entry.get("index")) for entry in entries) == sorted(map(str, range(len(entries)))):
        entries.sort(key=lambda entry: int(entry["index"]))
    vectors = tuple(_vector(entry.get("embedding"), asked) for entry in entries)
    lengths = {len(vector) for vector in vectors}
    if len(lengths) > 1:
        raise _wrong(asked, f"its vectors have different lengths: {sorted(lengths)}")
    wanted = request.parameters.get("dimensions")
    if wanted is not None and lengths != {wanted}:
        raise _wrong(asked, f"its vectors have {min(lengths)} dimensions, and {wanted} were asked for")
    return vectors


def read_ranking(response: Any, request: Request, asked: AskedModel) -> tuple[Ranked, ...]:
    """Return the results of an answer, the most relevant document first.

    Raises:
        UnreadableAnswer: a result is not of a document, or is missing, or its score is no finite number.
    """
    entries = [_mapping(entry) for entry in _sequence(response.results)]
    results = []
    for entry in entries:
        place: Any = entry.get("index")
        score: Any = entry.get("relevance_score")
        if type(place) is not int or not 0 <= place < len(request.texts):
            raise _wrong(asked, f"it ranks a document {place!r:.20}, and there are {len(request.texts)}")
        if not _is_finite(score):
            raise _wrong(asked, f"the score of document {place} is {score!r:.20}, and not a finite number")
        results.append(Ranked(place, float(score)))
    wanted = min(request.parameters.get("top_n", len(request.texts)), len(request.texts))
    if len({result.index for result in results}) < max(wanted, len(results)):
        raise _wrong(asked, f"it ranks {len(results)} documents, of {wanted} different ones")
    return tuple(sorted(results, key=lambda result: -result.score)[:wanted])


def _vector(value: object, asked: AskedModel) -> Vector:
    try:
        vector = tuple(map(float, _sequence(value)))
    except (TypeError, ValueError, OverflowError):
        vector = ()
    if not vector:
        raise _wrong(asked, f"a vector is {value!r:.20}, and not a list of numbers")
    if not math.isfinite(sum(vector)):  # as each of its values must be
        raise _wrong(asked, "a vector has values that are not finite numbers")
    return vector


def _is_finite(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)


def _mapping(value: object) -> Mapping[str, Any]:
    if isinstance(value, Mapping):
        return value
    return value.model_dump() if hasattr(value, "model_dump") else {}


def _sequence(value: object) -> Sequence[Any]:
    return value if isinstance(value, Sequence) and not isinstance(value, str) else ()


def _wrong(asked: AskedModel, words: str) -> UnreadableAnswer:
    provider, model = asked.provider, asked.model
    return UnreadableAnswer(f"{provider} failed ({model}): {words}", provider=provider, model=model)
