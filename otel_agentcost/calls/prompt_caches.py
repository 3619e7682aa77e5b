"""The pipeline's view of the provider's prompt cache: a watch says what was missed, and here is what it has cost.

`savings.prompt_cache.health` is the watch; `runtime` puts both together.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Final, Protocol

from otel_agentcost.calls import pricing
from otel_agentcost.core import money
from otel_agentcost.core.call import Answer
from otel_agentcost.core.cost import Cost
from otel_agentcost.core.prompt_caches import Miss
from otel_agentcost.core.usage import Count, Kind, Usage
from otel_agentcost.diagnostics import report
from otel_agentcost.pricebook import PriceBook
from otel_agentcost.telemetry.metrics import ModelLabels
from otel_agentcost.telemetry.prompt_cache_events import PromptCacheReports
from otel_agentcost.telemetry.spans import Record
from otel_agentcost.wire.format import ModelRequest

_PAID_AS: Final[tuple[Kind, ...]] = (
    "cache_write_1h_tokens",
    "cache_write_tokens",
    "cache_write_5m_tokens",
    "input_tokens",
)
"""The kinds of tokens behind those that were read, in the order of the prompt: what is kept longer stands first."""


class Watch(Protocol):
    """Watches the prompt caches of all conversations. Thread-safe."""

    least: int
    """The input tokens of the smallest prompt that is watched."""

    def answered(
        self, request: ModelRequest, who: Mapping[str, str], trace: int, answer: Answer, at: float
    ) -> Miss | None:
        """Return the prefix that was cached and that this call has not read; None if there is none.

        Args:
            request: The request as it was sent.
            who: Whose call it is.
            trace: The trace id; 0 if there is none.
            answer: Its answer.
            at: When it began, in seconds since the epoch.
        """
        ...


class PromptCaches:
    """Reports broken prompt caches, with the dollars that they have cost."""

    def __init__(self, watch: Watch, book: PriceBook, reports: PromptCacheReports) -> None:
        """Assemble it.

        Args:
            watch: Finds out what was missed, and why.
            book: Prices it.
            reports: Reports it to telemetry.
        """
        self._watch = watch
        self.least = watch.least
        """The input tokens of the smallest prompt that is watched."""
        self._book = book
        self._reports = reports

    def answered(
        self, request: ModelRequest, record: Record, labels: ModelLabels, answer: Answer, cost: Cost, at: float
    ) -> bool:
        """Take an answered call. Never raises.

        Args:
            request: The request as it was sent.
            record: Its span.
            labels: Its metric attributes.
            answer: Its answer.
            cost: Its cost.
            at: When it began, in seconds since the epoch.

        Returns:
            True if its prompt cache was broken.
        """
        try:
            trace = record.span.get_span_context().trace_id
            miss = self._watch.answered(request, record.attribution, trace, answer, at)
            if miss is None:
                return False
            usd = lost_usd(self._book, request, answer, cost, miss.tokens, at=at) if miss.broken else None
            self._reports.missed(record, labels, miss, usd)
        except Exception as bug:
            report("watching the prompt cache", bug)
            return False
        return miss.broken


def lost_usd(
    book: PriceBook, request: ModelRequest, answer: Answer, cost: Cost, tokens: int, *, at: float
) -> Decimal | None:
    """Return what the call would have cost less if `tokens` more of its prompt had been read from the cache.

    Returns:
        US dollars; None if they are not known for certain: the provider said the cost itself, the price is not known
        in whole, or the tokens are of several modalities.
    """
    usage = answer.usage
    if usage is None or usage.unsplit or cost.usd is None or cost.unpriced is not None or cost.source != "local":
        return None
    read = _as_read(usage, tokens)
    if read is None:
        return None
    other = answer._replace(usage=replace(usage, counts=read), reported=())
    less = pricing.cost_of(book, request, other, at=at, failed=False)
    if less.usd is None or less.unpriced is not None or less.price != cost.price:
        return None
    lost = money.subtract(cost.usd, less.usd)
    return lost if lost >= 0 else None


def _as_read(usage: Usage, tokens: int) -> dict[Kind, Count] | None:
    """Return the counts with so many tokens behind those that were read as read, too; None if there are not as many."""
    counts: dict[Kind, Count] = dict(usage.counts)
    left = tokens
    for kind in _PAID_AS:
        count = counts.get(kind, 0)
        if not left or not isinstance(count, int):
            break
        taken = min(left, count)
        if taken:
            counts[kind] = count - taken
            left -= taken
    if left:
        return None
    counts["cache_read_tokens"] = counts.get("cache_read_tokens", 0) + tokens
    return {kind: count for kind, count in counts.items() if count}
