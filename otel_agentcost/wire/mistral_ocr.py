"""Mistral's OCR (https://docs.mistral.ai/api/endpoint/ocr), which is billed by the page.

A page that is annotated as well has a price of its own.
"""

# ruff: noqa: ARG002 (every format has the same methods, and not every one needs all arguments)
from __future__ import annotations

from typing import Any

from otel_agentcost.core import semconv
from otel_agentcost.core.call import Answer, Call
from otel_agentcost.core.usage import Usage
from otel_agentcost.wire.fields import Malformed, count, get, items, part, text
from otel_agentcost.wire.format import Format
from otel_agentcost.wire.input_bound import INPUT_BOUND
from otel_agentcost.wire.no_facets import NO_CONTENT, NO_CONVERSATION
from otel_agentcost.wire.not_streamed import NotStreamed
from otel_agentcost.wire.openai_usage import error_text
from otel_agentcost.wire.prompt_tokens import PROMPT_TOKENS
from otel_agentcost.wire.rewriting import ModelRewriting
from otel_agentcost.wire.token_split import Counts, put


class Ocr(Format):
    """The format."""

    content = NO_CONTENT
    conversation = NO_CONVERSATION
    input_bound = INPUT_BOUND
    prompt_tokens = PROMPT_TOKENS
    rewriting = ModelRewriting()

    def read_request(self, body: Any, path: str) -> Call:
        """Read a request."""
        return Call(operation=semconv.GENERATE_CONTENT, model=text(body, "model"), max_output_tokens=0, body=body)

    def read_response(self, call: Call, response: Any) -> Answer:
        """Read a whole response."""
        model = text(response, "model")
        try:
            counted = part(response, "usage_info")
            pages = count(counted, "pages_processed")
        except Malformed as problem:
            return Answer(missing=str(problem), model=model, doubtful=True)
        if counted is None:
            return Answer(missing=error_text(response) or "the response has no usage", model=model)
        seen = len(items(response, "pages"))
        if pages < seen:
            return Answer(missing=f"pages_processed is {pages}, and {seen} pages came", model=model, doubtful=True)
        names = ("document_annotation_format", "bbox_annotation_format")
        annotated = any(get(call.body, name) is not None for name in names)
        counts: Counts = {}
        put(counts, "input_annotated_document_pages" if annotated else "input_document_pages", pages)
        return Answer(usage=Usage(counts=counts), model=model)

    def open_stream(self, call: Call) -> NotStreamed:
        """Return a reader with the answer: pages are not streamed."""
        return NotStreamed(Answer(missing="the response has no usage"))


FORMAT = Ocr()
