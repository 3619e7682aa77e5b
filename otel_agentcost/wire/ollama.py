"""Ollama's API: chat, generate and embed, whole and streamed (https://github.com/ollama/ollama/blob/main/docs/api.md).

The last event of a stream has the counts. Versions before 2025 leave out the count of a prompt that was cached whole.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any, Final

from otel_agentcost.core import semconv
from otel_agentcost.core.call import Answer, Call, Partial
from otel_agentcost.core.usage import Kind, Usage
from otel_agentcost.wire import parameters
from otel_agentcost.wire.fields import Malformed, count, entries, get, items, text, texts
from otel_agentcost.wire.format import Change, Format, Message, Part, Rewritten, SoFar
from otel_agentcost.wire.input_bound import STORED_INPUT, BodyBound
from otel_agentcost.wire.openai_chat.content import CONTENT as CHAT_CONTENT
from otel_agentcost.wire.openai_chat.conversation import CONVERSATION as CHAT_CONVERSATION
from otel_agentcost.wire.openai_usage import error_text
from otel_agentcost.wire.prompt_tokens import PromptFields
from otel_agentcost.wire.rewriting import copied, lower, rename
from otel_agentcost.wire.token_split import Counts, put
from otel_agentcost.wire.tokenizers import count_text
from otel_agentcost.wire.transcript import Pieces, Room

__all__ = ["FORMAT", "Ollama", "OllamaReader"]

_TABLE: Final[parameters.Table] = {
    "temperature": (semconv.REQUEST_TEMPERATURE, parameters.number),
    "top_p": (semconv.REQUEST_TOP_P, parameters.number),
    "top_k": (semconv.REQUEST_TOP_K, parameters.whole),
    "num_predict": (semconv.REQUEST_MAX_TOKENS, parameters.integer),
    "frequency_penalty": (semconv.REQUEST_FREQUENCY_PENALTY, parameters.number),
    "presence_penalty": (semconv.REQUEST_PRESENCE_PENALTY, parameters.number),
    "seed": (semconv.REQUEST_SEED, parameters.integer),
    "stop": (semconv.REQUEST_STOP_SEQUENCES, parameters.strings),
}
"""The fields of `options`. A negative `num_predict` is no limit."""
_OPERATIONS: Final = {
    "chat": semconv.CHAT,
    "generate": semconv.TEXT_COMPLETION,
    "embed": semconv.EMBEDDINGS,
    "embeddings": semconv.EMBEDDINGS,
}
PROMPT_TOKENS: Final = PromptFields(messages=("messages", "prompt", "suffix", "input"))


class _Content:
    """The facet `content`: messages have the form of OpenAI's chats."""

    def system_instructions(self, body: Any) -> Iterable[Part]:
        """Return the `system` prompt of a request."""
        return [{"type": "text", "content": words} for words in texts(body, "system")]

    def tool_definitions(self, body: Any) -> Iterable[Mapping[str, Any]]:
        """Return the tools that a request offers."""
        return CHAT_CONTENT.tool_definitions(body)

    def input_messages(self, body: Any) -> Iterable[Message]:
        """Yield the messages of a request."""
        for words in texts(body, "prompt"):
            yield {"role": "user", "parts": [{"type": "text", "content": words}]}
        yield from CHAT_CONTENT.input_messages({"messages": items(body, "messages")})

    def output_messages(self, response: Any) -> Iterable[Message]:
        """Yield the answer in a response."""
        message = get(response, "message") or {"role": "assistant", "content": get(response, "response")}
        choices = [{"message": message, "finish_reason": get(response, "done_reason")}]
        return CHAT_CONTENT.output_messages({"choices": choices})

    def transcript(self) -> _Transcript:
        """Return a new collector for events."""
        return _Transcript()


class _Transcript:
    """Collects events into one message."""

    __slots__ = ("_calls", "_pieces", "_reason", "_room")

    def __init__(self) -> None:
        self._room = Room()
        self._pieces: Pieces = []
        self._calls: list[Any] = []
        self._reason: str | None = None

    def feed(self, event: Any) -> None:
        """Read one event."""
        message = get(event, "message")
        self._room.keep(self._pieces, get(message, "content") or get(event, "response"))
        self._calls += [call for call in items(message, "tool_calls") if self._room.entry()]
        self._reason = text(event, "done_reason") or self._reason

    def response(self) -> Any:
        """Return the events up to now as one response."""
        message = {"role": "assistant", "content": "".join(self._pieces), "tool_calls": self._calls}
        return {"message": message, "done_reason": self._reason}


class _Rewriting:
    """The facet `rewriting`: the limit is in `options`."""

    def rewrite(self, call: Call, path: str, change: Change) -> Rewritten:
        """Return the body and the path of the request with `change` applied. Raises `CannotRewrite`."""
        body = copied(call)
        if change.model is not None:
            rename(body, path, change.model)
        if change.max_output_tokens is not None and call.operation != semconv.EMBEDDINGS:
            body["options"] = options = dict(entries(body.get("options")))
            lower(options, ("num_predict",), change.max_output_tokens)
        return body, path


class Ollama(Format):
    """The format."""

    content = _Content()
    conversation = CHAT_CONVERSATION
    input_bound = BodyBound(stored=STORED_INPUT | {"context"})
    prompt_tokens = PROMPT_TOKENS
    rewriting = _Rewriting()

    def read_request(self, body: Any, path: str) -> Call:
        """Read a request. A stream is the default of the API, and the SDK says which it wants."""
        known = parameters.read(entries(get(body, "options")), _TABLE)
        streamed = get(body, "stream") is True
        if streamed:
            known[semconv.REQUEST_STREAM] = True
        return Call(
            operation=_OPERATIONS.get(path.rstrip("/").rpartition("/")[2], semconv.CHAT),
            model=text(body, "model"),
            stream=streamed,
            max_output_tokens=parameters.limit(known),
            parameters=known,
            body=body,
        )

    def read_response(self, call: Call, response: Any) -> Answer:
        """Read a whole response."""
        return _answer(call, response)

    def open_stream(self, call: Call) -> OllamaReader:
        """Return a reader for the events of the answer to `call`."""
        return OllamaReader(call)


def _answer(call: Call, response: Any) -> Answer:
    prompt, produced = get(response, "prompt_eval_count"), get(response, "eval_count")
    embeds = call.operation == semconv.EMBEDDINGS
    usage: Usage | None = None
    partial: Partial | None = None
    missing = None
    try:
        counts: Counts = {}
        put(counts, "input_tokens", count(response, "prompt_eval_count"))
        put(counts, "output_tokens", count(response, "eval_count"))
        if prompt is not None and (produced is not None or embeds):
            usage = Usage(counts={**counts, **_computed(response)})
        else:
            missing = error_text(response) or "the response has no usage"
            partial = Partial(prompt, produced) if error_text(response) is None else None
    except Malformed as problem:
        missing, partial = str(problem), Partial()
    reason = text(response, "done_reason")
    return Answer(
        usage=usage,
        missing=missing,
        partial=partial,
        model=text(response, "model"),
        finish_reasons=(reason,) if reason else (),
    )


def _computed(response: Any) -> Mapping[Kind, Decimal]:
    """Return the seconds that the machine took, with loading the model. A price file can have a price for them."""
    nanoseconds = count(response, "total_duration")
    return {"compute_seconds": Decimal(nanoseconds).scaleb(-9)} if nanoseconds else {}


class OllamaReader:
    """Reads the events of one answer: each has a piece of text, and the last one the counts."""

    __slots__ = ("_call", "_last", "_texts")

    def __init__(self, call: Call) -> None:
        """Create a reader of the answer to `call`."""
        self._call = call
        self._texts: list[str] = []
        self._last: Any = None

    def feed(self, event: Any) -> None:
        """Read one event."""
        self._last = event
        message = get(event, "message")
        if message is None:
            self._texts += texts(event, "response", "thinking")
            return
        self._texts += texts(message, "content", "thinking")
        for call in items(message, "tool_calls"):
            function = get(call, "function")
            self._texts += [*texts(function, "name"), str(get(function, "arguments") or "")]

    def so_far(self) -> SoFar:
        """Return the output up to now."""
        return SoFar(self._texts, 0, get(self._last, "done") is True)

    def answer(self, *, complete: bool) -> Answer:  # noqa: ARG002 (every reader has the same methods)
        """Return the answer that the events up to now amount to."""
        answer = _answer(self._call, self._last)
        if answer.usage is not None or get(self._last, "done") is True or error_text(self._last) is not None:
            return answer
        counts: Counts = {}
        put(counts, "input_tokens", PROMPT_TOKENS.count(self._call.body, self._call.model))
        put(counts, "output_tokens", count_text("".join(self._texts), self._call.model))
        return Answer(usage=Usage(counts=counts, estimated=True), model=answer.model)


FORMAT = Ollama()
