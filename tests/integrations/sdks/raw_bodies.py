"""Calls on an in-process transport whose answer is any bytes at all, compared with and without us."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import httpx2
from anthropic import Anthropic
from openai import OpenAI

from tests.integrations.sdks import anthropic_shapes, gemini_shapes, openai_other_shapes, openai_shapes
from tests.integrations.sdks.recorded_streams import SSE, Wire, gemini
from tests.support.call_shapes import instrumented, seen, warnings_of_ours
from tests.support.in_memory import Telemetry

JSON = {"content-type": "application/json"}


@dataclass(frozen=True, kw_only=True)
class Method:
    """One SDK method: how to call it with a client on a transport."""

    name: str
    call: Callable[[httpx2.MockTransport], Any]
    stream: bool = False


OPENAI = OpenAI(base_url="http://local/v1", api_key="none", max_retries=0, http_client=httpx2.Client())
ANTHROPIC = Anthropic(base_url="http://local", api_key="none", max_retries=0, http_client=httpx2.Client())


def on_openai(transport: httpx2.MockTransport) -> OpenAI:
    """An openai client on `transport`."""
    return OPENAI.with_options(http_client=httpx2.Client(transport=transport))


def on_anthropic(transport: httpx2.MockTransport) -> Anthropic:
    """An anthropic client on `transport`."""
    return ANTHROPIC.with_options(http_client=httpx2.Client(transport=transport))


CHAT = Method(name="chat", call=lambda t: on_openai(t).chat.completions.create(**openai_shapes.ASK))
RESPONSES = Method(name="responses", call=lambda t: on_openai(t).responses.create(**openai_other_shapes.RESPOND))
EMBEDDINGS = Method(
    name="embeddings", call=lambda t: on_openai(t).embeddings.create(model="text-embedding-3-small", input="x")
)
MESSAGES = Method(name="messages", call=lambda t: on_anthropic(t).messages.create(**anthropic_shapes.ASK))
GEMINI = Method(name="gemini", call=lambda t: gemini(t).models.generate_content(**gemini_shapes.ASK))
WHOLE = [CHAT, RESPONSES, EMBEDDINGS, MESSAGES, GEMINI]

CHAT_STREAM = Method(
    name="chat stream",
    call=lambda t: on_openai(t).chat.completions.create(**openai_shapes.WITH_USAGE),
    stream=True,
)
RESPONSES_STREAM = Method(
    name="responses stream",
    call=lambda t: on_openai(t).responses.create(**openai_other_shapes.RESPOND, stream=True),
    stream=True,
)
MESSAGES_STREAM = Method(
    name="messages stream",
    call=lambda t: on_anthropic(t).messages.create(**anthropic_shapes.ASK, stream=True),
    stream=True,
)
GEMINI_STREAM = Method(
    name="gemini stream",
    call=lambda t: gemini(t).models.generate_content_stream(**gemini_shapes.ASK),
    stream=True,
)
STREAMS = [CHAT_STREAM, RESPONSES_STREAM, MESSAGES_STREAM, GEMINI_STREAM]


def answer(method: Method, chunks: Sequence[bytes], headers: dict[str, str] | None = None, status: int = 200) -> Any:
    """What the application sees of one call that is answered by `chunks`, an exception included."""
    wire = Wire(chunks, headers or (SSE if method.stream else JSON), status)
    events: list[Any] = []
    try:
        result = method.call(wire.transport())
        if not method.stream:
            return seen(result), wire.handling
        for event in result:
            events.append(seen(event))  # noqa: PERF401 (what came before an error counts, too)
    except Exception as error:
        return events, seen(error), wire.handling
    return events, wire.handling


def compare(
    method: Method, chunks: Sequence[bytes], telemetry: Telemetry, headers: dict[str, str] | None = None
) -> dict[str, object]:
    """Compares a call with and without us; returns the attributes of its one span."""
    without = answer(method, chunks, headers)
    with warnings_of_ours() as warned, instrumented(telemetry):
        with_us = answer(method, chunks, headers)
    assert with_us == without
    # Counts that cannot be right are estimated, and the log says so.
    assert [line for line in warned if "contradict what was sent or received" not in line] == []
    (span,) = telemetry.spans
    given: dict[str, object] = dict(span.attributes or {})
    check_honest(given)
    return given


def check_honest(given: dict[str, object]) -> None:
    """A span has dollars that are a sane number, or the reason why it has none, or an error."""
    usd = given.get("agentcost.cost.usd")
    if usd is None:
        assert "agentcost.unpriced" in given or "error.type" in given, given
    else:
        assert isinstance(usd, float)
        assert 0 <= usd < 1e9, given
    for name in ("gen_ai.usage.input_tokens", "gen_ai.usage.output_tokens"):
        tokens = given.get(name, 0)
        assert isinstance(tokens, int)
        assert 0 <= tokens < 2**63
