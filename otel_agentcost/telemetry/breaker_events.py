"""What is told of circuit breakers: an event on the call's span, a log record, a metric; once for each change.

Called by `breaking.py`, with what the guard has decided; nothing is decided here.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Literal

from opentelemetry.metrics import Meter
from opentelemetry.trace import Span

from otel_agentcost.core import semconv
from otel_agentcost.core.breakers import Breaker
from otel_agentcost.diagnostics import logger
from otel_agentcost.telemetry.metrics import Bounded, Sum

_ONE = Decimal(1)
_EVENTS = {"open": semconv.E_BREAKER_OPENED, "half_open": semconv.E_BREAKER_TRIED, "closed": semconv.E_BREAKER_CLOSED}


class BreakerReports:
    """The instruments of one meter, and the words."""

    def __init__(self, meter: Meter) -> None:
        self._bounded_value = Bounded()
        self._transitions = Sum()
        meter.create_observable_counter(
            semconv.M_BREAKERS,
            callbacks=[self._transitions.observe],
            unit=semconv.UNIT_TRANSITION,
            description="Circuit breakers that opened, half-opened or closed.",
        )

    def changed(self, span: Span, breaker: Breaker, value: str, state: Literal["open", "half_open", "closed"]) -> None:
        """The breaker of `value` is in that state now."""
        said = {semconv.BREAKER: breaker.text, semconv.BREAKER_SCOPE: breaker.scope}
        self._transitions.add(
            _ONE, {**said, semconv.BREAKER_VALUE: self._bounded_value(value), semconv.BREAKER_STATE: state}
        )
        if span.is_recording():  # a shared ledger may answer when the span of an asynchronous call has ended
            span.add_event(_EVENTS[state], {**said, semconv.BREAKER_VALUE: value})
        whose = f"{breaker.text} of {breaker.scope} {value:.80}" if value else breaker.text
        if state == "open":
            logger.warning("otel-agentcost: the circuit breaker %s opened after %s.", whose, breaker.why)
        else:
            now = "admits one trial call" if state == "half_open" else "closed"
            logger.info("otel-agentcost: the circuit breaker %s %s.", whose, now)
