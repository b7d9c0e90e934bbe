"""Serve advice over HTTP, with FastAPI.

Run: uv run --with fastapi --with uvicorn uvicorn examples.endpoint:app
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, HTTPException, Request
from pydantic import BaseModel

from supernova_ai import AssetClass, InvalidRequest, Supernova, aadvise


class Question(BaseModel):
    """The asset and the client. Each bar has a time, open, high, low, close and volume."""

    symbol: str
    bars: list[dict[str, Any]]
    asset_class: AssetClass = "stock"
    risk_score: float = 50
    sentiment_hint: float = 0.0
    user_id: str | None = None


class Answer(BaseModel):
    """The advice, the source of its text, and the id of its record. The cost is in USD."""

    action: str
    confidence: float
    rationale: str
    risk_notes: list[str]
    source: str
    cost: str
    record_id: str | None


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Keep one client open while the server runs. It opens now, and not at the first request."""
    async with Supernova() as app.state.nova:
        await app.state.nova.warm_up()
        yield


app = FastAPI(title="Advice", lifespan=lifespan)


@app.post("/advice")
async def advice(question: Question, request: Request) -> Answer:
    """Give advice. A wrong question is answered with 422 and what is wrong."""
    try:
        action, confidence, details, rationale, risk_notes = await aadvise(
            client=request.app.state.nova, **question.model_dump()
        )
    except InvalidRequest as error:
        raise HTTPException(422, str(error)) from error
    return Answer(
        action=action,
        confidence=confidence,
        rationale=rationale,
        risk_notes=list(risk_notes),
        source=details["source"],
        cost=str(details["cost"]),
        record_id=details["record_id"],
    )
