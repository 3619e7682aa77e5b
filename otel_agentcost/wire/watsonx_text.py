"""IBM watsonx's text generation, embeddings and reranking (https://cloud.ibm.com/apidocs/watsonx-ai).

Each event of a stream repeats the counts: the tokens of the input, and those of the output up to now.
"""

from __future__ import annotations

from typing import Any, Final

from otel_agentcost.core import semconv
from otel_agentcost.core.call import Answer, Call, Partial
from otel_agentcost.core.usage import Usage
from otel_agentcost.wire import parameters
from otel_agentcost.wire.cohere_rerank import RERANK
from otel_agentcost.wire.fields import Malformed, count, get, items, text
from otel_agentcost.wire.format import Change, Format, Rewritten, SoFar
from otel_agentcost.wire.input_bound import INPUT_BOUND
from otel_agentcost.wire.no_facets import NO_CONTENT, NO_CONVERSATION
from otel_agentcost.wire.openai_usage import error_text
from otel_agentcost.wire.prompt_tokens import PromptFields
from otel_agentcost.wire.rewriting import copied, lower, unchanged
from otel_agentcost.wire.token_split import Counts, put
from otel_agentcost.wire.tokenizers import count_text

__all__ = ["FORMAT", "WatsonxReader", "WatsonxText"]

_PROMPT: Final = PromptFields(messages=("input", "inputs", "query"), instructions=())
_LIMIT: Final = "max_new_tokens"
_TABLE: Final[parameters.Table] = {
    _LIMIT: (semconv.REQUEST_MAX_TOKENS, parameters.integer),
    "temperature": (semconv.REQUEST_TEMPERATURE, parameters.number),
    "top_p": (semconv.REQUEST_TOP_P, parameters.number),
    "top_k": (semconv.REQUEST_TOP_K, parameters.whole),
    "stop_sequences": (semconv.REQUEST_STOP_SEQUENCES, parameters.strings),
}
_DEFAULT_LIMIT: Final = 20
"""The output tokens of a request without a limit."""
_OPERATIONS: Final = {"embeddings": semconv.EMBEDDINGS, "rerank": RERANK}


class _Rewriting:
    """The facet `rewriting`: the limit is among the parameters, and the model has no place that others know."""

    def rewrite(self, call: Call, path: str, change: Change) -> Rewritten:
        """Return the body and the path of the request with `change` applied. Raises `CannotRewrite`."""
        if change.model is not None or call.operation != semconv.TEXT_COMPLETION:
            return unchanged(call, path, change)
        body = copied(call)
        if change.max_output_tokens is not None:
            body["parameters"] = dict(get(body, "parameters") or {})
            lower(body["parameters"], (_LIMIT,), change.max_output_tokens)
        return body, path


class WatsonxText(Format):
    """The format."""

    content = NO_CONTENT
    conversation = NO_CONVERSATION
    input_bound = INPUT_BOUND
    prompt_tokens = _PROMPT
    rewriting = _Rewriting()

    def read_request(self, body: Any, path: str) -> Call:
        """Read a request. The path names the operation."""
        last = path.partition("?")[0].rstrip("/").rpartition("/")[2]
        operation = _OPERATIONS.get(last, semconv.TEXT_COMPLETION)
        known = parameters.read(get(body, "parameters"), _TABLE)
        limit = parameters.limit(known)
        return Call(
            operation=operation,
            model=text(body, "model_id"),
            stream=last.endswith("_stream"),
            max_output_tokens=(limit or _DEFAULT_LIMIT) if operation == semconv.TEXT_COMPLETION else 0,
            parameters=known,
            body=body,
        )

    def read_response(self, call: Call, response: Any) -> Answer:
        """Read a whole response."""
        reader = WatsonxReader(call)
        reader.feed(response)
        return reader.answer(complete=True)

    def open_stream(self, call: Call) -> WatsonxReader:
        """Return a reader for the events of the answer to `call`."""
        return WatsonxReader(call)


class WatsonxReader:
    """Reads the events of one answer; a whole response is the only event of its own."""

    __slots__ = ("_call", "_error", "_input", "_model", "_output", "_problem", "_reason", "_texts")

    def __init__(self, call: Call) -> None:
        """Create a reader of the answer to `call`."""
        self._call = call
        self._texts: list[str] = []
        self._input = self._output = 0
        self._model: str | None = None
        self._reason: str | None = None
        self._problem: str | None = None
        self._error: Any = None

    def feed(self, event: Any) -> None:
        """Read one event."""
        self._model = text(event, "model_id") or self._model
        if error_text(event) is not None or items(event, "errors"):
            self._error = event
        try:
            self._input = max(self._input, count(event, "input_token_count"))
            for result in items(event, "results"):
                self._texts += [words for words in (text(result, "generated_text"),) if words]
                self._input = max(self._input, count(result, "input_token_count"))
                self._output = max(self._output, count(result, "generated_token_count"))
                reason = text(result, "stop_reason")
                self._reason = reason if reason not in (None, "not_finished") else self._reason
        except Malformed as problem:
            self._problem = str(problem)

    def so_far(self) -> SoFar:
        """Return the output up to now."""
        return SoFar(self._texts, self._output, self._reason is not None)

    def answer(self, *, complete: bool) -> Answer:
        """Return the answer that the events up to now amount to."""
        reasons = (self._reason,) if self._reason else ()
        if self._problem is not None:
            return Answer(missing=self._problem, partial=Partial(), model=self._model, finish_reasons=reasons)
        counts: Counts = {}
        if self._input or self._output:
            put(counts, "input_tokens", self._input)
            put(counts, "output_tokens", self._output)
            return Answer(usage=Usage(counts=counts), model=self._model, finish_reasons=reasons)
        if complete or self._error is not None:
            missing = error_text(self._error) or "the response has no usage"
            partial = Partial(empty=True, absent=True) if self._error is None else None
            return Answer(missing=missing, partial=partial, model=self._model, finish_reasons=reasons)
        put(counts, "input_tokens", _PROMPT.count(self._call.body, self._call.model, raw=True))
        put(counts, "output_tokens", count_text("".join(self._texts), self._call.model))
        return Answer(usage=Usage(counts=counts, estimated=True), model=self._model, finish_reasons=reasons)


FORMAT: Final = WatsonxText()
