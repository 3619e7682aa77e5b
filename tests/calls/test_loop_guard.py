"""One trace: the conversation and the tools' own spans together, several conversations, memory, threads."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from benchmarks.bench_loops import FORMATS, ROOM, chat, first, hostile, kept
from otel_agentcost.calls.loop_guard import TraceLoops
from otel_agentcost.core.loops import Finding
from otel_agentcost.wire import load

SAME = "the same result"


def conversation(turns: int, *, named: str = "Look.") -> dict[str, Any]:
    messages: list[dict[str, Any]] = [{"role": "user", "content": named}]
    for _ in range(turns):
        messages += chat(1, SAME)
    return {"messages": messages}


def test_a_call_that_both_tell_of_counts_once() -> None:
    """Tools that are spans and are in the conversation as well make no loop of two calls."""
    looping = TraceLoops()
    findings: list[Finding] = []
    for turns in range(1, 4):
        call = looping.tool_called("call_1", "list_orders", {"query": "x"})
        looping.tool_returned(call, SAME)
        findings = looping.before_call(load("openai_chat"), conversation(turns), turns)
        assert bool(findings) == (turns == 3)
    assert findings[0].repeats == 3


def test_spans_alone() -> None:
    """Where prompts tell nothing of tools, the tools' spans do."""
    looping = TraceLoops()
    found: list[Finding] = []
    for number in range(4):
        body = {"messages": [{"role": "user", "content": f"step {number}"}]}
        found += looping.before_call(load("openai_chat"), body, number)
        looping.tool_returned(looping.tool_called(None, "search", {"q": "a"}), SAME)
    assert [(finding.rule, finding.repeats, finding.since) for finding in found] == [("repeat", 3, 1)]


def test_results_that_come_without_their_calls() -> None:
    """With `previous_response_id` a request has the results, and the response before it had the calls."""
    looping = TraceLoops()
    found: list[Finding] = []
    for number in range(3):
        call = {"type": "function_call", "call_id": f"c{number}", "name": "search", "arguments": '{"q": "a"}'}
        looping.after_call(load("openai_responses"), {"output": [call]})
        result = {"type": "function_call_output", "call_id": f"c{number}", "output": SAME}
        body = {"input": [result], "previous_response_id": f"r{number}"}
        found = looping.before_call(load("openai_responses"), body, number)
    assert [(finding.rule, finding.tool, finding.repeats) for finding in found] == [("repeat", "search", 3)]


def test_the_same_request_again_is_in_the_same_loop() -> None:
    """A framework that retries what was refused meets the same finding, which is not a new one."""
    looping = TraceLoops()
    first_time = looping.before_call(load("openai_chat"), conversation(3), 1)
    again = looping.before_call(load("openai_chat"), conversation(3), 2)
    assert [finding.first for finding in (*first_time, *again)] == [True, False]
    assert again[0].repeats == 3


def test_agents_side_by_side_do_not_add_up() -> None:
    """Ten agents of one trace that each make the same call are no loop."""
    looping = TraceLoops()
    for number in range(10):
        assert (
            looping.before_call(load("openai_chat"), conversation(1, named=f"You are number {number}."), number) == []
        )


def test_a_loop_within_one_of_many_conversations() -> None:
    """Each is watched for itself, in whatever order they are heard of."""
    looping = TraceLoops()
    found: list[Finding] = []
    for turns in range(1, 4):
        for number in range(6):
            body = conversation(turns if number == 4 else 1, named=f"You are number {number}.")
            found += looping.before_call(load("openai_chat"), body, turns)
    assert [finding.repeats for finding in found] == [3]


@pytest.mark.parametrize("form", FORMATS)
def test_memory(form: str) -> None:
    """A live trace keeps at most 64 kB, whatever its results are."""
    assert kept(form, 120) < ROOM


@pytest.mark.parametrize("form", FORMATS)
def test_memory_at_worst(form: str) -> None:
    """Nor does it with names, ids, arguments and answers of a megabyte in twenty conversations."""
    assert hostile(form) < ROOM


def test_memory_of_tools_that_no_conversation_tells_of() -> None:
    """What tools have brought waits for the next model call, as far as there is room."""
    large = "\U0001f600" * 100_000
    looping = TraceLoops()
    for number in range(200):
        looping.tool_returned(looping.tool_called(f"{number} {large}", f"{number} {large}", {"x": large}), large)
        assert looping.size() < ROOM
    looping.before_call(load("openai_chat"), {"messages": [{"role": "user", "content": "On."}]}, 1)
    assert looping.size() < ROOM


def test_memory_of_many_conversations_and_long_answers() -> None:
    """Neither many agents, nor megabytes of arguments, results and answers, are kept."""
    looping = TraceLoops()
    for agent in range(40):
        messages: list[dict[str, Any]] = [{"role": "user", "content": f"Agent {agent} " + "x" * 100_000}]
        for turn in range(12):
            messages += chat(agent * 100 + turn, f"{agent} {turn} " + "ä" * 100_000)
            messages.append({"role": "assistant", "content": f"{agent} {turn} " + "word " * 10_000})
        looping.before_call(load("openai_chat"), {"messages": messages}, agent)
        assert looping.size() < ROOM


def test_threads() -> None:
    """Calls of one trace on several threads at once do no harm."""
    looping, errors = TraceLoops(), list[BaseException]()

    def work(number: int) -> None:
        try:
            for turns in range(1, 30):
                looping.before_call(load("openai_chat"), conversation(turns, named=f"Thread {number}"), turns)
                looping.tool_returned(looping.tool_called(None, "t", {}), "r")
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []


def test_a_request_without_messages() -> None:
    """There is nothing in it, and nothing of it."""
    assert TraceLoops().before_call(load("openai_chat"), {}, 1) == []
    assert TraceLoops().before_call(load("openai_chat"), {"messages": [first("")]}, 1) == []
