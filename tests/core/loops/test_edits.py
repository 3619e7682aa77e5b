"""What applications do to the history that they send makes no loop where there is none, and hides few of them."""

from __future__ import annotations

import multiprocessing
from typing import Any

import pytest

from otel_agentcost.calls.loop_guard import TraceLoops
from otel_agentcost.core.loops import Finding
from otel_agentcost.wire import load
from tests.core.loops import domains, edits, holdout, runs
from tests.core.loops.edits import EDITS, FORMATS
from tests.core.loops.runs import Step, asked, call

CLEAN = [
    *(domains.clean(name, seed) for name in domains.DOMAINS for seed in range(3)),
    *(holdout.clean(name, seed) for name in holdout.RUNS for seed in range(3)),
    *[run for run in runs.real() if not runs.findings(run)][:16],
]
LOOPING = [
    asked("What is the state of the order?"),
    *[call("look", f"Something else, namely {n * 17}.", at=n) for n in range(4)],
    *[call("get_order", "The order 12 lies in the stock in Riga, unchanged.", id=12)] * 6,
]


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("edit", EDITS)
def test_no_false_alarm(form: str, edit: str) -> None:
    """Cut off, summed up, doubled, annotated, cleared, torn apart: no edit of a run without a loop makes one."""
    for number, run in enumerate(CLEAN):
        assert edits.findings(run, form, edit) == [], number


HIDING = {"backwards", "without results", "without calls", "every third left out", "the first and the last two"}
"""What leaves too little of the conversation to tell."""
ALIKE = {"the first and the last seven", "summed up, and taken back"}
"""What makes two requests of a loop the same in a format without ids: the second could be a retry."""


TELLING = [
    (form, edit)
    for form in FORMATS
    for edit in sorted(EDITS.keys() - HIDING)
    if not (form == "gemini" and edit in ALIKE)
]


@pytest.mark.parametrize(("form", "edit"), TELLING)
def test_a_loop_is_found_all_the_same(form: str, edit: str) -> None:
    """In every wire format, and at most one repetition later where the history is edited."""
    found = edits.findings(LOOPING, form, edit)
    assert found, edit
    at, finding = found[0]
    assert finding.tool == "get_order"
    assert 8 <= at <= 9, (edit, at)


@pytest.mark.parametrize("form", FORMATS)
def test_the_same_loop_through_every_format(form: str) -> None:
    """Rule, tool, number of repetitions, arguments and result are the same, whichever SDK carries the conversation."""
    ((at, finding), *_) = edits.findings(LOOPING, form, "as it is")
    assert (at, finding.rule, finding.tool, finding.repeats) == (8, "repeat", "get_order", 3)
    assert (finding.arguments, finding.result) == ('{"id":12}', LOOPING[-1].result)


def test_the_same_loop_through_a_conversation_that_openai_keeps() -> None:
    """With `previous_response_id` only results are sent; their calls were in the responses."""
    looping = TraceLoops()
    found: list[tuple[int, Finding]] = []
    for at, step in enumerate(LOOPING):
        items = edits.responses(step, at)
        if step.tool is None:
            looping.before_call(load("openai_responses"), {"input": items}, at)
            continue
        looping.after_call(load("openai_responses"), {"id": f"resp_{at}", "output": items[:1]})
        body = {"input": items[1:], "previous_response_id": f"resp_{at}"}
        found += [(at + 1, each) for each in looping.before_call(load("openai_responses"), body, at)]
    (at, finding), *_ = found
    assert (at, finding.rule, finding.tool, finding.repeats) == (8, "repeat", "get_order", 3)


# --- bad input ---


def chat(*messages: dict[str, Any]) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": "Go."}, *messages]}


def test_calls_without_results_and_results_without_calls() -> None:
    """Neither is a repetition of anything: nobody knows what came back, or of what."""
    looping = TraceLoops()
    calls: list[dict[str, Any]] = []
    results: list[dict[str, Any]] = []
    for n in range(12):
        calls.append(edits.chat(call("get", "", id=1), n)[0])
        results.append({"role": "tool", "tool_call_id": f"nobody-{n}", "content": "the same"})
        assert looping.before_call(load("openai_chat"), chat(*calls), n) == []
        assert (
            looping.before_call(load("openai_chat"), {"messages": [{"role": "user", "content": "B"}, *results]}, n)
            == []
        )


@pytest.mark.parametrize("arguments", ['{"a": [1,', "", "null", "[" * 5000, "\ud800", None, 7, {"a": {1, 2}}, object()])
def test_arguments_that_are_no_json(arguments: Any) -> None:
    """They are compared as what they are; and nothing is raised, however they are broken."""
    looping, messages, found = TraceLoops(), list[dict[str, Any]](), list[Finding]()
    for n in range(3):
        function = {"name": "get", "arguments": arguments}
        messages.append({"role": "assistant", "tool_calls": [{"id": f"c{n}", "function": function}]})
        messages.append({"role": "tool", "tool_call_id": f"c{n}", "content": "the same"})
        found = looping.before_call(load("openai_chat"), chat(*messages), n)
    assert [finding.rule for finding in found] == ["repeat"]


@pytest.mark.parametrize("form", FORMATS)
def test_megabyte_results(form: str) -> None:
    """They are known by samples: the same ones are a loop, others are none, and nothing of them is kept."""
    same, other = TraceLoops(), TraceLoops()
    run = [asked("Go.")]
    found: list[Finding] = []
    for n in range(4):
        run.append(call("dump", "x" * 1_000_000, id=1))
        messages = [message for at, step in enumerate(run) for message in FORMATS[form][1](step, at)]
        found = same.before_call(load(form), {FORMATS[form][0]: messages}, n)
        run[-1] = call("dump", f"{n} y " * 200_000, id=1)
        messages = [message for at, step in enumerate(run) for message in FORMATS[form][1](step, at)]
        assert other.before_call(load(form), {FORMATS[form][0]: messages}, n) == []
        run[-1] = call("dump", "x" * 1_000_000, id=1)
    assert [finding.rule for finding in found] == ["repeat"]
    assert max(same.size(), other.size()) < 64_000


@pytest.mark.parametrize("form", FORMATS)
def test_thousands_of_calls_at_once(form: str) -> None:
    """What the model calls in one turn it has not seen the result of, however often it is the same."""
    looping = TraceLoops()
    many = Step("get", '{"id": 1}', "the same", more=(Step("get", '{"id": 1}', "the same"),) * 3000)
    messages = [*FORMATS[form][1](asked("Go."), 0), *FORMATS[form][1](many, 1)]
    assert looping.before_call(load(form), {FORMATS[form][0]: messages}, 1) == []
    assert looping.size() < 64_000


def half(first: int) -> int:
    """How many loops one of two processes sees that make the calls of one trace in turns."""
    looping = TraceLoops()
    run = [asked("Go on."), *[call("look", f"Something else, namely {n * 31}.", at=n) for n in range(20)]]
    found = 0
    for at in range(first, len(run), 2):
        messages = [message for n, step in enumerate(run[: at + 1]) for message in edits.chat(step, n)]
        found += len(looping.before_call(load("openai_chat"), {"messages": messages}, at))
    return found


def test_one_trace_in_two_processes() -> None:
    """Each sees every other request, and reads what it has missed: no call is lost, and none is counted twice."""
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        assert pool.map(half, [0, 1]) == [0, 0]
