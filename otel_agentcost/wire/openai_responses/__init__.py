"""OpenAI responses: created, streamed, compacted, in the background; and decisions, whose usage has the same form.

Tools that OpenAI runs are billed besides the tokens. Web searches come from `tool_usage` if it is there, and from the
output items otherwise; generated images are the usage of another model.
"""

# ruff: noqa: ARG002 (every format has the same methods, and not every one needs all arguments)
from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from otel_agentcost.core import semconv
from otel_agentcost.core.call import Answer, AttributeValue, Call, Charge, Partial
from otel_agentcost.core.usage import Usage
from otel_agentcost.diagnostics import reraise_foreign
from otel_agentcost.wire import parameters
from otel_agentcost.wire.bill_labels import RESPONSES
from otel_agentcost.wire.fields import Malformed, count, entries, fields, get, inside, items, part, text
from otel_agentcost.wire.format import Change, Format, Rewritten, SoFar
from otel_agentcost.wire.input_bound import INPUT_BOUND
from otel_agentcost.wire.openai_chat import estimate
from otel_agentcost.wire.openai_responses.content import CONTENT
from otel_agentcost.wire.openai_responses.conversation import CONVERSATION
from otel_agentcost.wire.openai_usage import (
    image_usage,
    partly_counted,
    requested_terms,
    responses_usage,
    served_terms,
    without_usage,
)
from otel_agentcost.wire.prompt_tokens import PROMPT_TOKENS, prompt_tokens_of
from otel_agentcost.wire.provider_tools import (
    COUNTED_ITEMS,
    FREE_ITEMS,
    any_count,
    both,
    has_counters,
    in_usage,
    unknown,
)
from otel_agentcost.wire.reported_costs import in_body
from otel_agentcost.wire.rewriting import FieldRewriting, ModelRewriting
from otel_agentcost.wire.token_split import Counts, put
from otel_agentcost.wire.usage_names import usage_at


def _text_format(value: Any) -> AttributeValue | None:
    kind = text(get(value, "format"), "type")
    return "json" if kind in ("json_object", "json_schema") else "text" if kind == "text" else None


def _conversation(value: Any) -> AttributeValue | None:
    return value if isinstance(value, str) and value else text(value, "id")


_TABLE: Final[parameters.Table] = {
    "temperature": (semconv.REQUEST_TEMPERATURE, parameters.number),
    "top_p": (semconv.REQUEST_TOP_P, parameters.number),
    "max_output_tokens": (semconv.REQUEST_MAX_TOKENS, parameters.integer),
    "stream": (semconv.REQUEST_STREAM, parameters.yes),
    "service_tier": (semconv.OPENAI_REQUEST_TIER, parameters.tier),
    "previous_response_id": (semconv.REQUEST_PREVIOUS_RESPONSE, parameters.string),
    "conversation": (semconv.CONVERSATION, _conversation),
    "reasoning": (semconv.REQUEST_REASONING_LEVEL, parameters.field("effort")),
    "text": (semconv.OUTPUT_TYPE, _text_format),
}

_LEAST: Final = 16
"""The lowest `max_output_tokens` (OpenAI's reference)."""
_UNFINISHED: Final = frozenset({"queued", "in_progress"})
_RUNS_ON: Final = "the response runs in the background, and its usage is not known yet"


class _ResponsesRewriting:
    """The facet `rewriting`: compaction and decisions have no output limit."""

    def rewrite(self, call: Call, path: str, change: Change) -> Rewritten:
        """Return the body and the path of the request with `change` applied. Raises `CannotRewrite`."""
        if path.partition("?")[0].rstrip("/").endswith(("/compact", "/decisions")):
            return _WITHOUT_LIMIT.rewrite(call, path, change)
        return _LIMITED.rewrite(call, path, change)


_WITHOUT_LIMIT: Final = ModelRewriting()
_LIMITED: Final = FieldRewriting(("max_output_tokens",), least=_LEAST)


class Responses(Format):
    """The format."""

    content = CONTENT
    conversation = CONVERSATION
    input_bound = INPUT_BOUND
    prompt_tokens = PROMPT_TOKENS
    rewriting = _ResponsesRewriting()
    bill_labels = RESPONSES

    def read_request(self, body: Any, path: str) -> Call:
        """Read a request."""
        known = parameters.read(body, _TABLE)
        return Call(
            operation=semconv.CHAT,
            model=text(body, "model"),
            stream=semconv.REQUEST_STREAM in known,
            max_output_tokens=parameters.limit(known),
            parameters=known,
            asked_terms=requested_terms(known) if semconv.OPENAI_REQUEST_TIER in known else (),
            body=body,
        )

    def read_response(self, call: Call, response: Any) -> Answer:
        """Read a whole response."""
        response = fields(response)
        status = text(response, "status")
        if status in _UNFINISHED and _in_background(call, response):
            return _runs_on(response)  # a count, of zeros or of a part, is not what is billed at the end
        usage: Usage | None = None
        extra: tuple[Charge, ...] = ()
        partial: Partial | None = None
        uncounted: str | None = None
        tier = text(response, "service_tier")
        terms, missing = served_terms(tier)
        found = usage_at(response)
        kinds = [text(item, "type") for item in items(response, "output")]
        try:
            counted = inside(found, "usage")
            if counted is None and status in _UNFINISHED:
                missing = _RUNS_ON
            elif counted is None:
                missing, partial = without_usage(response, missing)
            else:
                usage, why, uncounted = responses_usage(counted)
                missing = missing or why
                if not _runs_no_tools(response, kinds, counted):
                    tools, searched = _tools(call, response, counted)
                    usage = usage + Usage(counts=tools)
                    extra, drawn = _images(call, response)
                    uncounted = both(searched, drawn, uncounted)
        except Malformed as problem:
            usage, extra, missing, uncounted = None, (), str(problem), None
            if status not in _UNFINISHED:
                partial = partly_counted(found, served_terms(tier)[1], response)
        return Answer(
            usage=usage,
            missing=missing,
            goes_on=usage is None and status in _UNFINISHED,
            partial=partial,
            uncounted=uncounted,
            model=text(response, "model"),
            response_id=text(response, "id"),
            finish_reasons=_finish_reasons(response, status, kinds),
            terms=terms,
            tier=tier,
            extra=extra,
            reported=in_body(response, found),
        )

    def open_stream(self, call: Call) -> ResponseReader:
        """Return a reader for the events of the answer to `call`."""
        return ResponseReader(self, call)


def _in_background(call: Call, response: Any) -> bool:
    """Return True if the model goes on with the answer when its request has ended."""
    return get(call.body, "background") is True or get(response, "background") is True


def _runs_on(response: Any) -> Answer:
    return Answer(missing=_RUNS_ON, goes_on=True, model=text(response, "model"), response_id=text(response, "id"))


def _with_usage(response: Any, usage: Any) -> Any:
    known = fields(response)
    return {**known, "usage": usage} if isinstance(known, dict) else response  # pyright: ignore[reportUnknownVariableType]


def _finish_reasons(response: Any, status: str | None, kinds: Iterable[str | None]) -> tuple[str, ...]:
    if status == "completed":
        return _STOPPED if _CALLS.isdisjoint(kinds) else ("tool_calls",)
    if status == "incomplete":
        return (text(get(response, "incomplete_details"), "reason") or status,)
    return (status,) if status is not None and status not in _UNFINISHED else ()


_STOPPED: Final = ("stop",)
_CALLS: Final = frozenset({"function_call", "custom_tool_call"})
"""Items that ask the application to call a tool."""
_WITHOUT_TOOLS: Final = frozenset({"message", "reasoning", "function_call"})
"""Items that the model itself makes. Nearly every response has no others."""


def _runs_no_tools(response: Any, kinds: Iterable[str | None], usage: Any) -> bool:
    """Return True if nothing in a response is billed besides its tokens: `_tools` and `_images` then find nothing."""
    return _WITHOUT_TOOLS.issuperset(kinds) and get(response, "tool_usage") is None and not has_counters(usage)


def _tools(call: Call, response: Any, usage: Any) -> tuple[Counts, str | None]:
    """Return what tools at the provider did, in units billed besides the tokens; and why that is incomplete, if so."""
    done, names = _done(response)
    searches = done.pop("web_searches", 0)
    counts: Counts = {}
    names += in_usage(usage, counts)
    if counts:  # by the provider's own counters, which leave out what is not billed
        return counts, unknown(names)
    names += _other_tools(response)
    billed = part(part(response, "tool_usage"), "web_search")
    counted = 0
    if billed is not None and not _previews(call, response):
        counted = searches = count(billed, "num_requests")
    put(done, "web_searches", counted)
    plural = "es" if searches != 1 else ""
    missed = None if counted == searches else f"the price of {searches} web search{plural} is not known"
    return done, both(missed, unknown(names))


def _done(response: Any) -> tuple[Counts, list[str]]:
    """Return the tool calls among the items of a response by kind, and the names of items that may be billed."""
    done: Counts = {}
    names: list[str] = []
    for item in items(response, "output"):
        name = text(item, "type")
        if name is None or name == "image_generation_call":  # `_images` reads it
            continue
        kind = COUNTED_ITEMS.get(name)
        if name == "web_search_call":
            # Opening a page and looking for something in it are not searches, and are not billed.
            if text(get(item, "action"), "type") in (None, "search") and text(item, "status") != "failed":
                put(done, "web_searches", 1)
        elif kind is not None:
            put(done, kind, 1)
        elif name not in FREE_ITEMS:
            names.append(name)
        elif text(get(item, "environment"), "type") not in (None, "local"):  # a container is billed by time
            names.append(f"{name} in a container")
    return done, names


def _other_tools(response: Any) -> list[str]:
    """Return the names of tools in `tool_usage` that are read nowhere else and whose counts are not zero."""
    used = entries(get(response, "tool_usage"))
    return [str(name) for name, entry in used.items() if name not in _READ_TOOLS and any_count(entry)]


_READ_TOOLS: Final = frozenset({"web_search", "image_gen", "file_search", "code_interpreter"})
"""Tools of `tool_usage` that are read, or whose calls are items of the output."""


def _previews(call: Call, response: Any) -> bool:
    """Return True if the searches are those of the preview tool, whose price depends on the kind of model.

    OpenAI's price list has 10 dollars per thousand for reasoning models and 25 for others; the price book has only the
    first.
    """
    tools = (*items(response, "tools"), *items(call.body, "tools"))
    return any((text(tool, "type") or "").startswith("web_search_preview") for tool in tools)


def _images(call: Call, response: Any) -> tuple[tuple[Charge, ...], str | None]:
    """Return the usage of the image model that a tool called, and why it is unknown, if so."""
    used = part(part(response, "tool_usage"), "image_gen")
    if used is not None and (count(used, "input_tokens") or count(used, "output_tokens")):
        usage, model = image_usage(used), _image_model(call, response)
        if model is None:
            return (), "the response does not say which model made its images"
        return (Charge(model=model, usage=usage),), None
    if any(text(item, "type") == "image_generation_call" for item in items(response, "output")):
        return (), "the response does not say how many tokens its generated images used"
    return (), None


def _image_model(call: Call, response: Any) -> str | None:
    for tools in (items(response, "tools"), items(call.body, "tools")):
        for tool in tools:
            if text(tool, "type") == "image_generation" and (model := text(tool, "model")):
                return model
    return None


_DELTAS: Final = frozenset(
    {
        "response.output_text.delta",
        "response.refusal.delta",
        "response.reasoning_text.delta",
        "response.reasoning_summary_text.delta",
        "response.function_call_arguments.delta",
        "response.custom_tool_call_input.delta",
        "response.mcp_call_arguments.delta",
        "response.code_interpreter_call_code.delta",
        "response.shell_call_command.delta",
        "response.audio.transcript.delta",
    }
)
_ENDS: Final = frozenset({"response.completed", "response.incomplete", "response.failed", "response.cancelled"})
_STARTS: Final = frozenset({"response.created", "response.in_progress", "response.queued"})


class ResponseReader:
    """Reads the events of one answer: the last carries the whole response."""

    __slots__ = ("_call", "_ended", "_error", "_format", "_items", "_started", "_texts")

    def __init__(self, form: Responses, call: Call) -> None:
        """Create a reader for the answer to `call`; `form` reads the whole response in it."""
        self._format = form
        self._call = call
        self._texts: list[str] = []
        self._items: list[Any] = []
        self._started: Any = None
        self._ended: Any = None
        self._error: Any = None

    @property
    def whole(self) -> Any:
        """The response in the last event; None before that event."""
        return self._ended

    def feed(self, event: Any) -> None:
        """Read one event."""
        try:
            if type(event) is dict:
                kind = event["type"]  # pyright: ignore[reportUnknownVariableType]
                if kind in _DELTAS:
                    self._texts.append(event["delta"])  # pyright: ignore[reportUnknownArgumentType]
                    return
            else:
                kind = event.type
                if kind in _DELTAS:
                    self._texts.append(event.delta)
                    return
        except Exception as error:  # an event without a type, or a delta without text, says nothing
            reraise_foreign(error)
            return
        if kind in _ENDS:
            ended = get(event, "response")
            beside = get(event, "usage")  # some gateways write it beside the response
            self._ended = ended if beside is None or get(ended, "usage") is not None else _with_usage(ended, beside)
        elif kind in _STARTS:
            self._started = get(event, "response")
        elif kind == "error":
            self._error = event
        elif kind == "response.output_item.added" and (name := text(get(event, "item"), "name")):
            self._texts.append(name)
        elif kind == "response.output_item.done":
            self._items.append(get(event, "item"))

    def so_far(self) -> SoFar:
        """Return the output up to now; only the last event has a count of it."""
        return SoFar(self._texts, ended=self._ended is not None)

    def answer(self, *, complete: bool) -> Answer:
        """Return the answer that the events up to now amount to."""
        ended = self._ended
        if ended is not None and (get(ended, "usage") is not None or text(ended, "status") == "failed"):
            return self._format.read_response(self._call, ended)
        known = self._format.read_response(self._call, ended if ended is not None else self._started)
        if self._error is not None and not self._texts:
            reason = text(self._error, "message") or text(self._error, "code") or "no reason given"
            return Answer(missing=f"the stream ended with an error: {reason}"[:120], model=known.model)
        if _in_background(self._call, self._started):
            if ended is not None:  # cancelled; a resumed stream has a part of the texts only, so nothing is estimated
                return known
            # The model goes on when its stream is not read any more.
            return _runs_on(self._started)
        model = known.model or self._call.model
        # The first event has the requested tier; only the last event has the tier that served the call.
        tools, uncounted = _tools(self._call, {"output": self._items, "tools": get(self._started, "tools")}, None)
        usage = estimate(self._call, model, self._texts, prompt_tokens_of(self._format))
        return Answer(
            usage=usage + Usage(counts=tools) if tools else usage,
            uncounted=uncounted,
            model=known.model,
            response_id=known.response_id,
            finish_reasons=known.finish_reasons if ended is not None else (),
        )


FORMAT = Responses()
