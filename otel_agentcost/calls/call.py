"""The state of one model call, from its request to its settlement. The pipeline acts on it.

A call settles exactly once, whether it ends with a response, an error, or a stream that is exhausted, stopped, closed,
dropped or cancelled. Every end of a stream calls `ActiveCall.end`, which passes the call to the pipeline.
"""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from functools import partial
from typing import Any, Protocol

from opentelemetry import context

from otel_agentcost.calls import finalize, streams
from otel_agentcost.calls.admission import Admission
from otel_agentcost.calls.answer_cache import Exchange
from otel_agentcost.calls.passage import Passage
from otel_agentcost.calls.reported_costs import has_headers
from otel_agentcost.calls.unfinished import Unfinished
from otel_agentcost.core import semconv
from otel_agentcost.core.call import Answer, AttributeValue
from otel_agentcost.core.reported_costs import Reported
from otel_agentcost.diagnostics import complete as completely
from otel_agentcost.diagnostics import report
from otel_agentcost.telemetry.rollup import InFlight
from otel_agentcost.telemetry.spans import Record
from otel_agentcost.wire import AnswerReader
from otel_agentcost.wire.format import ModelRequest
from otel_agentcost.wire.reported_costs import in_headers

finalize.FINALIZERS.add(__name__)


class Settle(Protocol):
    """Settles a call whose stream has ended: `Pipeline.settle_stream`."""

    def __call__(self, call: ActiveCall, error: BaseException | None, *, complete: bool) -> None: ...


class CallContent(Protocol):
    """The messages of one call, if content is captured (`content.py`)."""

    response: Any
    """The response, if it is not streamed."""

    def with_transcript(self, feed: streams.Feed) -> streams.Feed:
        """Return a function that passes each event to the transcript and to `feed`."""
        ...

    def ended(self, attributes: Mapping[str, AttributeValue]) -> None:
        """Record the messages of a call that has ended. `attributes` are the span attributes of the response."""
        ...


class Ending:
    """The end of a call, and how far its settlement has come: an exception of others may interrupt it anywhere."""

    __slots__ = ("answer", "attributes", "charged", "error", "recorded")

    def __init__(self, answer: Answer, error: BaseException | None) -> None:
        """Begin a settlement.

        Args:
            answer: What came back.
            error: The exception of the call, if it failed.
        """
        self.answer = answer
        self.error = error
        self.attributes: dict[str, AttributeValue] = {}
        """The span attributes of the response, once they are known."""
        self.recorded = False
        """True if metrics and totals have the call, or are about to."""
        self.charged = False
        """True if budgets, metrics and totals have the call."""


class ActiveCall:
    """One model call in flight."""

    __slots__ = (
        "__weakref__",
        "_active",
        "_client",
        "_ending",
        "_settle",
        "admission",
        "at",
        "attempt",
        "begun",
        "content",
        "covers",
        "earlier",
        "exchange",
        "feed",
        "in_flight",
        "passage",
        "raw",
        "reader",
        "record",
        "reported",
        "request",
        "sent",
        "terms",
        "unadmitted",
        "unread",
    )

    def __init__(
        self,
        request: ModelRequest,
        record: Record,
        client: object,
        at: float,
        content: CallContent | None,
        settle: Settle,
        begun: Unfinished | None = None,
    ) -> None:
        """Begin a call.

        Args:
            request: The request as the seam read it.
            record: The span of the call.
            client: The object whose method makes the call.
            at: The time of the call, in seconds since the epoch.
            content: The messages of the call; None if content is not captured.
            settle: Settles the call when its stream ends.
            begun: The call that began this answer, if it is retrieved.
        """
        self.request = request
        self.record = record
        self.at = at
        self.content = content
        self._client = client
        self._settle = settle
        self.begun = begun
        self._ending: dict[str, Ending | None] = {}
        self._active: _Active | None = None
        self.sent = False
        """True if the call was admitted and the SDK was called."""
        self.admission: Admission | None = None
        """The reservation of the call; None if no budget applies."""
        self.exchange: Exchange | None = None  # with the cache of answers
        self.unadmitted: threading.Lock | None = None  # see `Pipeline.admit_unasked`
        self.passage: Passage | None = None
        """The marks that the call has received and passes on; None if there are none."""
        self.reader: AnswerReader | None = None
        """Reads the events of a stream."""
        self.raw: streams.RawReader | None = None
        """Reads a raw response."""
        self.feed: streams.Feed = ignore
        """Processes one event of a stream. Raises `BudgetExceeded` before an event that exceeds the budget."""
        self.unread: str | None = None
        """The reason if the stream could not be read."""
        self.attempt: Callable[[], Any] | None = None
        """Returns the last successful HTTP response. A weak reference for a stream: a dropped one is freed at once."""
        self.earlier: tuple[Any, ...] = ()
        """The responses of earlier attempts: if an SDK tries several models, each response is billed."""
        self.covers = False
        """True if this call is made through other SDKs: calls inside it are parts of it."""
        self.terms: tuple[tuple[str, str], ...] = ()
        """What the response says of the terms that served the call, beside its body."""
        self.reported: tuple[Reported, ...] = ()
        """What the response headers of a gateway say of money."""
        record.keep(self)
        self.in_flight = InFlight(record.tally) if record.tally is not None else None
        """Lets the totals above wait for the call; None if there are none."""
        if self.in_flight is not None:
            self.in_flight.begin()

    def active(self) -> _Active:
        """Return a context manager that makes this call and its span current while the SDK runs."""
        ctx, passage = self.record.context, self.passage
        if passage is not None:
            mark = self.admission.ticket.mark if self.admission is not None else None
            ctx = passage.outgoing(ctx, mark, self.request.call.operation)
        active = self._active = _Active(self, ctx)
        return active

    def asks_the_ledger(self, answer: Answer) -> bool:
        """Return True if the ledger has to say which of two services charges this call."""
        return self.passage is not None and self.admission is not None and self.admission.asks(self.passage, answer)

    def leave(self) -> None:
        """Restore the context of before `active`, if an exception of others prevented that."""
        if self._active is not None:
            self._active.__exit__()

    def restored(self) -> None:
        """Forget the block of `active`, which would otherwise keep this call until the next garbage collection."""
        self._active = None

    def is_of(self, client: object) -> bool:
        """Return True if `client` makes this call. Another client inside a transport makes another call."""
        return client is self._client

    def is_for(self, request: ModelRequest) -> bool:
        """Return True if `request` belongs to this call.

        A method that is wrapped twice may be patched twice, and a library may make its call through another SDK.
        """
        if self.covers and not self.settled:
            return True
        return request.call.body is not None and request.call.body is self.request.call.body

    def rewritten(self, request: ModelRequest) -> None:
        """Replace the request by one with another model or a lower output limit."""
        self.record.rewritten(self.request.call, request.call)
        if request.endpoint.provider != self.request.endpoint.provider:
            self.record.span.set_attribute(semconv.PROVIDER, request.endpoint.provider)
        if self.exchange is not None:
            self.exchange.drop()  # it is the answer to another request than the one that was looked for
        self.request = request

    def attempted(self, response: Any) -> None:
        """Add an attempt of the SDK that got a successful response."""
        before = self.attempt
        if before is not None and before() is not response:
            self.earlier = (*self.earlier, before())
        whole = "json" in str(response.headers.get("content-type"))
        self.attempt = (lambda: response) if whole else weakref.ref(response)
        if has_headers(self.request.endpoint):
            self.reported = in_headers(response.headers)

    def answered(self, response: Any) -> None:
        """Note the response of an HTTP client, which the application may drop before it has read it."""
        self.attempt = weakref.ref(response)
        if has_headers(self.request.endpoint):
            self.reported = in_headers(response.headers)

    @property
    def is_cached(self) -> bool:
        """True if the answer came from the cache of answers: the provider was not asked."""
        return self.exchange is not None and self.exchange.served

    def over(self, ending: Ending) -> None:
        """Let go of a call that is settled: of its totals, of the cache, of the SDK's responses."""
        if self.in_flight is not None:
            self.in_flight.end()
        if self.exchange is not None:
            try:
                self.exchange.ended(ending.answer, ending.error)
            except Exception as bug:
                report("keeping an answer", bug)
        self.attempt, self.earlier = None, ()  # the application's

    def headers(self) -> Mapping[str, str]:
        """Return the headers of the last successful response; none if the SDK does not keep it."""
        response = self.attempt() if self.attempt is not None else None
        headers: Mapping[str, str] = getattr(response, "headers", None) or {}
        return headers

    # --- the events and the end of a stream (`streams.StreamListener`) ---

    def first_chunk(self) -> None:
        """Record the time to the first chunk."""
        if self.record.first_chunk is None:
            self.record.first_chunk = time.perf_counter() - self.record.started

    def unreadable(self, bug: Exception) -> streams.Feed:
        """Handle a reader that failed on an event: the following events are not read.

        Raises:
            BaseException: `bug` is no failure of the reader, but an exception of others that arrived in it.
        """
        report("reading a stream", bug)
        self.unread = f"the stream could not be read ({type(bug).__name__})"
        self.feed = ignore
        return ignore

    def end(self, error: BaseException | None = None, *, complete: bool) -> None:
        """End the stream and settle the call. Later calls change nothing."""
        if self.settled:
            return
        try:
            self._settle(self, error, complete=complete)
        except BaseException as interruption:  # of others, before the settlement began
            if not self.settled:
                failure = error or interruption
                completely(partial(self._settle, self, failure, complete=False))
            raise

    def close(self) -> None:
        """End a stream early."""
        self.end(complete=False)

    def lost(self) -> None:
        """End the stream and an adopted span, if the application can no longer end them."""
        self.close()
        self.record.lost()

    def dropped(self) -> None:
        """End the stream from a finalizer."""
        if not self.settled:
            finalize.settle_when_safe(self.close)

    def __del__(self) -> None:
        try:
            over = not hasattr(self, "attempt") or (self.settled and self.record.ended)
        except BaseException:  # of others
            finalize.settle_when_safe(self.lost)
            raise
        if not over:
            finalize.settle_when_safe(self.lost)

    # --- settled once ---

    @property
    def settled(self) -> bool:
        """True if the call is settled, or if another process settles it."""
        return bool(self._ending)

    @property
    def ending(self) -> Ending | None:
        """The end that settles the call; None if it has not ended, or if another process settles it."""
        return self._ending.get("")

    def ends_with(self, ending: Ending) -> bool:
        """Return True for the first caller, whose `ending` settles the call, and False for all others."""
        return self._ending.setdefault("", ending) is ending  # one step: no other thread or signal comes between

    def disown(self) -> None:
        """Leave the call to another process: its copy in a forked child must not settle it."""
        self._ending.setdefault("", None)


CURRENT: ContextVar[ActiveCall | None] = ContextVar("agentcost_call", default=None)
"""The call that the SDK is making in this context."""


class _Active:
    """Makes a call the current one for a block. A class, because every call enters it."""

    __slots__ = ("_before", "_call", "_context", "_outer")

    def __init__(self, call: ActiveCall, ctx: context.Context) -> None:
        self._call = call
        self._context = ctx
        self._outer = context.get_current()
        self._before = CURRENT.get()

    def __enter__(self) -> None:
        self._call.sent = True
        CURRENT.set(self._call)
        context.attach(self._context)

    def __exit__(self, *_exc: object) -> None:
        # A coroutine may be resumed or closed in another context (a framework that drives it by hand, a loop that
        # stops): there is nothing to restore there. `attach`, as `detach` swallows the exception of a signal handler.
        if context.get_current() is self._context:
            context.attach(self._outer)  # in a copy of the context, such as a new task's, a token would be invalid
        if CURRENT.get() is self._call:
            CURRENT.set(self._before)
        self._call.restored()


def ignore(_event: Any) -> None:
    """Ignore an event."""
