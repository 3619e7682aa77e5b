"""The totals of a trace and of each agent in it: US dollars, calls, tokens.

A `Tally` belongs to a local root span or an agent span. It is an attribute of the span object, so that both have the
same lifetime and no table has to be cleaned up. A call adds to the tally of its parent span, and so to those of all
enclosing agents.
"""

from __future__ import annotations

import threading
import weakref
from decimal import Decimal

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import Span

from otel_agentcost.core import money, semconv
from otel_agentcost.core.call import AttributeValue

_AGENT_ATTRIBUTES = (semconv.AGENT, semconv.CONVERSATION)

_ATTRIBUTE = "_agentcost_tally"


class Tally:
    """The running totals of one trace or one agent. Thread-safe."""

    __slots__ = (
        "_agent_span",
        "_lock",
        "_priced_calls",
        "input_tokens",
        "llm_calls",
        "llm_usd",
        "outer",
        "output_tokens",
        "tool_calls",
        "tool_usd",
        "unpriced_calls",
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
        self.input_tokens = 0
        self.output_tokens = 0
        self._lock = threading.Lock()

    def add_llm(self, usd: Decimal | None, input_tokens: int, output_tokens: int, *, unpriced: bool) -> None:
        """Add a model call to these totals and to all outer ones.

        Args:
            usd: US dollars; None if the cost is unknown.
            input_tokens: Input tokens, with cached ones.
            output_tokens: Output tokens, with reasoning.
            unpriced: True if the cost is unknown in whole or in part.
        """
        with self._lock:
            self.llm_calls += 1
            self.unpriced_calls += unpriced
            self.input_tokens += input_tokens
            self.output_tokens += output_tokens
            if usd is not None:
                self._priced_calls += 1
                self.llm_usd = money.add(self.llm_usd, usd)
        if self.outer is not None:
            self.outer.add_llm(usd, input_tokens, output_tokens, unpriced=unpriced)

    def add_tool(self, usd: Decimal | None, *, unpriced: bool = False) -> None:
        """Add a tool call to these totals and to all outer ones.

        Args:
            usd: US dollars; None for a tool without a price.
            unpriced: True if the tool has a price and the cost is unknown.
        """
        with self._lock:
            self.tool_calls += 1
            self.unpriced_calls += unpriced
            if usd is not None:
                self.tool_usd = money.add(self.tool_usd, usd)
        if self.outer is not None:
            self.outer.add_tool(usd, unpriced=unpriced)

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
    def priced(self) -> bool:
        """False if there were model calls and the cost of all of them is unknown."""
        return self._priced_calls > 0 or not self.llm_calls

    @property
    def usd(self) -> Decimal:
        """The US dollars of model and tool calls."""
        return money.add(self.llm_usd, self.tool_usd)

    def attributes(self) -> dict[str, AttributeValue]:
        """Return the totals as span attributes."""
        with self._lock:
            totals: dict[str, AttributeValue] = {
                semconv.TRACE_COST: money.to_float(money.add(self.llm_usd, self.tool_usd)),
                semconv.TRACE_LLM_COST: money.to_float(self.llm_usd),
                semconv.TRACE_TOOL_COST: money.to_float(self.tool_usd),
                semconv.TRACE_LLM_CALLS: self.llm_calls,
                semconv.TRACE_TOOL_CALLS: self.tool_calls,
                semconv.TRACE_INPUT_TOKENS: self.input_tokens,
                semconv.TRACE_OUTPUT_TOKENS: self.output_tokens,
            }
            if self.unpriced_calls:
                totals[semconv.TRACE_UNPRICED_CALLS] = self.unpriced_calls
            if not self.priced:  # an unknown cost is not zero: the attribute is missing
                del totals[semconv.TRACE_COST], totals[semconv.TRACE_LLM_COST]
            return totals


def tally_of(span: Span) -> Tally | None:
    """Return the totals to which calls under `span` add; None if this package's processor did not get the span."""
    return getattr(span, _ATTRIBUTE, None)


def attach(span: Span, tally: Tally) -> None:
    """Let calls under `span` add to `tally`."""
    setattr(span, _ATTRIBUTE, tally)
