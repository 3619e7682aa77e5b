"""Span events, log records and metrics of circuit breakers, once for each change of state.

`calls/circuit.py` calls this module with the decisions of the guard. This module decides nothing.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Literal

from opentelemetry.metrics import Meter
from opentelemetry.trace import Span

from otel_agentcost.core import semconv
from otel_agentcost.core.breakers import Breaker
from otel_agentcost.diagnostics import logger
from otel_agentcost.telemetry import signals
from otel_agentcost.telemetry.metrics import Bounded, create_counter
from otel_agentcost.telemetry.receiver import Notify

_ONE = Decimal(1)
_EVENTS = {"open": semconv.E_BREAKER_OPENED, "half_open": semconv.E_BREAKER_TRIED, "closed": semconv.E_BREAKER_CLOSED}


class BreakerReports:
    """Reports circuit breakers through the instruments of one meter, span events and log records."""

    def __init__(self, meter: Meter) -> None:
        self.notify: Notify | None = None
        """Tells people of opened breakers; None if no webhook is set."""
        self._bounded_value = Bounded()
        self._transitions = create_counter(meter, signals.BREAKERS)

    def changed(self, span: Span, breaker: Breaker, value: str, state: Literal["open", "half_open", "closed"]) -> None:
        """Report that a breaker changed its state.

        Args:
            span: The span of the call that changed it.
            breaker: The breaker.
            value: The agent, user or other value of its scope; empty for a scope without values.
            state: The new state.
        """
        attributes = {semconv.BREAKER: breaker.text, semconv.BREAKER_SCOPE: breaker.scope}
        self._transitions.add(
            _ONE, {**attributes, semconv.BREAKER_VALUE: self._bounded_value(value), semconv.BREAKER_STATE: state}
        )
        if span.is_recording():  # a shared ledger may answer after the span of an asynchronous call has ended
            span.add_event(_EVENTS[state], {**attributes, semconv.BREAKER_VALUE: value})
        name = f"{breaker.text} of {breaker.scope} {value:.80}" if value else breaker.text
        if state == "open":
            sentence = f"the circuit breaker {name} has opened after {breaker.why}."
            logger.warning("otel-agentcost: %s", sentence)
            if self.notify is not None:
                self.notify.tell("breaker_opened", breaker.text, sentence, span)
        else:
            change = "is half-open and lets one call through" if state == "half_open" else "has closed"
            logger.info("otel-agentcost: the circuit breaker %s %s.", name, change)
