"""Message content in the conventions' form, from every format that has messages."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given

from otel_agentcost.wire import content, load
from tests.wire import genai_prices_usage
from tests.wire.test_fuzz import BOUNDED, objects

SAID = {"role": "user", "parts": [{"type": "text", "content": "Weather in Rome?"}]}
CALL = {"type": "tool_call", "id": "t1", "name": "weather", "arguments": {"city": "Rome"}}
RESULT = {"type": "tool_call_response", "id": "t1", "response": "sunny"}
BODIES: dict[str, Any] = {
    "openai_chat": {
        "messages": [
            {"role": "user", "content": "Weather in Rome?"},
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [{"id": "t1", "function": {"name": "weather", "arguments": '{"city": "Rome"}'}}],
            },
            {"role": "tool", "tool_call_id": "t1", "content": "sunny"},
        ]
    },
    "openai_responses": {
        "input": [
            {"role": "user", "content": [{"type": "input_text", "text": "Weather in Rome?"}]},
            {"type": "function_call", "call_id": "t1", "name": "weather", "arguments": '{"city": "Rome"}'},
            {"type": "function_call_output", "call_id": "t1", "output": "sunny"},
        ]
    },
    "anthropic_messages": {
        "messages": [
            {"role": "user", "content": "Weather in Rome?"},
            {
                "role": "assistant",
                "content": [{"type": "tool_use", "id": "t1", "name": "weather", "input": {"city": "Rome"}}],
            },
            {"role": "tool", "content": [{"type": "tool_result", "tool_use_id": "t1", "content": "sunny"}]},
        ]
    },
    "gemini": {
        "contents": [
            {"role": "user", "parts": [{"text": "Weather in Rome?"}]},
            {
                "role": "assistant",
                "parts": [{"functionCall": {"id": "t1", "name": "weather", "args": {"city": "Rome"}}}],
            },
            {"role": "tool", "parts": [{"functionResponse": {"id": "t1", "response": "sunny"}}]},
        ]
    },
}


def parsed(found: str | None) -> Any:
    assert found is not None
    return json.loads(found)


@pytest.mark.parametrize("form", BODIES)
def test_the_same_conversation_is_written_the_same_way(form: str) -> None:
    """A question, a tool call and its result: one writing for four formats."""
    wanted = [SAID, {"role": "assistant", "parts": [CALL]}, {"role": "tool", "parts": [RESULT]}]
    assert parsed(content.input_messages(load(form), BODIES[form])) == wanted


OUTPUTS: dict[str, Any] = {
    "openai_chat": {"choices": [{"finish_reason": "stop", "message": {"role": "assistant", "content": "Sunny."}}]},
    "openai_completions": {"choices": [{"finish_reason": "stop", "text": "Sunny."}]},
    "openai_responses": {"status": "completed", "output": [{"content": [{"type": "output_text", "text": "Sunny."}]}]},
    "anthropic_messages": {"stop_reason": "stop", "content": [{"type": "text", "text": "Sunny."}]},
    "gemini": {"candidates": [{"finishReason": "STOP", "content": {"parts": [{"text": "Sunny."}]}}]},
}


@pytest.mark.parametrize("form", OUTPUTS)
def test_an_answer_has_its_finish_reason(form: str) -> None:
    """One assistant message, with the reason why it ended."""
    said = {"role": "assistant", "parts": [{"type": "text", "content": "Sunny."}], "finish_reason": "stop"}
    assert parsed(content.output_messages(load(form), OUTPUTS[form])) == [said]


def test_instructions_are_apart_from_messages() -> None:
    """What the request gives as instructions is not a message."""
    wanted = [{"type": "text", "content": "Be brief"}]
    assert parsed(content.system_instructions(load("openai_responses"), {"instructions": "Be brief"})) == wanted
    assert parsed(content.system_instructions(load("anthropic_messages"), {"system": "Be brief"})) == wanted
    gemini = {"systemInstruction": {"parts": [{"text": "Be brief"}]}}
    assert parsed(content.system_instructions(load("gemini"), gemini)) == wanted
    assert content.system_instructions(load("openai_chat"), {"messages": []}) is None


def test_data_is_named_and_not_copied() -> None:
    """A picture's bytes do not go onto a span; its address does."""
    data = [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}]
    linked = [{"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}]
    chat = load("openai_chat")
    (message,) = parsed(content.input_messages(chat, {"messages": [{"role": "user", "content": data}]}))
    assert message["parts"] == [{"type": "blob", "modality": "image"}]
    (message,) = parsed(content.input_messages(chat, {"messages": [{"role": "user", "content": linked}]}))
    assert message["parts"] == [{"type": "uri", "modality": "image", "uri": "https://example.com/a.png"}]


def test_thoughts_are_told_from_words() -> None:
    """Reasoning has a type of its own."""
    thought = {"type": "thinking", "thinking": "Hmm", "signature": "x"}
    (message,) = parsed(content.output_messages(load("anthropic_messages"), {"content": [thought]}))
    assert message["parts"] == [{"type": "reasoning", "content": "Hmm"}]


@pytest.mark.parametrize("form", BODIES)
@BOUNDED
@given(value=objects)
def test_no_content_makes_it_raise(form: str, value: Any) -> None:
    """Whatever is in a request or a response: JSON, or nothing."""
    for found in (
        content.input_messages(load(form), value),
        content.output_messages(load(form), value),
        content.system_instructions(load(form), value),
    ):
        assert found is None or isinstance(json.loads(found), list)


LINES = genai_prices_usage.recordings()


@pytest.mark.skipif(not LINES, reason="AGENTCOST_CORPORA names no folder with recordings")
def test_every_recorded_conversation_has_content() -> None:
    """Each recorded request of a chat has messages, each with a role and parts."""
    for line in LINES:
        form, body = genai_prices_usage.format_of(line), genai_prices_usage.request_of(line)
        if form is None or body is None or form[0] in ("openai_embeddings", "openai_images"):
            continue
        for message in parsed(content.input_messages(load(form[0]), body)):
            assert set(message) == {"role", "parts"}
            assert isinstance(message["role"], str)
            assert message["parts"] or "content" not in message, line["id"]
