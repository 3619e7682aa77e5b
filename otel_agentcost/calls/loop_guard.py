"""Watches traces for loops, on the line: what is found before a call is told, or stops it.

One `Looping` a trace, bounded: the traces that were not heard of for longest are forgotten. What goes wrong in here
lets the call through.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Collection, Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal, Protocol

from otel_agentcost.calls.loop_state import Looping, Thresholds
from otel_agentcost.calls.scopes import scopes_of, trace_id_of, trace_key
from otel_agentcost.core import money, semconv
from otel_agentcost.core.budgets import Scope
from otel_agentcost.core.loops import Finding, Rule
from otel_agentcost.diagnostics import report
from otel_agentcost.errors import LoopDetected
from otel_agentcost.telemetry.loop_events import LoopReports
from otel_agentcost.telemetry.spans import Record
from otel_agentcost.wire import name_of
from otel_agentcost.wire.conversation import is_kept

if TYPE_CHECKING:
    from opentelemetry.trace import Span

    from otel_agentcost.calls.call import InFlight

MOST_TRACES = 512
"""Traces that are watched at once; each takes at most 64 kB, and usually a few."""


class Looped(Protocol):
    """Told of each call in a loop; `anew`: of one that is to be counted."""

    def __call__(self, scopes: Mapping[Scope, str], span: Span, now: float, *, anew: bool) -> None: ...


class _Trace:
    """One trace: what was read of it, and what it has spent, in billionths of a dollar."""

    __slots__ = ("looping", "spent", "told")

    def __init__(self, thresholds: Thresholds) -> None:
        self.looping = Looping(thresholds)
        self.spent = 0
        self.told = 0
        """What was spent when waste was counted last: no dollar is wasted twice, by however many loops."""


class Watch:
    """All traces of this process. Used from any thread."""

    def __init__(
        self,
        thresholds: Thresholds,
        rules: Collection[Rule],
        action: Literal["warn", "block"],
        reports: LoopReports,
        *,
        content: bool,
    ) -> None:
        """`thresholds` say what makes a loop, and `rules` which kinds of them count; `content` whether spans may have
        what was said, the arguments and results of tools among it.
        """
        self._thresholds = thresholds
        self._rules = rules
        self._action = action
        self._reports = reports
        self._content = content
        self.looping: Looped | None = None
        """Who counts loops for circuit breakers."""
        self._traces: OrderedDict[str, _Trace] = OrderedDict()
        self._lock = threading.Lock()

    def look(self, live: InFlight) -> None:
        """Before a model call. Raises `LoopDetected` if its trace is in a loop, and loops are to be stopped."""
        try:
            loop = self._found(live)
        except Exception as bug:
            report("detecting loops", bug)
            return
        if loop is not None and self._action == "block":
            raise loop

    def _found(self, live: InFlight) -> LoopDetected | None:
        record, asked = live.record, live.asked
        trace = self._trace(_key(record))
        found = trace.looping.asked(name_of(asked.format), asked.call.body, trace.spent)
        found = [loop for loop in found if loop.rule in self._rules]
        if not found:
            return None
        worst = min(found, key=lambda loop: loop.since)
        agent = record.attribution.get(semconv.AGENT)
        with self._lock:
            wasted = money.from_nano(max(0, trace.spent - worst.since))
            more = money.from_nano(max(0, trace.spent - max(worst.since, trace.told)))
            trace.told = trace.spent
        for loop in found:
            if loop.first:
                since = money.from_nano(max(0, trace.spent - loop.since))
                self._reports.found(record.span, loop, since, agent=agent, content=self._content)
        self._reports.wasted(record.span, worst, wasted, more, agent=agent)
        if self.looping is not None:
            scopes = scopes_of(trace_id_of(record.span), record.attribution, alone=record.alone)
            anew = self._action == "block" or any(loop.first for loop in found)
            self.looping(scopes, record.span, live.at, anew=anew)
        return _error(found[0], wasted, record)

    def heard(self, live: InFlight, response: Any) -> None:
        """A whole answer has come. Only those are read that the next request may leave out."""
        try:
            form = name_of(live.asked.format)
            if response is None or not is_kept(form, live.asked.call.body):
                return
            self._trace(_key(live.record)).looping.answered(form, response)
        except Exception as bug:
            report("reading an answer for loop detection", bug)

    def settled(self, record: Record, usd: Decimal | None) -> None:
        """A call has ended, and cost this."""
        if not usd:
            return
        with self._lock:
            trace = self._traces.get(_key(record))
            if trace is not None:
                trace.spent += money.to_nano(usd)

    def tool_used(self, span: Span, said: tuple[str | None, str, str, str], *, alone: bool, error: bool) -> None:
        """A tool has run, in the trace of `span`: `said` is its call's id, its name, its arguments and what came back.

        `alone`: under no span.
        """
        id_, tool, arguments, content = said
        looping = self._trace(trace_key(trace_id_of(span), alone=alone)).looping
        looping.returned(looping.called(id_, tool, arguments), content, error=error)

    def spent(self, span: Span, usd: Decimal, *, alone: bool) -> None:
        """A tool in the trace of `span` has cost this."""
        trace = self._trace(trace_key(trace_id_of(span), alone=alone))
        with self._lock:
            trace.spent += money.to_nano(usd)

    def ended(self, trace_id: str) -> None:
        """The trace has ended."""
        with self._lock:
            self._traces.pop(trace_id, None)

    def _trace(self, key: str) -> _Trace:
        with self._lock:
            trace = self._traces.get(key)
            if trace is None:
                trace = self._traces[key] = _Trace(self._thresholds)
                if len(self._traces) > MOST_TRACES:
                    self._traces.popitem(last=False)
            else:
                self._traces.move_to_end(key)
            return trace


def _key(record: Record) -> str:
    return trace_key(trace_id_of(record.span), alone=record.alone)


def _error(loop: Finding, wasted: Decimal, record: Record) -> LoopDetected:
    recorded = record.span.get_span_context().is_valid
    return LoopDetected(
        rule=loop.rule,
        repeats=loop.repeats,
        tool=loop.tool,
        arguments=loop.arguments,
        result=loop.result,
        wasted_usd=wasted,
        trace_id=trace_id_of(record.span) if recorded else None,
    )
