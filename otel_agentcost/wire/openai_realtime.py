"""OpenAI realtime: one response of a session over a WebSocket, from `response.create` to `response.done`.

The request is an event that repeats nothing of the conversation, so its body here is an object with the event, the
configuration of the session, and the tokens that the session has counted up to now (`Context`). Every count of the
usage comes with its modalities, also that of the cached tokens.
"""

# ruff: noqa: ARG002 (every format has the same methods, and not every one needs all arguments)
from __future__ import annotations

import json
from typing import Any, Final

from otel_agentcost.core import semconv
from otel_agentcost.core.call import Answer, AttributeValue, Call
from otel_agentcost.core.usage import Kind, Usage
from otel_agentcost.wire import parameters
from otel_agentcost.wire.fields import Malformed, count, get, items, need, part, text
from otel_agentcost.wire.format import CannotRewrite, Change, Format, Rewritten, Shape, SoFar
from otel_agentcost.wire.no_facets import NO_CONTENT, NO_CONVERSATION
from otel_agentcost.wire.session_context import CONTEXT_TOKENS, SOUND, Context, by_medium, estimated
from otel_agentcost.wire.token_split import Counts, input_counts, input_kind, output_kind, put, rest


class _Bound:
    """The facet `input_bound`."""

    def shape(self, body: Any) -> Shape:
        context: Context = get(body, "context") or Context()
        spoken = "audio" in modalities(body)
        added = len(json.dumps(get(body, "event"), default=str))
        outputs: frozenset[str] = frozenset({"audio"}) if spoken else frozenset()
        return Shape(context.bound + added, sounds=context.sounds, outputs=outputs)

    def image_count(self, body: Any) -> int:
        return 0


class _Rewriting:
    """The facet `rewriting`: a session keeps its model, and each response may have an output limit."""

    def rewrite(self, call: Call, path: str, change: Change) -> Rewritten:
        """Return the body with a lower limit. Raises `CannotRewrite` for another model."""
        if change.model is not None:
            raise CannotRewrite("the model of a session cannot be changed")
        body, most = dict(call.body), change.max_output_tokens
        if most is not None and (call.max_output_tokens is None or most < call.max_output_tokens):
            asked: dict[str, Any] = get(body["event"], "response") or {}
            name = next((name for name in _LIMITS if name in asked), _LIMITS[0])
            body["event"] = {**body["event"], "response": {**asked, name: most}}
        return body, path


_LIMITS: Final = ("max_output_tokens", "max_response_output_tokens")
"""The output limit, and its name in the beta version."""
_MODALITIES: Final = ("output_modalities", "modalities")


def modalities(body: Any) -> tuple[str, ...]:
    """Return the modalities in which the model answers: of the response, else of the session, else sound."""
    for source in (get(get(body, "event"), "response"), get(body, "session")):
        for name in _MODALITIES:
            if named := [each for each in items(source, name) if isinstance(each, str)]:
                return tuple(named)
    return ("audio",)


def _limit(body: Any) -> int | None:
    """Return the output limit; "inf" in the response lifts that of the session."""
    for source in (get(get(body, "event"), "response"), get(body, "session")):
        for name in _LIMITS:
            if (value := get(source, name)) is not None:
                return value if type(value) is int and value > 0 else None
    return None


_TABLE: Final[parameters.Table] = {"temperature": (semconv.REQUEST_TEMPERATURE, parameters.number)}


class Realtime(Format):
    """The format."""

    content = NO_CONTENT
    conversation = NO_CONVERSATION
    input_bound = _Bound()
    prompt_tokens = CONTEXT_TOKENS
    rewriting = _Rewriting()

    def read_request(self, body: Any, path: str) -> Call:
        """Read a request."""
        known: dict[str, AttributeValue] = {semconv.REQUEST_STREAM: True}
        known[semconv.OUTPUT_TYPE] = "speech" if "audio" in modalities(body) else "text"
        known.update(parameters.read(get(body, "session"), _TABLE))
        known.update(parameters.read(get(get(body, "event"), "response"), _TABLE))
        if (limit := _limit(body)) is not None:
            known[semconv.REQUEST_MAX_TOKENS] = limit
        if conversation := text(body, "conversation"):
            known[semconv.CONVERSATION] = conversation
        return Call(
            operation=semconv.CHAT,
            model=text(body, "model"),
            stream=True,
            max_output_tokens=limit,
            parameters=known,
            body=body,
        )

    def read_response(self, call: Call, response: Any) -> Answer:
        """Read the response of `response.done`."""
        usage: Usage | None = None
        missing: str | None = None
        try:
            counted = part(response, "usage")
            if counted is None:
                missing = _reason(response) or "the response has no usage"
            else:
                usage = _usage(counted)
        except Malformed as problem:
            missing = str(problem)
        return Answer(
            usage=usage,
            missing=missing,
            doubtful=usage is None and get(response, "usage") is not None,
            model=text(get(call.body, "session"), "model"),
            attributes=by_medium(usage),
            response_id=text(response, "id"),
            finish_reasons=_finish_reasons(response),
        )

    def open_stream(self, call: Call) -> RealtimeReader:
        """Return a reader for the events of the response to `call`."""
        return RealtimeReader(self, call)


def _usage(usage: Any) -> Usage:
    """Return the usage of a response. Raises `Malformed`."""
    need(usage, "input_tokens", "output_tokens")
    counts: Counts = {}
    unsplit = _input(counts, usage)
    produced = count(usage, "output_tokens")
    outside = part(usage, "output_token_details") or part(usage, "output_tokens_details")
    spoken, thought = count(outside, "audio_tokens"), count(outside, "reasoning_tokens")
    put(counts, "output_tokens", rest(produced, "output_tokens", spoken + thought, "its audio and reasoning tokens"))
    put(counts, output_kind("audio"), spoken)
    put(counts, "output_reasoning_tokens", thought)
    return Usage(counts=counts, unsplit=unsplit)


def _input(counts: Counts, usage: Any) -> tuple[Kind, ...]:
    prompt = count(usage, "input_tokens")
    inside = part(usage, "input_token_details") or part(usage, "input_tokens_details")
    media = {name: count(inside, f"{name}_tokens") for name in ("audio", "image")}
    cached = count(inside, "cached_tokens")
    details = part(inside, "cached_tokens_details")
    read = {name: count(details, f"{name}_tokens") for name in ("text", "audio", "image")}
    if sum(read.values()) != cached:  # only all of them together say what was cached
        return input_counts(counts, prompt, "input_tokens", {"read": cached}, media)
    words = rest(prompt, "input_tokens", sum(media.values()), "the number of audio and image tokens")
    for name, number in {"text": words, **media}.items():
        kind = "" if name == "text" else name
        fresh = rest(number, f"the number of {name} tokens", read[name], f"the number of cached {name} tokens")
        put(counts, input_kind(kind, ""), fresh)
        put(counts, input_kind(kind, "read"), read[name])
    return ()


def context_after(usage: Any) -> Context | None:
    """Return the conversation after a response, which becomes the input of the next; None without readable counts."""
    try:
        counted = _usage(usage).counts
    except Malformed:
        return None
    tokens = {"audio": 0, "image": 0, "text": 0}
    for kind, number in counted.items():
        medium = next((name for name in ("audio", "image") if name in kind), "text")
        tokens[medium] += int(number)
    return Context(**tokens)


def _reason(response: Any) -> str | None:
    """Return why a response failed; None if it did not, or does not say."""
    error = get(get(response, "status_details"), "error")
    said = text(error, "message") or text(error, "code") or text(error, "type")
    return f"the response failed: {said}"[:120] if said else None


_DONE_FOR_TOOLS: Final = ("function_call", "mcp_call")


def _finish_reasons(response: Any) -> tuple[str, ...]:
    status = text(response, "status")
    if status == "completed":
        calls = any(text(item, "type") in _DONE_FOR_TOOLS for item in items(response, "output"))
        return ("tool_calls" if calls else "stop",)
    if status in (None, "in_progress"):
        return ()
    return (text(get(response, "status_details"), "reason") or str(status),)


_WORDS: Final = (".text.delta", "_text.delta", "transcript.delta", "arguments.delta")


class RealtimeReader:
    """Reads the events of one response: the last carries the usage."""

    __slots__ = ("_call", "_ended", "_format", "_sound", "_started", "_texts")

    def __init__(self, form: Realtime, call: Call) -> None:
        """Create a reader for the response to `call`; `form` reads the last event."""
        self._format = form
        self._call = call
        self._texts: list[str] = []
        self._sound = 0
        self._started: Any = None
        self._ended: Any = None

    @property
    def whole(self) -> Any:
        """The response in the last event; None before that event."""
        return self._ended

    def feed(self, event: Any) -> None:
        """Read one event."""
        kind = text(event, "type") or ""
        if (tokens := get(event, SOUND)) is not None:
            self._sound += int(tokens)
        elif kind.endswith(_WORDS):
            self._texts += [each for each in (get(event, "delta"),) if isinstance(each, str)]
        elif kind == "response.created":
            self._started = get(event, "response")
        elif kind == "response.done":
            self._ended = get(event, "response")

    def so_far(self) -> SoFar:
        """Return the output up to now."""
        return SoFar(self._texts, self._sound, self._ended is not None)

    def answer(self, *, complete: bool) -> Answer:
        """Return the answer that the events up to now amount to."""
        answer = self._format.read_response(self._call, self._ended if self._ended is not None else self._started)
        failed = text(self._ended, "status") == "failed" and not self._texts and not self._sound
        if answer.usage is not None or answer.doubtful or failed:
            return answer
        usage = estimated(self._call, self._texts, self._sound)
        return answer._replace(usage=usage, missing=None, attributes=by_medium(usage))


FORMAT = Realtime()
