"""Span events, log records and metrics of broken prompt caches.

`calls/prompt_caches.py` calls this module with what it found out. This module finds nothing out.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Final

from opentelemetry.metrics import Meter

from otel_agentcost.core import money, semconv
from otel_agentcost.core.call import AttributeValue
from otel_agentcost.core.prompt_caches import Miss
from otel_agentcost.diagnostics import logger
from otel_agentcost.errors import written
from otel_agentcost.telemetry import signals
from otel_agentcost.telemetry.metrics import ModelLabels, create_counter, whose_of
from otel_agentcost.telemetry.per_provider import PerProvider
from otel_agentcost.telemetry.receiver import Receiver
from otel_agentcost.telemetry.spans import Record

_ONE: Final = Decimal(1)
_REPORTS: Final[PerProvider[PromptCacheReports]] = PerProvider()


def reports_of(provider: Any, meter: Meter, receiver: Receiver | None) -> PromptCacheReports:
    """Return the reports of a meter provider.

    Args:
        provider: The meter provider.
        meter: Its meter.
        receiver: Gets each break too; None if nothing keeps them.
    """
    reports = _REPORTS.get(provider, lambda: PromptCacheReports(meter))
    reports.receiver = receiver
    return reports


class PromptCacheReports:
    """Reports broken prompt caches through the instruments of one meter, span events and log records."""

    def __init__(self, meter: Meter) -> None:
        self.receiver: Receiver | None = None
        """Gets each break too; None if nothing keeps them."""
        self._breaks = create_counter(meter, signals.PROMPT_CACHE_BREAKS)
        self._lost = create_counter(meter, signals.PROMPT_CACHE_LOST)

    def missed(self, record: Record, labels: ModelLabels, miss: Miss, usd: Decimal | None) -> None:
        """Report that a cached prefix was not read: an event and a count, if it is a break; else an attribute.

        Args:
            record: The span of the call.
            labels: The call's metric attributes.
            miss: The cause and the tokens.
            usd: What it has cost, in US dollars; None if that is not known.
        """
        span = record.span
        if not miss.broken:
            span.set_attribute(semconv.PROMPT_CACHE_REASON, miss.reason)
            return
        attributes: dict[str, AttributeValue] = {semconv.PROMPT_CACHE_REASON: miss.reason}
        if miss.segment:
            attributes[semconv.PROMPT_CACHE_SEGMENT] = miss.segment
        attributes[semconv.PROMPT_CACHE_LOST_TOKENS] = miss.tokens
        if usd is not None:
            attributes[semconv.PROMPT_CACHE_LOST] = money.to_float(usd)
        span.add_event(semconv.E_PROMPT_CACHE, attributes)
        whose = {**dict(whose_of(labels.attributes, record.attribution)), semconv.PROMPT_CACHE_REASON: miss.reason}
        self._breaks.add(_ONE, whose)
        if usd:
            self._lost.add(usd, whose)
        what = miss.segment or "nothing in the prompt has changed"
        agent = record.attribution.get(semconv.AGENT)
        if self.receiver is not None:
            self.receiver.event("prompt_cache", f"{miss.reason}: {what}", span, agent=agent, usd=usd)
        cost = f", {written(usd, 'usd')}" if usd else ""
        logger.info("otel-agentcost: a prompt cache was broken (%s): %s tokens%s.", what, f"{miss.tokens:,}", cost)
