"""Rendering: a part is read and rendered at most once a second, however many pages show it."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from typing import Any
from zoneinfo import ZoneInfo

from jinja2 import Environment, PackageLoader, StrictUndefined, pass_context
from jinja2.runtime import Context
from markupsafe import Markup
from peewee import Database

from supernova_ai.characters import counted, visible
from supernova_ai.concurrency import in_thread
from supernova_ai.config import Config
from supernova_ai.dashboard import formats
from supernova_ai.dashboard.page import Page, Part, Reading
from supernova_ai.errors import SupernovaError
from supernova_ai.log import get_logger
from supernova_ai.secret import redact
from supernova_ai.store import ReadOnlyStore

log = get_logger(__name__)

EVERY_S = 1.0
"""A part is at most so old, unless it changes slowly, or takes long to render."""

QUICK_S = 0.1
"""A part that takes longer is rendered while the one before is shown."""

_SHARE, _SELDOM_S = 100, 60.0
"""Rendering a part may take a hundredth of the time; one that takes longer is rendered once a minute."""

_STALE_S = 60.0
"""Nothing that is overdue for longer is shown."""

_MOST_KEPT = 256
_MOST_CHARACTERS = 200
"""A longer parameter of an address is no name that a row could have."""

Chosen = tuple[tuple[str, str], ...]


@dataclass(slots=True)
class _Kept:
    """A rendered part, when it must be rendered again, and what does that now."""

    html: Markup = field(default_factory=Markup)
    due: float = 0.0
    took: float = 0.0
    refreshing: asyncio.Task[None] | None = None


class Renderer:
    """Renders templates, and the parts of pages over the store.

    Args:
        config: returns the configuration in force.
        time_zone: of all times on the pages.
        variables: what every template has.
    """

    def __init__(
        self,
        store: ReadOnlyStore,
        config: Callable[[], Config],
        time_zone: ZoneInfo,
        variables: Mapping[str, Any],
    ) -> None:
        self._store = store
        self._config = config
        self._zone = time_zone
        self._shown = config()
        self._kept: OrderedDict[tuple[str, Chosen, frozenset[str]], _Kept] = OrderedDict()
        self._templates = Environment(
            loader=PackageLoader("supernova_ai.dashboard"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            finalize=_visible,
        )
        self._templates.globals.update(variables, time_zone=time_zone.key)
        self._templates.filters.update(
            usd=formats.usd,
            count=formats.count,
            counted=counted,
            coded=formats.coded,
            short=formats.short,
            duration=formats.duration,
            share=formats.share,
            clock=_clock,
        )

    def forget(self) -> None:
        """Drop what was rendered, so that the next request sees what a control has changed."""
        self._kept.clear()

    def render(self, template: str, **variables: Any) -> str:
        """Render a template."""
        return self._templates.get_template(template).render(variables)

    def read(self, operation: Callable[[Reading], Any], chosen: Mapping[str, str]) -> Any:
        """Run the operation over the store, on this thread."""

        def run(database: Database) -> Any:
            now = datetime.fromtimestamp(self._store.now(), self._zone)
            return operation(Reading(database, self._config(), now, chosen))

        return self._store.read(run)

    async def parts(
        self, page: Page, query: Mapping[str, str], may: frozenset[str] = frozenset()
    ) -> dict[str, Markup]:
        """Return the parts of a page by name, for these parameters of its address.

        Args:
            may: the controls that the user may use: parts have links to these.
        """
        if (config := self._config()) is not self._shown:
            self._shown = config
            self.forget()
        found = await asyncio.gather(*(self._part(part, query, may & part.controls) for part in page.parts))
        return {part.name: html for part, html in zip(page.parts, found, strict=True)}

    async def _part(self, part: Part, query: Mapping[str, str], may: frozenset[str]) -> Markup:
        chosen = row_parameters(query, part.takes)
        key = part.name, tuple(chosen.items()), may
        kept = self._kept.setdefault(key, _Kept())
        self._kept.move_to_end(key)
        if len(self._kept) > _MOST_KEPT:
            self._kept.popitem(last=False)
        now = time.monotonic()
        if now >= kept.due and kept.refreshing is None:
            kept.refreshing = asyncio.create_task(self._refresh(part, chosen, may, kept))
        if kept.refreshing and (kept.took <= QUICK_S or now >= kept.due + _STALE_S):
            await asyncio.shield(kept.refreshing)  # others wait for it too
        return kept.html

    async def _refresh(self, part: Part, chosen: Mapping[str, str], may: frozenset[str], kept: _Kept) -> None:
        began = time.monotonic()
        try:
            kept.html = await in_thread(self._rendered, part, chosen, may)
        finally:
            kept.took = time.monotonic() - began
            kept.due = began + max(EVERY_S, part.every_s, min(_SHARE * kept.took, _SELDOM_S))
            kept.refreshing = None

    def _rendered(self, part: Part, chosen: Mapping[str, str], may: frozenset[str]) -> Markup:
        """Return the part in an element of its name. A part that fails says so, and the others stay."""
        try:

            def variables(reading: Reading) -> dict[str, Any]:
                return {"now": reading.now, "config": reading.config, "may": may, **part.read(reading)}

            body = self.render(f"parts/{part.name}.html", title=part.title, **self.read(variables, chosen))
        except Exception as error:
            log.warning(
                "dashboard.part.failed", part=part.name, error=type(error).__name__, reason=str(error)
            )
            reason = redact(str(error)) if isinstance(error, SupernovaError) else "the log has the reason"
            body = self.render("failed.html", title=part.title, reason=reason)
        tag = sha256(body.encode()).hexdigest()[:16]
        opening = Markup('<div class="part" id="{}" data-tag="{}">').format(part.name, tag)
        return opening + Markup(body) + Markup("</div>")  # noqa: S704 - made by templates that escape


def row_parameters(query: Mapping[str, str], names: tuple[str, ...]) -> dict[str, str]:
    """Return those of an address's parameters that have a value that a row could have."""
    values = {name: query.get(name, "") for name in names}
    return {name: value for name, value in values.items() if value and len(value) <= _MOST_CHARACTERS}


def _visible(value: Any) -> Any:
    """Let no text from the store steer what is around it: it may have invisible characters."""
    return visible(value, prose=True) if isinstance(value, str) and not isinstance(value, Markup) else value


@pass_context
def _clock(context: Context, moment_ms: int | None) -> str:
    return formats.clock(moment_ms, context["now"])
