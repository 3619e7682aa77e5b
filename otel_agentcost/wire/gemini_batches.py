"""Batches of the Gemini API and of Vertex AI. Their results are in the answer to a poll, in a file, or in a bucket."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from otel_agentcost.core.call import Call
from otel_agentcost.wire.batch_api import Batch, BatchApi, BatchLine, BatchRequest, Reading, listed
from otel_agentcost.wire.billed_later import BilledLater
from otel_agentcost.wire.fields import get, items, text

__all__ = ["FORMAT"]

_FAILED: Final = ("FAILED", "CANCELLED", "EXPIRED")
"""The ends of states: `JOB_STATE_FAILED`, `BATCH_STATE_FAILED`."""

_INLINED: Final = ("inlinedResponses", "inlinedEmbedContentResponses")


class _GeminiBatches:
    reads: Mapping[str, Reading] = {
        "batches": "state",
        "batches/*": "state",
        "batchPredictionJobs": "state",
        "batchPredictionJobs/*": "state",
        "files/*:download": "results",
    }

    def states(self, response: Any) -> Iterator[Batch]:
        for each in listed(response, "operations"):
            for job in items(each, "batchPredictionJobs") or (each,):
                named = text(job, "name")
                if named is not None:
                    yield _state(named, job)

    def path(self, call: Call) -> str:
        return ":embedContent" if "embed" in (call.model or "") else ":generateContent"

    def line(self, item: Any) -> BatchLine | None:
        response, key = get(item, "response"), text(item, "key") or text(get(item, "metadata"), "key") or ""
        if response is None:
            return BatchLine(key, None) if get(item, "error") is not None or get(item, "status") is not None else None
        tokens = get(response, "tokenCount")
        if tokens is not None and get(response, "usageMetadata") is None:
            response = {"embedding": get(response, "embedding"), "usageMetadata": {"promptTokenCount": tokens}}
        return BatchLine(key, response)

    def requests(self, call: Call) -> Iterable[BatchRequest] | None:
        inside: Any = get(get(get(get(call.body, "batch"), "inputConfig"), "requests"), "requests")
        if not isinstance(inside, list):
            return None
        path = f"models/{call.model}{self.path(call)}"
        return [BatchRequest(path, get(each, "request")) for each in items({"": inside}, "")]


def _state(named: str, job: Any) -> Batch:
    metadata, answer = get(job, "metadata"), get(job, "response")
    state = str(get(metadata, "state") or get(job, "state") or "")
    outputs = [get(metadata, "output"), answer, get(metadata, "dest")]
    files = [text(output, "responsesFile") or text(output, "fileName") for output in outputs]
    found = next((inside for output in outputs for inside in _inlined(output)), None)
    file = next(filter(None, files), None)
    failed = state.endswith(_FAILED) or (get(job, "done") is True and get(job, "error") is not None)
    elsewhere = get(job, "outputConfig") is not None or get(job, "outputInfo") is not None
    over = file is None and found is None and (failed or (elsewhere and state.endswith("SUCCEEDED")))
    return Batch(id=named, over=over, files=(file,) if file is not None else (), results=found)


def _inlined(output: Any) -> Iterator[list[Any]]:
    """Yield the list of responses in the output of a batch: a list, or an object with a list of that name."""
    for name in _INLINED:
        inside: Any = get(output, name)
        found = get(inside, "inlinedResponses") if isinstance(inside, Mapping) else inside
        if isinstance(found, list):
            yield found


class GeminiBatch(BilledLater):
    """The format."""

    batches: BatchApi | None = _GeminiBatches()


FORMAT = GeminiBatch()
