"""What caches would have saved on recorded calls: over a real store, with the prices of the book."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from otel_agentcost.core import money, semconv
from otel_agentcost.core.usage import Usage
from otel_agentcost.insight import cache_what_if
from otel_agentcost.insight.cache_what_if import BY, Answer, Place, what_if
from otel_agentcost.insight.repricing import Repricing
from otel_agentcost.savings.responses import eligibility
from otel_agentcost.store.questions import Question
from tests.insight.recorded_calls import BEGAN, HAIKU, Recording, book, opened

COUNTS = {"input_tokens": 100, "output_tokens": 50}
MODEL = HAIKU[1]


@pytest.fixture
def recording(tmp_path: Path) -> Recording:
    """A store that is being written."""
    return Recording(tmp_path / "spend.db")


def price(counts: Mapping[Any, int]) -> int:
    """What a call costs, in billionths of a dollar."""
    cost = book().price(Usage(counts=counts), provider=HAIKU[0], base_url=None, models=(MODEL,), at=BEGAN, terms=())
    assert cost.usd is not None
    return money.to_nano(cost.usd)


def asked(recording: Recording, ttl: float = 3600) -> Answer:
    """The answer over everything that was recorded."""
    recording.close()
    with opened(recording.path) as source:
        spend = source.spend(Question(by=BY))
        return what_if(source.requests(Question()), lambda: source.each(Question()), spend, Repricing(book()), ttl)


def hits(answer: Answer, cache: str) -> dict[tuple[str, str, str], tuple[int, int, int]]:
    """Calls, hits and dollars by feature, agent, and model or tool."""
    return {
        (place.feature, place.agent, place.what): (saving.calls, saving.hits, saving.nusd)
        for place, saving in answer.savings.items()
        if place.cache == cache
    }


def test_equal_requests_within_the_time_to_live(recording: Recording) -> None:
    """The first is asked; of the others, those within the hour after it had been answered are hits."""
    recording.call(COUNTS)
    for after in (10, 1800, 1900):  # the last one comes 3710 seconds after the first, and is asked again
        recording.call(COUNTS, after=after)
    recording.call(COUNTS, after=60)
    recording.call(COUNTS, messages=("system", "another"))
    answer = asked(recording)
    assert hits(answer, "answers") == {("", "bees", MODEL): (6, 3, 3 * price(COUNTS))}
    assert answer.total("answers") == 3 * price(COUNTS)
    assert answer.total("coalescing") == 0


def test_a_shorter_time_to_live_saves_less(recording: Recording) -> None:
    """Only the request that comes within a minute is a hit."""
    recording.call(COUNTS)
    recording.call(COUNTS, after=59)
    recording.call(COUNTS, after=61)
    recording.call(COUNTS, after=62)
    assert [found[1] for found in hits(asked(recording, ttl=60), "answers").values()] == [1]


def test_nobody_gets_the_answers_of_another(recording: Recording) -> None:
    """A tenant, else a user, else a process has its own answers."""
    for who in (
        {semconv.TENANT: "a"},
        {semconv.TENANT: "b"},
        {semconv.USER: "u2"},
        {semconv.USER: "u3"},
        {semconv.TENANT: "c", semconv.USER: "u2"},
    ):
        recording.call(COUNTS, who=who)
    assert not asked(recording).savings


def test_a_tenant_shares_among_its_users(recording: Recording) -> None:
    """With a tenant, the user does not matter."""
    recording.call(COUNTS, who={semconv.TENANT: "a", semconv.USER: "u1"})
    recording.call(COUNTS, who={semconv.TENANT: "a", semconv.USER: "u2"})
    assert hits(asked(recording), "answers") == {("", "bees", MODEL): (2, 1, price(COUNTS))}


def test_without_a_tenant_or_a_user_a_process_has_its_own(tmp_path: Path) -> None:
    """The record knows which process has made a call, and what another process has answered is no hit."""
    path = tmp_path / "spend.db"
    who = {semconv.USER: ""}
    for began in (BEGAN, BEGAN + 600):
        recording = Recording(path, began=began)
        recording.call(COUNTS, who=who)
        recording.call(COUNTS, who=who)
        recording.close()
    assert hits(asked(Recording(path)), "answers") == {("", "bees", MODEL): (4, 2, 2 * price(COUNTS))}


def test_equal_requests_at_the_same_time_wait_for_one(recording: Recording) -> None:
    """Of three that overlap, the first is asked; the earlier one is the first, also if another one ends before it."""
    recording.call(COUNTS, after=20, seconds=20.0)  # from 0 to 20
    recording.now = BEGAN + 18
    recording.call(COUNTS, after=0, seconds=5.0)  # from 13 to 18
    recording.now = BEGAN + 30
    recording.call(COUNTS, after=0, seconds=28.0)  # from 2 to 30
    answer = asked(recording)
    assert hits(answer, "coalescing") == {("", "bees", MODEL): (3, 2, 2 * price(COUNTS))}
    assert answer.total("answers") == 0


@pytest.mark.parametrize("stop", ["length", "max_tokens", "tool_use", "tool_calls", "content_filter", "refusal"])
def test_an_unfinished_answer_serves_nobody(recording: Recording, stop: str) -> None:
    """A cache does not keep answers that are cut off, refused or call a tool."""
    recording.call(COUNTS, stop=stop)
    recording.call(COUNTS, stop=stop)
    assert not asked(recording).savings


def test_a_failed_call_serves_nobody(recording: Recording) -> None:
    """A cache does not keep errors."""
    recording.call(COUNTS, error="RateLimitError")
    recording.call(COUNTS)
    assert not asked(recording).savings


def test_features_have_lines_of_their_own(recording: Recording) -> None:
    """The dearest comes first."""
    for feature, number in (("triage", 2), ("chat", 4)):
        for _ in range(number):
            recording.call(COUNTS, who={semconv.FEATURE: feature}, agent="a", messages=(feature,))
    answer = asked(recording)
    assert [place for place in answer.savings if place.cache == "answers"] == [
        Place("answers", "chat", "a", MODEL),
        Place("answers", "triage", "a", MODEL),
    ]
    assert answer.calls == 6


def test_equal_tool_calls_within_the_time_to_live(recording: Recording) -> None:
    """Where the record has fingerprints of arguments, tools with a price have a line; calls at once do not wait."""
    for _ in range(3):
        recording.call({}, tool="web_search", operation="execute_tool", calls=0)
    recording.close()
    with sqlite3.connect(recording.path) as store:
        store.execute("UPDATE call SET request = x'00', nusd = 5000000, ms = 0")
    answer = asked(recording)
    assert hits(answer, "tools") == {("", "bees", "web_search"): (3, 2, 10_000_000)}
    assert answer.total("answers") == 0


def test_prompts_that_repeat_the_one_before(recording: Recording) -> None:
    """Three steps that each send the earlier prompt again, and read nothing: two reads, less the price of writing."""
    sizes, messages = (10_000, 11_000, 12_500), ["system"]
    for size in sizes:
        messages.append(f"{size} tokens")
        recording.call({"input_tokens": size, "output_tokens": 1}, messages=tuple(messages))
    reads = (
        price({"input_tokens": 10_000}) - price({"cache_read_tokens": 10_000}),
        price({"input_tokens": 11_000}) - price({"cache_read_tokens": 11_000}),
    )
    writes = (
        price({"cache_write_tokens": 10_000}) - price({"input_tokens": 10_000}),
        price({"cache_write_tokens": 1_000}) - price({"input_tokens": 1_000}),
    )
    answer = asked(recording)
    assert hits(answer, "prompts") == {("", "bees", MODEL): (3, 2, sum(reads) - sum(writes))}


def test_prompts_that_are_read_or_changed_save_nothing(recording: Recording) -> None:
    """What was read from the cache is saved already, and of a prompt that changed the tokens are not known."""
    recording.call({"cache_write_tokens": 10_000}, messages=("system", "a"), trace=1)
    recording.call({"cache_read_tokens": 10_000, "input_tokens": 50}, messages=("system", "a", "b"), trace=1)
    recording.call({"input_tokens": 10_000}, messages=("system", "c"), trace=2)
    recording.call({"input_tokens": 10_000}, messages=("system", "changed", "b"), trace=2)
    recording.call({"input_tokens": 10_000}, messages=("late", "a"), trace=3)
    recording.call({"input_tokens": 10_000}, messages=("late", "a", "b"), trace=3, after=400)
    recording.call({"input_tokens": 900}, messages=("short", "a"), trace=4)
    recording.call({"input_tokens": 950}, messages=("short", "a", "b"), trace=4)
    assert not asked(recording).savings


def test_a_record_without_fingerprints_says_so(recording: Recording) -> None:
    """Nothing is worked out, and the answer says why."""
    recording.call(COUNTS, call=None)
    answer = asked(recording)
    assert not answer.savings
    assert answer.unknown


def test_the_rules_are_those_of_the_cache() -> None:
    """The reasons for which a complete answer ends, and the operations, are those of the cache of answers."""
    assert cache_what_if.FINISHED == eligibility._FINISHED
    assert cache_what_if.OPERATIONS == eligibility.OPERATIONS
