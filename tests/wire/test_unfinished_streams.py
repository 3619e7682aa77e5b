"""What a reader says of a stream that still goes on, and what is charged for one that is cut off there."""

from __future__ import annotations

from typing import Any

import pytest

from otel_agentcost.wire import SoFar, load
from otel_agentcost.wire.tokenizers import count_text, ready
from tests.support.replies import chat_chunks, content, message_events, response_events
from tests.wire.reading import ask, delta, streamed, used

SAID = [" one", " two", " three"]


def so_far(form: str, events: list[Any], body: Any = None) -> SoFar:
    """What the reader says after these events."""
    reader = load(form).open_stream(ask(form, body))
    for event in events:
        reader.feed(event)
    return reader.so_far()


def generated(words: str, usage: Any = None, **more: Any) -> dict[str, Any]:
    """A chunk of a generation that goes on."""
    chunk = content(usage, parts=[{"text": words, **more}])
    del chunk["candidates"][0]["finishReason"]
    return chunk


ENDS: list[tuple[str, list[Any], int, list[str]]] = [
    ("openai_chat", chat_chunks(words=SAID), -1, SAID),
    ("openai_responses", response_events(), -1, ["Forty", "-", "two", "."]),
    ("anthropic_messages", message_events(), -2, ["Forty", "-", "two", "."]),
    ("gemini", [generated(" one"), content(None, parts=[{"text": " two"}])], -1, [" one", " two"]),
]


@pytest.mark.parametrize(("form", "events", "last", "said"), ENDS, ids=[end[0] for end in ENDS])
def test_the_end_of_an_answer_is_known(form: str, events: list[Any], last: int, said: list[str]) -> None:
    """A stream is over with the event that says so, and not before."""
    assert not so_far(form, events[:last]).ended
    ended = so_far(form, events)
    assert ended.ended
    assert ended.texts == said


def test_an_answer_of_several_choices_is_over_with_the_last() -> None:
    """One choice that has ended is not all."""
    end = chat_chunks(words=[])[-1]
    other = {**end, "choices": [{**end["choices"][0], "index": 1}]}
    assert not so_far("openai_chat", [end], {"n": 2}).ended
    assert so_far("openai_chat", [end, other], {"n": 2}).ended


@pytest.mark.parametrize(
    ("form", "event"),
    [
        ("openai_responses", {"type": "response.code_interpreter_call_code.delta", "delta": " word"}),
        ("openai_responses", {"type": "response.shell_call_command.delta", "delta": " word"}),
        ("openai_responses", {"type": "response.reasoning_summary_text.delta", "delta": " word"}),
        (
            "anthropic_messages",
            {"type": "content_block_delta", "delta": {"type": "compaction_delta", "content": " word"}},
        ),
        (
            "anthropic_messages",
            {"type": "content_block_delta", "delta": {"type": "thinking_delta", "thinking": " word"}},
        ),
        ("gemini", {"candidates": [{"content": {"parts": [{"executableCode": {"code": " word"}}]}}]}),
        ("gemini", {"candidates": [{"content": {"parts": [{"text": " word", "thought": True}]}}]}),
        ("openai_chat", delta(None) | {"choices": [{"index": 0, "delta": {"refusal": " word"}}]}),
        ("openai_chat", delta(None) | {"choices": [{"index": 0, "delta": {"reasoning": " word"}}]}),
        ("openai_completions", {"choices": [{"index": 0, "text": " word"}]}),
    ],
)
def test_all_that_is_billed_as_output_is_heard(form: str, event: Any) -> None:
    """Thoughts, refusals and code count as the words of an answer do."""
    assert so_far(form, [event]).texts == [" word"]


def test_thoughts_under_two_names_are_heard_once() -> None:
    """vLLM gives its reasoning the old name beside the new one."""
    both = {"reasoning": " word", "reasoning_content": " word"}
    assert so_far("openai_chat", [delta(None) | {"choices": [{"index": 0, "delta": both}]}]).texts == [" word"]


def test_counts_on_the_way_are_told() -> None:
    """The output tokens that a stream reports before its end, thoughts included."""
    usage = {"prompt_tokens": 5, "completion_tokens": 7, "total_tokens": 12}
    assert so_far("openai_chat", [delta(" one", usage=usage)]).tokens == 7
    assert so_far("openai_chat", [delta(" one", usage={"completion_tokens": "many"})]).tokens == 0
    counts = {"promptTokenCount": 5, "candidatesTokenCount": 3, "thoughtsTokenCount": 4}
    assert so_far("gemini", [generated(" one", counts)]).tokens == 7
    counted = {"type": "message_delta", "delta": {}, "usage": {"output_tokens": 9}}
    assert so_far("anthropic_messages", [*message_events()[:5], counted]).tokens == 9


def test_a_generation_that_is_cut_off_is_charged_what_it_has_counted() -> None:
    """A count is believed for the text that came with it, and what came after is counted."""
    ready()
    counts = {"promptTokenCount": 5, "candidatesTokenCount": 3, "thoughtsTokenCount": 4}
    events = [generated(" a good many words of which it says that they are three", counts)]
    assert used(streamed("gemini", events, complete=False)).output_tokens == 7
    more = used(streamed("gemini", [*events, generated(" and two more", counts)], complete=False))
    assert more.output_tokens == 7 + count_text(" and two more", None)


def test_zeros_on_the_way_are_no_charge_of_nothing() -> None:
    """A gateway that writes zeros until the last chunk has not said what a stream that was cut off has used."""
    zeros = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
    events = [delta(" one", usage=zeros), delta(" two", usage=zeros)]
    cut_off = used(streamed("openai_chat", events, complete=False))
    assert cut_off.estimated
    assert cut_off.output_tokens == 2
    assert not used(streamed("openai_chat", events, complete=True)).estimated
