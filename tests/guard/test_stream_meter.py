"""The meter of a stream: where it stops one, what it believes, and how little it counts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from otel_agentcost import BudgetExceeded
from otel_agentcost.core.call import Call
from otel_agentcost.guard import stream_meter
from otel_agentcost.guard.stream_meter import Meter
from otel_agentcost.wire import AnswerReader, load, tokenizers
from otel_agentcost.wire.tokenizers import count_text
from tests.support.call_shapes import warnings_of_ours
from tests.support.replies import chat_chunks, content

WORDS = [" river", " runs", " on", ", ", "and", "\n", " twenty", " 1", "7", " underneath", " straße", " 河", "`)]}"]
MODEL = "gpt-4o-mini"


@pytest.fixture(scope="module", autouse=True)
def vocabulary() -> None:
    """Has what counts stay the same within a test."""
    tokenizers.ready()


def outrun(found: int) -> BudgetExceeded:
    return BudgetExceeded(budget="b", scope="total", value="", unit="tokens", reason="cut_off", requested=found)


def metered(fence: int, form: str = "openai_chat", choices: int = 1) -> Meter:
    """A meter in front of a reader of this format."""
    reader = load(form).open_stream(Call(operation="chat", model=MODEL, choices=choices))
    return Meter(reader.feed, reader, MODEL, fence, outrun)


def passed(meter: Meter, events: Iterable[Any]) -> int:
    """How many events the application gets."""
    for number, event in enumerate(events):
        try:
            meter(event)
        except BudgetExceeded:  # noqa: PERF203 (that it is raised, is what is waited for)
            return number
    raise AssertionError("the stream was not cut off")


def said(words: Sequence[str]) -> list[dict[str, Any]]:
    """A chat that says `words` and does not end."""
    return chat_chunks(words=words)[1:-1]


@settings(deadline=None)
@given(words=st.lists(st.sampled_from(WORDS), min_size=1, max_size=200), fence=st.integers(0, 150))
def test_the_first_event_that_passes_the_fence_is_kept_back(words: list[str], fence: int) -> None:
    """The event is the one that a count of all text after each event would find."""
    totals = [count_text("".join(words[:number]), MODEL) for number in range(1, len(words) + 1)]
    over = [number for number, total in enumerate(totals) if total > fence]
    meter, events = metered(fence), said(words)
    if over:
        assert passed(meter, events) == over[0]
    else:
        with pytest.raises(AssertionError, match="not cut off"):
            passed(meter, events)


@pytest.mark.parametrize(
    ("word", "most"),
    [(" river", 80), ("河", 80), ("x" * 4000, 80), ("~", 400), (" " * 16, 1000)],
    ids=["words", "ideographs", "large pieces", "a line", "blanks"],
)
def test_text_is_counted_rarely(word: str, most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A long answer is counted some dozens of times, a part of it each; blanks without end, that are hardly any tokens,
    some hundreds of times.
    """
    counted: list[int] = []

    def counting(text: str, model: str | None) -> int:
        counted.append(len(text))
        return count_text(text, model)

    monkeypatch.setattr(stream_meter, "count_text", counting)
    fence = 3_000
    number = passed(metered(fence), said([word] * 100_000))
    assert fence * 0.99 < count_text(word * (number + 1), MODEL) <= fence + count_text(word, MODEL) + 5
    assert len(counted) < most
    assert max(counted) <= max(stream_meter._BLOCK, fence) + fence + len(word)


def test_counts_of_the_stream_are_believed() -> None:
    """Where a stream counts as it goes, hidden thoughts included, it is stopped by that."""

    def chunk(number: int) -> dict[str, Any]:
        usage = {"promptTokenCount": 5, "candidatesTokenCount": number, "thoughtsTokenCount": 40}
        chunk = content(usage, parts=[{"text": "a very long piece of text that is said to be a single token"}])
        del chunk["candidates"][0]["finishReason"]
        return chunk

    assert passed(metered(100, "gemini"), map(chunk, range(1, 1000))) == 60


def test_a_count_that_does_not_grow_is_not_believed() -> None:
    """Servers that report zeros, or the same, with every chunk say nothing: the text is counted."""
    for count in (0, 3):
        usage = {"prompt_tokens": 5, "completion_tokens": count, "total_tokens": 5 + count}
        events = [{**event, "usage": usage} for event in said([" river"] * 300)]
        assert passed(metered(100), events) in (100, 100 - count + 1)


def test_all_choices_count_together() -> None:
    """Two choices use up a fence twice as fast."""
    events = said([" river"] * 300)
    for number, event in enumerate(events):
        event["choices"][0]["index"] = number % 2
    assert passed(metered(100, choices=2), events) == 100


def test_an_answer_that_has_come_to_its_end_is_left_alone() -> None:
    """Nothing can be saved of it: neither its last words nor the usage that follows are kept back."""
    events = chat_chunks({"prompt_tokens": 5, "completion_tokens": 900, "total_tokens": 905}, words=[" river"] * 100)
    events[-2]["choices"][0]["delta"] = {"content": " that is the end of it"}
    meter = metered(100)
    for event in events:
        meter(event)
    with pytest.raises(BudgetExceeded):
        meter(said([" after all"])[0])


def test_a_reader_that_fails_on_its_count_lets_the_stream_pass() -> None:
    """What is wrong with the meter is logged once, and the application gets its stream."""
    inner = load("openai_chat").open_stream(Call(operation="chat", model=MODEL))

    class Failing:
        feed = staticmethod(inner.feed)
        answer = staticmethod(inner.answer)

        def so_far(self) -> Any:
            raise ZeroDivisionError

    reader: AnswerReader = Failing()
    meter = Meter(reader.feed, reader, MODEL, 3, outrun)
    with warnings_of_ours() as warned:
        for event in said([" river"] * 10):
            meter(event)
    assert len(warned) == 1
    assert "metering a stream failed with ZeroDivisionError" in warned[0]


def test_an_exception_that_cannot_be_made_lets_the_stream_pass() -> None:
    """The same where the words of the exception fail."""

    def failing(_: int) -> BudgetExceeded:
        raise ZeroDivisionError

    reader = load("openai_chat").open_stream(Call(operation="chat", model=MODEL))
    meter = Meter(reader.feed, reader, MODEL, 3, failing)
    for event in said([" river"] * 10):
        meter(event)
    assert len(reader.so_far().texts) == 10


def test_formats_without_text_pass() -> None:
    """Of sound and pictures nothing is counted, and nothing fails."""
    for form in ("openai_images", "openai_audio"):
        meter = metered(0, form)
        meter({"type": "transcript.text.delta", "delta": "words"})
