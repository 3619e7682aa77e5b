"""Broken prompt caches: each kind of change is found and named, in every wire format, and nothing else is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from otel_agentcost.core.prompt_caches import Miss
from otel_agentcost.savings.prompt_cache import conversations
from otel_agentcost.savings.prompt_cache.health import PromptCacheHealth
from tests.savings.prompt_cache.simulated import DIALECTS, Dialect, Prompt, Watched, begun, stepped

each_dialect = pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.name)

Change = Callable[[Prompt, Watched], Prompt]


def edited(prompt: Prompt, at: int) -> Prompt:
    """The prompt with one turn changed."""
    turns = list(prompt.turns)
    turns[at] = (turns[at][0], turns[at][1] + " (changed)")
    return replace(prompt, turns=turns)


def evicted(prompt: Prompt, watched: Watched) -> Prompt:
    """The same prompt, which the provider has dropped."""
    watched.provider.evict()
    return prompt


KINDS: dict[str, Change] = {
    "tools": lambda prompt, _: replace(prompt, tools=[*prompt.tools[:3], "other", *prompt.tools[4:]]),
    "tools added": lambda prompt, _: replace(prompt, tools=[*prompt.tools, "one more"]),
    "system": lambda prompt, _: replace(prompt, system="It is 12:04. " + prompt.system),
    "model": lambda prompt, _: replace(prompt, model="m-2"),
    "parameter": lambda prompt, _: replace(prompt, parameter="none"),
    "messages": lambda prompt, _: edited(prompt, 2),
    "messages first": lambda prompt, _: edited(prompt, 0),
    "provider": evicted,
}


def expected(kind: str, dialect: Dialect) -> tuple[str, str]:
    """The reason and the segment of a kind."""
    segments = {
        "tools": dialect.tool.format(3),
        "tools added": dialect.tool.format(6),
        "system": dialect.system,
        "model": "model",
        "parameter": dialect.parameter,
        "messages": f"messages[{2 + dialect.first}]",
        "messages first": f"messages[{dialect.first}]",
        "provider": "",
    }
    return kind.partition(" ")[0], segments[kind]


@each_dialect
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("turns", [3, 12])
def test_each_kind_of_break_is_found_with_its_segment(dialect: Dialect, kind: str, turns: int) -> None:
    """All kinds, in all wire formats that report cached tokens: reason, segment, and the tokens that were lost."""
    watched = Watched(dialect)
    prompt = watched.grow(begun(), turns)
    whole = sum(tokens for _, tokens in prompt.segments())
    miss = watched.ask(KINDS[kind](prompt, watched))
    assert miss is not None
    assert (miss.reason, miss.segment) == expected(kind, dialect)
    assert miss.broken
    assert 2_000 <= miss.tokens <= whole
    assert watched.grow(KINDS[kind](stepped(prompt), Watched(dialect)), 4)  # a break is reported once


@each_dialect
def test_a_change_in_every_call_is_a_break_in_every_call(dialect: Dialect) -> None:
    """A clock in the system prompt breaks the cache again and again, and each time it is said."""
    watched = Watched(dialect)
    prompt = watched.grow(begun(), 3)
    for minute in range(5):
        miss = watched.ask(replace(prompt, system=f"It is 12:0{minute}. " + prompt.system))
        if dialect.writes or not minute:  # else the next call has nothing to lose: nothing was read
            assert miss is not None
            assert (miss.reason, miss.segment) == ("system", dialect.system)
        prompt = stepped(prompt)
    assert len(watched.health) <= 3


@each_dialect
def test_first_calls_are_none(dialect: Dialect) -> None:
    """A new conversation has nothing to lose, also if others have a cache."""
    watched = Watched(dialect)
    for task in range(20):
        assert watched.ask(begun(f"Task {task}"), trace=task) is None


@each_dialect
def test_compaction_is_named_and_no_break(dialect: Dialect) -> None:
    """A history that is summarized, cut off at its beginning, or whose results are cleared: somebody meant that."""
    for shorten in (
        lambda turns: [("user", "Summary of the work up to now."), *turns[-4:]],
        lambda turns: turns[4:],
        lambda turns: [(who, "[cleared]" if who == "result" else text) for who, text in turns[:-2]] + turns[-2:],
    ):
        watched = Watched(dialect)
        prompt = watched.grow(begun(), 8)
        miss = watched.ask(replace(prompt, turns=shorten(prompt.turns)))
        assert miss is None or (miss.reason == "compacted" and not miss.broken)
        watched.grow(stepped(replace(prompt, turns=shorten(prompt.turns))), 3)


@each_dialect
def test_expiry_is_named_and_no_break(dialect: Dialect) -> None:
    """Six minutes are more than the five for which a prefix is kept."""
    watched = Watched(dialect)
    prompt = watched.grow(begun(), 4)
    watched.now += 360
    miss = watched.ask(prompt)
    assert miss is not None
    assert (miss.reason, miss.broken) == ("ttl_expired", False)
    watched.grow(stepped(prompt), 3)


@each_dialect
@pytest.mark.parametrize("conversation", ["c1", None])
def test_branches_are_none(dialect: Dialect, conversation: str | None) -> None:
    """Two conversations with a shared beginning, also if one of them goes back and takes another way."""
    watched = Watched(dialect)
    fork = watched.grow(begun(), 4, conversation=conversation)
    one = replace(fork, turns=[*fork.turns, ("assistant", "A"), ("user", "a " * 9_000)])
    other = replace(fork, turns=[*fork.turns, ("assistant", "B"), ("user", "b " * 9_000)])
    for _ in range(3):
        assert watched.ask(one, conversation=conversation) is None
        assert watched.ask(other, conversation=conversation) is None
        one, other = stepped(one), stepped(other)
    assert watched.ask(fork, conversation=conversation) is None


@each_dialect
def test_parallel_agents_are_none(dialect: Dialect) -> None:
    """Agents in one trace and one conversation with the same task, each with its own prompt, model or tools."""
    watched = Watched(dialect)
    base = begun("Review this. " + "code " * 3_000)
    agents = [
        base,
        replace(base, system="You judge security. " * 300),
        replace(base, system="You judge style. " * 300, tools=[]),
        replace(base, model="m-2", system="You are quick. " * 300),
    ]
    for _ in range(5):
        for prompt in agents:
            assert watched.ask(prompt, conversation="c1") is None
        agents = [
            replace(
                stepped(prompt),
                turns=[*stepped(prompt).turns[:-2], ("assistant", f"{at}"), *stepped(prompt).turns[-2:]],
            )
            for at, prompt in enumerate(agents)
        ]


@each_dialect
def test_concurrent_calls_are_none(dialect: Dialect) -> None:
    """Calls that began before the first answer could not read what it has cached."""
    watched = Watched(dialect)
    prompt = watched.grow(begun(), 3)
    request, at = watched.request(prompt), watched.now
    miss = watched.provider.read(prompt, at)
    nothing = dialect.form.read_response(request.call, dialect.response(0, 0, sum(miss)))
    assert watched.ask(prompt) is None
    for _ in range(5):
        assert watched.health.answered(watched.request(prompt), {}, 1, nothing, at) is None
    watched.grow(stepped(prompt), 2)


@each_dialect
def test_alternating_models_are_a_break_once_each(dialect: Dialect) -> None:
    """A router that changes the model pays for it when a model is new to the conversation, and gets an event."""
    watched = Watched(dialect)
    prompt = watched.grow(begun(), 4)
    misses: list[Miss | None] = []
    for turn in range(6):
        misses.append(watched.ask(replace(prompt, model=f"m-{1 + (turn + 1) % 2}")))
        prompt = stepped(prompt)
    assert misses[0] is not None
    assert misses[0].reason == "model"
    assert misses[1:] == [None] * 5


@settings(max_examples=60, deadline=None)
@given(
    dialect=st.sampled_from(DIALECTS),
    turns=st.integers(3, 9),
    kind=st.sampled_from(sorted(KINDS)),
    later=st.integers(0, 3),
    conversation=st.sampled_from(["c1", None]),
    mixed=st.booleans(),
)
def test_a_break_is_found_among_others(
    dialect: Dialect, turns: int, kind: str, later: int, conversation: str | None, *, mixed: bool
) -> None:
    """Other conversations in between are not reported; the break is reported, once."""
    watched = Watched(dialect)
    prompt = other = begun()
    other = begun("Something else.")
    for _ in range(turns):
        prompt = watched.grow(prompt, 1, conversation=conversation, trace=1)
        if mixed:
            other = watched.grow(other, 1, conversation=conversation, trace=1)
    changed = KINDS[kind](prompt, watched)
    miss = watched.ask(changed, conversation=conversation, trace=1)
    assert miss is not None
    assert (miss.reason, miss.segment) == expected(kind, dialect)
    watched.grow(stepped(changed), later, conversation=conversation, trace=1)


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Conversations and messages beyond their limits, and those of yesterday, are forgotten: the oldest first."""
    monkeypatch.setattr(conversations, "MOST", 20)
    monkeypatch.setattr(conversations, "_MOST_MESSAGES", 60)
    watched = Watched(DIALECTS[0])
    for task in range(50):
        watched.grow(begun(f"Task {task}"), 4, trace=task)
    assert len(watched.health) == 60 // 7
    watched.now += 2 * conversations.DAY
    watched.ask(begun("The next day"), trace=99)
    assert len(watched.health) == 1


def test_what_repeats_is_known_before_the_call() -> None:
    """The prefix, how often it was seen, its tokens and its gaps: what sets markers and lifetimes."""
    watched = Watched(DIALECTS[0])
    watched.health = PromptCacheHealth(lambda: watched.now, every=True)
    prompt = begun()
    who = {"gen_ai.agent.name": "a"}
    assert watched.health.prefix(watched.request(prompt), who, 1, watched.now) is None
    for turn in range(3):
        watched.ask(prompt)
        watched.now += 10
        prompt = stepped(prompt)
        prefix = watched.health.prefix(watched.request(prompt), who, 1, watched.now)
        assert prefix is not None
        assert (prefix.seen, prefix.gaps, prefix.since) == (turn + 1, (12.0,) * turn, 12.0)
        assert prefix.tokens == prefix.cached + 3
    watched.now += 400
    prefix = watched.health.prefix(watched.request(prompt), who, 1, watched.now)
    assert prefix is not None
    assert prefix.seen == 0
