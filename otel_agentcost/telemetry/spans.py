"""One inference span for each call: a new span, or the adopted span of another instrumentation.

anthropic 2.12 makes spans itself, and an application may install other instrumentations. This package's patch is the
innermost one, so their span is current when the call arrives here. It gets the figures, and no second span is made.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from contextvars import ContextVar
from functools import partial
from typing import Any

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.trace import Span as SdkSpan
from opentelemetry.trace import Link, Span, SpanContext, SpanKind, Status, StatusCode, TraceFlags, Tracer

from otel_agentcost.core import money, semconv
from otel_agentcost.core.call import Answer, AttributeValue, Call, HttpStatus
from otel_agentcost.core.cost import Cost
from otel_agentcost.core.usage import Tokens
from otel_agentcost.diagnostics import complete, reraise_foreign
from otel_agentcost.telemetry import adoption, attribution, blocks, rollup, run_context
from otel_agentcost.telemetry.held_span import HeldSpan
from otel_agentcost.telemetry.rollup import Tally
from otel_agentcost.telemetry.run_context import Run
from otel_agentcost.telemetry.set_at_once import set_at_once

_OWN_SCOPE = "otel_agentcost"
_OWN_PREFIXES = ("agentcost.", "gen_ai.usage.")


class Record:
    """The span of one call, from the request to the cost."""

    __slots__ = (
        "__weakref__",
        "_held",
        "_requested",
        "alone",
        "attribution",
        "content",
        "context",
        "first_chunk",
        "runs",
        "span",
        "started",
        "tally",
        "trace",
    )

    def __init__(
        self, span: Span, ctx: Context, attributed: Mapping[str, str], tally: Tally | None, *, alone: bool
    ) -> None:
        self.span = span
        self.context = ctx
        self.attribution = attributed
        self.tally = tally
        self.alone = alone
        """True if the call has no parent span, so that its trace has this one call only."""
        self.trace: str | None = None
        """The name of its trace in ledgers; None until it is needed."""
        self.runs: tuple[Run, ...] = run_context.current(ctx)
        """The open runs of the call, innermost first."""
        self.content: Mapping[str, str] | None = None
        """Message content for the span. It is set before the figures, because attribute limits evict the oldest."""
        self.first_chunk: float | None = None
        """Seconds from the request to the first chunk of a stream."""
        self.started = time.perf_counter()
        self._held: HeldSpan | None = None
        self._requested: Mapping[str, AttributeValue] = {}

    def adopt(self, requested: Mapping[str, AttributeValue]) -> None:
        """Adopt the span, which another instrumentation opened: it must not end before its figures are set.

        Args:
            requested: The attributes of the request. The span gets those that it does not have.
        """
        self._requested = requested
        self._held = HeldSpan(self.span)

    def account_of(self, begun: Record) -> None:
        """Take the runs and the attribution of the call that began this answer."""
        self.runs, self.attribution, self.trace = begun.runs, begun.attribution, begun.trace
        if self.attribution:
            self.span.set_attributes(self.attribution)
        where = begun.span.get_span_context()
        if where.is_valid:
            self.span.add_link(where)

    def keep(self, keeper: object) -> None:
        """Keep `keeper`, the object that closes this record, alive until an adopted span has ended."""
        if self._held is not None:
            self._held.keeper = keeper

    def rewritten(self, before: Call, after: Call) -> None:
        """Set the attributes of a request that was rewritten: the new values and the original ones."""
        attributes: dict[str, AttributeValue] = dict(after.parameters)
        if after.model != before.model and after.model is not None:
            attributes[semconv.REQUEST_MODEL] = after.model
            attributes[semconv.DOWNGRADED_FROM] = str(before.model)
            if self._held is None:
                self.span.update_name(f"{after.operation} {after.model}")
        if after.max_output_tokens != before.max_output_tokens:
            attributes[semconv.CLAMPED_FROM] = before.max_output_tokens or 0
        self.span.set_attributes(attributes)

    def abandon(self) -> None:
        """End the span of a call that is not made."""
        self.close({}, None)

    @property
    def adopted(self) -> bool:
        """True if another instrumentation opened the span."""
        return self._held is not None

    @property
    def ended(self) -> bool:
        """True if the span has ended, or if nothing but `close` is needed to end it."""
        return self._held is None or self._held.ended

    def lost(self) -> None:
        """End an adopted span that its owner can no longer end."""
        if self._held is not None:
            self._held.lost()

    def close(self, attributes: dict[str, AttributeValue], error: BaseException | None) -> None:
        """Set the attributes of the response and end the span. An adopted span ends when its owner has ended it too.

        Args:
            attributes: The attributes of the response, with the cost.
            error: The exception of the call, if it failed.
        """
        if self.content is not None:
            attributes = {**self.content, **attributes}
        if self._held is not None:
            self._held.release(lambda: self._write_on_adopted(attributes))
            return
        if not self.span.is_recording():  # it is not sampled, or it was closed before
            return
        try:
            if attributes:
                set_at_once(self.span, attributes)
            if error is not None:
                self.span.set_status(Status(StatusCode.ERROR, _description(error)))
        finally:
            self.span.end()

    def close_batch(self, answer: Answer, tokens: Tokens, cost: Cost, lines: int, *, resolves: bool) -> None:
        """End the span of a settlement.

        Args:
            answer: The id of the batch and the model that served it.
            tokens: The tokens of the settled lines together.
            cost: Their cost.
            lines: Their number.
            resolves: True if the whole cost of the batch is known now.
        """
        settled = {semconv.BATCH_LINES: lines, **settled_later(resolves=resolves)}
        self.close({**settled, **answer_attributes(answer, tokens, cost)}, None)

    def _write_on_adopted(self, attributes: dict[str, AttributeValue]) -> None:
        """Set the attributes on an adopted span. Tokens and costs override the owner's values; others do not."""
        span: Any = self.span
        present: Mapping[str, AttributeValue] = span.attributes or {}
        if attributes.get(semconv.ERROR_TYPE) == semconv.REFUSED:  # the owner does not know that this is a refusal
            span.set_attribute(semconv.ERROR_TYPE, semconv.REFUSED)
            span.set_status(Status(StatusCode.ERROR))
        if span.status.status_code is not StatusCode.ERROR:
            attributes.pop(semconv.ERROR_TYPE, None)  # the owner may have retried: only it knows if the call failed
        merged = {**self._requested, **attributes}
        span.set_attributes(
            {name: merged[name] for name in merged if name not in present or name.startswith(_OWN_PREFIXES)}
        )


class Spans:
    """Opens the spans of model calls."""

    def __init__(self, tracer: Tracer, defaults: Mapping[str, str], unprocessed: Callable[[], None]) -> None:
        """Create the object.

        Args:
            tracer: The tracer for new spans.
            defaults: The environment's attribution.
            unprocessed: Called for a recorded span that this package's span processor did not get.
        """
        self._tracer = tracer
        self._defaults = defaults
        self._unprocessed = unprocessed

    def open(self, call: Call, endpoint: Mapping[str, AttributeValue]) -> Record:
        """Return the record of `call`, with a new span or the span that another instrumentation opened for it.

        Args:
            call: The request.
            endpoint: The span attributes of the client's address: provider, host, port.
        """
        ctx = blocks.here()
        parent = trace.get_current_span(ctx)
        attributed = attribution.current(ctx, self._defaults, rollup.tally_of(parent))
        attributes = request_attributes(call, endpoint, attributed)
        adopted = adoption.span_of(call, endpoint.get(semconv.PROVIDER), parent)
        record: Record | None = None
        try:
            span = adopted or self._tracer.start_span(
                name_of(call),
                context=ctx,
                kind=SpanKind.CLIENT,
                attributes=attributes,
            )
            adoption.claim(span)
            tally = tally_under(span, parent)
            if tally is None and span.is_recording():
                self._unprocessed()
            caller = _CALLED_FROM.get() or parent
            alone = not caller.get_span_context().is_valid if adopted is None else adopted.parent is None
            record = Record(span, trace.set_span_in_context(span, ctx), attributed, tally, alone=alone)
            if adopted is not None:
                record.adopt(attributes)
        except BaseException as error:  # of others: it may arrive anywhere in here
            complete(record.abandon if record is not None else partial(end_started, error, parent))
            raise
        return record

    def settling(
        self,
        call: Call,
        endpoint: Mapping[str, AttributeValue],
        attributed: Mapping[str, str],
        begun: tuple[int, int],
    ) -> Record:
        """Return the record of a settlement: a span of its own, with a link to that of what it settles.

        Args:
            call: The operation, and the model.
            endpoint: The span attributes of the provider.
            attributed: Whose it is.
            begun: The trace id and the span id of the call that has begun it.
        """
        creation = SpanContext(*begun, is_remote=True, trace_flags=TraceFlags(TraceFlags.SAMPLED))
        ctx = blocks.here()
        parent = trace.get_current_span(ctx)
        attributes = request_attributes(call, endpoint, attributed)
        links = (Link(creation),) if creation.is_valid else ()
        span = self._tracer.start_span(name_of(call), ctx, SpanKind.CLIENT, attributes, links)
        tally = tally_under(span, parent)
        if tally is None and span.is_recording():
            self._unprocessed()
        alone = not parent.get_span_context().is_valid
        return Record(span, trace.set_span_in_context(span, ctx), attributed, tally, alone=alone)


def name_of(call: Call) -> str:
    """Return the name of a call's span, by the conventions: the operation, and the model where one is known."""
    return f"{call.operation} {call.model}" if call.model is not None else call.operation


def end_started(error: BaseException, parent: Span) -> None:
    """End the span under `parent` that was being started when `error` arrived: only its traceback knows that span."""
    place = error.__traceback__
    while place is not None:
        for value in tuple(place.tb_frame.f_locals.values()):
            if isinstance(value, SdkSpan) and value is not parent and _is_open_and_own(value, parent):
                value.end()
        place = place.tb_next


def _is_open_and_own(span: SdkSpan, parent: Span) -> bool:
    if getattr(span, "start_time", None) is None or not span.is_recording() or span.instrumentation_scope is None:
        return False
    above = span.parent.span_id if span.parent is not None else 0
    return span.instrumentation_scope.name == _OWN_SCOPE and above == parent.get_span_context().span_id


_CALLED_FROM: ContextVar[Span | None] = ContextVar("agentcost_called_from", default=None)


class CalledFrom:
    """Records the current span as the caller of the SDK, which may open a span before the call arrives at the patch."""

    __slots__ = ("_token",)

    def __enter__(self) -> None:
        self._token = _CALLED_FROM.set(trace.get_current_span())

    def __exit__(self, *_exc: object) -> None:
        with suppress(ValueError):  # a coroutine that is closed in another context
            _CALLED_FROM.reset(self._token)


def tally_under(span: Span, parent: Span) -> Tally | None:
    """Return the totals to which the call of `span` adds: of `span` if the processor got it, else of `parent`."""
    return rollup.tally_of(span) or rollup.tally_of(parent)


def request_attributes(
    call: Call, endpoint: Mapping[str, AttributeValue], attributed: Mapping[str, str]
) -> dict[str, AttributeValue]:
    """Return the span attributes of the request, the endpoint and the attribution."""
    attributes: dict[str, AttributeValue] = {**endpoint, semconv.OPERATION: call.operation}
    if call.model is not None:
        attributes[semconv.REQUEST_MODEL] = call.model
    if call.parameters:
        attributes.update(call.parameters)
    if attributed:
        attributes.update(attributed)
    return attributes


def answer_attributes(answer: Answer, tokens: Tokens, cost: Cost) -> dict[str, AttributeValue]:
    """Return the span attributes of the response. The costs come last, so that attribute limits do not evict them."""
    attributes: dict[str, AttributeValue] = {}
    if answer.attributes:
        attributes.update(answer.attributes)
    if answer.model is not None:
        attributes[semconv.RESPONSE_MODEL] = answer.model
    if answer.response_id is not None:
        attributes[semconv.RESPONSE_ID] = answer.response_id
    if answer.finish_reasons:
        attributes[semconv.FINISH_REASONS] = answer.finish_reasons
    if answer.tier is not None:
        attributes[semconv.OPENAI_RESPONSE_TIER] = answer.tier
    if answer.usage is not None:
        _usage_attributes(tokens, attributes)
        if answer.usage.estimated:
            attributes[semconv.ESTIMATED] = True
    _cost_attributes(cost, attributes)
    return attributes


def settled_later(*, resolves: bool) -> dict[str, AttributeValue]:
    """Return the span attributes of what is settled after its call: who adds up spans must not count a call again.

    Args:
        resolves: True if a call that was unpriced up to now is not any more.
    """
    return {semconv.CALLS: 0, **({semconv.RESOLVES: 1} if resolves else {})}


def _usage_attributes(tokens: Tokens, attributes: dict[str, AttributeValue]) -> None:
    attributes[semconv.INPUT_TOKENS] = tokens.input
    attributes[semconv.OUTPUT_TOKENS] = tokens.output
    if tokens.cache_read:
        attributes[semconv.CACHE_READ_TOKENS] = tokens.cache_read
    if tokens.cache_write:
        attributes[semconv.CACHE_WRITE_TOKENS] = tokens.cache_write
    if tokens.reasoning:
        attributes[semconv.REASONING_TOKENS] = tokens.reasoning


def _cost_attributes(cost: Cost, attributes: dict[str, AttributeValue]) -> None:
    if cost.unpriced is not None:
        attributes[semconv.UNPRICED] = cost.unpriced
    if cost.usd is None:
        return
    usd = money.to_float(cost.usd)
    _cost_parts(cost, attributes)
    if cost.cache_savings_usd:
        attributes[semconv.CACHE_SAVINGS] = money.to_float(cost.cache_savings_usd)
    if cost.price is not None:
        attributes[semconv.PRICE] = cost.price
    if cost.assumed:
        attributes[semconv.PRICE_ASSUMED] = True
    attributes[semconv.COST_AMOUNT] = usd
    attributes[semconv.COST_CURRENCY] = "USD"
    attributes[semconv.COST_SOURCE] = cost.source
    attributes[semconv.COST] = usd


def _cost_parts(cost: Cost, attributes: dict[str, AttributeValue]) -> None:
    if cost.input_usd:
        attributes[semconv.COST_INPUT] = money.to_float(cost.input_usd)
    if cost.output_usd:
        attributes[semconv.COST_OUTPUT] = money.to_float(cost.output_usd)
    if cost.cache_read_usd:
        attributes[semconv.COST_CACHE_READ] = money.to_float(cost.cache_read_usd)
    if cost.cache_write_usd:
        attributes[semconv.COST_CACHE_WRITE] = money.to_float(cost.cache_write_usd)
    if cost.tool_usd:
        attributes[semconv.COST_TOOL] = money.to_float(cost.tool_usd)


def error_type(error: BaseException) -> str:
    """Return the `error.type` of an exception: a status, or its class, with the module unless it is a builtin."""
    if isinstance(error, HttpStatus):
        return str(error.status)
    kind: type[Any] = type(error)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def _description(error: BaseException) -> str:
    try:
        return str(error)[:500]
    except Exception as failure:  # `__str__` of the exception failed
        reraise_foreign(failure)
        return type(error).__qualname__
