"""Real SDKs on an in-process HTTP transport: the calls that are measured, and the bodies that answer them."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import anthropic
import openai

# openai before 3 and anthropic before 2, which some of the peers need, use httpx.
if TYPE_CHECKING or find_spec("httpx2"):
    import httpx2 as httpx
else:
    import httpx

MESSAGES = [
    {"role": "system", "content": "You are a helpful assistant. " * 20},
    {"role": "user", "content": "Summarise the following text in three sentences. " * 20},
]
CHUNKS = 200

_CHAT = {
    "id": "chatcmpl_1",
    "object": "chat.completion",
    "created": 1,
    "model": "gpt-4o-mini-2024-07-18",
    "service_tier": "default",
    "system_fingerprint": "fp_1",
    "choices": [
        {
            "index": 0,
            "finish_reason": "stop",
            "message": {"role": "assistant", "content": "word " * 150},
            "logprobs": None,
        }
    ],
    "usage": {
        "prompt_tokens": 1205,
        "completion_tokens": 183,
        "total_tokens": 1388,
        "prompt_tokens_details": {"cached_tokens": 1024, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 64, "audio_tokens": 0},
    },
}
_RESPONSE = {
    "id": "resp_1",
    "object": "response",
    "created_at": 1,
    "status": "completed",
    "model": "gpt-4o-mini-2024-07-18",
    "service_tier": "default",
    "output": [
        {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "status": "completed",
            "content": [{"type": "output_text", "text": "word " * 150, "annotations": []}],
        }
    ],
    "parallel_tool_calls": True,
    "tool_choice": "auto",
    "tools": [],
    "usage": {
        "input_tokens": 1205,
        "input_tokens_details": {"cached_tokens": 1024},
        "output_tokens": 183,
        "output_tokens_details": {"reasoning_tokens": 64},
        "total_tokens": 1388,
    },
}
_MESSAGE = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "claude-sonnet-4-5-20250929",
    "content": [{"type": "text", "text": "word " * 150}],
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "usage": {
        "input_tokens": 181,
        "cache_read_input_tokens": 1024,
        "cache_creation_input_tokens": 256,
        "cache_creation": {"ephemeral_5m_input_tokens": 256, "ephemeral_1h_input_tokens": 0},
        "output_tokens": 183,
        "service_tier": "standard",
    },
}


def _sse(events: list[tuple[str | None, Any]], *, done: bool = False) -> bytes:
    lines = [(f"event: {name}\n" if name else "") + f"data: {json.dumps(data)}\n\n" for name, data in events]
    return ("".join(lines) + ("data: [DONE]\n\n" if done else "")).encode()


def _chat_stream() -> bytes:
    base = {"id": "chatcmpl_1", "object": "chat.completion.chunk", "created": 1, "model": "gpt-4o-mini-2024-07-18"}

    def chunk(delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
        return {**base, "choices": [{"index": 0, "delta": delta, "finish_reason": finish}], "usage": None}

    chunks = [chunk({"role": "assistant", "content": ""}), *(chunk({"content": "word "}) for _ in range(CHUNKS))]
    last = {**base, "choices": [], "usage": _CHAT["usage"]}
    return _sse([(None, item) for item in (*chunks, chunk({}, "stop"), last)], done=True)


def _responses_stream() -> bytes:
    deltas = [
        ("response.output_text.delta", {"type": "response.output_text.delta", "item_id": "msg_1", "output_index": 0,
         "content_index": 0, "delta": "word ", "sequence_number": n, "logprobs": []})
        for n in range(CHUNKS)
    ]  # fmt: skip
    last = ("response.completed", {"type": "response.completed", "sequence_number": CHUNKS, "response": _RESPONSE})
    return _sse([*deltas, last])


def _message_stream() -> bytes:
    usage: Any = _MESSAGE["usage"]
    start = {**_MESSAGE, "content": [], "stop_reason": None, "usage": {**usage, "output_tokens": 2}}
    deltas = [
        (
            "content_block_delta",
            {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "w "}},
        )
        for _ in range(CHUNKS)
    ]
    return _sse(
        [
            ("message_start", {"type": "message_start", "message": start}),
            ("content_block_start",
             {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}),
            *deltas,
            ("content_block_stop", {"type": "content_block_stop", "index": 0}),
            ("message_delta", {"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": None},
             "usage": {"output_tokens": 183}}),
            ("message_stop", {"type": "message_stop"}),
        ]
    )  # fmt: skip


_BODIES = {
    ("/v1/chat/completions", False): json.dumps(_CHAT).encode(),
    ("/v1/chat/completions", True): _chat_stream(),
    ("/v1/responses", False): json.dumps(_RESPONSE).encode(),
    ("/v1/responses", True): _responses_stream(),
    ("/v1/messages", False): json.dumps(_MESSAGE).encode(),
    ("/v1/messages", True): _message_stream(),
}

_NUMBERS = itertools.count(10**6)


def _answer(request: httpx.Request) -> httpx.Response:
    stream = b'"stream":true' in request.content or b'"stream": true' in request.content
    kind = "text/event-stream" if stream else "application/json"
    # Each answer has an id of its own, as a provider's have: some instrumentations keep state by it.
    content = _BODIES[request.url.path, stream].replace(b'_1"', b'_%d"' % next(_NUMBERS))
    return httpx.Response(200, headers={"content-type": kind}, content=content)


@dataclass(frozen=True, slots=True)
class Workload:
    """One kind of call; `run` makes it `n` times."""

    name: str
    run: Callable[[int], None]
    stream: Callable[[], Iterable[Any]] | None = None
    """Makes the call once, for its events; None for a call that is not streamed."""
    format: str = ""
    body: Any = None


def _loop(call: Callable[[], object]) -> Callable[[int], None]:
    def run(n: int) -> None:
        for _ in range(n):
            call()

    return run


def _gather(call: Callable[[], Any], together: int = 50) -> Callable[[int], None]:
    async def several(n: int) -> None:
        await asyncio.gather(*(call() for _ in range(n)))
        await asyncio.sleep(0)  # the event loop closes what is left of streams

    loop = asyncio.new_event_loop()

    def run(n: int) -> None:
        for _ in range(0, n, together):
            loop.run_until_complete(several(min(n, together)))

    return run


def streams_at_once() -> Workload:
    """Return streams of which 200 run in one event loop at the same time."""
    http = httpx.AsyncClient(transport=httpx.MockTransport(_answer))
    client = openai.AsyncOpenAI(api_key="none", http_client=http)
    chat: dict[str, Any] = {"model": "gpt-4o-mini", "messages": MESSAGES, "max_tokens": 400}
    usage: Any = {"include_usage": True}

    async def read() -> None:
        stream = await client.chat.completions.create(**chat, stream=True, stream_options=usage)
        async for _ in stream:
            await asyncio.sleep(0)  # the other streams go on, as with a network between

    return Workload("openai chat 200 streams at once", _gather(read, 200))


def workloads() -> list[Workload]:
    """Everything that is measured by call."""
    http = httpx.Client(transport=httpx.MockTransport(_answer))
    http_async = httpx.AsyncClient(transport=httpx.MockTransport(_answer))
    oai = openai.OpenAI(api_key="none", http_client=http)
    oai_async = openai.AsyncOpenAI(api_key="none", http_client=http_async)
    ant = anthropic.Anthropic(api_key="none", http_client=http)
    ant_async = anthropic.AsyncAnthropic(api_key="none", http_client=http_async)
    chat: dict[str, Any] = {"model": "gpt-4o-mini", "messages": MESSAGES, "temperature": 0.2, "max_tokens": 400}
    response: dict[str, Any] = {"model": "gpt-4o-mini", "input": MESSAGES, "temperature": 0.2, "max_output_tokens": 400}
    message: dict[str, Any] = {"model": "claude-sonnet-4-5", "messages": MESSAGES[1:], "max_tokens": 400}
    usage: Any = {"include_usage": True}

    def streamed(name: str, stream: Callable[[], Iterable[Any]], form: str, body: Any) -> Workload:
        return Workload(f"{name} stream 200 chunks", _loop(lambda: deque(stream(), maxlen=0)), stream, form, body)

    return [
        Workload("openai chat sync", _loop(lambda: oai.chat.completions.create(**chat))),
        Workload("openai chat async x50", _gather(lambda: oai_async.chat.completions.create(**chat))),
        streamed(
            "openai chat",
            lambda: oai.chat.completions.create(**chat, stream=True, stream_options=usage),
            "openai_chat",
            chat,
        ),
        Workload("openai responses sync", _loop(lambda: oai.responses.create(**response))),
        streamed(
            "openai responses", lambda: oai.responses.create(**response, stream=True), "openai_responses", response
        ),
        Workload("anthropic messages sync", _loop(lambda: ant.messages.create(**message))),
        Workload("anthropic messages async x50", _gather(lambda: ant_async.messages.create(**message))),
        streamed(
            "anthropic messages",
            lambda: ant.messages.create(**message, stream=True),
            "anthropic_messages",
            message,
        ),
    ]
