"""The figures of a settled call, for whoever keeps them: the spend store is the one receiver of this package.

The recorder passes each charged call on as one value. A receiver must not block and must not raise: it is called within
the application's call. So is `Notify`, which tells people of what seldom happens.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Literal, NamedTuple, Protocol

from opentelemetry.trace import Span

from otel_agentcost.core.call import Answer, Call
from otel_agentcost.core.cost import Cost
from otel_agentcost.core.usage import Tokens
from otel_agentcost.telemetry.metrics import Names

EventKind = Literal["loop", "refusal", "adjustment", "prompt_cache"]
NoticeKind = Literal["soft_limit", "limit", "refusal", "breaker_opened", "loop"]


class Settled(NamedTuple):
    """One charged call: of a model, of a tool, or the later settlement of one."""

    names: Names
    who: Mapping[str, str]
    """The attribution, as span attributes."""
    trace_id: int
    """0 where no span is open, as for `span_id`."""
    span_id: int
    run: str | None
    """The id of the innermost run; None outside of runs."""
    tokens: Tokens | None
    cost: Cost
    error: str | None
    """`error.type`; None for a call that succeeded."""
    seconds: float | None
    calls: int
    """The model calls that this is of: 0 for a tool, and for what is settled after its call."""
    resolves: int
    """The calls that were unpriced up to now, and are not any more."""
    tool: str | None
    call: Call | None
    answer: Answer | None
    root: str | None = None
    """The id of the outermost run."""
    arguments: str | None = None
    """The arguments of a tool as text, equal for equal ones; None if they are not known in full."""


class Receiver(Protocol):
    """Keeps settled calls."""

    def settled(self, call: Settled) -> None:
        """Take one call."""
        ...

    def event(self, kind: EventKind, what: str, span: Span, *, agent: str | None, usd: Decimal | None) -> None:
        """Take an event that is no call.

        Args:
            kind: What happened: a loop was found, a budget refused a call, an amount was adjusted, a
                prompt cache was broken.
            what: A sentence, or the name of what it concerns, without content.
            span: The span that it happened in.
            agent: The agent; None where it is not known.
            usd: US dollars that it concerns; None where they are not known.
        """
        ...

    def force_flush(self) -> bool:
        """Write what waits. Returns True if nothing waits any more."""
        ...

    def close(self) -> None:
        """Write what waits, and close what is open. A later call opens it again."""
        ...


class Notify(Protocol):
    """Tells people of limits, refusals, breakers and loops. It must neither block nor raise."""

    def tell(self, kind: NoticeKind, rule: str, text: str, span: Span) -> None:
        """Tell of one event.

        Args:
            kind: What happened.
            rule: What it concerns. Events of one kind and rule have one cause.
            text: A sentence, without content.
            span: The span that it happened in.
        """
        ...

    def force_flush(self) -> bool:
        """Send what waits, for a bounded time. Returns True if nothing waits any more."""
        ...

    def close(self) -> None:
        """Send what waits, for a bounded time."""
        ...
