"""Batches of Mistral: jobs whose results are in a file, or in the job itself."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from otel_agentcost.core.call import Call
from otel_agentcost.wire.batch_api import Batch, BatchApi, BatchRequest, JsonLines, Reading, listed
from otel_agentcost.wire.billed_later import BilledLater
from otel_agentcost.wire.fields import entries, get, items, text

__all__ = ["FORMAT"]

_FAILED: Final = frozenset({"FAILED", "TIMEOUT_EXCEEDED", "CANCELLED"})


class _Jobs(JsonLines):
    reads: Mapping[str, Reading] = {
        "/batch/jobs": "state",
        "/batch/jobs/*": "state",
        "/batch/jobs/*/cancel": "state",
        "/files/*/content": "results",
    }

    def states(self, response: Any) -> Iterator[Batch]:
        for each in listed(response, "data"):
            named, status = text(each, "id"), get(each, "status")
            if named is not None and status is not None:
                file, outputs = text(each, "output_file"), items(each, "outputs") or None
                over = status in _FAILED and file is None and outputs is None
                yield Batch(id=named, over=over, files=(file,) if file is not None else (), results=outputs)

    def path(self, call: Call) -> str:
        return text(call.body, "endpoint") or ""

    def requests(self, call: Call) -> Iterable[BatchRequest] | None:
        inside = items(call.body, "requests")
        if not inside:
            return None
        model, place = text(call.body, "model"), self.path(call)
        return [BatchRequest(place, {"model": model, **entries(get(each, "body"))}) for each in inside]


class MistralBatches(BilledLater):
    """The format."""

    batches: BatchApi | None = _Jobs()


FORMAT = MistralBatches()
