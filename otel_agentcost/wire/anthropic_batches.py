"""Anthropic's message batches: like OpenAI's, they do not show their cost when they are created."""

# ruff: noqa: ARG002 (every facet has the same methods, and not every one needs all arguments)
from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from otel_agentcost.core.call import Call
from otel_agentcost.wire.batch_api import Batch, BatchApi, BatchLine, BatchRequest, Reading, listed
from otel_agentcost.wire.fields import get, items, text
from otel_agentcost.wire.openai_batches import Batches

__all__ = ["FORMAT"]


class _MessageBatches:
    reads: Mapping[str, Reading] = {
        "/messages/batches": "state",
        "/messages/batches/*": "state",
        "/messages/batches/*/cancel": "state",
        "/messages/batches/*/results": "results",
    }

    def states(self, response: Any) -> Iterator[Batch]:
        for each in listed(response, "data"):
            named, status = text(each, "id"), get(each, "processing_status")
            if named is not None and status is not None:
                # Nothing is billed for lines that did not succeed.
                yield Batch(id=named, over=status == "ended" and get(get(each, "request_counts"), "succeeded") == 0)

    def path(self, call: Call) -> str:
        return "/v1/messages"

    def line(self, item: Any) -> BatchLine | None:
        named, result = text(item, "custom_id"), get(item, "result")
        if named is None or result is None:
            return None
        return BatchLine(named, get(result, "message") if get(result, "type") == "succeeded" else None)

    def requests(self, call: Call) -> Iterable[BatchRequest] | None:
        return [BatchRequest("/v1/messages", get(each, "params")) for each in items(call.body, "requests")]


class _AnthropicBatches(Batches):
    batches: BatchApi | None = _MessageBatches()


FORMAT = _AnthropicBatches()
