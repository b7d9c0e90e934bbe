"""Providers that all tell the same text, and go on with it where another broke off: joins can be checked."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from supernova_ai.testing import Answer, Cut, Failure, Garbled, Hang, Received, Reset, Step


def telling(step: Step, text: str) -> Step:
    """Return the step with this text for its own, if it has one."""
    if isinstance(step, Answer | Cut | Failure | Garbled | Hang | Reset):
        return replace(step, text=text)
    return step


def said_before(request: Received) -> str:
    """Return what the request says was answered already; empty if it does not ask to go on."""
    said = [_words(m["content"]) for m in request.json["messages"] if m["role"] == "assistant"]
    return said[-1] if said else ""


def rest_of(text: str, request: Received) -> str:
    """Return what is left of the text for this request, as models go on: without the space before it."""
    return text.removeprefix(said_before(request)).lstrip()


def _words(content: Any) -> str:
    return content if isinstance(content, str) else "".join(part["text"] for part in content)
