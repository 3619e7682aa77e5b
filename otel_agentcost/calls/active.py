"""The active instrumentation: the parts of `instrument()` that tool calls and runs use.

Applications decorate tools and open runs before `instrument()`, or without it. Tool calls and runs therefore look up
the active instrumentation when they are used.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Span, Tracer

from otel_agentcost.calls.admission import Gates
from otel_agentcost.calls.loop_guard import LoopGuard
from otel_agentcost.calls.named_rules import PricedTools
from otel_agentcost.calls.tool_results import ToolCache
from otel_agentcost.pricebook import PriceBook
from otel_agentcost.telemetry.recorder import Recorder


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Instrumentation:
    """The parts of one `instrument()` that tool calls, runs and reported turns use."""

    tracer: Tracer
    recorder: Recorder
    book: PriceBook
    """The price book."""
    gates: Gates
    loops: LoopGuard | None
    """None if loop detection is disabled."""
    tool_prices: PricedTools
    """The prices of tools by name."""
    tool_cache: ToolCache
    """Results of tools that are known already."""
    attribution: Mapping[str, str]
    """The environment's attribution, for calls without one in the code."""
    content: bool
    """True if spans may have the arguments and results of tools."""

    def tool_used(self, span: Span, ctx: Context, usd: Decimal | None, charge_id: str | None = None) -> None:
        """Count a tool call in the budgets, and its cost in the cost of its trace's loops.

        Args:
            span: A span of the call's trace.
            ctx: The context that the tool was called in.
            usd: US dollars; None for a tool without a price.
            charge_id: An id with which the budgets count the call once, if this is repeated; None makes a new one.
        """
        if (gate := self.gates.gate) is not None:
            gate.tool_used(span, ctx, usd, charge_id)
        if self.loops is not None and usd:
            alone = not trace.get_current_span(ctx).get_span_context().is_valid
            self.loops.spent(span, usd, ctx, alone=alone)


_active: list[Instrumentation] = []


def activate(instrumentation: Instrumentation) -> None:
    """Make `instrumentation` the active one."""
    _active.append(instrumentation)


def deactivate(instrumentation: Instrumentation) -> None:
    """Undo `activate`."""
    if instrumentation in _active:
        _active.remove(instrumentation)


def is_active(instrumentation: Instrumentation) -> bool:
    """Return True if `instrumentation` was activated and not deactivated."""
    return instrumentation in _active


def active() -> Instrumentation | None:
    """Return the active instrumentation; None if nothing is instrumented."""
    return _active[-1] if _active else None
