"""What looks like a broken prompt cache and is none, or cannot be told for certain; and what it costs to find out."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any

import pytest

from otel_agentcost.core import semconv
from otel_agentcost.core.call import Answer, Call, Endpoint
from otel_agentcost.core.prompt_caches import Miss
from otel_agentcost.core.usage import Kind, Usage
from otel_agentcost.savings.prompt_cache import conversations, segments
from otel_agentcost.savings.prompt_cache.health import PromptCacheHealth
from otel_agentcost.wire import load
from otel_agentcost.wire.format import ModelRequest

ANTHROPIC = Endpoint(provider="anthropic", base_url="https://api.anthropic.com", known=True, attributes={})


class Markup(str):
    """A text of a template engine, which is a subclass of `str`."""

    __slots__ = ()


PROXY = type("Proxy", (), {"__slots__": (), "__class__": str})()
"""An object that claims to be a text, as proxies do."""


class Watching:
    """The watch, and a clock that goes on two seconds with each call."""

    def __init__(self, *, every: bool = False) -> None:
        self.now = 1_000_000.0
        self.health = PromptCacheHealth(lambda: self.now, every=every)

    def ask(
        self, messages: list[Any], read: int, written: int, *, fresh: int = 5, trace: int = 1, **other: Any
    ) -> Miss | None:
        """Make a call that has read and written so many tokens."""
        who: dict[str, str] = other.pop("who", {})
        body = {"model": "m", "system": "You are an agent.", "messages": messages, **other}
        request = ModelRequest(call=Call("chat", "m", body=body), endpoint=ANTHROPIC, format=load("anthropic_messages"))
        counts: dict[Kind, int] = {
            "input_tokens": fresh,
            "cache_read_tokens": read,
            "cache_write_5m_tokens": written,
        }
        usage = Usage(counts={kind: count for kind, count in counts.items() if count})
        began = self.now
        self.now += 2
        return self.health.answered(request, who, trace, Answer(usage=usage), began)


def user(text: Any) -> dict[str, Any]:
    return {"role": "user", "content": text}


def model(text: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": text}


def called(number: int) -> dict[str, Any]:
    return {"role": "assistant", "content": [{"type": "tool_use", "id": f"t{number}", "name": "f", "input": {}}]}


def result(number: int, text: str) -> dict[str, Any]:
    return {"role": "user", "content": [{"type": "tool_result", "tool_use_id": f"t{number}", "content": text}]}


# --- texts and objects of the application ---


class _Colour(str, Enum):
    RED = "red"


@pytest.mark.parametrize(
    ("value", "same"),
    [
        (Markup("a"), "a"),
        (_Colour.RED, "red"),
        ([{"type": "text", "text": Markup("a")}], "a"),
        ({"role": "user", "content": Markup("a")}, {"role": "user", "content": "a"}),
    ],
)
def test_subclasses_of_plain_types_count_as_their_values(value: Any, same: Any) -> None:
    """A text of a template has its own hash, that of its text."""
    assert segments.digest(value) == segments.digest(same)
    assert segments.digest(Markup("a")) != segments.digest(Markup("b"))


def test_functions_and_classes_count_as_their_names() -> None:
    """As tools and response formats they are given as such."""
    assert segments.digest([Watching, user]) == segments.digest([Watching, user])
    assert segments.digest(user) != segments.digest(model)


def test_an_object_that_claims_to_be_a_text_is_unreadable() -> None:
    """No method of it is called."""
    with pytest.raises(segments.Unreadable):
        segments.digest({"role": "user", "content": PROXY})


def test_conversations_of_texts_of_templates_are_told_apart() -> None:
    """Two conversations whose first messages are `Markup` are two; a changed system prompt is a break."""
    watching = Watching()
    assert watching.ask([user(Markup("one question"))], 0, 15_000) is None
    assert watching.ask([user(Markup("another one"))], 9_000, 8_000) is None
    assert watching.ask([user("q")], 0, 9_000, system=Markup("A")) is None
    miss = watching.ask([user("q"), model("x"), user("y")], 0, 9_500, system=Markup("B"))
    assert miss == ("system", "system", 9_000)


@dataclass(frozen=True)
class _Opaque:
    __slots__ = ("text",)
    text: str


def test_nothing_is_said_about_objects_whose_content_is_not_known() -> None:
    """They might be the same, or not; and the state of other conversations is whole."""
    watching = Watching()
    assert watching.ask([user("q")], 0, 9_000) is None
    for text in "ab":
        assert watching.ask([user("q"), model(_Opaque(text)), user("y")], 0, 9_500) is None
    assert len(watching.health) == 1
    miss = watching.ask([user("q"), model("x"), user("y")], 0, 9_500)
    assert miss is not None
    assert miss.reason == "provider"


# --- whose conversation it is ---


@pytest.mark.parametrize("name", [semconv.USER, semconv.TENANT, semconv.AGENT, semconv.CONVERSATION])
def test_others_with_the_same_messages_are_others(name: str) -> None:
    """Two users that say hello, and two agents with the same history and prompts of their own."""
    watching = Watching()
    hello = [user("hi"), model("Hello!"), user("go on")]
    assert watching.ask(hello, 9_000, 6_000, who={name: "ann"}) is None
    assert watching.ask([*hello, model("b"), user("what?")], 9_000, 6_000, who={name: "bob"}) is None
    assert watching.ask(hello, 0, 9_000, who={name: "cid"}, system="You criticise.") is None
    assert watching.ask([*hello, model("c"), user("x")], 0, 17_000, who={name: "ann"}) == ("provider", "", 15_000)


# --- branches ---


def test_a_second_try_off_a_shared_beginning_is_no_break() -> None:
    """In one trace, and longer than the first try, which had a big document; also with the same short answers."""
    for turns in ([], [model("ok"), user("continue")]):
        watching = Watching()
        assert watching.ask([user("task"), model("a1"), user("first try"), *turns[:1], *turns[1:]], 0, 20_000) is None
        again = [user("task"), model("a1"), user("second try"), model("a2"), user("x"), model("y"), user("z")]
        assert watching.ask(again, 12_000, 8_500) is None


@pytest.mark.parametrize("who", [{}, {semconv.CONVERSATION: "c1", semconv.AGENT: "a"}])
def test_an_agent_with_the_same_examples_and_another_document_is_no_break(who: dict[str, str]) -> None:
    """Its prompt begins with the same messages, and is longer."""
    watching = Watching()
    examples = [user("example"), model("ok")]
    assert watching.ask([*examples, user("document one")], 0, 20_000, who=who) is None
    other = [*examples, user("document two, part 1"), model("next"), user("part 2")]
    assert watching.ask(other, 4_096, 21_000, who=who) is None


# --- edits ---


def test_a_cleared_result_beside_a_larger_new_one_is_compaction() -> None:
    """The prompt has grown all the same."""
    watching = Watching()
    before = [user("task"), called(1), result(1, "big " * 2_000), called(2), result(2, "b")]
    assert watching.ask(before, 0, 15_000) is None
    after = [*before[:2], result(1, "[cleared]"), *before[3:], called(3), result(3, "huge " * 4_000)]
    miss = watching.ask(after, 6_000, 12_000)
    assert miss is not None
    assert (miss.reason, miss.broken) == ("compacted", False)


@pytest.mark.parametrize(("characters", "cleared"), [(300, True), (500, False)])
def test_a_result_of_some_length_was_not_cleared(characters: int, *, cleared: bool) -> None:
    """Up to 400 characters may stand for a result that was cleared."""
    watching = Watching()
    before = [user("task"), called(1), result(1, "big " * 2_000), called(2), result(2, "b")]
    assert watching.ask(before, 0, 15_000, cache_control={"type": "ephemeral"}) is None
    after = [*before[:2], result(1, "x" * characters), *before[3:], called(3), result(3, "huge " * 4_000)]
    miss = watching.ask(after, 6_000, 12_000, cache_control={"type": "ephemeral"})
    assert miss == (("compacted", "", 9_000) if cleared else ("messages", "messages[2]", 9_000))


def test_a_first_message_that_changes_in_every_call_is_a_break_in_every_call() -> None:
    """From the second call on, where the conversation has an id and one agent."""
    watching = Watching()
    rest: list[Any] = []
    misses: list[Miss | None] = []
    for turn in range(5):
        first = user(f"at 10:0{turn}: " + "document " * 1_000)
        misses.append(
            watching.ask([first, *rest], 0, 50_000 + turn * 500, who={semconv.CONVERSATION: "one", semconv.AGENT: "a"})
        )
        rest += [model(f"a{turn}"), user(f"u{turn}")]
    assert misses == [None, *(("messages", "messages[0]", 50_000 + turn * 500) for turn in range(4))]


def test_another_prompt_of_a_named_conversation_is_no_rewritten_message() -> None:
    """A call with another system prompt, and a second conversation under the same names."""
    who = {semconv.CONVERSATION: "one", semconv.AGENT: "a"}
    longer = [user("b"), model("x"), user("y")]
    watching = Watching()
    assert watching.ask([user("a")], 0, 9_000, who=who) is None
    assert watching.ask(longer, 0, 9_000, who=who, system="You name conversations.") is None
    watching = Watching()
    assert watching.ask([user("a")], 0, 9_000, who=who) is None
    assert watching.ask([user("c")], 0, 9_000, who=who) is None
    assert watching.ask(longer, 0, 9_000, who=who) is None


# --- the clock ---


def test_a_clock_that_was_ahead_hides_no_later_break() -> None:
    """It is ahead for one call, and is set back."""
    watching = Watching()
    messages = [user("a")]
    assert watching.ask(messages, 0, 9_000) is None
    watching.now += 7_200
    messages += [model("b"), user("c")]
    assert watching.ask(messages, 9_000, 100) is None
    watching.now -= 7_200
    found: list[Miss | None] = []
    for turn in range(4):
        watching.now += 30
        messages = [*messages, model("x"), user(f"{turn}")]
        found.append(watching.ask(messages, 0, 9_200, system=f"{turn}"))
    assert [miss is not None and miss.reason for miss in found] == [False, "system", "system", "system"]


# --- what it costs ---


class Counted:
    """The function `digest`, whose calls are counted."""

    count = 0

    def __call__(self, value: object) -> int:
        self.count += 1
        return segments.digest(value)


def history(count: int) -> list[Any]:
    """So many messages, of which each has its own text."""
    return [(model if at % 2 else user)([{"type": "text", "text": f"message {at}"}]) for at in range(count)]


@pytest.mark.parametrize("case", ["all is read", "less is read", "an uncached agent beside", "every, uncached"])
def test_the_length_of_a_conversation_does_not_matter(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As many messages are hashed at 500 messages as at 50."""
    hashed: list[int] = []
    for count in (51, 501):
        watching, messages = Watching(every=case.startswith("every")), history(count + 2)
        if case == "an uncached agent beside":
            watching.ask([user("main agent")], 0, 50_000)
        else:
            cached = 0 if watching.health.least < 2_000 else 50_000
            watching.ask(messages[:count], 0, cached, fresh=60_000)
        counted = Counted()
        with monkeypatch.context() as patch:
            patch.setattr(conversations, "digest", counted)
            read = {"all is read": 50_000, "less is read": 49_000}.get(case, 0)
            assert watching.ask(messages, read, 0, fresh=60_000) is None
        hashed.append(counted.count)
    assert hashed[0] == hashed[1] <= 16
