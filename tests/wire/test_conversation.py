"""The conversation in a request of each wire format, and how it is read as it grows."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from benchmarks.bench_loops import FORMATS, first
from otel_agentcost.core.loops import Item, TextMessage, ToolCall, ToolResult, make_tool_call
from otel_agentcost.wire import load
from otel_agentcost.wire.conversation import Reader

Body = dict[str, Any]


def items(form: str, body: Body) -> list[Item]:
    part = Reader().read(load(form), body)
    assert part is not None
    return part.items


def body(form: str, turns: int) -> Body:
    place, turn = FORMATS[form]
    messages = [first(form)]
    for number in range(turns):
        messages += turn(number, f"result {number}")
    return {place: messages}


@pytest.mark.parametrize("form", FORMATS)
def test_a_turn(form: str) -> None:
    """Every format tells of a call, of its arguments, and of its result."""
    user, call, result = items(form, body(form, 1))
    assert user == TextMessage(False, "Look at the orders.")
    assert isinstance(call, ToolCall)
    assert isinstance(result, ToolResult)
    assert call.tool == "list_orders"
    assert json.loads(call.arguments)["query"] == "orders of customer 0"
    assert result.content == "result 0"
    assert result.id == call.id
    assert not result.error


@pytest.mark.parametrize("form", FORMATS)
def test_only_what_is_new_is_read(form: str) -> None:
    """A conversation that has grown is read from where reading left off."""
    reader = Reader()
    for turns in range(40):
        part = reader.read(load(form), body(form, turns))
        assert part is not None
        assert (part.conversation, len(part.items)) == (1, 1 if turns == 0 else 2)


@pytest.mark.parametrize("form", FORMATS)
def test_the_same_request_again_has_nothing_new(form: str) -> None:
    """A retry is no repetition of what it carries."""
    reader = Reader()
    reader.read(load(form), body(form, 5))
    part = reader.read(load(form), copy.deepcopy(body(form, 5)))
    assert part is not None
    assert part.items == []


@pytest.mark.parametrize("form", FORMATS)
def test_a_history_that_was_cut_off_or_summed_up(form: str) -> None:
    """What an application leaves out at the beginning, or puts in its place, does not make it another conversation."""
    place, _ = FORMATS[form]
    reader = Reader()
    reader.read(load(form), body(form, 10))
    cut = body(form, 11)[place]
    for messages in ([cut[0], *cut[11:]], [{**first(form), "content": "Summary: ..."}, *cut[17:]]):
        copied = Reader()
        copied.read(load(form), body(form, 10))
        part = copied.read(load(form), {place: messages})
        assert part is not None
        assert (part.conversation, len(part.items)) == (1, 2)


@pytest.mark.parametrize("form", FORMATS)
def test_notes_that_come_and_go(form: str) -> None:
    """A reminder that is added at the end of each request, and is gone from the next, costs no second reading."""
    place, _ = FORMATS[form]
    reader = Reader()
    for turns in range(1, 20):
        note = {"role": "user", "content": f"{turns} steps left", "parts": [{"text": f"{turns} steps left"}]}
        part = reader.read(load(form), {place: [*body(form, turns)[place], note]})
        assert part is not None
        assert part.conversation == 1
        assert len(part.items) == (4 if turns == 1 else 3)


@pytest.mark.parametrize("form", FORMATS)
def test_other_conversations_of_the_trace(form: str) -> None:
    """Two agents in turns, and one that begins again, are conversations of their own."""
    place, turn = FORMATS[form]
    reader = Reader()
    other = {place: [{**first(form), "content": "Another", "parts": [{"text": "Another"}]}, *turn(99, "another")]}
    numbers = [part.conversation for each in (body(form, 1), other) * 3 if (part := reader.read(load(form), each))]
    assert numbers == [1, 2] * 3
    branch = {place: [*body(form, 1)[place][:1], *turn(50, "a branch")]}
    part = reader.read(load(form), branch)
    assert part is not None
    assert (part.conversation, len(part.items)) == (3, 3)


def test_failures_as_the_formats_say_them() -> None:
    """Where a format says that a call failed, so does the item."""
    anthropic = {
        "type": "tool_result",
        "tool_use_id": "t",
        "content": [{"type": "text", "text": "no"}],
        "is_error": True,
    }
    (failed,) = items("anthropic_messages", {"messages": [{"role": "user", "content": [anthropic]}]})
    assert failed == ToolResult("t", "no", error=True)
    gemini = {"functionResponse": {"name": "f", "response": {"error": "no"}}}
    (failed,) = items("gemini", {"contents": [{"role": "user", "parts": [gemini]}]})
    assert isinstance(failed, ToolResult)
    assert (failed.error, failed.tool) == (True, "f")


def test_what_else_calls_tools() -> None:
    """Functions of 2023, custom tools, shells, and tools that the provider runs through MCP."""
    old = {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "{}"}}
    answer = {"role": "function", "name": "f", "content": "done"}
    assert items("openai_chat", {"messages": [old, answer]}) == [
        make_tool_call(None, "f", "{}"),
        ToolResult(None, "done", tool="f"),
    ]
    given = [
        {"type": "custom_tool_call", "call_id": "1", "name": "code", "input": "print(1)"},
        {"type": "custom_tool_call_output", "call_id": "1", "output": "1"},
        {"type": "mcp_call", "id": "2", "name": "ask", "arguments": "{}", "output": "yes", "error": None},
        {"type": "local_shell_call", "call_id": "3", "action": {"command": ["ls"]}},
        {"type": "reasoning", "summary": []},
    ]
    found = items("openai_responses", {"input": given})
    assert [type(item).__name__ for item in found] == ["ToolCall", "ToolResult", "ToolCall", "ToolResult", "ToolCall"]


def test_following_a_response() -> None:
    """With `previous_response_id` only what is new is sent: it belongs to the conversation before."""
    reader = Reader()
    reader.read(load("openai_responses"), {"input": "Hello"})
    for number in range(5):
        output = {"type": "function_call_output", "call_id": f"c{number}", "output": "same"}
        part = reader.read(load("openai_responses"), {"input": [output], "previous_response_id": f"r{number}"})
        assert part is not None
        assert (part.conversation, part.items) == (1, [ToolResult(f"c{number}", "same")])


def test_following_a_message_in_a_thread() -> None:
    """So it is with the threads that Anthropic keeps: its SDK's tool runner sends the results alone."""
    reader = Reader()
    begun = {"messages": [{"role": "user", "content": "Hello"}], "thread": {"type": "create"}}
    reader.read(load("anthropic_messages"), begun)
    for number in range(5):
        result = {"type": "tool_result", "tool_use_id": f"t{number}", "content": "same"}
        thread = {"type": "continue", "previous_message_id": f"m{number}"}
        body = {"messages": [{"role": "user", "content": [result]}], "thread": thread}
        part = reader.read(load("anthropic_messages"), body)
        assert part is not None
        assert (part.conversation, part.items) == (1, [ToolResult(f"t{number}", "same")])


def test_formats_without_a_conversation() -> None:
    """Embeddings and the like have none."""
    assert Reader().read(load("openai_embeddings"), {"input": "text"}) is None


def test_thousands_of_calls_at_once() -> None:
    """Some of them are read, and the time for the others is not spent."""
    calls = [{"id": f"c{n}", "function": {"name": "f", "arguments": "{}"}} for n in range(5000)]
    assert len(items("openai_chat", {"messages": [{"role": "assistant", "tool_calls": calls}]})) == 256


PICTURES: dict[str, Any] = {
    "openai_chat": lambda data: [
        {"role": "assistant", "tool_calls": [{"id": "c", "function": {"name": "look", "arguments": "{}"}}]},
        {"role": "tool", "tool_call_id": "c", "content": "Taken."},
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": data}}]},
    ],
    "openai_responses": lambda data: [
        {"type": "function_call", "call_id": "c", "name": "look", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c", "output": "Taken."},
        {"role": "user", "content": [{"type": "input_image", "image_url": data}]},
    ],
    "anthropic_messages": lambda data: [
        {"role": "assistant", "content": [{"type": "tool_use", "id": "c", "name": "look", "input": {}}]},
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "c", "content": "Taken."},
                {"type": "image", "source": {"type": "base64", "data": data}},
            ],
        },
    ],
    "gemini": lambda data: [
        {"role": "model", "parts": [{"functionCall": {"name": "look", "args": {}}}]},
        {
            "role": "user",
            "parts": [
                {"functionResponse": {"name": "look", "response": {"output": "Taken."}}},
                {"inlineData": {"mimeType": "image/png", "data": data}},
            ],
        },
    ],
}


@pytest.mark.parametrize("form", PICTURES)
def test_a_picture_after_a_result_belongs_to_it(form: str) -> None:
    """Another screenshot is another result, where the picture comes beside what the tool says, or after it."""

    def result(data: str) -> Item:
        return items(form, {FORMATS[form][0]: [first(form), *PICTURES[form](data)]})[-1]

    assert result("aaaa") == result("aaaa") != result("bbbb")


def test_a_picture_within_a_result_of_gemini() -> None:
    """There a result may have parts of its own."""

    def result(data: bytes) -> Item:
        part = {"name": "look", "response": {"output": "ok"}, "parts": [{"inlineData": {"data": data}}]}
        return items("gemini", {"contents": [{"role": "user", "parts": [{"functionResponse": part}]}]})[-1]

    assert result(b"aaaa") == result(b"aaaa") != result(b"bbbb")
