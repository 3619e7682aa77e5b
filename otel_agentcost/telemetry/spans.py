"""One inference span a call: opened here, or adopted from whoever opened one for the same call already.

anthropic 2.12 makes its own spans, and other instrumentations may run beside us. Our seam is the innermost one, so
theirs is the current span when we are called: that span gets our figures and no second one is made.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import Any

from opentelemetry import context, trace
from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, Tracer

from otel_agentcost.core import money, semconv
from otel_agentcost.core.call import Answer, AttributeValue, Call
from otel_agentcost.core.cost import Cost
from otel_agentcost.core.usage import Tokens
from otel_agentcost.telemetry import adoption, attribution, rollup, run_context
from otel_agentcost.telemetry.held_span import HeldSpan
from otel_agentcost.telemetry.rollup import Tally
from otel_agentcost.telemetry.run_context import Run

_FIGURES = ("agentcost.", "gen_ai.usage.")


class Record:
    """The span of one call, from its request to its figures."""

    __slots__ = (
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
    )

    def __init__(self, span: Span, ctx: Context, who: Mapping[str, str], tally: Tally | None, *, alone: bool) -> None:
        self.span = span
        self.context = ctx
        self.attribution = who
        self.tally = tally
        self.alone = alone
        """Whether the call is under no span: its trace is then that of this one call."""
        self.runs: tuple[Run, ...] = run_context.current(ctx)
        """The runs that the call is made in, the innermost first."""
        self.content: Mapping[str, str] | None = None
        """What was said, where the span is to have it. It goes before the figures: what comes first, limits evict."""
        self.first_chunk: float | None = None
        """Seconds from the request to the first chunk of a stream."""
        self.started = time.perf_counter()
        self._held: HeldSpan | None = None
        self._requested: Mapping[str, AttributeValue] = {}

    def adopt(self, requested: Mapping[str, AttributeValue]) -> None:
        """Take over a span that other code opened: it gets the attributes of `requested` that it lacks, and does not
        end before its figures are on it.
        """
        self._requested = requested
        self._held = HeldSpan(self.span)

    def keep(self, keeper: object) -> None:
        """Keep `keeper`, which closes this record, alive as long as an adopted span has not ended."""
        if self._held is not None:
            self._held.keeper = keeper

    def rewritten(self, before: Call, after: Call) -> None:
        """The call is made otherwise than it was asked for: the span says both."""
        told: dict[str, AttributeValue] = dict(after.parameters)
        if after.model != before.model and after.model is not None:
            told[semconv.REQUEST_MODEL] = after.model
            told[semconv.DOWNGRADED_FROM] = str(before.model)
            if self._held is None:
                self.span.update_name(f"{after.operation} {after.model}")
        if after.max_output_tokens != before.max_output_tokens:
            told[semconv.CLAMPED_FROM] = before.max_output_tokens or 0
        self.span.set_attributes(told)

    @property
    def ended(self) -> bool:
        """Whether the span has ended, or will without further ado."""
        return self._held is None or self._held.ended

    def lost(self) -> None:
        """Nobody else is left who could end the span."""
        if self._held is not None:
            self._held.lost()

    def close(self, attributes: dict[str, AttributeValue], error: BaseException | None) -> None:
        """Writes the figures and ends the span. An adopted span ends when its owner has ended it too."""
        if self.content is not None:
            attributes = {**self.content, **attributes}
        if self._held is not None:
            self._held.release(lambda: self._write_on_adopted(attributes))
            return
        try:
            if attributes:
                self.span.set_attributes(attributes)
            if error is not None:
                self.span.set_status(Status(StatusCode.ERROR, _description(error)))
        finally:
            self.span.end()

    def _write_on_adopted(self, attributes: dict[str, AttributeValue]) -> None:
        """Tokens and dollars are ours; of the rest the owner's word stands, and what it does not say is added."""
        span: Any = self.span
        given: Mapping[str, AttributeValue] = span.attributes or {}
        if attributes.get(semconv.ERROR_TYPE) == semconv.REFUSED:  # its owner cannot know better what that was
            span.set_attribute(semconv.ERROR_TYPE, semconv.REFUSED)
            span.set_status(Status(StatusCode.ERROR))
        if span.status.status_code is not StatusCode.ERROR:
            attributes.pop(semconv.ERROR_TYPE, None)  # it may have tried again: whether it failed, its owner knows
        said = {**self._requested, **attributes}
        span.set_attributes({name: said[name] for name in said if name not in given or name.startswith(_FIGURES)})


class Spans:
    """Opens the spans of calls with one tracer and the process's default attribution."""

    def __init__(self, tracer: Tracer, defaults: Mapping[str, str], unseen: Callable[[], None]) -> None:
        """`unseen` is called for a recorded span that our processor did not see start."""
        self._tracer = tracer
        self._defaults = defaults
        self._unseen = unseen

    def open(self, call: Call, endpoint: Mapping[str, AttributeValue]) -> Record:
        """Return the record of `call`, with a new span or, where other code opened one for this call, with that.

        Args:
            call: The call as it was requested.
            endpoint: The span attributes of the client's address: provider, host, port.
        """
        ctx = context.get_current()
        parent = trace.get_current_span(ctx)
        who = attribution.current(ctx, self._defaults, rollup.tally_of(parent))
        attributes = asked_attributes(call, endpoint, who)
        theirs = adoption.span_of(call, endpoint.get(semconv.PROVIDER), parent)
        span = theirs or self._tracer.start_span(
            f"{call.operation} {call.model}" if call.model is not None else call.operation,
            context=ctx,
            kind=SpanKind.CLIENT,
            attributes=attributes,
        )
        adoption.take(span)
        tally = tally_under(span, parent)
        if tally is None and span.is_recording():
            self._unseen()
        around = _CALLED_FROM.get() or parent
        alone = not around.get_span_context().is_valid if theirs is None else theirs.parent is None
        record = Record(span, trace.set_span_in_context(span, ctx), who, tally, alone=alone)
        if theirs is not None:
            record.adopt(attributes)
        return record


_CALLED_FROM: ContextVar[Span | None] = ContextVar("agentcost_called_from", default=None)


@contextmanager
def called_from() -> Generator[None]:
    """Notes the current span as what the SDK is called under: it may open a span of its own before the call."""
    token = _CALLED_FROM.set(trace.get_current_span())
    try:
        yield
    finally:
        with suppress(ValueError):  # a coroutine that is closed in another context than it ran in
            _CALLED_FROM.reset(token)


def tally_under(span: Span, parent: Span) -> Tally | None:
    """The tally that the call with `span` adds to: its own where the processor gave it one, else its parent's."""
    return rollup.tally_of(span) or rollup.tally_of(parent)


def asked_attributes(
    call: Call, endpoint: Mapping[str, AttributeValue], who: Mapping[str, str]
) -> dict[str, AttributeValue]:
    """What is asked, of whom and for whom, as span attributes."""
    attributes: dict[str, AttributeValue] = {**endpoint, semconv.OPERATION: call.operation}
    if call.model is not None:
        attributes[semconv.REQUEST_MODEL] = call.model
    if call.parameters:
        attributes.update(call.parameters)
    if who:
        attributes.update(who)
    return attributes


def answer_attributes(answer: Answer, tokens: Tokens, cost: Cost) -> dict[str, AttributeValue]:
    """What the answer says and costs, as span attributes; the costs come last, where no limit evicts them."""
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


def _usage_attributes(tokens: Tokens, attributes: dict[str, AttributeValue]) -> None:
    attributes[semconv.INPUT_TOKENS] = tokens.input
    attributes[semconv.OUTPUT_TOKENS] = tokens.output
    if tokens.cache_read:
        attributes[semconv.CACHE_READ_TOKENS] = tokens.cache_read
    if tokens.cache_write:
        attributes[semconv.CACHE_WRITE_TOKENS] = tokens.cache_write
    if tokens.reasoning:
        attributes[semconv.REASONING_TOKENS] = tokens.reasoning


_PARTS = (
    (semconv.COST_INPUT, "input_usd"),
    (semconv.COST_OUTPUT, "output_usd"),
    (semconv.COST_CACHE_READ, "cache_read_usd"),
    (semconv.COST_CACHE_WRITE, "cache_write_usd"),
    (semconv.COST_TOOL, "tool_usd"),
)


def _cost_attributes(cost: Cost, attributes: dict[str, AttributeValue]) -> None:
    if cost.unpriced is not None:
        attributes[semconv.UNPRICED] = cost.unpriced
    if cost.usd is None:
        return
    usd = money.to_float(cost.usd)
    for name, field in _PARTS:
        if part := getattr(cost, field):
            attributes[name] = money.to_float(part)
    if cost.cache_savings_usd:
        attributes[semconv.CACHE_SAVINGS] = money.to_float(cost.cache_savings_usd)
    if cost.price is not None:
        attributes[semconv.PRICE] = cost.price
    attributes[semconv.COST_AMOUNT] = usd
    attributes[semconv.COST_CURRENCY] = "USD"
    attributes[semconv.COST_SOURCE] = cost.source
    attributes[semconv.COST] = usd


def error_type(error: BaseException) -> str:
    """`error.type`: the class of the error, with its module unless it is a builtin."""
    kind: type[Any] = type(error)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def _description(error: BaseException) -> str:
    try:
        return str(error)[:500]
    except Exception:  # an error whose own text fails to be made is still an error
        return type(error).__qualname__
