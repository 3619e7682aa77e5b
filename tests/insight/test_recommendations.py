"""Recommendations: each from real rows of a store, with dollars that the price book gives by hand."""

from __future__ import annotations

import json
import time
from decimal import Decimal
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from otel_agentcost.core import money, semconv
from otel_agentcost.core.call import Call
from otel_agentcost.core.cost import Cost
from otel_agentcost.core.usage import Tokens, Usage
from otel_agentcost.insight import recommendations
from otel_agentcost.insight.recommendations import Evidence, Finding, Seen, unread_cache_writes
from otel_agentcost.insight.repricing import Repricing
from otel_agentcost.store.single_calls import Names, Recorded
from tests.insight.recorded_calls import BEGAN, HAIKU, Recording, book, found
from tests.store.recorded import NO_SPAN, a_call

GPT = ("openai", "gpt-4o")
MINI = ("openai", "gpt-4o-mini")
LONG = 20_000


@pytest.fixture
def recording(tmp_path: Path) -> Recording:
    return Recording(tmp_path / "spend.db")


def price(counts: dict[Any, int], model: tuple[str, str] = HAIKU, terms: Any = ()) -> int:
    """The billionths of a dollar of a call, by the book."""
    provider, name = model
    cost = book().price(
        Usage(counts=counts), provider=provider, base_url=None, models=(name,), at=BEGAN + 60, terms=terms
    )
    assert cost.usd is not None
    return money.to_nano(cost.usd)


def one(path: Path, name: str, **other: Any) -> Finding:
    (finding,) = found(path, **other)[name]
    return finding


def test_a_rebuilt_prompt_is_what_its_lost_tokens_cost_more(recording: Recording) -> None:
    """The second call has another system prompt before the same conversation, so what was cached is written again."""
    first, then = ("one", "Hi", "Ho"), ("two", "Hi", "Ho", "Hm")
    recording.call({"cache_write_tokens": LONG, "output_tokens": 10}, messages=first)
    recording.call({"cache_write_tokens": LONG, "input_tokens": 50, "output_tokens": 10}, messages=then)
    recording.call({"cache_read_tokens": LONG, "input_tokens": 50}, messages=(*then, "So"))
    recording.close()
    finding = one(recording.path, "rebuilt_prompts")
    expected = price({"cache_write_tokens": LONG}) - price({"cache_read_tokens": LONG})
    assert (finding.kind, finding.nusd, finding.calls) == ("ceiling", expected, 1)
    assert finding.where == (("bees, claude-haiku-4-5: tools or system prompt changed", expected),)


def test_a_history_without_its_oldest_message_is_rebuilt(recording: Recording) -> None:
    """The system prompt is the same, and later messages have moved."""
    recording.call({"cache_write_tokens": LONG}, messages=("one", "a", "b", "c"))
    recording.call({"cache_write_tokens": LONG}, messages=("one", "b", "c", "d"))
    recording.close()
    assert one(recording.path, "rebuilt_prompts").where[0][0] == "bees, claude-haiku-4-5: part 2 of the prompt changed"


@pytest.mark.parametrize("task", ["task", ""])
def test_roles_that_alternate_rebuild_nothing(recording: Recording, task: str) -> None:
    """In one trace and without names; the task may be the same. Nor does a second question with one system prompt."""
    for number in range(5):
        cached: Any = "cache_read_tokens" if number else "cache_write_tokens"
        recording.call({cached: LONG, "input_tokens": 9}, messages=("plan", task, f"p{number}"))
        recording.call({"input_tokens": 3000}, messages=("sum up", task or f"s{number}"))
    recording.call({"cache_write_tokens": LONG}, messages=("ask", "one"), trace=9)
    recording.call({"cache_write_tokens": LONG // 2}, messages=("ask", "two"), trace=9)
    recording.close()
    assert "rebuilt_prompts" not in found(recording.path)


@pytest.mark.parametrize(
    ("messages", "after", "read"),
    [
        (("one", "Hi", "Ho", "Hm"), 10, 0),  # nothing changed: the provider evicted it
        (("two", "Hi", "Ho", "Hm"), 301, 0),  # it was too late anyway
        (("two", "Hi", "Ho", "Hm"), 10, LONG),  # it was read
    ],
)
def test_a_prompt_that_was_not_rebuilt_is_none(
    recording: Recording, messages: tuple[str, ...], after: float, read: int
) -> None:
    """Only a changed beginning within the time that every cache keeps."""
    recording.call({"cache_write_tokens": LONG}, messages=("one", "Hi", "Ho"))
    counts = {"cache_read_tokens": read} if read else {"cache_write_tokens": LONG}
    recording.call(counts, messages=messages, after=after)
    recording.close()
    assert "rebuilt_prompts" not in found(recording.path)


def test_cache_writes_that_nobody_reads_cost_their_surcharge(recording: Recording) -> None:
    """One is read by another conversation with the same beginning, one is too young to tell."""
    recording.call({"cache_write_tokens": LONG}, messages=("read", "a"), trace=1)
    recording.call({"cache_read_tokens": LONG, "input_tokens": 9}, messages=("read", "b"), trace=2)
    recording.call({"cache_write_tokens": LONG}, messages=("unread", "c"), trace=3)
    recording.now = BEGAN + 86_400 - 1800
    recording.call({"cache_write_tokens": LONG}, messages=("young", "d"), trace=4)
    recording.close()
    finding = one(recording.path, "unread_cache_writes")
    expected = price({"cache_write_tokens": LONG}) - price({"input_tokens": LONG})
    assert (finding.kind, finding.nusd, finding.calls) == ("exact", expected, 1)


def test_many_unread_writes_of_one_beginning_take_little_time() -> None:
    """The time of a call does not grow with the writes that wait: 30,000 within an hour, of which most are read."""
    repricing = Repricing(book())
    watcher = unread_cache_writes.watch(Evidence(repricing=repricing, until=BEGAN + 9_000))
    names = Names("anthropic", "", HAIKU[1], "chat", "/".join(HAIKU), "", "", "list", *[""] * 8)
    nusd = price({"cache_read_tokens": 10, "cache_write_tokens": 2000})
    began = time.monotonic()
    for number in range(30_000):
        tokens = Tokens(2_010, 0, 10, 2_000, 0) if number != 20_000 else Tokens(11, 0, 11, 0, 0)
        row = (number, BEGAN + number / 10, names, 1, nusd, tokens, None, "", "", "", None, None)
        watcher.see(Seen(Recorded(*row), (b"begins",), repricing))
    (finding,) = watcher.found()
    surcharge = price({"cache_write_tokens": 2000}) - price({"input_tokens": 2000})
    assert (finding.calls, finding.nusd) == (9_999, 9_999 * surcharge)
    assert time.monotonic() - began < 15  # of a busy machine; it takes one second


def test_an_hour_that_minutes_would_do(recording: Recording) -> None:
    """Each next call comes within five minutes, and then none within the hour."""
    messages = ["one"]
    recording.call({"cache_write_1h_tokens": LONG}, messages=messages)
    for number in range(3):
        messages.append(f"m{number}")
        recording.call({"cache_read_tokens": LONG, "input_tokens": 10}, messages=messages, after=200)
    recording.call({"cache_write_1h_tokens": LONG}, messages=("two",), trace=9)
    recording.call({"cache_read_tokens": LONG}, messages=("two", "x"), trace=9, after=1800)  # the hour was of use
    recording.close()
    finding = one(recording.path, "cache_lifetimes")
    expected = price({"cache_write_1h_tokens": LONG}) - price({"cache_write_5m_tokens": LONG})
    assert finding.title.startswith("Keep these prompts for five minutes")
    assert (finding.nusd, finding.calls) == (expected, 1)


def test_minutes_where_an_hour_would_do(recording: Recording) -> None:
    """What was written again after twenty minutes, less the surcharge of the one write that is left."""
    recording.call({"cache_write_5m_tokens": LONG}, messages=("one",))
    recording.call({"cache_write_5m_tokens": LONG}, messages=("one", "two"), after=1200)
    recording.call({"cache_write_5m_tokens": LONG}, messages=("one", "two", "three"), after=1200)
    recording.close()
    finding = one(recording.path, "cache_lifetimes")
    again = price({"cache_write_5m_tokens": LONG}) - price({"cache_read_tokens": LONG})
    more = price({"cache_write_1h_tokens": LONG}) - price({"cache_write_5m_tokens": LONG})
    assert finding.title.startswith("Keep these prompts for an hour")
    assert finding.nusd == 2 * again - more


@pytest.mark.parametrize(("times", "nusd"), [(6, 150_000_000), (2, 12_000_000)])
def test_an_hour_costs_one_write_and_then_reads(recording: Recording, times: int, nusd: int) -> None:
    """10,000 tokens: six writes cost $0.225; one for an hour costs $0.06, and each of five reads $0.003."""
    model = ("anthropic", "claude-sonnet-4-5")
    for number in range(times):
        messages = ["one", *map(str, range(number))]
        recording.call({"cache_write_tokens": 10_000, "input_tokens": 100}, model=model, messages=messages, after=600)
    recording.close()
    assert one(recording.path, "cache_lifetimes").nusd == nusd


def test_features_that_nobody_waits_for_are_priced_as_batches(recording: Recording) -> None:
    """Only those that the user names; the flexible tier is another way, where it has a price."""
    counts = {"input_tokens": 1000, "output_tokens": 100}
    for feature in ("nightly", "chat"):
        recording.call(counts, model=GPT, who={semconv.FEATURE: feature})
    recording.call(counts, model=GPT, who={semconv.FEATURE: "nightly"}, terms=(("processing", "batch"),))
    recording.close()
    assert "batches" not in found(recording.path)
    finding = one(recording.path, "batches", offline=frozenset({"nightly"}))
    expected = price(counts, GPT) - price(counts, GPT, (("processing", "batch"),))
    assert (finding.kind, finding.nusd, finding.calls) == ("exact", expected, 1)
    assert finding.where == (("nightly, bees, gpt-4o", expected),)
    assert expected * 2 == price(counts, GPT)


def test_equal_requests_are_paid_once(recording: Recording) -> None:
    """Of one user; another tenant's are no answer for this one."""
    counts = {"input_tokens": 1000, "output_tokens": 100}
    for _ in range(3):
        recording.call(counts, messages=("same",))
    recording.call(counts, messages=("same",), who={semconv.TENANT: "t1"})
    recording.call(counts, messages=("same",), who={semconv.USER: "u2"})
    recording.call(counts, messages=("other",))
    recording.close()
    finding = one(recording.path, "repeated_requests")
    assert (finding.kind, finding.nusd, finding.calls) == ("exact", 2 * price(counts), 2)


def test_what_was_spent_for_nothing_is_measured(recording: Recording) -> None:
    """Failed calls, and loops as they were found when they happened; what caches saved stands beside them."""
    counts = {"input_tokens": 1000, "output_tokens": 100}
    failed = recording.call(counts, error="TimeoutError")
    for _ in range(9):  # refused by the provider, which bills nothing
        recording.writer.settled(failed._replace(cost=Cost(), tokens=None, answer=None))
    recording.call({"cache_read_tokens": LONG})
    recording.writer.event("loop", "repeat, 3 times", NO_SPAN, agent="bees", usd=Decimal("0.25"))
    recording.writer.event("refusal", "no loop", NO_SPAN, agent="bees", usd=Decimal(1))
    recording.close()
    findings = found(recording.path)
    assert [(each.nusd, each.calls, each.kind) for each in findings["failed_calls"]] == [(price(counts), 1, "measured")]
    assert [(each.nusd, each.calls, each.kind) for each in findings["loops"]] == [(250_000_000, 1, "measured")]
    saved = price({"input_tokens": LONG}) - price({"cache_read_tokens": LONG})
    assert [(each.nusd, each.kind) for each in findings["cache_savings"]] == [(saved, "measured")]


def test_ceilings_are_what_only_a_test_can_tell(recording: Recording) -> None:
    """Answers that were cut off, and the prices of a cheaper model that is in use already."""
    counts = {"input_tokens": 1000, "output_tokens": 100}
    recording.call(counts, model=GPT, stop="length")
    recording.call(counts, model=MINI, stop="stop,tool_calls")
    recording.close()
    findings = found(recording.path)
    assert [(each.nusd, each.kind) for each in findings["cut_answers"]] == [(price(counts, GPT), "ceiling")]
    (cheaper,) = findings["cheaper_models"]
    assert (cheaper.title, cheaper.kind) == ("Try gpt-4o-mini in place of gpt-4o", "ceiling")
    assert cheaper.nusd == price(counts, GPT) - price(counts, MINI)
    (own,) = found(recording.path, downgrade={"gpt-4o": "gpt-4.1-nano"})["cheaper_models"]
    assert own.nusd == price(counts, GPT) - price(counts, ("openai", "gpt-4.1-nano"))


def test_a_model_of_another_kind_is_no_cheaper_one(recording: Recording) -> None:
    """What transcribes does not chat, and does not paint."""
    for operation, model, counts in (
        ("chat", GPT, {"input_tokens": 10_000, "output_tokens": 100}),
        ("generate_content", ("openai", "gpt-image-1"), {"input_text_tokens": 10, "output_image_tokens": 4000}),
        ("generate_content", ("openai", "gpt-4o-mini-transcribe"), {"input_audio_tokens": 1000, "output_tokens": 9}),
    ):
        recording.call(counts, model=model, operation=operation)
    recording.close()
    assert "cheaper_models" not in found(recording.path)


def test_histories_that_grow_after_five_steps(recording: Recording) -> None:
    """The share of the growth in the input's dollars, where it is most of the prompt."""
    for step in range(1, 9):
        recording.call({"input_tokens": 1000 * step * step, "output_tokens": 100}, messages=["x"] * step)
    recording.close()
    finding = one(recording.path, "long_histories")
    expected = price({"input_tokens": 64_000}) * 39_000 // 64_000  # step 8; before, less than half is growth
    assert (finding.kind, finding.nusd, finding.calls) == ("ceiling", expected, 1)


def test_dollars_that_the_book_does_not_give_are_compared_with_nothing(recording: Recording) -> None:
    """A call with a price of its own, or of its provider, has no exact counterfactual."""
    counts = {"input_tokens": 1000, "output_tokens": 100}
    call = recording.call(counts, model=GPT, who={semconv.FEATURE: "nightly"})
    assert call.cost.usd is not None
    recording.writer.settled(call._replace(cost=call.cost._replace(usd=call.cost.usd * 2)))
    recording.writer.settled(call._replace(cost=call.cost._replace(source="provider")))
    recording.writer.settled(call._replace(cost=call.cost._replace(unpriced="a search is missing")))
    recording.close()
    assert one(recording.path, "batches", offline=frozenset({"nightly"})).calls == 1


def test_a_recommendation_is_one_more_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Found by listing the folder."""
    (tmp_path / "toy.py").write_text(
        "from otel_agentcost.insight.recommendations import Finding, Watcher\n"
        "class Toy(Watcher):\n"
        "    def found(self):\n"
        "        yield Finding('toy', 'Play', 'measured', 1, 1, 'one', ())\n"
        "def watch(evidence):\n"
        "    return Toy()\n",
        encoding="utf-8",
    )
    package: ModuleType = recommendations
    monkeypatch.setattr(package, "__path__", [*package.__path__, str(tmp_path)])
    recording = Recording(tmp_path / "spend.db")
    recording.call({"input_tokens": 1})
    recording.close()
    assert one(recording.path, "toy").title == "Play"


def test_the_states_of_old_conversations_are_forgotten() -> None:
    """The memory of a watcher does not grow with the number of conversations."""
    state = recommendations.Bounded[int]()
    for number in range(50_000):
        state.keep(number, number)
    assert len(state) == 5_000
    assert 49_999 in state


def tool(recording: Recording, arguments: str | None, usd: str = "0.01", **other: Any) -> None:
    """Record a tool call."""
    recording.now += 10
    who = {semconv.AGENT: other.pop("agent", "bees"), semconv.USER: other.pop("user", "u1")}
    names = ("execute_tool", "", None, None)
    call = a_call(Decimal(usd), who=who)._replace(
        names=names, calls=0, tool=other.pop("name", "search"), call=None, answer=None, tokens=None, arguments=arguments
    )
    recording.writer.settled(call._replace(**other))


def test_equal_tool_calls_within_a_run(recording: Recording) -> None:
    """The order of arguments does not matter; another run, user, tool, or a failure does. Nested runs are one run."""
    for arguments in ('{"q": "bees", "n": 3}', '{"n": 3, "q": "bees"}', '{"n":3,"q":"bees"}'):
        tool(recording, arguments, run="aa", root="ff")
    tool(recording, '{"n": 3, "q": "bees"}', run="bb", root="ff", usd="0.02")
    tool(recording, '{"n": 3, "q": "bees"}', run="cc", root="cc")
    tool(recording, '{"n": 3, "q": "bees"}', run="ff", root="ff", user="u2")
    tool(recording, '{"n": 3, "q": "bees"}', run="ff", root="ff", name="fetch")
    tool(recording, '{"n": 3, "q": "bees"}', run="ff", root="ff", error="ValueError")
    recording.close()
    finding = one(recording.path, "repeated_tools")
    assert (finding.kind, finding.nusd, finding.calls) == ("ceiling", 40_000_000, 3)
    assert finding.where == (("bees, search", 40_000_000),)


def test_equal_tool_calls_outside_of_runs_are_those_of_a_day(recording: Recording) -> None:
    """Tools without known arguments are none of them, nor are equal requests of models."""
    tool(recording, "plain text")
    tool(recording, "plain text")
    recording.now += 86_400
    tool(recording, "plain text")
    for _ in range(2):
        tool(recording, None)
    recording.close()
    found_here = found(recording.path, until=BEGAN + 3 * 86_400)
    (finding,) = found_here["repeated_tools"]
    assert (finding.nusd, finding.calls) == (10_000_000, 1)
    assert "repeated_requests" not in found_here


@pytest.mark.parametrize(
    ("whose", "merged"), [({}, False), ({semconv.USER: "u1"}, True), ({semconv.TENANT: "t"}, True)]
)
def test_processes_share_nothing_without_a_tenant_or_user(tmp_path: Path, whose: dict[str, str], merged: bool) -> None:
    """As no cache of this package would: equal calls of two processes are equal only for someone."""
    path = tmp_path / "spend.db"
    for _ in range(2):  # of two processes
        recording = Recording(path)
        tool(recording, "{}", who=whose)
        recording.call({"input_tokens": 900}, messages=("same",), who={semconv.USER: "", **whose})
        recording.close()
    assert {"repeated_tools", "repeated_requests"} & found(path).keys() == (
        {"repeated_tools", "repeated_requests"} if merged else set()
    )


def offering(*names: str) -> Call:
    """A request that offers tools."""
    tools = [{"type": "function", "function": {"name": name, "description": "d" * 400}} for name in names]
    messages = [{"role": "user", "content": "Hi"}]
    return Call(operation="chat", model=HAIKU[1], body={"model": HAIKU[1], "tools": tools, "messages": messages})


def test_definitions_of_tools_that_are_never_called(recording: Recording) -> None:
    """Their share of the input by characters; a tool that is called under the name of its server is no such tool.

    Calls of `paint` are recorded: of another agent.
    """
    request = offering("search", "docs_fetch", "paint")
    for stop in ("tool_calls", "tool_use", "stop"):
        counts = {"input_tokens": 900, "cache_read_tokens": 100, "output_tokens": 7}
        recording.call(counts, call=request, stop=stop)
    tool(recording, "{}", name="search")
    tool(recording, "{}", name="docsFetch")
    tool(recording, "{}", name="paint", agent="ants")
    recording.close()
    finding = one(recording.path, "unused_tools")
    dump = partial(json.dumps, separators=(",", ":"), sort_keys=True)
    body: Any = request.body
    whole = len(dump(body["tools"])) + len(dump(body["messages"][0]))
    paid = 3 * price({"input_tokens": 900, "cache_read_tokens": 100})
    assert finding.kind == "ceiling"
    assert finding.nusd == pytest.approx(paid * len(dump(body["tools"][2])) / whole, abs=1)
    assert finding.where == (("bees, claude-haiku-4-5", finding.nusd),)
    assert finding.calls == 3


def test_tools_whose_calls_nobody_records_are_not_called_unused(recording: Recording) -> None:
    """No call of any tool of the list is recorded for this agent: they may be called where nothing sees it."""
    recording.call({"input_tokens": 900}, call=offering("search", "paint"))
    recording.call({"input_tokens": 900}, agent="ants", call=offering("search", "paint"))
    tool(recording, "{}", name="fetch")
    tool(recording, "{}", name="search", who={semconv.AGENT: "wasps"})
    recording.close()
    assert "unused_tools" not in found(recording.path)


@pytest.mark.parametrize("stop", ["tool_calls", "stop"])
def test_a_tool_whose_function_is_not_recorded_is_not_called_unused(recording: Recording, stop: str) -> None:
    """The model may call it all the time: one recorded tool of the list says nothing of the others."""
    for _ in range(20):
        recording.call({"input_tokens": 900}, call=offering("search", "calc"), stop=stop)
    tool(recording, "{}", name="search")
    recording.close()
    assert "unused_tools" not in found(recording.path)


def test_answers_that_called_more_than_what_is_recorded_are_no_evidence(recording: Recording) -> None:
    """Each tool has a recorded call, and yet this agent's calls are made where nothing sees them."""
    for _ in range(3):
        recording.call({"input_tokens": 900}, call=offering("search", "calc"), stop="tool_calls")
    tool(recording, "{}", name="search")
    tool(recording, "{}", name="calc", agent="ants")
    recording.close()
    assert "unused_tools" not in found(recording.path)


def test_characters_of_an_image_are_no_share_of_the_tokens(recording: Recording) -> None:
    """A call with an image counts in no ceiling that goes by characters; the others do."""
    request = offering("search", "paint")
    body: Any = request.body
    url = f"data:image/png;base64,{'iVBORw0KGgo' * 10_000}"
    parts = [{"type": "text", "text": "Hi"}, {"type": "image_url", "image_url": {"url": url}}]
    seeing = request._replace(body={**body, "messages": [{"role": "user", "content": parts}]})
    for call in (request, seeing, seeing):
        recording.call({"input_tokens": 900}, call=call)
    tool(recording, "{}", name="search")
    tool(recording, "{}", name="paint", agent="ants")
    recording.close()
    assert one(recording.path, "unused_tools").calls == 1
