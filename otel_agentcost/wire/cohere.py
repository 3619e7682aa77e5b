"""Cohere's API, versions 1 and 2: chat, generate, summarize, embed and classify.

Cohere bills the billed units, which leave out the tokens of its own instructions: they are the usage. What else they
count (searches of connectors, images, classifications) has no price in the book, and is named.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from otel_agentcost.core import semconv
from otel_agentcost.core.call import Answer, Call, Partial
from otel_agentcost.core.usage import Usage
from otel_agentcost.wire import parameters
from otel_agentcost.wire.fields import Malformed, count, entries, fields, get, items, part, text, texts
from otel_agentcost.wire.format import Change, Format, Message, Part, Rewritten, SoFar
from otel_agentcost.wire.input_bound import STORED_INPUT, BodyBound
from otel_agentcost.wire.openai_chat.content import CONTENT as CHAT_CONTENT
from otel_agentcost.wire.openai_chat.conversation import CONVERSATION as CHAT_CONVERSATION
from otel_agentcost.wire.openai_usage import error_text
from otel_agentcost.wire.prompt_tokens import PromptFields
from otel_agentcost.wire.provider_tools import unknown
from otel_agentcost.wire.rewriting import NO_OTHER_VECTORS, FieldRewriting, NoRewriting
from otel_agentcost.wire.token_split import Counts, put
from otel_agentcost.wire.tokenizers import count_text
from otel_agentcost.wire.transcript import Pieces, Room

__all__ = ["FORMAT", "Cohere", "CohereReader"]

_TABLE: Final[parameters.Table] = {
    "temperature": (semconv.REQUEST_TEMPERATURE, parameters.number),
    "p": (semconv.REQUEST_TOP_P, parameters.number),
    "k": (semconv.REQUEST_TOP_K, parameters.whole),
    "max_tokens": (semconv.REQUEST_MAX_TOKENS, parameters.integer),
    "frequency_penalty": (semconv.REQUEST_FREQUENCY_PENALTY, parameters.number),
    "presence_penalty": (semconv.REQUEST_PRESENCE_PENALTY, parameters.number),
    "seed": (semconv.REQUEST_SEED, parameters.integer),
    "stop_sequences": (semconv.REQUEST_STOP_SEQUENCES, parameters.strings),
    "num_generations": (semconv.REQUEST_CHOICES, parameters.several),
    "stream": (semconv.REQUEST_STREAM, parameters.yes),
}
_OPERATIONS: Final = {
    "chat": semconv.CHAT,
    "generate": semconv.TEXT_COMPLETION,
    "summarize": semconv.TEXT_COMPLETION,
    "embed": semconv.EMBEDDINGS,
    "classify": "classify",
}
"""Operations by the end of the path."""
_INPUTS: Final = ("messages", "message", "chat_history", "preamble", "prompt", "text", "texts", "inputs", "documents")
PROMPT_TOKENS: Final = PromptFields(messages=_INPUTS)
_NOT_TOKENS: Final = {
    "search_units": "search units",
    "images": "images",
    "image_tokens": "image tokens",
    "classifications": "classifications",
}
"""Billed units that are no tokens of text, and their names for people
(https://docs.cohere.com/reference/chat, `meta.billed_units`)."""


class _Content:
    """The facet `content`: messages of version 2 have the form of OpenAI's chats, those of version 1 are texts."""

    def system_instructions(self, body: Any) -> Iterable[Part]:
        """Return the preamble of a request."""
        return [{"type": "text", "content": words} for words in texts(body, "preamble")]

    def tool_definitions(self, body: Any) -> Iterable[Mapping[str, Any]]:
        """Return the tools that a request offers."""
        return CHAT_CONTENT.tool_definitions(body)

    def input_messages(self, body: Any) -> Iterable[Message]:
        """Yield the messages of a request."""
        for message in items(body, "chat_history"):
            role = _ROLES.get(str(get(message, "role")).upper(), "user")
            yield {"role": role, "parts": [{"type": "text", "content": get(message, "message")}]}
        for words in texts(body, "message", "prompt", "text"):
            yield {"role": "user", "parts": [{"type": "text", "content": words}]}
        yield from CHAT_CONTENT.input_messages({"messages": items(body, "messages")})

    def output_messages(self, response: Any) -> Iterable[Message]:
        """Yield the answers in a response."""
        message = get(response, "message") or {"role": "assistant", "content": get(response, "text")}
        choices = [{"message": message, "finish_reason": get(response, "finish_reason")}]
        generated = [{"message": {"role": "assistant", "content": each}} for each in _generations(response)]
        return CHAT_CONTENT.output_messages({"choices": generated or choices})

    def transcript(self) -> _Transcript:
        """Return a new collector for events."""
        return _Transcript()


_ROLES: Final = {"CHATBOT": "assistant", "SYSTEM": "system", "TOOL": "tool"}


def _generations(response: Any) -> list[str]:
    return [words for each in items(response, "generations") if (words := text(each, "text"))]


class _Transcript:
    """Collects events into one message."""

    __slots__ = ("_pieces", "_reason", "_room")

    def __init__(self) -> None:
        self._room = Room()
        self._pieces: Pieces = []
        self._reason: str | None = None

    def feed(self, event: Any) -> None:
        """Read one event."""
        for words in _texts_of(event):
            self._room.keep(self._pieces, words)
        self._reason = text(get(event, "delta") or event, "finish_reason") or self._reason

    def response(self) -> Any:
        """Return the events up to now as one response."""
        return {"text": "".join(self._pieces), "finish_reason": self._reason}


class _Rewriting:
    """The facet `rewriting`."""

    def rewrite(self, call: Call, path: str, change: Change) -> Rewritten:
        """Return the body and the path of the request with `change` applied. Raises `CannotRewrite`."""
        if call.operation in (semconv.CHAT, semconv.TEXT_COMPLETION):
            return _LIMITED.rewrite(call, path, change)
        return _VECTORS.rewrite(call, path, change)


_LIMITED: Final = FieldRewriting(("max_tokens",), thinking=(("thinking", "token_budget"),))
_VECTORS: Final = NoRewriting(NO_OTHER_VECTORS)


class Cohere(Format):
    """The format."""

    content = _Content()
    conversation = CHAT_CONVERSATION
    input_bound = BodyBound(stored=STORED_INPUT | {"connectors", "conversation_id"})
    prompt_tokens = PROMPT_TOKENS
    rewriting = _Rewriting()

    def read_request(self, body: Any, path: str) -> Call:
        """Read a request."""
        known = parameters.read(body, _TABLE)
        choices = known.get(semconv.REQUEST_CHOICES, 1)
        return Call(
            operation=_OPERATIONS.get(path.rstrip("/").rpartition("/")[2], semconv.CHAT),
            model=text(body, "model"),
            stream=semconv.REQUEST_STREAM in known,
            max_output_tokens=parameters.limit(known),
            choices=choices if isinstance(choices, int) else 1,
            parameters=known,
            body=body,
        )

    def read_response(self, call: Call, response: Any) -> Answer:  # noqa: ARG002 (the methods of every format)
        """Read a whole response."""
        return _answer(fields(response), text(response, "finish_reason"))

    def open_stream(self, call: Call) -> CohereReader:
        """Return a reader for the events of the answer to `call`."""
        return CohereReader(call)


def _answer(response: Any, reason: str | None) -> Answer:
    usage: Usage | None = None
    uncounted = missing = None
    partial: Partial | None = None
    counted = get(response, "usage") if get(response, "usage") is not None else get(response, "meta")
    try:
        billed, plain = part(counted, "billed_units"), part(counted, "tokens")
        if billed is None and plain is None:
            missing = error_text(response) or "the response has no usage"
        else:
            units: Any = plain if billed is None else billed
            usage, uncounted = _usage(units), unknown(_other_units(entries(units)))
    except Malformed as problem:
        missing, partial = str(problem), Partial()
    return Answer(
        usage=usage,
        missing=missing,
        partial=partial,
        uncounted=uncounted,
        response_id=text(response, "id") or text(response, "response_id"),
        finish_reasons=(reason,) if reason else (),
    )


def _usage(units: Any) -> Usage:
    """Return the usage in billed units. Raises `Malformed`."""
    counts: Counts = {}
    put(counts, "input_tokens", count(units, "input_tokens"))
    put(counts, "output_tokens", count(units, "output_tokens"))
    return Usage(counts=counts)


def _other_units(units: Mapping[str, Any]) -> list[str]:
    return [_NOT_TOKENS.get(name, name) for name, number in units.items() if number and name not in _TOKENS]


_TOKENS: Final = frozenset({"input_tokens", "output_tokens"})


def _texts_of(event: Any) -> list[str]:
    """Return the pieces of output in an event: words, thoughts, plans and calls of tools."""
    message = get(get(event, "delta"), "message")
    if message is None:  # version 1
        call = get(event, "tool_call_delta")
        return [*texts(event, "text"), *texts(call, "name", "parameters", "text")]
    content, called = get(message, "content"), get(get(message, "tool_calls"), "function")
    return [*texts(content, "text", "thinking"), *texts(message, "tool_plan"), *texts(called, "name", "arguments")]


class CohereReader:
    """Reads the events of one answer. The last one has the billed units."""

    __slots__ = ("_call", "_id", "_last", "_reason", "_texts")

    def __init__(self, call: Call) -> None:
        """Create a reader of the answer to `call`."""
        self._call = call
        self._texts: list[str] = []
        self._id: str | None = None
        self._reason: str | None = None
        self._last: Any = None

    def feed(self, event: Any) -> None:
        """Read one event."""
        inner = get(event, "response")  # version 1: the end has the whole response
        ended = get(event, "delta") if inner is None else inner
        self._id = self._id or text(event, "id") or text(inner, "response_id")
        self._reason = text(ended, "finish_reason") or text(event, "finish_reason") or self._reason
        if get(ended, "usage") is not None or get(ended, "meta") is not None:
            self._last = ended
        if inner is None:
            self._texts += _texts_of(event)

    def so_far(self) -> SoFar:
        """Return the output up to now."""
        return SoFar(self._texts, 0, self._reason is not None)

    def answer(self, *, complete: bool) -> Answer:  # noqa: ARG002 (every reader has the same methods)
        """Return the answer that the events up to now amount to."""
        reasons = (self._reason,) if self._reason else ()
        if self._last is not None:
            answer = _answer(fields(self._last), self._reason)
            if answer.usage is not None or answer.partial is not None:
                return Answer(
                    usage=answer.usage,
                    missing=answer.missing,
                    partial=answer.partial,
                    uncounted=answer.uncounted,
                    response_id=self._id,
                    finish_reasons=reasons,
                )
        counts: Counts = {}
        put(counts, "input_tokens", PROMPT_TOKENS.count(self._call.body, self._call.model))
        put(counts, "output_tokens", count_text("".join(self._texts), self._call.model))
        return Answer(usage=Usage(counts=counts, estimated=True), response_id=self._id, finish_reasons=reasons)


FORMAT = Cohere()
