"""The totals of a trace and of each agent in it: US dollars, calls, tokens.

A `Tally` belongs to a local root span or an agent span. It is an attribute of the span object, so that both have the
same lifetime and no table has to be cleaned up. A call adds to the tally of its parent span, and so to those of all
enclosing agents.

A framework whose tracer has no SDK behind it makes spans that record nothing and have the ids of the span around them.
They stand for that span.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from decimal import Decimal

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import INVALID_SPAN, NonRecordingSpan, Span

from otel_agentcost.core import money, semconv
from otel_agentcost.core.call import AttributeValue

_AGENT_ATTRIBUTES = (semconv.AGENT, semconv.CONVERSATION)

_ATTRIBUTE = "_agentcost_tally"


class Tally:
    """The running totals of one trace or one agent. Thread-safe."""

    __slots__ = (
        "__weakref__",
        "_agent_span",
        "_priced_calls",
        "_when_settled",
        "calls_in_flight",
        "input_tokens",
        "llm_calls",
        "llm_usd",
        "lock",
        "outer",
        "output_tokens",
        "tool_calls",
        "tool_usd",
        "unpriced_calls",
        "unpriced_tool_calls",
    )

    def __init__(self, outer: Tally | None = None, agent_span: ReadableSpan | None = None) -> None:
        """Create totals of zero.

        Args:
            outer: The totals of the enclosing agent or trace, to which all calls are added too.
            agent_span: The span of the agent, which has its name and its conversation.
        """
        self.outer = outer
        self._agent_span = weakref.ref(agent_span) if agent_span is not None else None
        self.llm_usd = money.ZERO
        self.tool_usd = money.ZERO
        self.llm_calls = 0
        self.tool_calls = 0
        self._priced_calls = 0
        self.unpriced_calls = 0
        """Calls whose cost is unknown in whole or in part. If there are any, the dollars are a lower bound."""
        self.unpriced_tool_calls = 0
        """The tool calls among them."""
        self.input_tokens = 0
        self.output_tokens = 0
        self.lock = threading.Lock()
        self.calls_in_flight = 0
        """Calls for which these totals wait: an `InFlight` changes it."""
        self._when_settled: Callable[[], None] | None = None

    def when_settled(self, act: Callable[[], None]) -> bool:
        """Let `act` be called when all calls have ended. Returns False if they have already: it is not called then.

        Args:
            act: Has no effect when it is called again.
        """
        with self.lock:
            if not self.calls_in_flight:
                return False
            self._when_settled = act
            return True

    def act_if_settled(self) -> None:
        """Call what waits for the calls in flight, if all have ended."""
        with self.lock:
            act = self._when_settled if not self.calls_in_flight else None
        if act is not None:
            act()
            self._when_settled = None

    def add_llm(
        self, usd: Decimal | None, input_tokens: int, output_tokens: int, *, unpriced: bool, calls: int = 1
    ) -> None:
        """Add a model call to these totals and to all outer ones.

        Args:
            usd: US dollars; None if the cost is unknown.
            input_tokens: Input tokens, with cached ones.
            output_tokens: Output tokens, with reasoning.
            unpriced: True if the cost is unknown in whole or in part.
            calls: The number of calls that these figures are of.
        """
        with self.lock:
            llm_usd = self.llm_usd if usd is None else money.add(self.llm_usd, usd)
            # No function is called from here on, so that the exception of a signal handler can't come between.
            self.llm_usd = llm_usd
            self.llm_calls += calls
            self.unpriced_calls += unpriced
            self.input_tokens += input_tokens
            self.output_tokens += output_tokens
            self._priced_calls += usd is not None
        if self.outer is not None:
            self.outer.add_llm(usd, input_tokens, output_tokens, unpriced=unpriced, calls=calls)

    def finish_llm(self, usd: Decimal | None, input_tokens: int, output_tokens: int, *, resolves: bool) -> None:
        """Add what a model call turned out to cost after it had ended, to these totals and to all outer ones.

        Args:
            usd: US dollars; None if the cost stays unknown.
            input_tokens: Input tokens, with cached ones.
            output_tokens: Output tokens, with reasoning.
            resolves: True if these totals have counted the call as an unpriced one, and its whole cost is known now.
        """
        with self.lock:
            self.input_tokens += input_tokens
            self.output_tokens += output_tokens
            if usd is not None:
                self.unpriced_calls -= resolves
                self._priced_calls += 1
                self.llm_usd = money.add(self.llm_usd, usd)
        if self.outer is not None:
            self.outer.finish_llm(usd, input_tokens, output_tokens, resolves=resolves)

    @property
    def root(self) -> Tally:
        """The outermost totals: those of the trace."""
        return self if self.outer is None else self.outer.root

    def add_tool(self, usd: Decimal | None, *, unpriced: bool = False) -> None:
        """Add a tool call to these totals and to all outer ones.

        Args:
            usd: US dollars; None for a tool without a price.
            unpriced: True if the tool has a price and the cost is unknown.
        """
        with self.lock:
            tool_usd = self.tool_usd if usd is None else money.add(self.tool_usd, usd)
            self.tool_usd = tool_usd
            self.tool_calls += 1
            self.unpriced_calls += unpriced
            self.unpriced_tool_calls += unpriced
        if self.outer is not None:
            self.outer.add_tool(usd, unpriced=unpriced)

    def is_of(self, span: ReadableSpan) -> bool:
        """Return True if these are the totals of the agent that `span` represents."""
        return self._agent_span is not None and self._agent_span() is span

    def agent_attributes(self) -> dict[str, str]:
        """Return the name and the conversation of the enclosing agents. The innermost agent wins."""
        merged = self.outer.agent_attributes() if self.outer is not None else {}
        span = self._agent_span() if self._agent_span is not None else None
        if span is not None and (attributes := span.attributes):
            merged.update({name: str(attributes[name]) for name in _AGENT_ATTRIBUTES if attributes.get(name)})
        return merged

    @property
    def calls(self) -> int:
        """The number of model and tool calls."""
        return self.llm_calls + self.tool_calls

    @property
    def llm_known(self) -> Decimal | None:
        """US dollars of the model calls: a lower bound if some are unpriced; None if there is none to report."""
        unpriced = self.unpriced_calls > self.unpriced_tool_calls or (self.llm_calls and not self._priced_calls)
        return None if unpriced and not self.llm_usd else self.llm_usd

    @property
    def tool_known(self) -> Decimal | None:
        """US dollars of the tool calls: a lower bound if some are unpriced; None if there is none to report."""
        return None if self.unpriced_tool_calls and not self.tool_usd else self.tool_usd

    @property
    def known(self) -> Decimal | None:
        """US dollars of all calls: a lower bound if some are unpriced; None instead of a lower bound of zero."""
        usd = self.usd
        return usd if usd or (self.llm_known is not None and self.tool_known is not None) else None

    @property
    def empty(self) -> bool:
        """True if there is nothing to report: no call, and no cost of a call that was made elsewhere."""
        return not self.calls and not self._priced_calls

    @property
    def usd(self) -> Decimal:
        """The US dollars of model and tool calls whose cost is known."""
        return money.add(self.llm_usd, self.tool_usd)

    def attributes(self) -> dict[str, AttributeValue]:
        """Return the totals as span attributes. An amount or a count that is not known is missing: it is not zero."""
        with self.lock:
            amounts = {
                semconv.TRACE_COST: self.known,
                semconv.TRACE_LLM_COST: self.llm_known,
                semconv.TRACE_TOOL_COST: self.tool_known,
            }
            totals: dict[str, AttributeValue] = {
                name: money.to_float(usd) for name, usd in amounts.items() if usd is not None
            }
            totals |= {semconv.TRACE_LLM_CALLS: self.llm_calls, semconv.TRACE_TOOL_CALLS: self.tool_calls}
            if self.input_tokens or self.output_tokens or not self.unpriced_calls:
                totals[semconv.TRACE_INPUT_TOKENS] = self.input_tokens
                totals[semconv.TRACE_OUTPUT_TOKENS] = self.output_tokens
            if self.unpriced_calls:
                totals[semconv.TRACE_UNPRICED_CALLS] = self.unpriced_calls
            return totals


class InFlight:
    """A call for which totals wait. An exception of others may interrupt each method, which is then called again."""

    __slots__ = ("_begun", "_ended", "_tally")

    def __init__(self, tally: Tally) -> None:
        """Create the object.

        Args:
            tally: The totals of the call's parent. All outer ones wait, too.
        """
        self._tally = tally
        self._begun = self._ended = 0
        """How many of the totals, from the innermost outwards, have counted the call, and have let it go."""

    def begin(self) -> None:
        """Let the totals wait for the call."""
        tally: Tally | None = self._tally
        while tally is not None:
            with tally.lock:  # no function is called in here, so that no exception of others comes between
                tally.calls_in_flight += 1
                self._begun += 1
            tally = tally.outer

    def end(self) -> None:
        """Let the totals go on: the call has ended and was added. Further calls have no effect."""
        tally: Tally | None = self._tally
        depth = 0
        while tally is not None and depth < self._begun:
            depth += 1
            with tally.lock:
                if self._ended < depth:
                    tally.calls_in_flight -= 1
                    self._ended = depth
            tally.act_if_settled()
            tally = tally.outer


def tally_of(span: Span) -> Tally | None:
    """Return the totals to which calls under `span` add; None if this package's processor did not get the span.

    A double of a span in a test has every attribute, without an end of outer totals.
    """
    tally = getattr(span, _ATTRIBUTE, None)
    if isinstance(tally, Tally):
        return tally
    if type(span) is NonRecordingSpan and span is not INVALID_SPAN:  # no span at all
        ids = span.get_span_context()
        return None if ids.is_remote else _owners.get(ids.span_id)
    return None


_owners: weakref.WeakValueDictionary[int, Tally] = weakref.WeakValueDictionary()
"""The totals of open spans that have their own, by the span's id."""


def attach(span: Span, tally: Tally) -> None:
    """Let calls under `span` add to `tally`."""
    setattr(span, _ATTRIBUTE, tally)


def attach_own(span: Span, tally: Tally) -> None:
    """Let calls under `span`, which has these totals, add to `tally`; those under spans that stand for it, too."""
    setattr(span, _ATTRIBUTE, tally)
    _owners[span.get_span_context().span_id] = tally
