"""Follows what an application reads of an answer that another call has begun: whole, or as it arrives."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Final

from otel_agentcost.calls import finalize, streams
from otel_agentcost.calls.seam import Body, EventIterator, EventStream, HttpReply, RawResponse, Reply
from otel_agentcost.core.answer_note import GOES_ON
from otel_agentcost.core.call import Answer, Call
from otel_agentcost.diagnostics import report
from otel_agentcost.wire import AnswerReader, Format
from otel_agentcost.wire.fields import parsed

finalize.FINALIZERS.add(__name__)

STREAM: Final = object()
"""Stands for the body of a stream, which says at its end what it is."""

_CALL: Final = Call(operation="", model=None, body=GOES_ON)
_STREAMED: Final = _CALL._replace(stream=True)

AnswerTo = Callable[[Call], Answer]
Done = Callable[[AnswerTo, Answer], object]
"""Gets the reader of an answer, which reads it as the answer to a call, and the answer as read without one."""


def body_of(reply: Reply) -> Any:
    """Return the JSON of a reply; `STREAM` for a stream."""
    if isinstance(reply, Body):
        return reply.content
    if isinstance(reply, HttpReply) and reply.body is not None:
        kind, content = reply.content_type, reply.body
    elif isinstance(reply, RawResponse) and reply.response.is_closed:
        kind, content = str(reply.response.headers.get("content-type", "")), reply.response.content
    else:
        return STREAM
    if "event-stream" in kind:
        return STREAM
    return parsed(content) if "json" in kind else None


def follow(form: Format, reply: Reply, result: Any, done: Done, see: Callable[[Any], object] | None = None) -> Any:
    """Let `done` have the answer in a reply, now or as soon as the application has read it.

    Args:
        form: The wire format of the answer.
        reply: The reply, which is no refusal.
        result: What the method of the SDK has returned.
        done: Gets the answer.
        see: Gets the body before, or each event of a stream.

    Returns:
        What the application gets: `result`, unless that is a plain iterator of events.
    """
    body = body_of(reply)
    if body is not STREAM:
        _whole(form, body, done, see)
        return result
    reader = form.open_stream(_STREAMED)
    if isinstance(reply, EventIterator) and reply.prepare is not None:
        reader = reply.prepare(reader)
    following = Following(form, reader, done, see)
    if isinstance(reply, EventStream):
        streams.watch_events(reply.stream, following)
    elif isinstance(reply, EventIterator):
        return streams.tapped(reply.events, following, reply.close)
    elif isinstance(reply, HttpReply) and reply.body is None:
        following.raw = reply.tap(following, None)
    elif isinstance(reply, RawResponse) and not reply.response.is_closed:
        following.raw = streams.watch_bytes(reply.response, following)
    elif isinstance(reply, HttpReply | RawResponse):
        raw = following.raw = streams.RawReader(following, "text/event-stream")
        raw.feed((reply.response.content if isinstance(reply, RawResponse) else reply.body or b"") + b"\n")
        following.end(complete=True)
    return result


def _whole(form: Format, body: Any, done: Done, see: Callable[[Any], object] | None) -> None:
    if body is not None:
        if see is not None:
            see(body)
        done(lambda call: form.read_response(call, body), form.read_response(_CALL, body))


class Following:
    """One stream of an answer, or its body as the application reads it: a `StreamListener`."""

    def __init__(
        self, form: Format, reader: AnswerReader, done: Done, see: Callable[[Any], object] | None = None
    ) -> None:
        """Begin to follow. `done` gets the answer at the end, and `see` each event."""
        self._form = form
        self._reader = reader
        self._done: Done | None = done
        self._see = see
        self.feed: streams.Feed = reader.feed if see is None else self._seen
        self.raw: streams.RawReader | None = None
        """Reads the bytes, if the application reads them."""

    def _seen(self, event: Any) -> None:
        if self._see is not None:
            self._see(event)
        self._reader.feed(event)

    def first_chunk(self) -> None:
        """Do nothing: how fast an answer is retrieved says nothing about a model."""

    def unreadable(self, bug: Exception) -> streams.Feed:
        """Stop to read after an error."""
        report("reading a retrieved answer", bug)
        self._done = None
        return _ignore

    def end(self, error: BaseException | None = None, *, complete: bool) -> None:
        """Pass the answer on. What a stream that broke off has said of its end counts, too."""
        del error  # the answer says if it is finished
        done, self._done = self._done, None
        if done is None:
            return
        try:
            if self.raw is not None and not self.raw.streamed:
                _whole(self._form, self.raw.body(), done, self._see)
                return
            if self.raw is not None and complete:
                self.raw.ended()
            answer = self._reader.answer(complete=complete)
            if answer.usage is None or not answer.usage.estimated:  # an estimate of what was not read is no bill
                done(lambda _: answer, answer)
        except Exception as bug:  # the application gets what it reads all the same
            report("reading a retrieved answer", bug)

    def dropped(self) -> None:
        """Do the same from a finalizer."""
        finalize.settle_when_safe(partial(self.end, complete=False))


def _ignore(_event: Any) -> None:
    """Ignore an event."""
