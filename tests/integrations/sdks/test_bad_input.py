"""Whatever a provider answers, the application sees what it would see without us, and no dollars are made up."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import openai
import pytest

from tests.integrations.sdks.openai_shapes import QUESTION
from tests.integrations.sdks.raw_bodies import (
    CHAT,
    EMBEDDINGS,
    GEMINI,
    MESSAGES,
    RESPONSES,
    STREAMS,
    WHOLE,
    Method,
    answer,
    compare,
    on_openai,
)
from tests.support.call_shapes import instrumented, warnings_of_ours
from tests.support.in_memory import Telemetry
from tests.support.model_server import sse_event
from tests.support.replies import (
    CACHED,
    MESSAGE_CACHED,
    RESPONSE_CACHED,
    chat,
    chat_chunks,
    content,
    message,
    message_events,
    response,
    response_events,
)
from tests.support.replies import GEMINI as GEMINI_USAGE

pytestmark = pytest.mark.filterwarnings(
    "ignore:The model .* is deprecated:DeprecationWarning", "ignore:Pydantic serializer warnings"
)

BODIES: dict[str, bytes] = {
    "empty": b"",
    "cut off": b'{"id": "1", "usage": {"prompt',
    "null": b"null",
    "a list": b"[]",
    "a list of objects": b'[{"usage": {"prompt_tokens": 1}}]',
    "a text": b'"done"',
    "a number": b"42",
    "an empty object": b"{}",
    "not UTF-8": b'{"id": "\xff\xfe"}',
    "deeply nested": b'{"usage":' + b"[" * 400 + b"]" * 400 + b"}",
    "an error with status 200": b'{"error": {"message": "no", "type": "x", "code": 1}}',
    "only a usage": b'{"usage": {}}',
    "repeated keys": b'{"usage": 1, "usage": {"prompt_tokens": 1, "completion_tokens": 1}}',
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES.keys())
@pytest.mark.parametrize("method", WHOLE, ids=lambda method: method.name)
def test_body_that_is_no_answer(method: Method, body: bytes, telemetry: Telemetry) -> None:
    """A body that is not what the API promises reaches the application unchanged, and costs nothing that we know of."""
    given = compare(method, [body], telemetry)
    if body != BODIES["repeated keys"]:
        assert "agentcost.cost.usd" not in given


@pytest.mark.parametrize("method", WHOLE, ids=lambda method: method.name)
def test_web_page_with_status_200(method: Method, telemetry: Telemetry) -> None:
    """A proxy's login page reaches the application unchanged."""
    page = [b"<!doctype html><title>Log in</title>"]
    assert "agentcost.cost.usd" not in compare(method, page, telemetry, {"content-type": "text/html"})


WRONG: dict[str, Any] = {
    "negative": -1,
    "huge": 10**30,
    "text": "12",
    "a fraction": 1.5,
    "a boolean": True,
    "a list": [1],
    "an object": {"n": 1},
    "infinite": 1e400,
}
Make = Callable[[Any], Any]
COUNTS: list[tuple[Method, Make, dict[str, Any], str]] = [
    (CHAT, chat, CACHED, "prompt_tokens"),
    (CHAT, chat, CACHED, "completion_tokens"),
    (RESPONSES, response, RESPONSE_CACHED, "input_tokens"),
    (MESSAGES, message, MESSAGE_CACHED, "output_tokens"),
    (MESSAGES, message, MESSAGE_CACHED, "cache_read_input_tokens"),
    (GEMINI, content, GEMINI_USAGE, "promptTokenCount"),
]

COERCED = {
    "completion_tokens": "gen_ai.usage.output_tokens",
    "cache_read_input_tokens": "gen_ai.usage.cache_read.input_tokens",
}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG.keys())
@pytest.mark.parametrize(("method", "make", "usage", "field"), COUNTS, ids=[f"{c[0].name} {c[3]}" for c in COUNTS])
def test_count_that_is_no_count(
    method: Method, make: Make, usage: dict[str, Any], field: str, wrong: Any, telemetry: Telemetry
) -> None:
    """A token count that is not one is not believed: the call is estimated and marked, or unpriced with the count."""
    body = json.dumps(make({**usage, field: wrong})).encode()
    given = compare(method, [body], telemetry)
    if wrong in ("12", True) and "agentcost.cost.usd" in given and "agentcost.usage.estimated" not in given:
        # The SDK itself reads these as numbers, and the application sees them as such.
        assert given[COERCED[field]] == int(wrong)
    elif "error.type" not in given and "agentcost.usage.estimated" not in given:  # google-genai itself refuses some
        assert "agentcost.cost.usd" not in given
        assert field in str(given["agentcost.unpriced"])


WRONG_TYPE: dict[str, Any] = {"a text": "much", "a number": 3, "a list": []}


@pytest.mark.parametrize("usage", WRONG_TYPE.values(), ids=WRONG_TYPE.keys())
@pytest.mark.parametrize(
    ("method", "make"),
    [(CHAT, chat), (RESPONSES, response), (MESSAGES, message), (GEMINI, content)],
    ids=["chat", "responses", "messages", "gemini"],
)
def test_usage_that_is_no_usage(method: Method, make: Make, usage: Any, telemetry: Telemetry) -> None:
    """An answer with a usage of the wrong type is unpriced with a reason (F11), and no error.

    Null and an empty object are estimated: tests/calls/test_implausible_counts.py.
    """
    given = compare(method, [json.dumps(make(usage)).encode()], telemetry)
    assert "agentcost.cost.usd" not in given
    if "error.type" not in given:
        assert "usage" in str(given["agentcost.unpriced"])


def test_cached_tokens_beyond_the_input_are_not_billed_negative(telemetry: Telemetry) -> None:
    """Counts that contradict each other are not believed: the tokens are estimated."""
    usage = {**CACHED, "prompt_tokens_details": {"cached_tokens": 5000}}
    given = compare(CHAT, [json.dumps(chat(usage)).encode()], telemetry)
    assert given["agentcost.usage.estimated"] is True
    assert 0 < float(str(given["agentcost.cost.usd"])) < 0.001


def test_unknown_model_is_unpriced_not_free(telemetry: Telemetry) -> None:
    """A model without a price says so, keeps its tokens, and counts in the metric of unpriced calls."""
    ask = Method(
        name="unknown",
        call=lambda t: on_openai(t).chat.completions.create(model="made-up-model", messages=QUESTION),
    )
    given = compare(ask, [json.dumps(chat(model="made-up-model")).encode()], telemetry)
    assert given["gen_ai.usage.input_tokens"] == 100
    assert "agentcost.cost.usd" not in given
    assert "made-up-model" in str(given["agentcost.unpriced"])
    assert telemetry.total("agentcost.unpriced.calls") == 1
    assert telemetry.points("agentcost.cost") == ()


EVENTS: dict[str, list[bytes]] = {
    "nothing": [],
    "no events": [b"\n\n\n"],
    "not JSON": [b"data: {oops\n\n"],
    "null": [b"data: null\n\n"],
    "a list": [b"data: []\n\n"],
    "a number": [b"data: 7\n\n"],
    "an empty object": [b"data: {}\n\n", b"data: {}\n\n"],
    "a comment": [b": keep-alive\n\n"],
    "only [DONE]": [b"data: [DONE]\n\n"],
    "not UTF-8": [b'data: {"a": "\xff"}\n\n'],
    "no line end": [b'data: {"id": "x"}'],
}


@pytest.mark.parametrize("events", EVENTS.values(), ids=EVENTS.keys())
@pytest.mark.parametrize("method", STREAMS, ids=lambda method: method.name)
def test_stream_that_is_no_stream(method: Method, events: list[bytes], telemetry: Telemetry) -> None:
    """Events that are not what the API promises reach the application unchanged."""
    compare(method, events, telemetry)


MIXED: dict[str, list[bytes]] = {
    "chat": [sse_event(event) for event in chat_chunks(CACHED)],
    "responses": [sse_event(event, named=True) for event in response_events()],
    "messages": [sse_event(event, named=True) for event in message_events()],
    "gemini": [sse_event(content())],
}


@pytest.mark.parametrize("events", MIXED.values(), ids=MIXED.keys())
@pytest.mark.parametrize("method", STREAMS, ids=lambda method: method.name)
def test_stream_of_another_provider(method: Method, events: list[bytes], telemetry: Telemetry) -> None:
    """The events of one provider through the SDK of another, as a misconfigured gateway sends them, break nothing."""
    compare(method, events, telemetry)


@pytest.mark.parametrize("status", [400, 401, 404, 429, 500, 529])
@pytest.mark.parametrize("method", [*WHOLE, *STREAMS], ids=lambda method: method.name)
def test_error_status_passes_unchanged(method: Method, status: int, telemetry: Telemetry) -> None:
    """A provider's refusal reaches the application as the SDK's own exception, costs nothing, and is on the span."""
    body = [b'{"error": {"message": "no", "type": "x", "code": "y"}}']
    headers = {"content-type": "application/json", "x-request-id": "r1"}
    without = answer(method, body, headers, status)
    with warnings_of_ours() as warned, instrumented(telemetry):
        with_us = answer(method, body, headers, status)
    assert with_us == without
    assert warned == []
    (span,) = telemetry.spans
    given = dict(span.attributes or {})
    assert span.status.status_code.name == "ERROR"
    assert given["error.type"] == with_us[1][0]
    assert "agentcost.unpriced" not in given
    assert "agentcost.cost.usd" not in given
    assert telemetry.points("agentcost.unpriced.calls") == ()


def test_one_warning_a_cause(telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch) -> None:
    """An SDK whose internals have changed works on, unmeasured, and that is logged once and not once a call."""
    body = [json.dumps(chat()).encode()]
    without = answer(CHAT, body)
    changed = property(gone, lambda client, url: vars(client).__setitem__("_base_url", url))
    monkeypatch.setattr(openai.OpenAI, "_base_url", changed, raising=False)
    with warnings_of_ours() as warned, instrumented(telemetry):
        assert [answer(CHAT, body) for _ in range(3)] == [without] * 3
    assert len(warned) == 1
    assert "reading a request" in warned[0]


def gone(client: Any) -> Any:
    """Stands where the seam reads an attribute that the SDK has renamed: it fails for us and works for the SDK."""
    import sys

    if sys._getframe(1).f_globals["__name__"].startswith("otel_agentcost"):
        raise AttributeError("'OpenAI' object has no attribute '_base_url'")
    return vars(client)["_base_url"]


def test_embeddings_raw_response_without_a_model(telemetry: Telemetry) -> None:
    """An embedding whose response names no model is priced by the model that was asked for."""
    body = {"object": "list", "data": [{"embedding": [1.0]}], "usage": {"prompt_tokens": 8, "total_tokens": 8}}
    given = compare(EMBEDDINGS, [json.dumps(body).encode()], telemetry)
    assert given["agentcost.cost.usd"] == 0.00000016
