"""Anthropic messages, stable and beta, and the free counting of their tokens.

`input_tokens` excludes tokens read from and written to the cache. If there are `iterations`, Anthropic bills them: the
totals besides them leave out compactions, advisors and declined attempts, and count only the input of the first
iteration.
"""

# ruff: noqa: ARG002 (every format has the same methods, and not every one needs all arguments)
from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from otel_agentcost.core import semconv
from otel_agentcost.core.call import NO_PARAMETERS, Answer, AttributeValue, Call, Charge, Partial
from otel_agentcost.core.usage import Kind, Usage
from otel_agentcost.diagnostics import reraise_foreign
from otel_agentcost.wire import parameters
from otel_agentcost.wire.anthropic_messages.content import CONTENT
from otel_agentcost.wire.anthropic_messages.conversation import CONVERSATION
from otel_agentcost.wire.anthropic_messages.other_names import own_names
from otel_agentcost.wire.anthropic_messages.plain_usage import plain_usage
from otel_agentcost.wire.anthropic_messages.server_tools import billed_tools, is_server_tool, other_counters
from otel_agentcost.wire.bill_labels import MESSAGES
from otel_agentcost.wire.fields import (
    Malformed,
    blank,
    count,
    fields,
    get,
    inside,
    items,
    lacks_fields,
    need,
    part,
    quote,
    text,
    texts,
)
from otel_agentcost.wire.format import Change, Format, PromptTokens, Rewritten, SoFar
from otel_agentcost.wire.input_bound import INPUT_BOUND
from otel_agentcost.wire.openai_chat import joined
from otel_agentcost.wire.openai_usage import error_text, without_usage
from otel_agentcost.wire.prompt_tokens import PROMPT_TOKENS, prompt_tokens_of
from otel_agentcost.wire.provider_tools import unknown
from otel_agentcost.wire.reported_costs import in_body
from otel_agentcost.wire.rewriting import FieldRewriting, unchanged
from otel_agentcost.wire.running_totals import later
from otel_agentcost.wire.token_split import Counts, put, rest
from otel_agentcost.wire.tokenizers import count_text
from otel_agentcost.wire.usage_names import usage_at

Terms = tuple[tuple[str, str], ...]


def _output_config(value: Any) -> AttributeValue | None:
    return "json" if text(get(value, "format") or value, "type") == "json_schema" else None


_TABLE: Final[parameters.Table] = {
    "temperature": (semconv.REQUEST_TEMPERATURE, parameters.number),
    "top_p": (semconv.REQUEST_TOP_P, parameters.number),
    "top_k": (semconv.REQUEST_TOP_K, parameters.whole),
    "max_tokens": (semconv.REQUEST_MAX_TOKENS, parameters.integer),
    "stop_sequences": (semconv.REQUEST_STOP_SEQUENCES, parameters.strings),
    "stream": (semconv.REQUEST_STREAM, parameters.yes),
    "output_config": (semconv.REQUEST_REASONING_LEVEL, parameters.field("effort")),
    "output_format": (semconv.OUTPUT_TYPE, _output_config),
}
_COUNTING: Final = "count_tokens"


class _MessagesRewriting:
    """The facet `rewriting`: counting tokens has no output to limit."""

    def rewrite(self, call: Call, path: str, change: Change) -> Rewritten:
        """Return the body and the path of the request with `change` applied. Raises `CannotRewrite`."""
        return unchanged(call, path, change) if call.operation == _COUNTING else _LIMITED.rewrite(call, path, change)


_LIMITED: Final = FieldRewriting(("max_tokens",))


class Messages(Format):
    """The format."""

    content = CONTENT
    conversation = CONVERSATION
    input_bound = INPUT_BOUND
    prompt_tokens = PROMPT_TOKENS
    rewriting = _MessagesRewriting()
    bill_labels = MESSAGES

    def read_request(self, body: Any, path: str) -> Call:
        """Read a request."""
        known = parameters.read(body, _TABLE)
        if _output_config(get(body, "output_config")) is not None:
            known[semconv.OUTPUT_TYPE] = "json"
        return Call(
            operation=_COUNTING if _COUNTING in path else semconv.CHAT,
            model=_model_in(path) or text(body, "model"),
            stream=semconv.REQUEST_STREAM in known,
            max_output_tokens=parameters.limit(known),
            parameters=known,
            asked_terms=_requested_terms(body),
            body=body,
        )

    def read_response(self, call: Call, response: Any) -> Answer:
        """Read a whole response."""
        if call.operation == _COUNTING:
            return Answer(free=True)
        whole = fields(response)
        tools = billed_tools(call, items(whole, "content"), get(whole, "container"))
        return _answer(call, whole, own_names(fields(usage_at(whole))), text(whole, "stop_reason"), tools)

    def open_stream(self, call: Call) -> MessageReader:
        """Return a reader for the events of the answer to `call`."""
        return MessageReader(call, prompt_tokens_of(self))


def _model_in(path: str) -> str | None:
    """Return the model in the path of Vertex (`/models/NAME:rawPredict`) or Bedrock (`/model/NAME/invoke`)."""
    for start in ("/models/", "/model/"):
        _, separator, after = path.partition(start)
        if separator:
            return after.partition("/")[0].partition(":streamRaw")[0].partition(":raw")[0] or None
    return None


def _answer(call: Call, message: Any, counted: Any, reason: str | None, tools: Sequence[str] = ()) -> Answer:
    model = text(message, "model")
    usage: Usage | None = None
    partial: Partial | None = None
    extra: tuple[Charge, ...] = ()
    names = list(tools)
    tier = text(counted, "service_tier")
    terms, missing = service_terms(counted)
    try:
        if inside(counted, "usage") is None:
            missing, partial = without_usage(message, missing)
        else:
            usage, extra = _billed(counted, model or call.model, terms)
            missing = missing or _repriced(counted)
            names += other_counters(counted, names)
    except Malformed as problem:
        usage, extra, partial, missing = None, (), _partly_counted(message, counted, missing), str(problem)
    return Answer(
        usage=usage,
        missing=missing,
        partial=partial,
        uncounted=unknown(names),
        model=model,
        response_id=text(message, "id"),
        finish_reasons=(reason,) if reason else (),
        terms=terms,
        attributes={semconv.ANTHROPIC_RESPONSE_TIER: tier} if tier else NO_PARAMETERS,
        extra=extra,
        reported=in_body(message, counted),
    )


_UNUSUAL: Final = ("speed", "inference_geo")
"""Fields of a usage that set the price besides the tier."""


def service_terms(usage: Any) -> tuple[Terms, str | None]:
    """Return the terms of service that set the price, and why there is no price, if so."""
    tier = text(usage, "service_tier")
    if tier in (None, "standard") and blank(usage, _UNUSUAL):
        return (), None
    terms: list[tuple[str, str]] = []
    geo = text(usage, "inference_geo")
    missing = None
    if tier == "batch":
        terms.append(("processing", "batch"))
    elif tier == "priority":
        missing = "the tokens were served from capacity paid in advance (service_tier priority)"
    elif tier not in (None, "standard"):
        terms.append(("service_tier", tier or ""))
    if text(usage, "speed") == "fast":
        terms.append(("speed", "fast"))
    if geo == "us":
        # All token prices of Opus 4.6, Sonnet 4.6 and later are 1.1 times as high with inference in the US alone
        # (Anthropic's pricing page, "Data residency pricing"); earlier models do not offer it.
        terms.append(("inference_geo", "us"))
    elif geo not in (None, "global", "not_available"):
        missing = missing or f"the price of inference in {quote(geo)} is not known"
    return tuple(terms), missing


def _requested_terms(body: Any) -> Terms:
    """Return the requested terms that set the price.

    The service tier does not: its choice is between the list price and capacity paid in advance.
    """
    if blank(body, _UNUSUAL):
        return ()
    return service_terms({name: get(body, name) for name in _UNUSUAL})[0]


def message_usage(usage: Any) -> Usage:
    """Return the usage of one iteration, or of a message without iterations. Raises `Malformed`."""
    if (plain := plain_usage(usage)) is not None:
        return plain
    need(usage, "input_tokens", "output_tokens")
    counts: Counts = {}
    put(counts, "input_tokens", count(usage, "input_tokens"))
    put(counts, "cache_read_tokens", count(usage, "cache_read_input_tokens"))
    split = part(usage, "cache_creation")
    short, long = count(split, "ephemeral_5m_input_tokens"), count(split, "ephemeral_1h_input_tokens")
    written = count(usage, "cache_creation_input_tokens") or short + long
    unknown = rest(written, "cache_creation_input_tokens", short + long, "the sum of cache_creation")
    put(counts, "cache_write_tokens", unknown)
    put(counts, "cache_write_5m_tokens", short)
    put(counts, "cache_write_1h_tokens", long)
    produced = count(usage, "output_tokens")
    thought = count(part(usage, "output_tokens_details"), "thinking_tokens")
    put(counts, "output_tokens", rest(produced, "output_tokens", thought, "thinking_tokens"))
    put(counts, "output_reasoning_tokens", thought)
    put(counts, "web_searches", count(part(usage, "server_tool_use"), "web_search_requests"))
    return Usage(counts=counts)


def _billed(usage: Any, model: str | None, terms: Terms) -> tuple[Usage, tuple[Charge, ...]]:
    """Return the usage of the answering model, and the further charges of the call: other models, and compactions."""
    total = message_usage(usage)
    own: Usage | None = None
    extra: list[Charge] = []
    elsewhere = tuple(term for term in terms if term[0] != "speed")  # fast mode is the answering model's
    for entry in items(usage, "iterations"):
        kind, of = text(entry, "type"), text(entry, "model")
        used = message_usage(fields(entry))
        if kind == "fallback_message" or (kind == "message" and of in (None, model)):
            own = used if own is None else own + used
        elif kind == "compaction":
            extra.append(Charge(model=of or model, usage=used, terms=terms))
        elif kind == "advisor_message":
            need(entry, "model")
            extra.append(Charge(model=of, usage=used, terms=elsewhere))
        elif kind == "message":
            if used.output_tokens:  # an attempt that another model declined before any output is not billed
                extra.append(Charge(model=of, usage=used, terms=elsewhere))
        else:
            raise Malformed(f"usage.iterations has an entry of type {quote(kind)}, which is not known")
    if own is None:
        return total, tuple(extra)
    if own.output_tokens < total.output_tokens:
        raise Malformed(
            f"usage.iterations come to {own.output_tokens} output tokens, fewer than output_tokens, "
            f"which is {total.output_tokens}"
        )
    searches = total.counts.get("web_searches", 0)
    return Usage(counts={**own.counts, "web_searches": searches} if searches else own.counts), tuple(extra)


def _repriced(usage: Any) -> str | None:
    """Return why list prices do not apply: a fallback credit makes cache writes cheaper by an unknown amount."""
    if blank(usage, ("fallback_credit", "iterations")):
        return None
    credited = text(get(get(usage, "fallback_credit"), "status"), "type") == "redeemed"
    for entry in items(usage, "iterations"):
        if text(entry, "type") == "fallback_message" and get(entry, "cache_creation_input_tokens"):
            credited = True
    return "a fallback credit changes what the cache writes cost" if credited else None


def _partly_counted(message: Any, usage: Any, unpriced: str | None) -> Partial | None:
    """Return the counts of a usage that lacks some, or has impossible ones; None for an error that counts nothing."""
    try:
        prompt, produced = count(usage, "input_tokens"), count(usage, "output_tokens")
    except Malformed:
        return Partial(unpriced=unpriced)
    if not prompt and not produced:
        return (
            None if lacks_fields(usage) or error_text(message) is not None else Partial(unpriced=unpriced, empty=True)
        )
    known = (None, None) if prompt and produced else (prompt or None, produced or None)
    return Partial(*known, unpriced=unpriced)


_COUNTS: Final = (
    "input_tokens",
    "output_tokens",
    "cache_read_input_tokens",
    "cache_creation_input_tokens",
    "cache_creation",
    "output_tokens_details",
    "server_tool_use",
    "service_tier",
    "inference_geo",
    "speed",
    "iterations",
    "fallback_credit",
)


_INPUTS: Final = ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")


_PLACEHOLDER: Final = 8
"""Output tokens up to which `message_start` counts nothing yet."""


def _is_count(started: Any) -> bool:
    return type(started) is int and started > _PLACEHOLDER


def _merged(started: Any, ended: Any) -> dict[str, Any]:
    """Return the usage of a stream: the fields of its end, and those of its start that the end does not have.

    Some gateways write zeros for all of the input at the end: they do not count, because totals never shrink.
    """
    no_input = all(get(ended, name) in (None, 0) for name in _INPUTS)
    merged: dict[str, Any] = {}
    for name in _COUNTS:
        before, now = get(started, name), get(ended, name)
        of_input = name in _INPUTS or name == "cache_creation"
        lost = (no_input and of_input) or (name == "output_tokens" and not now and _is_count(before))
        merged[name] = before if now is None or (lost and before is not None) else now
    return merged


_INVOCATION: Final = "amazon-bedrock-invocationMetrics"
"""Bedrock's counts in the last event of a stream
(https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-anthropic-claude-messages.html)."""
_INVOCATION_NAMES: Final = {
    "input_tokens": "inputTokenCount",
    "output_tokens": "outputTokenCount",
    "cache_read_input_tokens": "cacheReadInputTokenCount",
    "cache_creation_input_tokens": "cacheWriteInputTokenCount",
}


def _invocation(event: Any) -> dict[str, Any] | None:
    """Return the usage that Bedrock adds to the last event; None if it has none."""
    counted = get(event, _INVOCATION)
    return None if counted is None else {name: get(counted, theirs) for name, theirs in _INVOCATION_NAMES.items()}


class MessageReader:
    """Reads the events of one answer.

    `message_start` has the input and a placeholder for the output; `message_delta` has the totals up to now, so the
    last one replaces the earlier ones.
    """

    __slots__ = (
        "_blocks",
        "_call",
        "_container",
        "_error",
        "_message",
        "_prompt_tokens",
        "_reason",
        "_stopped",
        "_texts",
        "_usage",
    )

    def __init__(self, call: Call, prompt_tokens: PromptTokens = PROMPT_TOKENS) -> None:
        """Create a reader for the answer to `call`; `prompt_tokens` counts the prompt if the stream does not."""
        self._call = call
        self._prompt_tokens = prompt_tokens
        self._texts: list[str] = []
        self._message: Any = None
        self._usage: Any = None
        self._reason: str | None = None
        self._error: Any = None
        self._stopped: Any = None
        self._blocks: list[Any] = []
        self._container: Any = None

    def feed(self, event: Any) -> None:
        """Read one event."""
        try:
            if type(event) is dict:
                kind = event["type"]  # pyright: ignore[reportUnknownVariableType]
                if kind == "content_block_delta":
                    delta = event["delta"]  # pyright: ignore[reportUnknownVariableType]
                    if delta["type"] == "text_delta":
                        self._texts.append(delta["text"])  # pyright: ignore[reportUnknownArgumentType]
                        return
            else:
                kind = event.type
                if kind == "content_block_delta":
                    delta = event.delta
                    if delta.type == "text_delta":
                        self._texts.append(delta.text)
                        return
        except Exception as error:  # an event without a type, or a delta without text, says nothing
            reraise_foreign(error)
            return
        self._feed_other(kind, event)

    def _feed_other(self, kind: Any, event: Any) -> None:
        if kind == "content_block_delta":
            self._texts.extend(texts(get(event, "delta"), "partial_json", "thinking", "content"))
        elif kind == "content_block_start":
            block = get(event, "content_block")
            self._texts.extend(texts(block, "name", "text"))
            if text(block, "type") != "text":
                self._blocks.append(block)
        elif kind == "message_start":
            self._message = get(event, "message")
        elif kind == "message_delta":
            delta = get(event, "delta")
            self._reason = text(delta, "stop_reason") or self._reason
            self._container = get(delta, "container") or self._container
            if (usage := get(event, "usage") or get(delta, "usage")) is not None:
                reported = self._usage is None or get(usage, "output_tokens")  # zeros at the end take nothing back
                self._usage = usage if reported else later(self._usage, usage)
        elif kind == "message_stop":
            self._stopped = event
        elif kind == "error":
            self._error = event

    def so_far(self) -> SoFar:
        """Return the output up to now; the count in `message_start` is a placeholder."""
        reported = get(self._usage, "output_tokens")
        return SoFar(self._texts, reported if type(reported) is int else 0, self._reason is not None)

    def answer(self, *, complete: bool) -> Answer:
        """Return the answer that the events up to now amount to."""
        started = get(self._message, "usage")
        if (counted := _invocation(self._stopped)) is not None:
            self._usage = counted if self._usage is None else later(counted, self._usage)
        if self._usage is not None:
            usage, started = own_names(fields(self._usage)), own_names(fields(started))
            merged: Any = _merged(started, usage)
            if lacks_fields(self._usage):
                merged = self._usage  # to be quoted as what it is
            answer = _answer(self._call, self._message, merged, self._reason, self._tools())
            reported = in_body(None, usage)
            return answer._replace(reported=reported) if reported else answer
        if self._message is None and self._error is not None:
            return Answer(missing=error_text(self._error) or "the stream ended with an error")
        return self._estimated(started)

    def _tools(self) -> list[str]:
        return billed_tools(self._call, self._blocks, self._container or get(self._message, "container"))

    def _estimated(self, started: Any) -> Answer:
        """Return the input as reported at the start (or counted), and the output counted from the answer's text."""
        model = text(self._message, "model") or self._call.model
        produced = count_text(joined(self._texts), model)
        started = fields(started)
        known: Any = {name: get(started, name) for name in _COUNTS}
        counted = {**known, "output_tokens": 0, "iterations": None}
        answer = _answer(self._call, self._message, counted, None, self._tools())
        if answer.usage is None and started is not None:
            return answer
        counts: dict[Kind, Any] = {}
        if answer.usage is not None:
            counts.update(answer.usage.counts)
            counts.pop("output_reasoning_tokens", None)
        else:
            put(counts, "input_tokens", self._prompt_tokens.count(self._call.body, model))
        put(counts, "output_tokens", produced)
        searched = sum(text(block, "name") == "web_search" for block in self._blocks if is_server_tool(block))
        put(counts, "web_searches", max(0, searched - int(counts.get("web_searches", 0))))
        return Answer(
            usage=Usage(counts=counts, estimated=True),
            missing=answer.missing if started is not None else None,
            uncounted=answer.uncounted,
            model=answer.model,
            response_id=answer.response_id,
            terms=answer.terms,
            attributes=answer.attributes,
        )


FORMAT = Messages()
