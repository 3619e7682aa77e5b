"""Readings of earlier calls: batches and their results, answers that went on, and sessions.

The place nearest to the application reads it: an SDK, or an HTTP client below which no SDK is. The application gets
what it reads, whatever happens here.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, NamedTuple

from otel_agentcost.calls.batches import Batches
from otel_agentcost.calls.seam import (
    AnswerRead,
    BatchRead,
    HttpReply,
    ReadsBatches,
    ReadsSessions,
    Reply,
    Retrieves,
    Seam,
    SessionRead,
)
from otel_agentcost.calls.streams import Feed, RawReader
from otel_agentcost.calls.unfinished import Unfinished, UnfinishedAnswers
from otel_agentcost.diagnostics import report


class Reading:
    """A place that may read something of an earlier call, while it does: a context manager."""

    __slots__ = ("_outer", "over", "within")

    def __enter__(self) -> Reading:  # noqa: PYI034 (`Self` needs Python 3.11)
        self.over = False
        self._outer = _reading.get()
        self.within = self._outer is not None and not self._outer.over
        """True if a place above reads the same."""
        _reading.set(self)
        return self

    def __exit__(self, *_: object) -> None:
        self.over = True  # a task that was started meanwhile keeps the context
        _reading.set(self._outer)

    @classmethod
    def is_open(cls) -> bool:
        """Return True while a place above reads: HTTP clients below it then leave what is read alone."""
        place = _reading.get()
        return place is not None and not place.over


_reading: ContextVar[Reading | None] = ContextVar("agentcost_reading", default=None)


class Looked(NamedTuple):
    """The things that a request reads."""

    batch: BatchRead | None = None
    begun: Unfinished | None = None
    answer: AnswerRead | None = None
    """An answer that this process does not wait for, at a path that returns one."""
    session: SessionRead | None = None


_NOTHING = Looked()


def follows(seam: Seam, batches: Batches | None) -> bool:
    """Return True if a call of the method that `seam` reads may read something of an earlier call."""
    if batches and isinstance(seam, ReadsBatches):
        return True
    return isinstance(seam, (Retrieves, ReadsSessions))


def looked_for(
    seam: Seam, instance: Any, args: Any, kwargs: Any, batches: Batches | None, unfinished: UnfinishedAnswers
) -> Looked | None:
    """Return what a request reads; None for nothing of an earlier call."""
    batch = seam.batch_read(instance, args, kwargs) if batches and isinstance(seam, ReadsBatches) else None
    read = seam.answer_read(instance, args, kwargs) if isinstance(seam, Retrieves) else None
    begun = unfinished.find(read)
    answer = read if begun is None and read is not None and read.format is not None else None
    session = None
    if begun is None and isinstance(seam, ReadsSessions) and not (answer is not None and unfinished.are_shared):
        session = seam.session_read(instance, args, kwargs)
    found = Looked(batch, begun, answer if session is None else None, session)
    return found if found != _NOTHING else None


def is_later(found: Looked, reply: Reply) -> bool:
    """Return True if the application has not read a response yet that has to be read as a whole."""
    if not isinstance(reply, HttpReply) or reply.body is not None or "event-stream" in reply.content_type:
        return False
    return found.batch is None or found.batch.kind != "results"


def has_failed(reply: Reply) -> bool:
    """Return True for the response of a request that was refused. SDKs raise for one."""
    return isinstance(reply, HttpReply) and not 200 <= reply.status < 300


class Whole:
    """Waits until the application has read a whole response: a `StreamListener`."""

    def __init__(self, done: Callable[[bytes], object]) -> None:
        """Begin to wait. `done` gets the body, if all of it was read."""
        self._done: Callable[[bytes], object] | None = done
        self.feed: Feed = self._keep
        self.raw: RawReader | None = None

    def _keep(self, _event: Any) -> None:
        """Do nothing: a response that is read as a whole has no events."""

    def first_chunk(self) -> None:
        """Do nothing."""

    def unreadable(self, bug: Exception) -> Feed:
        """Report an error."""
        report("reading what was retrieved", bug)
        return self._keep

    def end(self, error: BaseException | None = None, *, complete: bool) -> None:
        """Pass the body on. A response that the application closes before its end says nothing."""
        done, self._done = self._done, None
        body = self.raw.content() if self.raw is not None else None
        if done is not None and complete and error is None and body is not None:
            try:
                done(body)
            except Exception as bug:  # the application gets what it reads all the same
                report("reading what was retrieved", bug)

    def dropped(self) -> None:
        """Do nothing: what was not read says nothing."""
        self._done = None
