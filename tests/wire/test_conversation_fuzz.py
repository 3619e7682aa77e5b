"""Whatever an application does to its history, reading it raises nothing, and no loop is found that is not there."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.bench_loops import FORMATS, first
from otel_agentcost.calls.loop_guard import TraceLoops
from otel_agentcost.wire import load

NAMES = sorted(
    {
        *("role", "content", "type", "name", "id", "call_id", "tool_call_id", "tool_use_id", "tool_calls", "function"),
        *("arguments", "input", "output", "parts", "text", "functionCall", "functionResponse", "args", "response"),
        *("is_error", "messages", "contents"),
    }
)
WORDS = [
    "assistant",
    "user",
    "tool",
    "model",
    "function_call",
    "function_call_output",
    "tool_use",
    "tool_result",
    "text",
]


class Hostile:
    """An object whose every attribute fails."""

    def __getattribute__(self, name: str) -> Any:
        if name.startswith("__"):
            return object.__getattribute__(self, name)
        raise RuntimeError(name)


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(WORDS)
    | st.builds(Hostile),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=6),
    max_leaves=15,
)
PLACES = {form: place for form, (place, _) in FORMATS.items()}


@settings(max_examples=100, deadline=None)
@given(form=st.sampled_from(sorted(FORMATS)), bodies=st.lists(st.lists(VALUES, max_size=6), max_size=5))
def test_nonsense(form: str, bodies: list[list[Any]]) -> None:
    """Nothing is raised, whatever stands where messages should."""
    looping = TraceLoops()
    for number, messages in enumerate(bodies):
        looping.before_call(load(form), {PLACES[form]: messages}, number)
    looping.before_call(load(form), bodies, 9)
    looping.before_call(load(form), None, 10)


def edited(random: Random, messages: list[Any], form: str) -> list[Any]:
    """What an application may make of its history."""
    note = {"role": "user", "content": "A note.", "parts": [{"text": "A note."}]}
    kind = random.randrange(8)
    at = random.randrange(1, len(messages) + 1)
    made: list[list[Any]] = [
        messages,
        [messages[0], *messages[at:]],
        [{**first(form), "content": "Summary", "parts": [{"text": "Summary"}]}, *messages[-at:]],
        [*messages, note],
        messages[:at],
        [message for message in messages if random.random() < 0.7] or messages,
        [*messages, *messages[-2:]],
        [*messages[:at], note, *messages[at:]],
    ]
    return made[kind]


@pytest.mark.parametrize("form", FORMATS)
def test_no_false_alarm_comes_from_edits(form: str) -> None:
    """A hundred runs without a loop, whose histories are edited before every call."""
    place, turn = FORMATS[form]
    for seed in range(100):
        random = Random(seed)
        looping, messages = TraceLoops(), [first(form)]
        for number in range(25):
            messages += turn(number, f"result {random.random()}")
            found = looping.before_call(load(form), {place: edited(random, messages, form)}, number)
            assert found == [], (seed, number, found)


@pytest.mark.parametrize("form", FORMATS)
def test_a_loop_is_found_in_a_history_that_is_cut_each_time(form: str) -> None:
    """An application that keeps the last twenty messages loops no less."""
    place, turn = FORMATS[form]
    looping, messages = TraceLoops(), [first(form)]
    findings: list[Any] = []
    for number in range(30):
        messages += turn(min(20, number), f"result {min(number, 20)}")
        findings += looping.before_call(load(form), {place: [messages[0], *messages[-20:]]}, number)
    assert findings
    assert findings[0].since == 20
