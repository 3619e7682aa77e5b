"""Model calls that no patch of an SDK has seen, from spans of other instrumentations.

A call is admitted when its span starts (`start` may raise `BudgetExceeded`). It is charged right before the span ends,
from the attributes of the span. docs/neighbours.md lists the differences to calls of patched SDKs. Called by
`processor.py`.
"""

from __future__ import annotations

import os
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import replace
from decimal import Decimal
from functools import partial

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.trace import Span
from opentelemetry.trace import Status, StatusCode

from otel_agentcost.calls.admission import Gate, Gates
from otel_agentcost.calls.finalize import PENDING, settle_pending
from otel_agentcost.core import semconv
from otel_agentcost.core.call import Answer, AttributeValue, Call
from otel_agentcost.core.cost import Cost
from otel_agentcost.core.usage import Kind, Usage
from otel_agentcost.diagnostics import report, warn_once
from otel_agentcost.errors import BudgetExceeded
from otel_agentcost.guard import CallFacts, Refused, Ticket
from otel_agentcost.integrations.spans import sources
from otel_agentcost.integrations.spans.sources import Source
from otel_agentcost.pricebook import PriceBook
from otel_agentcost.telemetry import adoption, attribution, blocks, event_loops, rollup, run_context, spans
from otel_agentcost.telemetry.held_span import before_end
from otel_agentcost.telemetry.metrics import ModelLabels
from otel_agentcost.telemetry.recorder import Recorder, SpanAccount
from otel_agentcost.telemetry.rollup import Tally

_ATTRIBUTE = "_agentcost_foreign"
_MINIMUM = Cost(usd=Decimal("1E-9"))
"""The amount to reserve for a call whose model is not known yet. It refuses the call if nothing is left."""

_latest: ContextVar[weakref.ref[_Call] | None] = ContextVar("agentcost_foreign", default=None)
"""The last call that started in this context."""


class ModelCallSpans:
    """Admits and charges model calls from spans of other instrumentations. One for each `instrument()`."""

    def __init__(
        self,
        book: PriceBook,
        recorder: Recorder,
        gates: Gates,
        defaults: Mapping[str, str],
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Create the object.

        Args:
            book: Prices the calls.
            recorder: Charges metrics, runs and totals.
            gates: Admits calls to which a budget applies.
            defaults: The environment's attribution.
            clock: Returns the time in seconds since the epoch.
        """
        self.book = book
        self.recorder = recorder
        self.gates = gates
        self.defaults = defaults
        self.clock = clock

    def start(self, span: Span, source: Source, parent_context: Context | None) -> None:
        """Admit the call of `span`, which `source` has just started.

        Raises:
            BudgetExceeded: The call must not be made.
        """
        if not sources.is_call(span, source):
            return
        if not PENDING.empty():
            settle_pending()
        ctx = blocks.here(parent_context)
        parent = trace.get_current_span(ctx)
        outer = rollup.tally_of(parent)
        tally = rollup.tally_of(span)
        if tally is None or tally is outer:  # no local root: `tally` counts model calls of patched SDKs inside the span
            tally = Tally(outer)
            rollup.attach(span, tally)
        call = _call_of(span, parent, source)
        if call is None:
            call = _Call(self, span, source, ctx, tally if outer is None else outer)
            call.admit(span)
            _latest.set(weakref.ref(call))
        call.add_span(span)
        setattr(span, _ATTRIBUTE, call)
        before_end(span, lambda: call.span_ended(span, charged=tally.llm_calls > 0))


def _call_of(span: Span, parent: trace.Span, source: Source) -> _Call | None:
    """Return the call of which another instrumentation of the same SDK has made a span already.

    That span is the parent of `span`. If its instrumentation does not make spans current, it is the last span that
    started in this context under the same parent.

    Returns:
        None if `span` represents a new call.
    """
    outer: _Call | None = getattr(parent, _ATTRIBUTE, None)
    if outer is not None and outer.may_include(span, source):
        return outer
    reference = _latest.get()
    latest = reference() if reference is not None else None
    if latest is None or not latest.may_include(span, source):
        return None
    return latest if latest.parent_id == _parent_id(span) else None


def in_flight() -> bool:
    """Return True if a span of another instrumentation represents the call that is being made here."""
    current = trace.get_current_span()
    call: _Call | None = getattr(current, _ATTRIBUTE, None)
    if call is None and (reference := _latest.get()) is not None:
        latest = reference()
        call = latest if latest is not None and latest.parent_id == current.get_span_context().span_id else None
    return call is not None and not call.done


class _Call:
    """One call. It may have several spans, one for each scope. The first ending span with a usage charges it."""

    __slots__ = (
        "__weakref__",
        "_address",
        "_attribution",
        "_book",
        "_clock",
        "_context",
        "_done",
        "_facts",
        "_gate",
        "_lock",
        "_open",
        "_pid",
        "_recorder",
        "_request",
        "_scopes",
        "_source",
        "_spans",
        "_started_at",
        "_tally",
        "_ticket",
        "parent_id",
    )

    def __init__(self, owner: ModelCallSpans, span: Span, source: Source, ctx: Context, tally: Tally) -> None:
        self.parent_id = _parent_id(span)
        self._book = owner.book
        self._recorder = owner.recorder
        self._gate: Gate | None = owner.gates.gate
        self._clock = owner.clock
        self._source = source
        self._context = ctx
        self._tally = tally
        self._request: Call = sources.request_of(span)
        self._address = sources.address(span)
        self._attribution = attribution.current(ctx, owner.defaults, tally)
        self._started_at = self._clock()
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._scopes: list[str] = []
        self._spans: list[weakref.ref[Span]] = []
        self._open = 0
        self._done = False
        self._facts: CallFacts | None = None
        self._ticket: Ticket | None = None

    @property
    def done(self) -> bool:
        """True if the call is charged, or if its last span has ended."""
        return self._done

    # --- before the call ---

    def admit(self, span: Span) -> None:
        """Reserve budget for the call.

        Raises:
            BudgetExceeded: A budget refuses the call, and the source can stop it.
        """
        gate = self._gate
        if gate is None:
            return
        try:
            self._facts = gate.facts_of_span(self._request, span, self._context, self._attribution, self._worst_case)
            if self._source.patched in sys.modules:  # the patch of the SDK admits the call
                self._ticket = gate.guard.without_reservation(self._facts, self._request.model)
                return
            # Waiting for reserved budget blocks the thread, which must not happen in an event loop.
            decision = gate.ask(self._facts, span, wait=event_loops.running() is None)
            if isinstance(decision, Ticket) and (decision.model is not None or decision.max_output_tokens is not None):
                gate.guard.release(decision, self._clock())  # the SDK sends the request, so it cannot be rewritten here
                if decision.fallback_error is not None:
                    decision = Refused(action="block", error=decision.fallback_error)
            refused = self._apply_decision(gate, span, decision)
        except Exception as bug:
            report("checking budgets", bug)
            return
        if refused is not None:
            raise refused

    def _apply_decision(self, gate: Gate, span: Span, decision: Ticket | Refused) -> BudgetExceeded | None:
        facts = self._facts
        if facts is None:
            return None
        if isinstance(decision, Refused):
            if self._source.refusable:
                self._end_refused(gate, span, decision)
                return decision.error
            decision = gate.guard.without_reservation(facts, facts.call.model)
            decision.unenforced = f"{_scope(span)} sends its calls anyway"
            warn_once(
                f"not refusable: {_scope(span)}",
                f"otel-agentcost: a budget is used up, but calls of {self._source.sdk} continue: {_scope(span)} does "
                "not let otel-agentcost stop them. They count in the budgets; calls of other SDKs are refused.",
            )
        self._ticket = decision
        if (reason := decision.unenforced or decision.unpriced) is not None:
            gate.reports.unenforced(span, reason)
        for level in decision.over:
            gate.reports.level(span, *level)
        return None

    def _end_refused(self, gate: Gate, span: Span, refused: Refused) -> None:
        """End `span` with the refusal. The exception prevents that the instrumentation gets the span and ends it."""
        error = refused.error
        gate.reports.refused(span, error, refused.action)
        warn_once(f"refused: {_scope(span)} {error.budget}", f"otel-agentcost: a call of {self._source.sdk}: {error}")
        span.set_attributes(self._missing_attributes(span, self._request))
        span.set_attribute(semconv.ERROR_TYPE, spans.error_type(error))
        span.set_status(Status(StatusCode.ERROR, str(error)[:500]))
        span.end()

    def _worst_case(self, usage: Usage, model: str | None) -> Cost:
        return _MINIMUM if model is None else self._price(usage, (model,), ())

    def _price(self, usage: Usage, models: tuple[str | None, ...], terms: tuple[tuple[str, str], ...]) -> Cost:
        provider, address = self._source.provider, self._address
        return self._book.price(
            usage, provider=provider, base_url=address, models=models, at=self._started_at, terms=terms
        )

    # --- spans of the call ---

    def may_include(self, span: Span, source: Source) -> bool:
        """Return True if `span` may represent this call too."""
        if self._done or self._source.sdk != source.sdk or _scope(span) in self._scopes:
            return False
        model, other = self._request.model, sources.request_of(span).model
        return model is None or other is None or model.endswith(other) or other.endswith(model)

    def add_span(self, span: Span) -> None:
        """Add a span of the call."""
        with self._lock:
            self._scopes.append(_scope(span))
            self._spans.append(weakref.ref(span))
            self._open += 1

    def span_ended(self, span: Span, *, charged: bool) -> None:
        """Charge the call before `span` ends, if the span has a usage or is the last one.

        Args:
            span: A span of the call.
            charged: True if the call was charged inside the span, so that it must not be charged again.
        """
        answer = sources.response_of(span, self._source)
        charged = charged or any(adoption.is_claimed(each) for each in self._alive())
        with self._lock:
            self._open -= 1
            if self._done or not (charged or answer.usage is not None or not self._open):
                return
            self._done = True
        if charged or not sources.is_call(span, self._source):
            self._release()
            return
        try:
            self._charge(span, answer)
        finally:
            self._release()

    def _alive(self) -> Iterator[Span]:
        """Yield the spans of the call: where two instrumentations see it, the pipeline adopts one of their spans."""
        for reference in self._spans:
            if (span := reference()) is not None:
                yield span

    # --- after the call ---

    def _charge(self, span: Span, answer: Answer) -> None:
        request = sources.request_of(span)  # the span may have more attributes than at its start
        failed = span.status.status_code is StatusCode.ERROR
        self._address = sources.address(span) or self._address
        cost = Cost() if failed and answer.usage is None else self._cost(answer, request, self._address).known()
        tokens = answer.tokens()
        self._settle(span, request, cost, tokens.input + tokens.output)
        ctx = trace.set_span_in_context(span, self._context)
        account = SpanAccount(self._attribution, ctx, run_context.current(self._context), self._tally)
        counted = tokens if answer.usage is not None else None
        labels = self._labels(request, answer.model)
        self._recorder.charge_model_call(
            account, labels, counted, cost, sources.failure(span), call=request, answer=answer
        )
        attributes = self._missing_attributes(span, request)
        if cost.usd is not None:
            attributes[semconv.COST_BASIS] = "span"
        span.set_attributes({**attributes, **spans.answer_attributes(answer, tokens, cost)})

    def _cost(self, answer: Answer, request: Call, address: str | None) -> Cost:
        if answer.usage is None:
            return Cost.unknown(answer.missing or "the span has no usage")
        models = (answer.model, request.model)
        if self._source.provider == "aws.bedrock":  # the requested profile sets the price: see pricing.cost_of
            models = (request.model, answer.model)
        first, *others = [
            (
                reason,
                self._book.price(
                    usage,
                    provider=self._source.provider,
                    base_url=address,
                    models=names,
                    at=self._started_at,
                    terms=answer.terms,
                ),
            )
            for reason, names, usage in self._possible_calls(models, answer.usage)
        ]
        cheapest, unpriced = first[1], None
        for reason, other in others:
            if cheapest.usd is None or other.usd is None or other.usd == cheapest.usd:
                continue
            unpriced, cheapest = reason, other if other.usd < cheapest.usd else cheapest
        return cheapest if unpriced is None or cheapest.unpriced is not None else cheapest._replace(unpriced=unpriced)

    def _possible_calls(
        self, models: tuple[str | None, ...], usage: Usage
    ) -> list[tuple[str, tuple[str | None, ...], Usage]]:
        """Return the calls that the span may represent: the reason of the ambiguity, the model names, the usage."""
        calls = [("", models, usage)]
        name = models[0]
        if self._source.bare_model and name is not None:
            reason = "the span does not say with which inference profile it was made; the cheapest is counted"
            calls.append((reason, (f"global.anthropic.{name}",), usage))
        written = usage.counts.get("cache_write_tokens", 0)
        if written:
            reason = "the span does not say for how long its cache writes live; the cheapest is counted"
            counts: dict[Kind, int | Decimal] = {**usage.counts, "cache_write_1h_tokens": written}
            del counts["cache_write_tokens"]
            calls += [(reason, names, replace(usage, counts=counts)) for _, names, _ in tuple(calls)]
        return calls

    def _settle(self, span: Span, request: Call, cost: Cost, tokens: int) -> None:
        gate, ticket, facts = self._gate, self._ticket, self._facts
        if gate is None or ticket is None or facts is None:
            return
        now = self._clock()
        try:
            if facts.call.model is None and request.model is not None:  # budgets of that model apply too
                ticket = self._ticket = gate.guard.without_reservation(facts, request.model)
            for level in gate.guard.settle(ticket, cost.usd, tokens, now):
                gate.reports.level(span, *level)
        except Exception as bug:
            report("settling a call", bug)

    def __del__(self) -> None:
        """Settle a call whose spans were dropped without an end, as some instrumentations do for a stopped stream.

        A finalizer may run while a lock is held, so the call is settled later.
        """
        if getattr(self, "_done", True) or not self._open:
            return
        settle = self._gate.guard.settle if self._gate is not None else None
        labels = self._labels(self._request)
        PENDING.put(partial(_settle_dropped, self._pid, self._recorder, self._tally, labels, settle, self._ticket))

    def _release(self) -> None:
        """Release the reservation, if the call was not settled."""
        if self._gate is not None and self._ticket is not None and not self._ticket.done:
            self._gate.guard.release(self._ticket, self._clock())

    def _labels(self, request: Call, served: str | None = None) -> ModelLabels:
        return self._recorder.model_labels(request.operation, self._provider(request), request.model, served)

    def _provider(self, request: Call) -> str:
        """Return the name of the provider whose prices apply: that of the address, if the span has a known one."""
        said = self._source.provider
        return said if self._address is None else self._book.seller(self._address, said, request.model)

    def _missing_attributes(self, span: Span, request: Call) -> dict[str, AttributeValue]:
        """Return the attributes of the request and the attribution that `span` does not have yet."""
        attributes: dict[str, AttributeValue] = {
            semconv.OPERATION: request.operation,
            semconv.PROVIDER: self._provider(request),
        }
        if request.model is not None:
            attributes[semconv.REQUEST_MODEL] = request.model
        attributes.update(self._attribution)
        present = span.attributes or {}
        return {name: value for name, value in attributes.items() if name not in present}


def _settle_dropped(
    pid: int,
    recorder: Recorder,
    tally: Tally,
    labels: ModelLabels,
    settle: Callable[[Ticket, Decimal | None, int, float], object] | None,
    ticket: Ticket | None,
) -> None:
    """Count a call whose spans never ended: it was made, but its usage is unknown."""
    if pid != os.getpid():  # a copy in a forked child: the parent process settles the call
        return
    try:
        recorder.unended_model_call(tally, labels, "its span never ended")
        if settle is not None and ticket is not None:
            settle(ticket, None, 0, time.time())
    except Exception as bug:
        report("settling a call whose span never ended", bug)


def _scope(span: Span) -> str:
    return span.instrumentation_scope.name if span.instrumentation_scope is not None else ""


def _parent_id(span: Span) -> int:
    return span.parent.span_id if span.parent is not None else 0
