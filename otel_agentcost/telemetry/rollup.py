"""What a trace, and each agent within it, has spent so far.

A `Tally` belongs to a local root span or an agent span and rides on the span object itself: it lives exactly as
long as the span does, so there is no table to evict from. A call adds to the tally of the span that it runs
under, and so to those of all agents round it.
"""

from __future__ import annotations

import threading
import weakref
from decimal import Decimal

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import Span

from otel_agentcost.core import money, semconv
from otel_agentcost.core.call import AttributeValue

_SAID = (semconv.AGENT, semconv.CONVERSATION)

_ATTRIBUTE = "_agentcost_tally"


class Tally:
    """Running totals of one trace or one agent. Safe to add to from several threads."""

    __slots__ = (
        "_lock",
        "_priced_calls",
        "_speaker",
        "input_tokens",
        "llm_calls",
        "llm_usd",
        "outer",
        "output_tokens",
        "tool_calls",
        "tool_usd",
        "unpriced_calls",
    )

    def __init__(self, outer: Tally | None = None, speaker: ReadableSpan | None = None) -> None:
        """`speaker` is the agent's span, which says whose tally it is."""
        self.outer = outer
        self._speaker = weakref.ref(speaker) if speaker is not None else None
        self.llm_usd = money.ZERO
        self.tool_usd = money.ZERO
        self.llm_calls = 0
        self.tool_calls = 0
        self._priced_calls = 0
        self.unpriced_calls = 0
        """Calls that the dollars do not, or not wholly, contain: with any, the dollars are a lower bound."""
        self.input_tokens = 0
        self.output_tokens = 0
        self._lock = threading.Lock()

    def add_llm(self, usd: Decimal | None, input_tokens: int, output_tokens: int, *, unpriced: bool) -> None:
        """One model call, here and in every agent and trace round this one. Unpriced calls add no dollars."""
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
        """One tool call, here and in every agent and trace round this one; `unpriced`: its price is not known."""
        with self._lock:
            self.tool_calls += 1
            self.unpriced_calls += unpriced
            if usd is not None:
                self.tool_usd = money.add(self.tool_usd, usd)
        if self.outer is not None:
            self.outer.add_tool(usd, unpriced=unpriced)

    def said(self) -> dict[str, str]:
        """What the spans of the agents round a call say of them: the name, the conversation. The nearest wins."""
        told = self.outer.said() if self.outer is not None else {}
        span = self._speaker() if self._speaker is not None else None
        if span is not None and (given := span.attributes):
            told.update({name: str(given[name]) for name in _SAID if given.get(name)})
        return told

    @property
    def calls(self) -> int:
        """Model and tool calls together."""
        return self.llm_calls + self.tool_calls

    @property
    def priced(self) -> bool:
        """Whether the dollars say anything: not where there were model calls and none of them has a price."""
        return self._priced_calls > 0 or not self.llm_calls

    @property
    def usd(self) -> Decimal:
        """Model and tool dollars together."""
        return money.add(self.llm_usd, self.tool_usd)

    def attributes(self) -> dict[str, AttributeValue]:
        """The totals as span attributes."""
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
            if not self.priced:  # nothing is known to have cost nothing: no dollars, rather than none spent
                del totals[semconv.TRACE_COST], totals[semconv.TRACE_LLM_COST]
            return totals


def tally_of(span: Span) -> Tally | None:
    """The tally that what happens under `span` adds to; None where no processor of ours saw the span start."""
    return getattr(span, _ATTRIBUTE, None)


def attach(span: Span, tally: Tally) -> None:
    """Lets what happens under `span` add to `tally`."""
    setattr(span, _ATTRIBUTE, tally)
