"""Batches of OpenAI: creating one costs nothing yet, and does not show what it will cost.

The provider bills a batch as it runs, hours later. Its results show what each line took: they are priced when they are
first read (`calls.batches`). Until then the batch is unpriced rather than free.
"""

# ruff: noqa: ARG002 (every format has the same methods, and not every one needs all arguments)
from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from otel_agentcost.core import batch
from otel_agentcost.core.call import Answer, Call
from otel_agentcost.wire.batch_api import Batch, BatchApi, BatchRequest, JsonLines, Reading, listed
from otel_agentcost.wire.fields import get, items, text
from otel_agentcost.wire.format import Format
from otel_agentcost.wire.input_bound import INPUT_BOUND
from otel_agentcost.wire.no_facets import NO_CONTENT, NO_CONVERSATION
from otel_agentcost.wire.not_streamed import NotStreamed
from otel_agentcost.wire.openai_usage import error_text
from otel_agentcost.wire.prompt_tokens import PROMPT_TOKENS
from otel_agentcost.wire.rewriting import NoRewriting

__all__ = ["FORMAT", "LATER", "Batches"]

LATER: Final = "a batch is billed as it runs, after it was created"
_ENDED: Final = frozenset({"completed", "failed", "expired", "cancelled"})


class _OpenAIBatches(JsonLines):
    reads: Mapping[str, Reading] = {
        "/batches": "state",
        "/batches/*": "state",
        "/batches/*/cancel": "state",
        "/files/*/content": "results",
        "/files": "upload",
    }

    def states(self, response: Any) -> Iterator[Batch]:
        for each in listed(response, "data"):
            named = text(each, "id")
            if named is not None and get(each, "status") is not None:
                # Lines of the file of errors are not billed: a batch that has nothing else has cost nothing.
                output = text(each, "output_file_id")
                over = output is None and get(each, "status") in _ENDED
                yield Batch(id=named, over=over, files=(output,) if output is not None else ())

    def path(self, call: Call) -> str:
        return text(call.body, "endpoint") or ""

    def requests(self, call: Call) -> Iterable[BatchRequest] | None:
        return None


class Batches(Format):
    """The format."""

    content = NO_CONTENT
    conversation = NO_CONVERSATION
    input_bound = INPUT_BOUND
    prompt_tokens = PROMPT_TOKENS
    rewriting = NoRewriting()
    batches: BatchApi | None = _OpenAIBatches()

    def read_request(self, body: Any, path: str) -> Call:
        """Read a request. The model is that of the first request in the batch, if the body contains the requests."""
        first = next(iter(items(body, "requests")), None)
        model = text(body, "model") or text(get(first, "params"), "model")
        return Call(operation="create_batch", model=model, terms=batch.TERMS, body=body)

    def read_response(self, call: Call, response: Any) -> Answer:
        """Read a response: it has an id and no usage."""
        error = None if text(response, "object") == "batch" else error_text(response)
        return Answer(missing=error or LATER, response_id=text(response, "id"))

    def open_stream(self, call: Call) -> NotStreamed:
        """Return a reader with the answer: creating a batch is not streamed."""
        return NotStreamed(Answer(missing=LATER))


FORMAT = Batches()
