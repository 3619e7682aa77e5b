"""The semantic cache in shadow: takes answers from the cache of answers, and rehearses what it would have served.

The application's call appends to a bounded queue, and nothing more. One thread asks the user's `embed` and `judge`,
rehearses, and adds counts to a file. Failures and delays there are counted, and logged once.
"""

from __future__ import annotations

import atexit
import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, Final, NamedTuple

from otel_agentcost.core import semconv
from otel_agentcost.diagnostics import report, warn_once
from otel_agentcost.savings.responses.entries import Entry
from otel_agentcost.savings.semantic import counts, question
from otel_agentcost.savings.semantic.counts import Outcomes, What
from otel_agentcost.savings.semantic.rehearsal import Asked, Judge, Outcome, Rehearsal
from otel_agentcost.wire.format import Format, ModelRequest

Embed = Callable[[str], Sequence[float]]
"""Returns the embedding of a text."""

_OPERATIONS: Final = frozenset({semconv.CHAT, semconv.TEXT_COMPLETION, semconv.GENERATE_CONTENT})
MOST: Final = 100
"""Answers that wait for the thread; more are dropped, and counted."""

_LARGEST: Final = 256 * 1024
"""Bytes of an answer; a larger one is dropped, too."""

SECONDS: Final = 5.0
"""Between two writes of counts."""

_LAST: Final = 2.0
"""The longest time that the end of a process waits for the thread."""


class Answered(NamedTuple):
    """A request whose answer a cache may keep, and that answer."""

    said: tuple[object, ...]
    """What is known of the request beside its body: whose it is, the address, the operation, the model."""
    body: Mapping[str, Any]
    form: Format
    who: Mapping[str, str]
    model: str
    answer: bytes
    """As it came; empty before it has come."""
    at: float


class Shadow:
    """The rehearsal of one process."""

    def __init__(
        self,
        path: Path,
        embed: Callable[[], Embed],
        judge: Callable[[], Judge] | None,
        canonical: Callable[[Mapping[str, Any]], str | None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Create the shadow. Nothing is imported, opened or started before the first answer.

        Args:
            path: The file of the counts.
            embed: Imports the user's function that embeds a text.
            judge: Imports the user's function that compares answers; None without one.
            canonical: Writes a body as text that is the same for equal bodies.
            clock: Returns the time in seconds since the epoch.
        """
        self._path = path
        self._import_embed = embed
        self._import_judge = judge
        self._canonical = canonical
        self._clock = clock
        self._begin()

    def _begin(self) -> None:
        """Start with nothing: a fork inherits neither the thread nor what its parent counts."""
        self._pid = os.getpid()
        self._queue: SimpleQueue[Answered | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._dropped: Counter[Outcomes] = Counter()

    # --- within the application's call ---

    def begin(
        self, request: ModelRequest, said: tuple[object, ...], who: Mapping[str, str], /
    ) -> Callable[[Entry], None] | None:
        """Return the function that takes the answer to a request; None for what is no question.

        Args:
            request: The request.
            said: What is known of it beside its body.
            who: The attribution of the call.
        """
        call = request.call
        if call.operation not in _OPERATIONS or threading.current_thread() is self._thread:
            return None  # or it is a call that `embed` or `judge` make
        try:
            body = snapshot(call.body)
            names = {name: who[name] for name in (semconv.FEATURE, semconv.AGENT) if name in who}
            answered = Answered(said, body, request.format, names, call.model or "", b"", self._clock())
        except Exception as error:
            report("rehearsing the semantic cache", error)
            return None
        return partial(self.take, answered)

    def take(self, answered: Answered, entry: Entry) -> None:
        """Take an answer: append it to the queue. Raises no error of its own."""
        try:
            if self._pid != os.getpid():
                self._begin()
            size = sum(map(len, entry.reply.chunks))
            if self._queue.qsize() >= MOST or size > _LARGEST:
                self._dropped[self._outcomes(answered, "dropped")] += 1
                return
            self._queue.put(answered._replace(answer=b"".join(entry.reply.chunks)))
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="agentcost-shadow", daemon=True)
                self._thread.start()
                atexit.register(self.close)
        except Exception as error:
            report("rehearsing the semantic cache", error)

    def close(self) -> None:
        """Write the counts, and end the thread. What waits beyond two seconds is lost."""
        thread = self._thread
        atexit.unregister(self.close)
        if thread is not None and thread.is_alive() and self._pid == os.getpid():
            self._queue.put(None)
            thread.join(_LAST)

    # --- the thread ---

    def _run(self) -> None:
        counted: Counter[Outcomes] = Counter()
        rehearse = self._rehearse()
        due = time.monotonic() + SECONDS
        while True:
            try:
                answered = self._queue.get(timeout=max(0.0, due - time.monotonic()))
            except Empty:
                counted, due = self._written(counted), time.monotonic() + SECONDS
                continue
            if answered is None:
                self._written(counted)
                return
            what = rehearse(answered)
            if what is not None:
                counted[what] += 1
            if time.monotonic() >= due:
                counted, due = self._written(counted), time.monotonic() + SECONDS

    def _rehearse(self) -> Callable[[Answered], Outcomes | None]:
        """Return the function that rehearses one answer."""
        embed: Embed | None = None
        rehearsal: Rehearsal | None = None

        def of(answered: Answered) -> Outcomes | None:
            nonlocal embed, rehearsal
            try:
                asked = self._asked(answered)
                if asked is None:
                    return None
                if embed is None or rehearsal is None:
                    judge = self._import_judge() if self._import_judge is not None else None
                    embed, rehearsal = self._import_embed(), Rehearsal(judge=judge, seed=os.getpid())
                return self._outcomes(answered, "none", rehearsal.take(asked, embed(asked.question)))
            except Exception as error:  # the user's functions raise what they like, and no signal comes here
                failed(error)
                return self._outcomes(answered, "failed")

        return of

    def _asked(self, answered: Answered) -> Asked | None:
        """Return the question of an answer; None if it is not text alone."""
        parts = question.split(answered.body)
        scope = question.scope_of(parts.rest, answered.said, self._canonical) if parts is not None else None
        if parts is None or scope is None:
            return None
        answer = question.answer_of(answered.form, answered.answer)
        return Asked(scope, parts.question, answer, answered.at) if answer else None

    def _outcomes(self, answered: Answered, what: What, outcome: Outcome | None = None) -> Outcomes:
        who = answered.who
        place = (
            int(answered.at // 86_400),
            who.get(semconv.FEATURE, ""),
            who.get(semconv.AGENT, ""),
            answered.model,
        )
        if outcome is None:
            return Outcomes(*place, what, 0, "", 0)
        return Outcomes(
            *place, outcome.verdict, round(100 * outcome.similarity), outcome.vetoed or "", int(outcome.served)
        )

    def _written(self, counted: Counter[Outcomes]) -> Counter[Outcomes]:
        """Write counts. Returns those that are left: all of them, if the file cannot be written now."""
        try:
            dropped, self._dropped = self._dropped, Counter()
            counted.update(dropped)
            if counted:
                counts.add(self._path, counted)
        except Exception as error:
            report("counting what the semantic cache would have served", error)
            return counted
        return Counter()


def failed(error: Exception) -> None:
    """Log that a function of the user has failed. The text of its error can have content, and is left out."""
    name = type(error).__name__
    warn_once(
        f"the semantic cache in shadow: {name}",
        f"otel-agentcost: OTEL_AGENTCOST_CACHE_EMBED or OTEL_AGENTCOST_CACHE_JUDGE failed with {name}. The application "
        "is not affected; `agentcost cache report` counts such answers as failed",
    )


def snapshot(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return a body that does not change when the application appends to the lists of `body`."""
    return {name: [*value] if type(value) is list else value for name, value in body.items()}


def path_beside(*urls: str | None) -> Path | None:
    """Return the file of the counts: beside the first store in a file; None if there is no such store.

    Args:
        urls: The URLs of stores.
    """
    for url in urls:
        scheme, separator, rest = (url or "").partition("://")
        name = rest[1:].partition("?")[0]
        if scheme.lower() == "sqlite" and separator and rest.startswith("/") and name not in ("", ":memory:"):
            return Path(name).expanduser().absolute().parent / counts.FILE
    return None
