"""The client: ``chat``, ``stream``, ``analyze`` and what else a program calls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NoReturn, Unpack

from peewee import Database

from supernova_ai import ratings
from supernova_ai.analysis.sentiment import rate_reply
from supernova_ai.characters import quoted
from supernova_ai.client_requests import ClientRequests
from supernova_ai.concurrency import check_loop, in_thread
from supernova_ai.errors import InvalidRequest
from supernova_ai.execution.tool_loop import ToolLoop
from supernova_ai.keys.audited_store import Record
from supernova_ai.prompts import Template
from supernova_ai.requests import arguments, parameters
from supernova_ai.requests import texts as text_arguments
from supernova_ai.requests.options import (
    AnalyzeOptions,
    ChatOptions,
    EmbedOptions,
    RequestOptions,
    StreamOptions,
    TextOptions,
    check_names,
)
from supernova_ai.requests.structured import ResponseModel
from supernova_ai.requests.tools import functions as tool_functions
from supernova_ai.sessions import SessionKey, forget
from supernova_ai.store.user_tokens import user_token
from supernova_ai.streams import Stream
from supernova_ai.types import Embeddings, Probe, Quote, Ranking, Reply, T


class Supernova(ClientRequests):
    """A client over one configuration. Use it as an async context manager, or ``close`` it.

    Its methods may be called from any event loop and any thread. The first call opens what it needs; only
    the import of LiteLLM, which takes seconds, begins at once, on a background thread.

    Args:
        config: a ``Config``, or the path of a YAML file; None finds one (see docs/configuration.md).
        master: the master key of the vault; None finds it (see docs/keys.md).
        alert_sinks: called on a separate thread with each alert that this process delivers.
        watch: apply edits of the files by itself once the client is open, until it is closed.
        preload: import LiteLLM from now on in the background; without it, the first call does.

    Raises:
        ConfigError: the configuration is wrong; the message lists every problem.
    """

    async def chat(
        self,
        message: str | None = None,
        *,
        response_model: ResponseModel[T] | None = None,
        **options: Unpack[ChatOptions],
    ) -> Reply[T]:
        """Answer a message, or the last of ``messages``.

        Args:
            message: what to answer; not empty. Give this or ``messages``.
            response_model: what the answer must be, as ``Reply.parsed``: a pydantic model, another type, or a
                JSON schema. None: a text.
            **options: see ``ChatOptions``.

        Raises:
            InvalidRequest: an argument is wrong; nothing was sent.
            BudgetExceeded: no deployment fits into the budgets; nothing was sent.
            InvalidAnswer: the answer is not of the ``response_model``, also when asked once more.
            ProviderError: every deployment failed; the error is the last one's.
        """
        check_names("chat", options, ChatOptions, "response_model")
        return await self._answer(self._message_turn(message, options, response_model), options)

    async def run_tools(
        self,
        message: str | None = None,
        *,
        max_rounds: int = 8,
        response_model: ResponseModel[T] | None = None,
        **options: Unpack[StreamOptions],
    ) -> Reply[T]:
        """Answer a message with the help of functions: call those that the model asks for until it answers.

        All rounds are one request in the ledger, under one ``max_cost`` and one ``timeout``. The functions of
        one answer run at the same time, plain ones on threads; an error of a function is sent to the model.

        Args:
            message: what to answer; not empty. Give this or ``messages``.
            max_rounds: the most answers of the model, 1 to 50; in the last one it may call no function.
            response_model: as in ``chat``; for the last answer.
            **options: see ``StreamOptions``. ``tools`` must be typed functions, plain or async; their
                docstrings tell the model what they do.

        Raises:
            As ``chat``; ``tool_runs`` of the error are the calls that were made before.
        """
        check_names("run_tools", options, StreamOptions, "response_model", "max_rounds")
        rounds = parameters.whole_number("max_rounds", max_rounds, 1, 50)
        functions = tool_functions(options.get("tools") or ())
        async with self._message_turn(message, options, response_model) as turn:
            reply = await ToolLoop(self._runtime.engine.complete, functions, rounds).run(turn.request)
            await turn.save(reply)
            return reply

    async def analyze(
        self,
        content: str,
        *,
        response_model: ResponseModel[T] | None = None,
        **options: Unpack[AnalyzeOptions],
    ) -> Reply[T]:
        """Analyse a text. It is data: instructions in it are not followed.

        The reply has a ``quality_score`` and, for a sentiment analysis, a ``sentiment``.

        Args:
            content: the text; not empty.
            response_model: as in ``chat``.
            **options: see ``AnalyzeOptions``.

        Raises:
            As ``chat``.
        """
        check_names("analyze", options, AnalyzeOptions, "response_model")
        analysis_type = options.get("analysis_type") or "financial"
        prompt = f"analysis-{analysis_type}"
        names = self._library.names()
        if prompt not in names:
            kinds = (name.partition("analysis-")[2] for name in names)
            known = ", ".join(kind for kind in kinds if kind)
            raise InvalidRequest(
                f"analysis_type {quoted(analysis_type)} is not known; choose one of: {known}"
            )
        request = self._request(prompt, {"content": content}, options, response_model)
        turn = self._turn(request, attachments=options.get("attachments") or ())
        reply = await self._answer(turn, options)
        reply = rate_reply(
            reply, self._library.get(prompt).contract.sections, sentiment=analysis_type == "sentiment"
        )
        ratings.note_quality(self._runtime.ledger.store, reply)
        return reply

    async def embed(self, texts: str | Sequence[str], **options: Unpack[EmbedOptions]) -> Embeddings:
        """Return a vector for each text, all of one model: other models never answer instead.

        A long list is sent in several batches, which are one request in the ledger, under one ``max_cost``
        and one ``timeout``. Equal texts, and texts whose vectors are in the cache, are not sent again.

        Args:
            texts: a text, or 1 to 2,048 texts; none of them empty.
            **options: see ``EmbedOptions``.

        Raises:
            As ``chat``.
            UnreadableAnswer: vectors are missing, are not of finite numbers or do not have the length that
                was asked for; they are charged.
        """
        check_names("embed", options, EmbedOptions, "texts")
        request = text_arguments.embedding_request(self.config.routing, texts, options)
        async with self._turn(request) as turn:
            return await self._runtime.engine.embed(turn.request)

    async def rerank(
        self, query: str, documents: Sequence[str], top_n: int | None = None, **options: Unpack[TextOptions]
    ) -> Ranking:
        """Return documents by their relevance to a query, the most relevant first.

        Args:
            query: what the documents are ranked by; not empty.
            documents: 1 to 1,000 texts; none of them empty.
            top_n: return only so many, the most relevant ones. None: all.
            **options: see ``TextOptions``.

        Raises:
            As ``chat``.
            UnreadableAnswer: documents are missing in the ranking, or it cannot be read; it is charged.
        """
        check_names("rerank", options, TextOptions, "query", "documents", "top_n")
        request = text_arguments.rerank_request(self.config.routing, query, documents, top_n, options)
        async with self._turn(request) as turn:
            return await self._runtime.engine.rerank(turn.request)

    async def ask(
        self,
        prompt: str,
        values: Mapping[str, Any],
        *,
        response_model: ResponseModel[T] | None = None,
        **options: Unpack[RequestOptions],
    ) -> Reply[T]:
        """Answer a prompt of the library, filled in with these values.

        Args:
            prompt: its name.
            values: its variables by name. None is the same as not given.
            response_model: as in ``chat``.
            **options: see ``RequestOptions``.

        Raises:
            As ``chat``.
        """
        check_names("ask", options, RequestOptions, "response_model")
        given = {name: value for name, value in values.items() if value is not None}
        request = self._request(prompt, given, options, response_model)
        return await self._answer(self._turn(request), {"streaming": False})

    def stream(
        self,
        message: str | None = None,
        *,
        response_model: ResponseModel[T] | None = None,
        **options: Unpack[StreamOptions],
    ) -> Stream[T]:
        """Return the answer as a stream: ``async with`` it, ``async for`` its text.

        Args:
            message: what to answer; not empty. Give this or ``messages``.
            response_model: as in ``chat``; ``Stream.partial`` is what the answer has so far.
            **options: see ``StreamOptions``.

        Raises:
            InvalidRequest: an argument is wrong. The stream raises what else ``chat`` raises.
        """
        check_names("stream", options, StreamOptions, "response_model")
        return Stream(lambda: self._runtime.engine, self._message_turn(message, options, response_model))

    async def quote(
        self,
        message: str | None = None,
        *,
        response_model: ResponseModel[Any] | None = None,
        **options: Unpack[StreamOptions],
    ) -> Quote:
        """Return the most that ``chat`` with these arguments can cost, and what the budgets have left.

        Args:
            message: what would be answered; not empty. Give this or ``messages``.
            response_model: as in ``chat``.
            **options: see ``StreamOptions``.

        Raises:
            InvalidRequest: an argument is wrong.
        """
        check_names("quote", options, StreamOptions, "response_model")
        turn = self._message_turn(message, options, response_model, pay=False)
        async with turn as prepared:
            return await in_thread(self._runtime.engine.quote, prepared.request)

    async def forget(self, session_id: str | int, *, user_id: str | int | None = None) -> int:
        """Delete the history of one user's session; return how many exchanges and summaries it had.

        A running call of the session is answered, and its answer is not kept.
        """
        check_loop()
        user, session = arguments.identity("user_id", user_id), arguments.identity("session_id", session_id)
        whose = SessionKey(user or "", session or "")
        vault = await in_thread(self.vault)

        def change(database: Database, record: Record) -> int:
            count = forget(database, whose, now_ms=vault.store.now_ms())
            subject = user_token(database, user) if user else "no user"
            record("sessions.forgotten", subject, {"exchanges": count})
            return count

        return await in_thread(vault.audited, change)

    async def feedback(
        self, request_id: str, score: float | Literal["up", "down"], comment: str | None = None
    ) -> None:
        """Keep what a user thinks of an answer. It replaces earlier feedback on the same request.

        Args:
            request_id: the ``request_id`` of its ``Reply``.
            score: a number from -1 to 1, or "up" (1) or "down" (-1).
            comment: at most 2,000 characters, which are stored encrypted.

        Raises:
            InvalidRequest: an argument is wrong, or the ledger has no ended attempt of the request.
            UserErased: the request was of a user who was erased.
            MasterKeyError: there is no master key to encrypt the comment with.
        """
        check_loop()
        given = ratings.Feedback.of(request_id, score, comment)
        vault = await in_thread(self.vault)
        await in_thread(ratings.give, vault, given)

    def template(self, prompt: str) -> Template:
        """Return the prompt of that name; the user's own templates take precedence."""
        return self._library.get(prompt)

    async def probe(self, *, pay: bool = False) -> list[Probe]:
        """Probe every provider, once per key, and record the results.

        Args:
            pay: request one token where a provider has no free endpoint.
        """
        engine = await self._ready()
        return await engine.run(engine.monitor.prober.probe(pay=pay))

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            "a Supernova cannot be pickled or copied, because it holds connections and keys: pass its "
            "configuration to the other process, and make a client there"
        )
