"""One call in flight: the steps of the line, each of which leaves a call settled exactly once.

However a call ends (an answer, an error, a stream read out, broken off, closed, dropped or cancelled), `settle` runs
once, with what was known by then. Called by `lifecycle.Line` and, for streams, by the taps in `streams.py`.
"""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Callable
from contextlib import suppress
from contextvars import ContextVar
from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Protocol

from opentelemetry import context

from otel_agentcost.calls import finalize, pricing, streams
from otel_agentcost.calls.pricing import Asked
from otel_agentcost.core import money, semconv
from otel_agentcost.core.call import Answer, AttributeValue
from otel_agentcost.core.cost import Cost
from otel_agentcost.core.usage import Tokens
from otel_agentcost.diagnostics import apart, report
from otel_agentcost.telemetry import spans
from otel_agentcost.telemetry.metrics import whose_of
from otel_agentcost.telemetry.spans import Record
from otel_agentcost.wire import AnswerReader

if TYPE_CHECKING:
    from otel_agentcost.calls.admission import Admission
    from otel_agentcost.calls.pipeline import Line


class Seam(Protocol):
    """One place where an SDK is patched: how to read what is asked there, and what comes back."""

    def read(self, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Asked | None:
        """What this call asks for; None where it is no call to a model."""
        ...

    def rewrite(
        self,
        asked: Asked,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        *,
        model: str | None,
        max_output_tokens: int | None,
    ) -> tuple[Asked, tuple[Any, ...], dict[str, Any]]:
        """The same call asking for `model`, with at most so many output tokens a choice; None: as it is.

        What it was given is not changed. Raises `CannotRewrite` where the request has no place for it.
        """
        ...

    def deliver(self, result: Any, live: InFlight) -> Any:
        """Settles `live` from what came back, or watches the stream that came back; returns what the SDK returned."""
        ...


class InFlight:
    """One call between its request and its figures. It settles exactly once, whichever way it ends."""

    __slots__ = (
        "__weakref__",
        "_attempt",
        "_client",
        "_conversation",
        "_earlier",
        "_line",
        "_once",
        "_reader",
        "_reported",
        "_unreadable",
        "admission",
        "asked",
        "at",
        "bytes",
        "feed",
        "record",
        "sent",
    )

    def __init__(self, line: Line, asked: Asked, client: object = None) -> None:
        self._line = line
        self._client = client
        self.asked = asked
        self._once = threading.Lock()
        self._reader: AnswerReader | None = None
        self._unreadable: str | None = None
        self.at = time.time()
        self._attempt: Callable[[], Any] | None = None
        self._earlier: tuple[Any, ...] = ()
        self._reported: Decimal | None = None
        self.sent = False
        """Whether the call was admitted, and the SDK asked to make it."""
        self.admission: Admission | None = None
        """What the budgets hold for it."""
        self.bytes: streams.Bytes | None = None
        self.feed: Callable[[Any], object] = _ignore
        self.record: Record = line.spans.open(asked.call, asked.endpoint.attributes, self)
        self._conversation = line.capture.begin(asked, self.record) if line.capture is not None else None

    def current(self) -> _Current:
        """A context manager for the time of the request: this call, and its span, are the current ones."""
        return _Current(self, self.record.context)

    def is_of(self, client: object) -> bool:
        """Whether `client` makes this call: what another client does meanwhile, within a transport, is its own."""
        return client is self._client

    def is_for(self, asked: Asked) -> bool:
        """Whether this is the very call of `asked`: a method that somebody has wrapped may be patched twice over."""
        return asked.call.body is not None and asked.call.body is self.asked.call.body

    # --- how a call goes on ---

    def rewritten(self, asked: Asked) -> None:
        """The call is made with another model, or a lower output limit, than it came with."""
        self.record.rewritten(self.asked.call, asked.call)
        self.asked = asked

    def attempted(self, response: Any) -> None:
        """An attempt of the SDK's was answered with success: more than one is billed when an SDK tries other models.

        A stream is held weakly: one that is dropped must go at once, as it does without us.
        """
        before = self._attempt
        if before is not None and before() is not response:
            self._earlier = (*self._earlier, before())
        whole = "json" in str(response.headers.get("content-type"))
        self._attempt = (lambda: response) if whole else weakref.ref(response)
        if not self.asked.endpoint.known:
            self._reported = money.reported(response.headers.get(_LITELLM_COST))

    def deliver(self, seam: Seam, result: Any) -> Any:
        """What the SDK returned, settled or under watch."""
        try:
            return seam.deliver(result, self)
        except Exception as error:
            report("reading a response", error)
            self.settle(Answer(missing=f"the response could not be read ({type(error).__name__})"))
            return result

    def answered(self, response: Any) -> None:
        """A whole response has come."""
        self._hear(response)
        self.settle(self.asked.format.read_response(self.asked.call, response))

    def _hear(self, response: Any) -> None:
        """Who wants to know what was said is told."""
        if self._conversation is not None:
            self._conversation.response = response
        if self._line.watch is not None:
            self._line.watch.heard(self, response)

    def streaming(
        self, prepare: Callable[[AnswerReader], AnswerReader] | None = None, *, arrived: bool = False
    ) -> None:
        """A stream has come: from now on `feed` shows its events to a reader, and raises `BudgetExceeded` before one
        that its budget has no room for.

        `prepare` wraps the reader, for an SDK whose events are not yet what the wire format's reader reads. A stream
        that has wholly `arrived` is not cut off: nothing would be saved.
        """
        reader = self.asked.format.open_stream(self.asked.call)
        self._reader = prepare(reader) if prepare is not None else reader
        self.feed = self._reader.feed
        if self._conversation is not None:
            self.feed = self._conversation.overhearing(self.feed)
        if self.admission is not None and not arrived:
            self.feed = self.admission.metered(self.feed, self._reader, self)
        finalize.watch(self)

    def first_chunk(self) -> None:
        """The first chunk is here; later ones change nothing."""
        if self.record.first_chunk is None:
            self.record.first_chunk = time.perf_counter() - self.record.started

    def unreadable(self, bug: Exception) -> Callable[[Any], object]:
        """A reader failed on an event: what comes after it is passed on unread."""
        report("reading a stream", bug)
        self._unreadable = f"the stream could not be read ({type(bug).__name__})"
        self.feed = _ignore
        return _ignore

    # --- how a call ends ---

    def failed(self, error: BaseException) -> None:
        """The call raised. The provider may have answered all the same: an answer that the SDK refuses is billed."""
        if not self.sent:
            self.settle(Answer(), error)
            return
        answer: Answer | None = None
        try:
            answer = self._refused_answer()
        except Exception as bug:
            report("reading a refused answer", bug)
        self.settle(answer if answer is not None else Answer(missing=_not_answered(error)), error)

    def _refused_answer(self) -> Answer | None:
        """The answer that came with success and which the SDK would not parse (cut off by its limit, say)."""
        response = self._attempt() if self._attempt is not None and self._reader is None else None
        if response is None or not response.is_closed or not response.is_success:
            return None
        try:
            body = streams.parsed(response.content)
        except Exception:  # a stream that was never read, or that broke
            return None
        answer = self.asked.format.read_response(self.asked.call, body)
        return answer if answer.usage is not None else None

    def ended(self, error: BaseException | None) -> None:
        """The stream was read out, or broke."""
        if error is not None and self.record.first_chunk is None:
            self.failed(error)
        else:
            self._settle_stream(error, complete=error is None)

    def closed(self) -> None:
        """The application closed the stream before its end."""
        self._settle_stream(None, complete=False)

    def lost(self) -> None:
        """Nobody is left to read the stream on, nor to end an adopted span."""
        self.closed()
        self.record.lost()

    def disown(self) -> None:
        """Somebody else settles this call: a copy of it in a forked child must not."""
        self._once.acquire(blocking=False)

    def abandoned(self) -> None:
        """The stream was dropped: this may run in a finalizer, where telemetry must not always be touched."""
        if self._once.locked():
            return
        if streams.inside_telemetry():
            finalize.PENDING.put(self.closed)
        else:
            apart(self.closed)

    def __del__(self) -> None:
        if not hasattr(self, "record") or (self._once.locked() and self.record.ended):
            return
        if streams.inside_telemetry():
            finalize.PENDING.put(self.lost)
        else:
            apart(self.lost)

    def _settle_stream(self, error: BaseException | None, *, complete: bool) -> None:
        if self._once.locked():
            return
        try:
            answer = self._stream_answer(complete=complete)
        except Exception as bug:
            report("reading a stream's end", bug)
            answer = Answer(missing=f"the stream could not be read ({type(bug).__name__})")
        self.settle(answer, error)

    def _stream_answer(self, *, complete: bool) -> Answer:
        if self._unreadable is not None:
            return Answer(missing=self._unreadable)
        if self.bytes is not None and not self.bytes.streamed:
            body = self.bytes.body()
            if body is None and not complete:
                return Answer(missing="the response was closed before it was read")
            self._hear(body)
            return self.asked.format.read_response(self.asked.call, body)
        if self._reader is None:
            return Answer(missing="the response was dropped before it was read")
        if self._line.watch is not None:
            self._line.watch.heard(self, getattr(self._reader, "whole", None))
        return self._reader.answer(complete=complete)

    def settle(self, answer: Answer, error: BaseException | None = None) -> None:
        """Prices the answer, records it, and ends the span. Only the first call of it counts."""
        if not self._once.acquire(blocking=False):
            return
        attributes: dict[str, AttributeValue] = {}
        try:
            attributes = self._figures(answer, error)
        except Exception as bug:
            report("settling a call", bug)
            attributes = {semconv.UNPRICED: f"otel-agentcost failed to price it ({type(bug).__name__})"}
        if self.admission is not None:
            self.admission.end(made=self.sent)
        if self._conversation is not None:
            self._conversation.ended(attributes)
        try:
            self.record.close(attributes, error)
        except Exception as bug:
            report("ending a span", bug)

    def _figures(self, answer: Answer, error: BaseException | None) -> dict[str, AttributeValue]:
        """Prices and counts the call; returns what its span is to say."""
        if not self.sent:
            return {} if error is None else {semconv.ERROR_TYPE: spans.error_type(error)}
        if self._reported is not None and answer.provider_usd is None and answer.usage is not None:
            answer = replace(answer, provider_usd=self._reported)
        answer = pricing.within_limit(answer, self.asked.call)
        if self._earlier:
            answer = pricing.with_attempts(answer, self._earlier, self.asked)
            self._earlier = ()
        self._attempt = None
        cost = pricing.cost_of(self._line.book, self.asked, answer, at=self.at, failed=error is not None)
        tokens = answer.tokens()
        if self.admission is not None:  # before all that is told of it: whatever fails there, the money is counted
            self.admission.settle(self, answer, cost, tokens)
        record = self.record
        attributes = spans.answer_attributes(answer, tokens, cost) if record.span.is_recording() else {}
        if record.first_chunk is not None:
            attributes[semconv.TIME_TO_FIRST_CHUNK] = record.first_chunk
        if error is not None:
            attributes[semconv.ERROR_TYPE] = spans.error_type(error)
        self._count(answer, tokens, cost, error)
        if self._line.watch is not None:
            self._line.watch.settled(record, cost.usd)
        for run in record.runs:
            run.tally.add_llm(cost.usd, tokens.input, tokens.output, unpriced=cost.unpriced is not None)
        if record.tally is not None:
            record.tally.add_llm(cost.usd, tokens.input, tokens.output, unpriced=cost.unpriced is not None)
        return attributes

    def _count(self, answer: Answer, tokens: Tokens, cost: Cost, error: BaseException | None) -> None:
        metrics, record = self._line.metrics, self.record
        base = self._base(self.asked.call.model, answer.model)
        failure = spans.error_type(error) if error is not None else None
        whose = whose_of(base, record.attribution)
        if answer.usage is not None:
            metrics.tokens(tokens.input, tokens.output, base, record.context)
            metrics.used(tokens, whose)
        if cost.usd is not None:
            metrics.cost(cost, base, whose, failure, record.context)
        if cost.unpriced is not None:
            metrics.unpriced(cost.unpriced, base)
        if failure is not None:  # a copy: older SDKs keep the mapping of what was recorded before
            base = {**base, semconv.ERROR_TYPE: failure}
        metrics.duration(time.perf_counter() - record.started, base, record.context)

    def _base(self, asked: str | None, served: str | None) -> dict[str, str]:
        """What metrics say of the call: its operation, its provider, and both models."""
        bounded = self._line.metrics.bounded_model
        base: dict[str, str] = {semconv.OPERATION: self.asked.call.operation}
        base[semconv.PROVIDER] = self.asked.endpoint.provider
        if asked is not None:
            base[semconv.REQUEST_MODEL] = bounded(asked)
        if served is not None:
            base[semconv.RESPONSE_MODEL] = bounded(served)
        return base

    def saved_by_downgrade(self, usd: Decimal, asked: str | None, served: str) -> None:
        """The model `served` has answered in place of `asked`, for so many dollars less."""
        self._line.metrics.saved("downgrade", usd, self._base(asked, served))


_LITELLM_COST = "x-litellm-response-cost"
"""The header in which a LiteLLM proxy says what the call cost (its documentation, "cost tracking")."""

CURRENT: ContextVar[InFlight | None] = ContextVar("agentcost_call", default=None)
"""The call whose request is on its way in this context."""


class _Current:
    """Makes a call the current one for a block; a class, because this is entered on every call."""

    __slots__ = ("_call", "_context", "_live", "_token")

    def __init__(self, live: InFlight, ctx: context.Context) -> None:
        self._live = live
        self._context = ctx

    def __enter__(self) -> None:
        self._live.sent = True
        self._call = CURRENT.set(self._live)
        self._token = context.attach(self._context)

    def __exit__(self, *_exc: object) -> None:
        # A coroutine may be resumed or closed in another context than it was entered in (frameworks that drive it by
        # hand, a loop that stops): there is nothing of ours to take back there.
        if context.get_current() is self._context:
            context.detach(self._token)
        with suppress(ValueError):
            CURRENT.reset(self._call)


def _not_answered(error: BaseException) -> str | None:
    """Why a call that raised has no price: None where the provider refused it, which costs nothing."""
    if getattr(error, "status_code", None) is not None or getattr(error, "code", None) is not None:
        return None
    return f"no answer came ({type(error).__name__}): it is unknown whether the provider bills it"


def _ignore(_event: Any) -> None:
    """Takes in an event and does nothing with it."""
