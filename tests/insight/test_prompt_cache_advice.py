"""Advice on prompt caches: each from real rows of a store, with dollars that the price book gives by hand."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from otel_agentcost.savings.prompt_cache.rules import rule
from otel_agentcost.store import prompt_marks
from otel_agentcost.store.prompt_marks import PromptMarks
from tests.insight.recorded_calls import HAIKU, Recording, found
from tests.insight.test_recommendations import one, price
from tests.store.recorded import a_call

SONNET = ("anthropic", "claude-sonnet-4-6")
GPT = ("openai", "gpt-4o")


@pytest.fixture
def recording(tmp_path: Path) -> Recording:
    return Recording(tmp_path / "spend.db")


def ask(
    recording: Recording,
    counts: dict[Any, int],
    messages: Sequence[Any],
    *,
    marks: int = 0,
    system: str = "You are an agent.",
    model: tuple[str, str] = SONNET,
    **more: Any,
) -> None:
    """Record a call whose body has a system prompt, and marks on its first messages."""
    blocks = [{"type": "text", "text": text} for text in messages]
    for block in blocks[:marks]:
        block["cache_control"] = {"type": "ephemeral"}
    body = {"model": model[1], "system": system, "messages": [{"role": "user", "content": [each]} for each in blocks]}
    made = a_call(model=model[1])
    assert made.call is not None
    recording.call(counts, model=model, call=made.call._replace(body=body), **more)


def test_unmarked_prompts_are_what_marks_would_have_saved(recording: Recording) -> None:
    """The second prompt repeats the first one: it would have read 9,000 tokens, and written the others."""
    ask(recording, {"input_tokens": 9_000}, ["a"])
    ask(recording, {"input_tokens": 9_500}, ["a", "b"])
    ask(recording, {"input_tokens": 9_900}, ["a", "b", "c"])
    recording.close()
    finding = one(recording.path, "unmarked_prompts")
    spent = sum(price({"input_tokens": count}, SONNET) for count in (9_000, 9_500, 9_900))
    cached = (
        price({"cache_write_5m_tokens": 9_000}, SONNET)
        + price({"cache_read_tokens": 9_000, "cache_write_5m_tokens": 500}, SONNET)
        + price({"cache_read_tokens": 9_500, "cache_write_5m_tokens": 400}, SONNET)
    )
    assert (finding.kind, finding.nusd, finding.calls) == ("ceiling", spent - cached, 3)


@pytest.mark.parametrize(
    ("model", "tokens", "marks"), [(SONNET, 900, 0), (GPT, 9_000, 0), (SONNET, 9_000, 1), (HAIKU, 4_000, 0)]
)
def test_no_marks_are_advised_where_they_would_not_help(
    recording: Recording, model: tuple[str, str], tokens: int, marks: int
) -> None:
    """Below the minimum of the model, at a provider that needs none, and where there are some."""
    for turn in range(1, 4):
        ask(recording, {"input_tokens": tokens}, ["a", "b", "c"][:turn], model=model, marks=marks)
    recording.close()
    assert "unmarked_prompts" not in found(recording.path)


def test_marks_that_do_not_pay_are_not_advised(recording: Recording) -> None:
    """Prompts that are not sent again would be written at a surcharge."""
    for turn in range(4):
        ask(recording, {"input_tokens": 9_000}, [f"{turn}"], trace=turn + 1)
    recording.close()
    assert "unmarked_prompts" not in found(recording.path)


def test_short_prompts_are_told_the_minimum(recording: Recording) -> None:
    """A marked prompt of 3,000 tokens is not cached by Haiku 4.5, whose minimum is 4,096: two calls could read it."""
    for _ in range(3):
        ask(recording, {"input_tokens": 3_000}, ["a"], model=HAIKU, marks=1)
    ask(recording, {"input_tokens": 1_000}, ["a"], model=HAIKU, marks=1)
    recording.close()
    finding = one(recording.path, "short_prompts")
    expected = price({"input_tokens": 3_000}) - price({"cache_read_tokens": 4_096})
    assert (finding.nusd, finding.calls) == (2 * expected, 2)


def test_short_prompts_that_are_sent_once_have_nothing_to_read(recording: Recording) -> None:
    """Different documents, and the same one after the time for which it is kept."""
    for number in range(4):
        ask(recording, {"input_tokens": 3_000}, [f"document {number}"], model=HAIKU, marks=1)
        ask(recording, {"input_tokens": 3_000}, ["again"], model=HAIKU, marks=1, trace=9, after=400)
    recording.close()
    assert "short_prompts" not in found(recording.path)


def test_excess_markers_are_counted(recording: Recording) -> None:
    """Five marks are one too many. What the calls have cost is no loss: they were answered."""
    ask(recording, {"input_tokens": 5_000}, list("abcde"), marks=5)
    ask(recording, {"input_tokens": 5_000}, list("abcde"), marks=4)
    recording.close()
    finding = one(recording.path, "excess_markers")
    assert (finding.calls, finding.nusd) == (1, 0)


@pytest.mark.parametrize(("added", "lost"), [(25, True), (20, False)])
def test_lookback_is_twenty_blocks(recording: Recording, added: int, *, lost: bool) -> None:
    """What was cached is not found behind 25 new blocks; behind 20, the reason is another one."""
    messages = [str(turn) for turn in range(added + 1)]
    ask(recording, {"cache_write_5m_tokens": 9_000}, messages[:1], marks=1)
    ask(recording, {"cache_write_5m_tokens": 12_000}, messages, marks=2)
    recording.close()
    findings = found(recording.path).get("marker_lookback", [])
    expected = price({"cache_write_5m_tokens": 9_000}, SONNET) - price({"cache_read_tokens": 9_000}, SONNET)
    assert [finding.nusd for finding in findings] == ([expected] if lost else [])


def test_volatile_prompts_name_their_part(recording: Recording) -> None:
    """OpenAI cannot cache what stands behind a clock, so nothing was ever cached, and nothing is broken."""
    for minute in range(3):
        system = f"It is 2026-11-30 12:0{minute}. You are an agent."
        ask(recording, {"input_tokens": 9_000}, ["a", "b", "c"][: minute + 1], model=GPT, system=system)
    recording.close()
    finding = one(recording.path, "volatile_prompts")
    expected = price({"input_tokens": 9_000}, GPT) - price({"cache_read_tokens": 9_000}, GPT)
    assert (finding.nusd, finding.calls) == (2 * expected, 2)
    assert finding.where[0][0].endswith(": system")


@pytest.mark.parametrize("system", ["It is 2026-11-30 12:0{}.", "Since 2026-11-30 12:00."])
def test_other_documents_behind_a_clock_do_not_repeat(recording: Recording, system: str) -> None:
    """Only the last, short message is the same, whether the clock goes on or not."""
    for minute in range(4):
        messages = [f"document {minute}", "ok"]
        ask(recording, {"input_tokens": 9_000}, messages, model=GPT, system=system.format(minute))
    recording.close()
    assert "volatile_prompts" not in found(recording.path)


def test_a_message_with_a_clock_does_not_count_itself(recording: Recording) -> None:
    """A document with a date is another one each time; of the third prompt, the 500 tokens behind it repeat."""
    for turn, tokens in enumerate((9_000, 9_500, 9_900)):
        messages = [f"It is 2026-11-30 12:0{turn}.", "a", "b", "c"][: turn + 2]
        ask(recording, {"input_tokens": tokens}, messages, model=GPT)
    recording.close()
    finding = one(recording.path, "volatile_prompts")
    expected = price({"input_tokens": 500}, GPT) - price({"cache_read_tokens": 500}, GPT)
    assert (finding.nusd, finding.calls) == (expected, 1)


def test_a_clock_that_does_not_change_the_prompt_is_none(recording: Recording) -> None:
    """A date that stays is no reason to move it."""
    for turn in range(1, 4):
        ask(recording, {"input_tokens": 9_000}, ["a", "b", "c"][:turn], model=GPT, system="Since 2026-11-30 12:00.")
    recording.close()
    assert "volatile_prompts" not in found(recording.path)


@pytest.mark.parametrize(
    ("text", "changes"),
    [
        ("It is 2026-11-30T12:04:05Z.", True),
        ("Session 3f2504e0-4f89-11d3-9a0c-0305e82c3301", True),
        ("at 12:04:05", True),
        ("Released on 2026-11-30, 24 hours a day, version 1.2.3", False),
        ("", False),
    ],
)
def test_times_and_ids_are_seen_and_not_kept(text: str, *, changes: bool) -> None:
    """Only the part that has them is."""
    body = {"system": text, "messages": [{"role": "user", "content": "Hi"}]}
    assert prompt_marks.of(body) == (PromptMarks(0, 1, "system") if changes else None)
    later = {"messages": [{"role": "user", "content": "Hi"}, {"role": "user", "content": text}]}
    assert prompt_marks.of(later) is None


@pytest.mark.parametrize(
    "body", [None, 3, "text", {}, {"messages": 5}, {"messages": [None, 3, object()]}, {"tools": {}}]
)
def test_strange_bodies_have_no_marks(body: Any) -> None:
    """Nothing raises."""
    assert prompt_marks.of(body) is None


def test_marks_are_counted_wherever_they_stand() -> None:
    """In tools, the system prompt, messages, at Bedrock, and at the top."""
    mark = {"cache_control": {"type": "ephemeral"}}
    body = {**mark, "tools": [mark], "system": [{"text": "a"}, mark], "messages": [{"content": [{"text": "b"}, mark]}]}
    assert prompt_marks.of(body) == PromptMarks(4, 2, "")
    point = {"cachePoint": {"type": "default"}}
    body = {"toolConfig": {"tools": [point]}, "system": [point], "messages": [{"content": [{"text": "b"}, point]}]}
    assert prompt_marks.of(body) == PromptMarks(3, 2, "")


def test_rules_are_those_of_their_sources() -> None:
    """A few that are easily confused."""
    least = {
        ("anthropic", "claude-opus-5"): 512,
        ("anthropic", "claude-opus-4-6"): 4096,
        ("anthropic", "claude-opus-4-8"): 1024,
        ("anthropic", "claude-haiku-4-5-20251001"): 4096,
        ("anthropic", "claude-sonnet-4-6"): 1024,
        ("aws.bedrock", "us.anthropic.claude-opus-4-7-v1:0"): 4096,
        ("openai", "gpt-4o"): 1024,
        ("gcp.gemini", "gemini-2.5-flash"): 2048,
        ("gcp.gemini", "gemini-3.1-pro-preview"): 4096,
    }
    for (provider, model), tokens in least.items():
        known = rule(provider, model)
        assert known is not None
        assert known.least == tokens, model
    new, old = rule("openai", "gpt-5.6"), rule("openai", "gpt-5.4")
    assert new is not None
    assert old is not None
    assert (new.lifetime, old.lifetime) == (1_800, 300)
    assert rule("unheard of", "m") is None
