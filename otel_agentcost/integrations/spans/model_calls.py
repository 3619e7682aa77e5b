"""Model calls of SDKs that this package does not patch, as spans of other instrumentations show them.

A call is admitted when its span starts (`start` may raise `BudgetExceeded`), and charged right before the span ends,
from what the span says by then: what the pipeline does for calls of patched SDKs, as far as a span allows.
docs/neighbours.md says what it does not allow. Called by `processor.py`.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
import weakref
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import replace
from decimal import Decimal
from functools import partial

from opentelemetry import context, trace
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
from otel_agentcost.telemetry import adoption, attribution, rollup, run_context, spans
from otel_agentcost.telemetry.held_span import before_end
from otel_agentcost.telemetry.recorder import Labels, Recorder, SpanAccount
from otel_agentcost.telemetry.rollup import Tally

_ATTRIBUTE = "_agentcost_foreign"
_LEAST = Cost(usd=Decimal("1E-9"))
"""What a call is taken to cost before it is made where its model is not known yet: with less left, none is made."""

_latest: ContextVar[weakref.ref[_Call] | None] = ContextVar("agentcost_foreign", default=None)
"""The last call that began in this context."""


class ModelCallSpans:
    """Watches the spans that other instrumentations make of model calls. One for each `instrument()`."""

    def __init__(
        self,
        book: PriceBook,
        recorder: Recorder,
        gates: Gates,
        defaults: Mapping[str, str],
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Assemble a watcher.

        Args:
            book: Prices the calls.
            recorder: Charges metrics, runs and totals.
            gates: Admits calls where a budget applies.
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
        ctx = parent_context if parent_context is not None else context.get_current()
        parent = trace.get_current_span(ctx)
        outer = rollup.tally_of(parent)
        tally = rollup.tally_of(span)
        if tally is None or tally is outer:  # no local root: calls of ours beneath it are to be noticed
            tally = Tally(outer)
            rollup.attach(span, tally)
        call = _call_of(span, parent, source)
        if call is None:
            call = _Call(self, span, source, ctx, tally if outer is None else outer)
            call.admit(span)
            _latest.set(weakref.ref(call))
        call.joined(span)
        setattr(span, _ATTRIBUTE, call)
        before_end(span, lambda: call.left(span, beneath=tally.llm_calls > 0))


def _call_of(span: Span, parent: trace.Span, source: Source) -> _Call | None:
    """The call that another instrumentation of the same SDK has a span for already, if `span` is of that one too.

    Theirs is the parent, or, as not all make their spans current, the last one that began here under the same parent.
    """
    over: _Call | None = getattr(parent, _ATTRIBUTE, None)
    if over is not None and over.may_have(span, source):
        return over
    reference = _latest.get()
    latest = reference() if reference is not None else None
    if latest is None or not latest.may_have(span, source):
        return None
    return latest if latest.parent_id == _parent_id(span) else None


class _Call:
    """One call. It may have several spans, of one scope each; it is charged once, on the first that knows its usage."""

    __slots__ = (
        "__weakref__",
        "_asked",
        "_at",
        "_book",
        "_clock",
        "_context",
        "_facts",
        "_gate",
        "_lock",
        "_open",
        "_over",
        "_pid",
        "_recorder",
        "_scopes",
        "_source",
        "_tally",
        "_ticket",
        "_who",
        "parent_id",
    )

    def __init__(self, watcher: ModelCallSpans, span: Span, source: Source, ctx: Context, tally: Tally) -> None:
        self.parent_id = _parent_id(span)
        self._book = watcher.book
        self._recorder = watcher.recorder
        self._gate: Gate | None = watcher.gates.gate
        self._clock = watcher.clock
        self._source = source
        self._context = ctx
        self._tally = tally
        self._asked: Call = sources.asked(span)
        self._who = attribution.current(ctx, watcher.defaults, tally)
        self._at = self._clock()
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._scopes: list[str] = []
        self._open = 0
        self._over = False
        self._facts: CallFacts | None = None
        self._ticket: Ticket | None = None

    # --- before the call ---

    def admit(self, span: Span) -> None:
        """Asks the budgets for one call, and for the little that is known of it. Raises `BudgetExceeded`."""
        gate = self._gate
        if gate is None:
            return
        try:
            self._facts = gate.facts_of_span(self._asked, span, self._context, self._who, self._price_of_little)
            # A call waits in its own thread for money that is only held; an event loop must not stand still for it.
            decision = gate.ask(self._facts, span, wait=not _in_event_loop())
            if isinstance(decision, Ticket) and (decision.model is not None or decision.max_output_tokens is not None):
                gate.guard.release(decision, self._clock())  # a request that other code sends cannot be rewritten
                if decision.fallback_error is not None:
                    decision = Refused(action="block", error=decision.fallback_error)
            refused = self._decided(gate, span, decision)
        except Exception as bug:
            report("checking budgets", bug)
            return
        if refused is not None:
            raise refused

    def _decided(self, gate: Gate, span: Span, decision: Ticket | Refused) -> BudgetExceeded | None:
        facts = self._facts
        if facts is None:
            return None
        if isinstance(decision, Refused):
            if self._source.refusable:
                self._refused(gate, span, decision)
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

    def _refused(self, gate: Gate, span: Span, refused: Refused) -> None:
        """Nobody gets to see `span`, which must not have a call: it ends here, and says why."""
        error = refused.error
        gate.reports.refused(span, error, refused.action)
        warn_once(f"refused: {_scope(span)} {error.budget}", f"otel-agentcost: a call of {self._source.sdk}: {error}")
        span.set_attributes(self._said(span, self._asked))
        span.set_attribute(semconv.ERROR_TYPE, spans.error_type(error))
        span.set_status(Status(StatusCode.ERROR, str(error)[:500]))
        span.end()

    def _price_of_little(self, usage: Usage, model: str | None) -> Cost:
        return _LEAST if model is None else self._price(usage, (model,), ())

    def _price(self, usage: Usage, models: tuple[str | None, ...], terms: tuple[tuple[str, str], ...]) -> Cost:
        provider = self._source.provider
        return self._book.price(usage, provider=provider, base_url=None, models=models, at=self._at, terms=terms)

    # --- its spans ---

    def may_have(self, span: Span, source: Source) -> bool:
        """Whether `span` may be another one of this call."""
        if self._over or self._source.sdk != source.sdk or _scope(span) in self._scopes:
            return False
        one, other = self._asked.model, sources.asked(span).model
        return one is None or other is None or one.endswith(other) or other.endswith(one)

    def joined(self, span: Span) -> None:
        """It has one more span."""
        with self._lock:
            self._scopes.append(_scope(span))
            self._open += 1

    def left(self, span: Span, *, beneath: bool) -> None:
        """One of its spans ends now. `beneath`: what happened under it is charged already."""
        answer = sources.answered(span, self._source)
        charged = beneath or adoption.is_taken(span)
        with self._lock:
            self._open -= 1
            if self._over or not (charged or answer.usage is not None or not self._open):
                return
            self._over = True
        if charged or not sources.is_call(span, self._source):
            self._release()
            return
        try:
            self._charge(span, answer)
        finally:
            self._release()

    # --- after the call ---

    def _charge(self, span: Span, answer: Answer) -> None:
        asked = sources.asked(span)  # by now it says more than at its start
        failed = span.status.status_code is StatusCode.ERROR
        cost = Cost() if failed and answer.usage is None else self._cost(answer, asked, sources.address(span))
        tokens = answer.tokens()
        self._settle(span, asked, cost, tokens.input + tokens.output)
        ctx = trace.set_span_in_context(span, self._context)
        account = SpanAccount(self._who, ctx, run_context.current(self._context), self._tally)
        counted = tokens if answer.usage is not None else None
        labels = self._labels(asked, answer.model)
        self._recorder.charge_model_call(account, labels, counted, cost, sources.failure(span))
        said = self._said(span, asked)
        if cost.usd is not None:
            said[semconv.COST_BASIS] = "span"
        span.set_attributes({**said, **spans.answer_attributes(answer, tokens, cost)})

    def _cost(self, answer: Answer, asked: Call, address: str | None) -> Cost:
        if answer.usage is None:
            return Cost.unknown(answer.missing or "the span has no usage")
        models = (answer.model, asked.model)
        if self._source.provider == "aws.bedrock":  # the profile asked for sets the price: see charging.cost_of
            models = (asked.model, answer.model)
        first, *others = [
            (
                why,
                self._book.price(
                    used,
                    provider=self._source.provider,
                    base_url=address,
                    models=called,
                    at=self._at,
                    terms=answer.terms,
                ),
            )
            for why, called, used in self._possible(models, answer.usage)
        ]
        least, unsaid = first[1], None
        for why, other in others:
            if least.usd is None or other.usd is None or other.usd == least.usd:
                continue
            unsaid, least = why, other if other.usd < least.usd else least
        return least if unsaid is None or least.unpriced is not None else least._replace(unpriced=unsaid)

    def _possible(
        self, models: tuple[str | None, ...], usage: Usage
    ) -> list[tuple[str, tuple[str | None, ...], Usage]]:
        """What the call may have been, by what its span leaves open, and what that is."""
        found = [("", models, usage)]
        name = models[0]
        if self._source.bare_model and name is not None:
            why = "the span does not say with which inference profile it was made; the cheapest is counted"
            found.append((why, (f"global.anthropic.{name}",), usage))
        written = usage.counts.get("cache_write_tokens", 0)
        if written:
            why = "the span does not say for how long its cache writes live; the cheapest is counted"
            counts: dict[Kind, int | Decimal] = {**usage.counts, "cache_write_1h_tokens": written}
            del counts["cache_write_tokens"]
            found += [(why, called, replace(usage, counts=counts)) for _, called, _ in tuple(found)]
        return found

    def _settle(self, span: Span, asked: Call, cost: Cost, tokens: int) -> None:
        gate, ticket, facts = self._gate, self._ticket, self._facts
        if gate is None or ticket is None or facts is None:
            return
        now = self._clock()
        try:
            if (
                facts.call.model is None and asked.model is not None
            ):  # budgets of a model apply too, now that it is known
                ticket = self._ticket = gate.guard.without_reservation(facts, asked.model)
            for level in gate.guard.settle(ticket, cost.usd, tokens, now):
                gate.reports.level(span, *level)
        except Exception as bug:
            report("settling a call", bug)

    def __del__(self) -> None:
        """Its spans were dropped, and never ended: some forget a stream that is broken off. A finalizer can run within
        any lock, so the call is settled later.
        """
        if getattr(self, "_over", True) or not self._open:
            return
        settle = self._gate.guard.settle if self._gate is not None else None
        labels = self._labels(self._asked)
        PENDING.put(partial(_lost, self._pid, self._recorder, self._tally, labels, settle, self._ticket))

    def _release(self) -> None:
        """Gives back what is still held."""
        if self._gate is not None and self._ticket is not None and not self._ticket.done:
            self._gate.guard.release(self._ticket, self._clock())

    def _labels(self, asked: Call, served: str | None = None) -> Labels:
        return self._recorder.model_labels(asked.operation, self._source.provider, asked.model, served)

    def _said(self, span: Span, asked: Call) -> dict[str, AttributeValue]:
        """What our own spans say of a call and for whom it is, as far as `span` does not say it."""
        said: dict[str, AttributeValue] = {semconv.OPERATION: asked.operation, semconv.PROVIDER: self._source.provider}
        if asked.model is not None:
            said[semconv.REQUEST_MODEL] = asked.model
        said.update(self._who)
        given = span.attributes or {}
        return {name: value for name, value in said.items() if name not in given}


def _lost(
    pid: int,
    recorder: Recorder,
    tally: Tally,
    labels: Labels,
    settle: Callable[[Ticket, Decimal | None, int, float], object] | None,
    ticket: Ticket | None,
) -> None:
    """Counts a call whose spans never ended: it was made, and nobody knows what it took."""
    if pid != os.getpid():  # a copy in the child of a fork: the call is its parent's
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


def _in_event_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
