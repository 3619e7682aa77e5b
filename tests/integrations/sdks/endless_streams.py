"""Answers that go on and on, in each format and read in each way: what `test_cut_off.py` cuts off."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from typing import Any, overload

from otel_agentcost import BudgetExceeded
from tests.integrations.sdks import anthropic_shapes, gemini_shapes, openai_shapes
from tests.support.model_server import Reply, sse_event
from tests.support.replies import chat_chunks, content, message_events, response_events

PROSE = "The river runs on and on past the mill, under two old bridges, and nobody asks it to stop.\n"
WORDS = [f" {word}" for word in islice(cycle(PROSE.split(" ")), 2500)]
"""One token each, or two."""
SMALL = {"input_tokens": 10, "output_tokens": 2}


class Flow(Sequence["bytes | float"]):
    """The chunks of a reply, which knows how many of them the server has sent when the connection is closed."""

    def __init__(self, events: Sequence[Any], *, named: bool = False, pause: float = 0.0005) -> None:
        self._chunks = [sse_event(event, named=named) for event in events]
        self._pause = pause
        self.sent = 0
        self.over = threading.Event()

    @overload
    def __getitem__(self, index: int) -> bytes: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[bytes]: ...
    def __getitem__(self, index: int | slice) -> bytes | Sequence[bytes]:
        return self._chunks[index]

    def __len__(self) -> int:
        return len(self._chunks)

    def __iter__(self) -> Iterator[bytes | float]:
        try:
            for chunk in self._chunks:
                self.sent += 1
                yield chunk
                yield self._pause
        finally:  # sent, or the connection is gone
            self.over.set()

    @property
    def reply(self) -> Reply:
        """A stream of these chunks."""
        return Reply(content_type="text/event-stream", chunks=self)


# --- The events ---


def chat(words: Sequence[str]) -> list[Any]:
    """Of a chat completion."""
    return chat_chunks(words=words)


def choices(words: Sequence[str]) -> list[Any]:
    """Of a chat completion with two choices, by turns."""
    chunks = chat_chunks(words=words)
    for number, chunk in enumerate(chunks):
        chunk["choices"][0]["index"] = number % 2
    return chunks


def tool_call(words: Sequence[str]) -> list[Any]:
    """Of a chat completion that calls a tool."""
    chunks = chat_chunks(words=words)
    for chunk, word in zip(chunks[1:-1], words, strict=True):
        call = {"index": 0, "id": "call_1", "type": "function", "function": {"name": None, "arguments": word}}
        chunk["choices"][0]["delta"] = {"tool_calls": [call]}
    return chunks


def _filled(events: list[Any], kind: str, name: str, words: Sequence[str], *path: str) -> list[Any]:
    """`events`, in which those of a `kind` are replaced by one for each of the words."""
    first = next(number for number, event in enumerate(events) if event["type"] == kind)
    after = next(number for number in range(first, len(events)) if events[number]["type"] != kind)

    def event(word: str) -> Any:
        inner: Any = {**events[first], name: word}
        return {**events[first], path[0]: {**events[first][path[0]], name: word}} if path else inner

    return [*events[:first], *map(event, words), *events[after:]]


def responses(words: Sequence[str]) -> list[Any]:
    """Of a response."""
    return _filled(response_events(), "response.output_text.delta", "delta", words)


def messages(words: Sequence[str]) -> list[Any]:
    """Of a message."""
    return _filled(message_events(SMALL), "content_block_delta", "text", words, "delta")


def thoughts(words: Sequence[str]) -> list[Any]:
    """Of a message that is still thinking."""
    block = {"type": "thinking", "thinking": "", "signature": ""}
    events = [{**e, "content_block": block} if e["type"] == "content_block_start" else e for e in message_events(SMALL)]
    events = [e if e["type"] != "content_block_delta" else {**e, "delta": {"type": "thinking_delta"}} for e in events]
    return _filled(events, "content_block_delta", "thinking", words, "delta")


def gemini(words: Sequence[str]) -> list[Any]:
    """Of a generation that says nothing of its tokens."""
    chunks = [content(None, parts=[{"text": word}]) for word in words]
    for chunk in chunks[:-1]:
        del chunk["candidates"][0]["finishReason"]
    return chunks


def counted(words: Sequence[str]) -> list[Any]:
    """Of a generation that counts as it goes: three tokens a word, hidden thoughts among them."""
    chunks = gemini(words)
    for number, chunk in enumerate(chunks, 1):
        chunk["usageMetadata"] = {
            "promptTokenCount": 10,
            "candidatesTokenCount": number,
            "thoughtsTokenCount": 2 * number,
        }
    return chunks


# --- The ways to read them ---

STREAM = openai_shapes.STREAM
MESSAGE: dict[str, Any] = {**anthropic_shapes.ASK, "max_tokens": None}
"""Without the limit that the API itself insists on: gateways do not."""
MESSAGE_STREAM: dict[str, Any] = {**MESSAGE, "stream": True}
Words = Callable[[Any], Iterator[Any]]


class Application:
    """Reads a stream, and sees it end with `BudgetExceeded`; everything of the SDK's is still open then."""

    def __init__(self, flow: Flow) -> None:
        self._flow = flow
        self.got: list[Any] = []
        """Pieces of text, or of bytes."""
        self.closed = False
        """Whether the provider saw the connection closed, before the application closed anything."""
        self.goes_on = True
        """Whether a stream that was cut off has more."""

    def read(self, events: Any, words: Words) -> None:
        """Keeps what is said in `events`."""
        try:
            for event in events:
                self.got.extend(words(event))
        except BudgetExceeded:
            self.closed = self._flow.over.wait(5)
            self.goes_on = next(iter(events), None) is not None
            raise

    async def read_async(self, events: Any, words: Words) -> None:
        """`read` for an asynchronous stream."""
        try:
            async for event in events:
                self.got.extend(words(event))
        except BudgetExceeded:
            self.closed = await asyncio.to_thread(self._flow.over.wait, 5)
            self.goes_on = await anext(aiter(events), None) is not None
            raise

    @property
    def text(self) -> str:
        """All text that the application got."""
        if not self.got or isinstance(self.got[0], str):
            return "".join(self.got)
        lines = b"".join(self.got).split(b"\n")
        events = [json.loads(line[5:]) for line in lines if line.startswith(b"data:")]
        deltas = [choice["delta"].get("content") for event in events for choice in event.get("choices", ())]
        deltas += [event["delta"]["text"] for event in events if event.get("type") == "content_block_delta"]
        return "".join(delta or "" for delta in deltas)


Read = Callable[[Any, Application], Any]


def chat_text(chunk: Any) -> Iterator[str]:
    """The words in a chunk of a chat completion."""
    for choice in chunk.choices:
        yield choice.delta.content or ""
        yield from (call.function.arguments or "" for call in choice.delta.tool_calls or ())


def event_text(event: Any) -> Iterator[str]:
    """The words in an event of a response or a message, or of a helper that adds such up."""
    delta = getattr(event, "delta", "")
    if event.type in ("response.output_text.delta", "content.delta"):
        yield delta
    elif event.type == "content_block_delta":
        yield getattr(delta, "text", "") or getattr(delta, "thinking", "")


def generated_text(chunk: Any) -> Iterator[str]:
    """The words in a chunk of a generation."""
    yield chunk.text or ""


def itself(piece: Any) -> Iterator[Any]:
    """A piece of text, or of bytes."""
    yield piece


def line_of(line: str) -> Iterator[bytes]:
    """A line of an event stream."""
    yield line.encode() + b"\n"


def reading(ask: Callable[[Any], Any], words: Words, part: Callable[[Any], Any] = lambda entered: entered) -> Read:
    """Reads (a part of) what `ask` returns: a stream, or a context manager of one."""

    def read(client: Any, application: Application) -> None:
        stream = ask(client)
        if hasattr(stream, "_iterator") or not hasattr(stream, "__enter__"):
            application.read(stream, words)
            return
        with stream as entered:
            application.read(part(entered), words)

    return read


def reading_async(
    ask: Callable[[Any], Any], words: Words, part: Callable[[Any], Any] = lambda entered: entered
) -> Read:
    """`reading` for an asynchronous client."""

    async def read(client: Any, application: Application) -> None:
        stream = ask(client)
        if not hasattr(stream, "__aenter__"):
            await application.read_async(await stream, words)
            return
        async with stream as entered:
            await application.read_async(part(entered), words)

    return read


@dataclass(frozen=True, kw_only=True)
class Outrun:
    """One way to read an answer that goes on and on."""

    name: str
    events: Callable[[Sequence[str]], list[Any]]
    run: Callable[[str, Application], Any]
    """Takes the server's address."""
    named: bool = False
    per_word: int = 0
    """The tokens that the stream itself counts for each word; 0 where it does not count."""


def openai(name: str, events: Any, read: Read, **more: Any) -> Outrun:
    """A way of the openai SDK's."""
    return Outrun(name=f"openai {name}", events=events, run=_run(openai_shapes.sync, read), **more)


def openai_async(name: str, events: Any, read: Read, **more: Any) -> Outrun:
    """The same, asynchronous."""
    return Outrun(name=f"openai async {name}", events=events, run=_run(openai_shapes.asynchronous, read), **more)


def anthropic(name: str, events: Any, read: Read) -> Outrun:
    """A way of the anthropic SDK's."""
    return Outrun(name=f"anthropic {name}", events=events, run=_run(anthropic_shapes.sync, read), named=True)


def anthropic_async(name: str, events: Any, read: Read) -> Outrun:
    """The same, asynchronous."""
    run = _run(anthropic_shapes.asynchronous, read)
    return Outrun(name=f"anthropic async {name}", events=events, run=run, named=True)


def google(name: str, events: Any, per_word: int = 0) -> tuple[Outrun, Outrun]:
    """The ways of google-genai's."""
    read = reading(lambda client: client.models.generate_content_stream(**gemini_shapes.ASK), generated_text)
    read_async = reading_async(
        lambda client: client.models.generate_content_stream(**gemini_shapes.ASK), generated_text
    )
    run, run_async = _run(gemini_shapes.sync, read), _run(gemini_shapes.asynchronous, read_async)
    return (
        Outrun(name=f"gemini {name}", events=events, run=run, per_word=per_word),
        Outrun(name=f"gemini async {name}", events=events, run=run_async, per_word=per_word),
    )


def _run(client: Any, read: Read) -> Callable[[str, Application], Any]:
    return lambda url, application: client(lambda made: read(made, application))(url)
