"""Message content: nowhere unless it is asked for, and then where it is asked for, in every shape of a call."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from anthropic import AsyncAnthropic
from google.genai import types
from openai import AsyncOpenAI

from otel_agentcost.core import semconv
from tests.calls.content.question import BRIEF, CHAT, CONTENT, CONTENTS, MESSAGE, RESPONSE, SAID, Scene
from tests.support import replies
from tests.support.call_shapes import ANSWER, instrumented, warnings_of_ours
from tests.support.model_server import Reply, json_reply, sse_reply

WEATHER = {"type": "object", "properties": {"city": {"type": "string"}}}
TOOL = {"type": "function", "name": "weather", "description": "Tells it", "parameters": WEATHER}
CALLED = {"type": "tool_call", "id": "t1", "name": "weather", "arguments": {"city": "Rome"}}


async def _all(stream: Any) -> None:
    async for _ in await stream:
        pass


async def _openai_async(scene: Scene, resource: str, ask: Mapping[str, Any], *, stream: bool) -> None:
    async with AsyncOpenAI(base_url=scene.server.url + "/v1", api_key="none", max_retries=0) as client:
        create = client.responses.create if resource == "responses" else client.chat.completions.create
        made: Any = create(**ask, stream=True) if stream else create(**ask)
        await (_all(made) if stream else made)


async def _anthropic_async(scene: Scene, *, stream: bool) -> None:
    async with AsyncAnthropic(base_url=scene.server.url, api_key="none", max_retries=0) as client:
        made: Any = client.messages.create(**MESSAGE, stream=stream)
        await (_all(made) if stream else made)


async def _gemini_async(scene: Scene, *, stream: bool) -> None:
    async with scene.gemini().aio as client:
        models = client.models
        await (_all(models.generate_content_stream(**CONTENTS)) if stream else models.generate_content(**CONTENTS))


def _raw_stream(scene: Scene) -> None:
    create = scene.openai().chat.completions.with_streaming_response.create
    with create(**CHAT, stream=True) as response:
        for _ in response.iter_bytes():
            pass


def _raw_body(scene: Scene) -> None:
    with scene.openai().chat.completions.with_streaming_response.create(**CHAT) as response:
        response.read()


def _helper(scene: Scene) -> None:
    with scene.anthropic().messages.stream(**MESSAGE) as stream:
        stream.get_final_message()


@dataclass(frozen=True, kw_only=True)
class Way:
    """One way to ask the question."""

    ask: Callable[[Scene], Any]
    reply: Reply
    finish: str = "stop"
    instructed: bool = True


_WHOLE = json_reply(replies.chat())
_STREAM = replies.chat_stream()
WAYS: dict[str, Way] = {
    "chat": Way(ask=lambda s: s.openai().chat.completions.create(**CHAT), reply=_WHOLE, instructed=False),
    "chat stream": Way(
        ask=lambda s: list(s.openai().chat.completions.create(**CHAT, stream=True)), reply=_STREAM, instructed=False
    ),
    "chat async": Way(
        ask=lambda s: asyncio.run(_openai_async(s, "chat", CHAT, stream=False)), reply=_WHOLE, instructed=False
    ),
    "chat async stream": Way(
        ask=lambda s: asyncio.run(_openai_async(s, "chat", CHAT, stream=True)), reply=_STREAM, instructed=False
    ),
    "chat raw": Way(
        ask=lambda s: s.openai().chat.completions.with_raw_response.create(**CHAT), reply=_WHOLE, instructed=False
    ),
    "chat raw stream": Way(ask=_raw_stream, reply=_STREAM, instructed=False),
    "chat streamed body": Way(ask=_raw_body, reply=_WHOLE, instructed=False),
    "responses": Way(ask=lambda s: s.openai().responses.create(**RESPONSE), reply=json_reply(replies.response())),
    "responses stream": Way(
        ask=lambda s: list(s.openai().responses.create(**RESPONSE, stream=True)), reply=replies.response_stream()
    ),
    "responses async stream": Way(
        ask=lambda s: asyncio.run(_openai_async(s, "responses", RESPONSE, stream=True)),
        reply=replies.response_stream(),
    ),
    "anthropic": Way(
        ask=lambda s: s.anthropic().messages.create(**MESSAGE), reply=json_reply(replies.message()), finish="end_turn"
    ),
    "anthropic stream": Way(
        ask=lambda s: list(s.anthropic().messages.create(**MESSAGE, stream=True)),
        reply=replies.message_stream(),
        finish="end_turn",
    ),
    "anthropic helper": Way(ask=_helper, reply=replies.message_stream(), finish="end_turn"),
    "anthropic async stream": Way(
        ask=lambda s: asyncio.run(_anthropic_async(s, stream=True)), reply=replies.message_stream(), finish="end_turn"
    ),
    "gemini": Way(ask=lambda s: s.gemini().models.generate_content(**CONTENTS), reply=json_reply(replies.content())),
    "gemini stream": Way(
        ask=lambda s: list(s.gemini().models.generate_content_stream(**CONTENTS)), reply=replies.content_stream()
    ),
    "gemini async stream": Way(
        ask=lambda s: asyncio.run(_gemini_async(s, stream=True)), reply=replies.content_stream()
    ),
}


def expected(way: Way) -> dict[str, Any]:
    """The content of a way's only exchange."""
    words = "".join(replies.WORDS) if way.reply.chunks is not None else ANSWER
    answer = {"role": "assistant", "parts": [{"type": "text", "content": words}], "finish_reason": way.finish}
    found: dict[str, Any] = {semconv.INPUT_MESSAGES: [SAID], semconv.OUTPUT_MESSAGES: [answer]}
    return {**found, semconv.SYSTEM_INSTRUCTIONS: [{"type": "text", "content": BRIEF}]} if way.instructed else found


def plain(value: Any) -> Any:
    """An event's attribute as JSON has it: the SDK freezes what it is given."""
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, Sequence) and not isinstance(value, str) else value


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_nothing_of_what_is_said_is_recorded_unless_asked_for(scene: Scene, way: Way) -> None:
    """Off by default: no content, and no word of the question or the answer in any attribute or event."""
    scene.server.replies(way.reply)
    with instrumented(scene.telemetry, logger_provider=scene.logs):
        way.ask(scene)
    given = scene.telemetry.span().to_json()
    assert not any(name in given for name in CONTENT)
    assert not any(word in given for word in ("Arthur", "brief", "Forty", "orty"))
    assert scene.events.records == []


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_content_goes_where_it_is_asked_for(scene: Scene, way: Way) -> None:
    """On the span as JSON, in one event as values beside all that the span says, or both; the event has its context."""
    for where in ("SPAN_ONLY", "EVENT_ONLY", "SPAN_AND_EVENT"):
        scene.telemetry.clear()
        scene.events.records.clear()
        scene.server.replies(way.reply)
        with warnings_of_ours() as warned, scene.capturing(where):
            way.ask(scene)
        assert warned == []
        assert scene.said() == (expected(way) if where != "EVENT_ONLY" else {})
        if where == "SPAN_ONLY":
            assert scene.events.records == []
            continue
        (event,) = scene.events.records
        span = scene.telemetry.span()
        assert event.event_name == "gen_ai.client.inference.operation.details"
        assert span.context is not None
        assert (event.trace_id, event.span_id) == (span.context.trace_id, span.context.span_id)
        attributes = plain(event.attributes)
        assert {name: attributes.pop(name) for name in CONTENT if name in attributes} == expected(way)
        others = {name: value for name, value in (span.attributes or {}).items() if name not in CONTENT}
        assert attributes == plain({name: value for name, value in others.items() if name in attributes})
        assert {semconv.COST, semconv.INPUT_TOKENS, semconv.REQUEST_MODEL, semconv.PROVIDER} <= attributes.keys()


# --- Tools ---

_ARGUMENTS = '{"city": "Rome"}'
_FUNCTION = {"name": "weather", "description": "Tells it", "parameters": WEATHER}
CHAT_TOOL: dict[str, Any] = {**CHAT, "tools": [{"type": "function", "function": _FUNCTION}]}
RESPONSE_TOOL: dict[str, Any] = {**RESPONSE, "tools": [{"type": "function", **_FUNCTION, "strict": False}]}
MESSAGE_TOOL: dict[str, Any] = {
    **MESSAGE, "tools": [{"name": "weather", "description": "Tells it", "input_schema": WEATHER}]
}  # fmt: skip
_DECLARED = types.FunctionDeclaration(name="weather", description="Tells it", parameters_json_schema=WEATHER)
CONTENTS_TOOL: dict[str, Any] = {
    **CONTENTS,
    "config": types.GenerateContentConfig(tools=[types.Tool(function_declarations=[_DECLARED])]),
}


def _chat_call() -> Reply:
    body = replies.chat()
    call = {"id": "t1", "type": "function", "function": {"name": "weather", "arguments": _ARGUMENTS}}
    body["choices"][0]["message"] = {"role": "assistant", "content": None, "tool_calls": [call]}
    return json_reply(body)


def _chat_call_stream() -> Reply:
    chunks = replies.chat_chunks(words=["x", "x", "x"])
    for chunk, said in zip(chunks[1:4], ("", '{"city":', ' "Rome"}'), strict=True):
        call: dict[str, Any] = {"index": 0, "function": {"arguments": said}}
        if not said:
            call |= {"id": "t1", "type": "function", "function": {"name": "weather", "arguments": ""}}
        chunk["choices"][0]["delta"] = {"tool_calls": [call]}
    return sse_reply(chunks, done=True)


_ITEM = {"id": "fc", "type": "function_call", "call_id": "t1", "name": "weather", "arguments": _ARGUMENTS}
_USE = {"type": "tool_use", "id": "t1", "name": "weather", "input": {"city": "Rome"}}


def _message_call_stream() -> Reply:
    events = replies.message_events()
    for event in events[1:]:
        if event["type"] == "content_block_start":
            event["content_block"] = {**_USE, "input": {}}
    deltas = [event for event in events if event["type"] == "content_block_delta"]
    for event, said in zip(deltas, ("", '{"city"', ': "Ro', 'me"}'), strict=True):
        event["delta"] = {"type": "input_json_delta", "partial_json": said}
    return sse_reply(events, named=True)


_FUNCTION_CALL = [{"functionCall": {"id": "t1", "name": "weather", "args": {"city": "Rome"}}}]
CALLS: dict[str, tuple[Callable[[Scene], Any], Reply]] = {
    "chat": (lambda s: s.openai().chat.completions.create(**CHAT_TOOL), _chat_call()),
    "chat stream": (
        lambda s: list(s.openai().chat.completions.create(**CHAT_TOOL, stream=True)),
        _chat_call_stream(),
    ),
    "responses": (
        lambda s: s.openai().responses.create(**RESPONSE_TOOL),
        json_reply(replies.response(output=[_ITEM])),
    ),
    "anthropic": (
        lambda s: s.anthropic().messages.create(**MESSAGE_TOOL),
        json_reply(replies.message(content=[_USE])),
    ),
    "anthropic stream": (
        lambda s: list(s.anthropic().messages.create(**MESSAGE_TOOL, stream=True)),
        _message_call_stream(),
    ),
    "gemini": (
        lambda s: s.gemini().models.generate_content(**CONTENTS_TOOL),
        json_reply(replies.content(parts=_FUNCTION_CALL)),
    ),
    "gemini stream": (
        lambda s: list(s.gemini().models.generate_content_stream(**CONTENTS_TOOL)),
        sse_reply([replies.content(parts=_FUNCTION_CALL)]),
    ),
}


@pytest.mark.parametrize(("ask", "reply"), CALLS.values(), ids=CALLS)
def test_tools_and_their_calls_are_written_in_one_way(scene: Scene, ask: Callable[[Scene], Any], reply: Reply) -> None:
    """A tool that is offered and a call of it, whole or in pieces, in four formats."""
    scene.server.replies(reply)
    with scene.capturing("SPAN_ONLY"):
        ask(scene)
    said = scene.said()
    assert said[semconv.TOOL_DEFINITIONS] == [TOOL]
    (message,) = said[semconv.OUTPUT_MESSAGES]
    assert message["parts"] == [CALLED]
