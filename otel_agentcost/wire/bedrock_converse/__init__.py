"""Amazon Bedrock's Converse API, whole and streamed, and the bodies of Amazon's Nova models, which have its shape.

`inputTokens` excludes tokens that were read from and written to the cache.
"""

# ruff: noqa: ARG002 (every format has the same methods, and not every one needs all arguments)
from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from otel_agentcost.core import semconv
from otel_agentcost.core.call import Answer, Call, Partial
from otel_agentcost.core.usage import Kind, Usage
from otel_agentcost.diagnostics import reraise_foreign
from otel_agentcost.wire import parameters
from otel_agentcost.wire.bedrock_converse.facets import CONTENT, CONVERSATION, LIMITS, PROMPT, REWRITING
from otel_agentcost.wire.bedrock_models import GUARDRAIL, in_path, is_stream, plain_name, prepaid, terms_in
from otel_agentcost.wire.bill_labels import CONVERSE
from otel_agentcost.wire.fields import Malformed, count, entries, get, items, need, part, text, texts
from otel_agentcost.wire.format import Format, SoFar
from otel_agentcost.wire.openai_usage import error_text
from otel_agentcost.wire.provider_tools import unknown
from otel_agentcost.wire.token_split import Counts, put, rest
from otel_agentcost.wire.tokenizers import count_text

__all__ = ["FORMAT", "Converse", "ConverseReader"]

_LIMIT: Final = (semconv.REQUEST_MAX_TOKENS, parameters.integer)
_TABLE: Final[parameters.Table] = {
    **dict.fromkeys(LIMITS, _LIMIT),
    "temperature": (semconv.REQUEST_TEMPERATURE, parameters.number),
    "topP": (semconv.REQUEST_TOP_P, parameters.number),
    "top_p": (semconv.REQUEST_TOP_P, parameters.number),
    "topK": (semconv.REQUEST_TOP_K, parameters.whole),
    "top_k": (semconv.REQUEST_TOP_K, parameters.whole),
    "stopSequences": (semconv.REQUEST_STOP_SEQUENCES, parameters.strings),
}


class Converse(Format):
    """The format."""

    content = CONTENT
    conversation = CONVERSATION
    input_bound = PROMPT
    prompt_tokens = PROMPT
    rewriting = REWRITING
    bill_labels = CONVERSE

    def read_request(self, body: Any, path: str) -> Call:
        """Read a request. The address names the model; so does `modelId` among the arguments of an SDK."""
        known = parameters.read(get(body, "inferenceConfig"), _TABLE)
        name = in_path(path) or text(body, "modelId")
        if streamed := is_stream(path):
            known[semconv.REQUEST_STREAM] = True
        return Call(
            operation=semconv.CHAT,
            model=plain_name(name) if name else None,
            stream=streamed,
            max_output_tokens=parameters.limit(known),
            parameters=known,
            asked_terms=terms_in(body),
            body=body,
        )

    def read_response(self, call: Call, response: Any) -> Answer:
        """Read a whole response."""
        blocks = items(get(get(response, "output"), "message"), "content")
        return _answer(call, response, text(response, "stopReason"), _server_tools(blocks))

    def open_stream(self, call: Call) -> ConverseReader:
        """Return a reader for the events of the answer to `call`."""
        return ConverseReader(call)


def _server_tools(blocks: Iterable[Any]) -> list[str]:
    """Return the names of the tools among the blocks that AWS runs."""
    uses = (get(block, "toolUse") for block in blocks)
    return [text(use, "name") or "system tool" for use in uses if text(use, "type") == "server_tool_use"]


def _answer(call: Call, told: Any, reason: str | None, tools: list[str]) -> Answer:
    """Return the answer that a response, or the last event of a stream, amounts to."""
    missing, usage, partial = prepaid(call.model or ""), None, None
    trace = get(told, "trace")
    if get(call.body, "guardrailConfig") is not None or get(trace, "guardrail") is not None:
        tools = [*tools, GUARDRAIL]
    try:
        counted = part({"usage": get(told, "usage")}, "usage")
        if counted is None:
            missing = missing or error_text(told) or "the response has no usage"
        else:
            usage = converse_usage(counted)
    except Malformed as problem:
        missing, partial = str(problem), Partial(unpriced=missing)
    invoked = text(get(trace, "promptRouter"), "invokedModelId")
    return Answer(
        usage=usage,
        missing=missing,
        partial=partial,
        uncounted=unknown(tools),
        model=plain_name(invoked) if invoked else None,
        finish_reasons=(reason,) if reason else (),
        terms=terms_in(told),
    )


def converse_usage(usage: Any) -> Usage:
    """Return the usage of a response. Raises `Malformed`."""
    need(usage, "inputTokens", "outputTokens")
    counts: Counts = {}
    put(counts, "input_tokens", count(usage, "inputTokens"))
    put(counts, "cache_read_tokens", count(usage, "cacheReadInputTokens"))
    by_time: dict[str, int] = {}
    for entry in items(usage, "cacheDetails"):
        lifetime = text(entry, "ttl") or ""
        by_time[lifetime] = by_time.get(lifetime, 0) + count(entry, "inputTokens")
    short, long = by_time.get("5m", 0), by_time.get("1h", 0)
    written = count(usage, "cacheWriteInputTokens") or short + long
    left = rest(written, "cacheWriteInputTokens", short + long, "the sum of cacheDetails")
    put(counts, "cache_write_tokens", left)
    put(counts, "cache_write_5m_tokens", short)
    put(counts, "cache_write_1h_tokens", long)
    put(counts, "output_tokens", count(usage, "outputTokens"))
    return Usage(counts=counts)


class ConverseReader:
    """Reads the events of one answer. The last one has the usage."""

    __slots__ = ("_call", "_error", "_last", "_reason", "_started", "_texts")

    def __init__(self, call: Call) -> None:
        """Create a reader of the answer to `call`."""
        self._call = call
        self._texts: list[str] = []
        self._started: list[Any] = []
        self._reason: str | None = None
        self._last: Any = None
        self._error: Any = None

    def feed(self, event: Any) -> None:
        """Read one event."""
        try:  # the path of nearly every event: a piece of text
            self._texts.append(event["contentBlockDelta"]["delta"]["text"])
        except Exception as error:  # another event
            reraise_foreign(error)
            self._feed_other(event)

    def _feed_other(self, event: Any) -> None:
        for kind, inner in entries(event).items():
            if kind == "contentBlockDelta":
                delta = get(inner, "delta")
                self._texts += texts(get(delta, "toolUse"), "input")
                self._texts += texts(get(delta, "reasoningContent"), "text")
            elif kind == "contentBlockStart":
                started = get(inner, "start")
                self._texts += texts(get(started, "toolUse"), "name")
                self._started.append(started)
            elif kind == "messageStop":
                self._reason = text(inner, "stopReason") or self._reason
            elif kind == "metadata":
                self._last = inner
            elif kind.endswith("Exception"):
                self._error = {"error": text(inner, "message") or kind}

    def so_far(self) -> SoFar:
        """Return the output up to now."""
        return SoFar(self._texts, 0, self._reason is not None)

    def answer(self, *, complete: bool) -> Answer:
        """Return the answer that the events up to now amount to."""
        tools = _server_tools(self._started)
        if self._last is not None or (self._error is not None and not self._texts):
            return _answer(self._call, self._last or self._error, self._reason, tools)
        answer = _answer(self._call, None, self._reason, tools)
        counts: dict[Kind, Any] = {}
        put(counts, "input_tokens", PROMPT.count(self._call.body, self._call.model))
        put(counts, "output_tokens", count_text("".join(self._texts), self._call.model))
        return Answer(
            usage=Usage(counts=counts, estimated=True),
            missing=prepaid(self._call.model or ""),
            uncounted=answer.uncounted,
            finish_reasons=answer.finish_reasons,
        )


FORMAT = Converse()
