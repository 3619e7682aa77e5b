"""The state of one model call, from its request to its settlement. The pipeline acts on it; nothing here acts.

A call settles exactly once, however it ends: an answer, an error, or a stream that is read out, broken off, closed,
dropped or cancelled. All of these come to `ActiveCall.end`, which hands the call to the pipeline.
"""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Callable, Mapping
from contextlib import suppress
from contextvars import ContextVar
from decimal import Decimal
from typing import Any, Protocol

from opentelemetry import context

from otel_agentcost.calls import finalize, streams
from otel_agentcost.calls.admission import Admission
from otel_agentcost.core import money
from otel_agentcost.core.call import AttributeValue
from otel_agentcost.diagnostics import report
from otel_agentcost.telemetry.spans import Record
from otel_agentcost.wire import AnswerReader
from otel_agentcost.wire.format import ModelRequest

finalize.FINALIZERS.add(__name__)

_LITELLM_COST = "x-litellm-response-cost"
"""The response header in which a LiteLLM proxy reports the cost (its documentation, "cost tracking")."""


class Settle(Protocol):
    """Settles a call whose stream has ended: `Pipeline.settle_stream`."""

    def __call__(self, call: ActiveCall, error: BaseException | None, *, complete: bool) -> None: ...


class CallContent(Protocol):
    """The messages of one call, where content is captured (`content.py`)."""

    response: Any
    """The whole response, where it came as a whole."""

    def overhearing(self, feed: streams.Feed) -> streams.Feed:
        """Return `feed`, with each event shown to the transcript as well."""
        ...

    def ended(self, attributes: Mapping[str, AttributeValue]) -> None:
        """Write the messages: the call is over, and `attributes` are its figures."""
        ...


class ActiveCall:
    """One model call in flight."""

    __slots__ = (
        "__weakref__",
        "_client",
        "_once",
        "_settle",
        "admission",
        "at",
        "attempt",
        "content",
        "earlier",
        "feed",
        "raw",
        "reader",
        "record",
        "reported_usd",
        "request",
        "sent",
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
    ) -> None:
        """Begin a call.

        Args:
            request: The request as the seam read it.
            record: The span of the call.
            client: The object whose method makes the call.
            at: When the call was made, in seconds since the epoch.
            content: The messages of the call, where content is captured.
            settle: Settles the call when its stream ends.
        """
        self.request = request
        self.record = record
        self.at = at
        self.content = content
        self._client = client
        self._settle = settle
        self._once = threading.Lock()
        self.sent = False
        """Whether the call was admitted, and the SDK asked to make it."""
        self.admission: Admission | None = None
        """What the budgets reserve for the call."""
        self.reader: AnswerReader | None = None
        """Reads the events of a stream."""
        self.raw: streams.RawReader | None = None
        """Reads a raw response."""
        self.feed: streams.Feed = ignore
        """Takes in one event of a stream. Raises `BudgetExceeded` before an event that the budget has no room for."""
        self.unread: str | None = None
        """Why the stream could not be read, where a reader failed."""
        self.attempt: Callable[[], Any] | None = None
        """The last HTTP response that came with success. A stream is held weakly: a dropped one must go at once."""
        self.earlier: tuple[Any, ...] = ()
        """The responses of earlier attempts: an SDK that tries other models is billed for each."""
        self.reported_usd: Decimal | None = None
        """US dollars that a gateway reports in a header."""
        record.keep(self)

    def active(self) -> _Active:
        """Return a context manager for the time of the request: this call, and its span, are the current ones."""
        return _Active(self, self.record.context)

    def is_of(self, client: object) -> bool:
        """Return whether `client` makes this call. Calls of other clients inside a transport are their own."""
        return client is self._client

    def is_for(self, request: ModelRequest) -> bool:
        """Return whether this is the call of `request`: a method that others wrapped may be patched twice over."""
        return request.call.body is not None and request.call.body is self.request.call.body

    def rewritten(self, request: ModelRequest) -> None:
        """Note that the call is made with another model, or a lower output limit, than requested."""
        self.record.rewritten(self.request.call, request.call)
        self.request = request

    def attempted(self, response: Any) -> None:
        """Note an attempt of the SDK that was answered with success."""
        before = self.attempt
        if before is not None and before() is not response:
            self.earlier = (*self.earlier, before())
        whole = "json" in str(response.headers.get("content-type"))
        self.attempt = (lambda: response) if whole else weakref.ref(response)
        if not self.request.endpoint.known:
            self.reported_usd = money.reported(response.headers.get(_LITELLM_COST))

    # --- a stream, as its tap sees it (`streams.StreamListener`) ---

    def first_chunk(self) -> None:
        """Note the time of the first chunk."""
        if self.record.first_chunk is None:
            self.record.first_chunk = time.perf_counter() - self.record.started

    def unreadable(self, bug: Exception) -> streams.Feed:
        """Note that a reader failed on an event. The events after it are passed on unread."""
        report("reading a stream", bug)
        self.unread = f"the stream could not be read ({type(bug).__name__})"
        self.feed = ignore
        return ignore

    def end(self, error: BaseException | None = None, *, complete: bool) -> None:
        """End the call's stream: the one way to the settlement. Later calls change nothing."""
        if not self.settled:
            self._settle(self, error, complete=complete)

    def close(self) -> None:
        """End the stream before its end."""
        self.end(complete=False)

    def lost(self) -> None:
        """End the stream, and an adopted span: no other code is left that could."""
        self.close()
        self.record.lost()

    def dropped(self) -> None:
        """End the stream from a finalizer."""
        if not self.settled:
            finalize.settle_when_safe(self.close)

    def __del__(self) -> None:
        if not hasattr(self, "attempt") or (self.settled and self.record.ended):
            return
        finalize.settle_when_safe(self.lost)

    # --- settled once ---

    @property
    def settled(self) -> bool:
        """Whether the call is settled, or another process settles it."""
        return self._once.locked()

    def settle_once(self) -> bool:
        """Return True for the first caller, which settles the call, and False for all others."""
        return self._once.acquire(blocking=False)

    def disown(self) -> None:
        """Leave the call to another process: its copy in a forked child must not settle it."""
        self._once.acquire(blocking=False)


CURRENT: ContextVar[ActiveCall | None] = ContextVar("agentcost_call", default=None)
"""The call whose request is on its way in this context."""


class _Active:
    """Makes a call the current one for a block. A class, because every call enters it."""

    __slots__ = ("_before", "_call", "_context", "_token")

    def __init__(self, call: ActiveCall, ctx: context.Context) -> None:
        self._call = call
        self._context = ctx

    def __enter__(self) -> None:
        self._call.sent = True
        self._before = CURRENT.set(self._call)
        self._token = context.attach(self._context)

    def __exit__(self, *_exc: object) -> None:
        # A coroutine may be resumed or closed in another context than it was entered in (frameworks that drive it by
        # hand, a loop that stops): there is nothing to take back there.
        if context.get_current() is self._context:
            context.detach(self._token)
        with suppress(ValueError):
            CURRENT.reset(self._before)


def ignore(_event: Any) -> None:
    """Take in an event and do nothing with it."""
