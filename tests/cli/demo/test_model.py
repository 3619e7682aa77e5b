"""The scripted model: its tokens are those of the texts, and its cache is a prompt cache."""

from __future__ import annotations

from dataclasses import replace

import pytest

from otel_agentcost.cli.demo import corpus, script
from otel_agentcost.cli.demo.model import Reply, Script, ScriptedModel, count_tokens
from otel_agentcost.testing.answers import ModelRequest

HELLO = Script(replies=(Reply(text="Good morning to you."),))
LONG = "The quick brown fox jumps over the lazy dog. " * 150  # about 1,500 tokens


def asked(*prompt: str, block: int = 1, cache: bool = True, model: str = "m") -> ModelRequest:
    return ModelRequest(model=model, prompt=prompt, turn=0, cache=cache, cache_block=block)


def test_tokens_are_counted_from_the_prompt_and_the_reply() -> None:
    """The prompt's count is the sum over its messages, the output's that of the reply."""
    tokens = ScriptedModel(HELLO).answer(asked("One two three.", "Four five.")).tokens
    assert tokens.prompt == count_tokens("One two three.") + count_tokens("Four five.")
    assert tokens.output == count_tokens("Good morning to you.") == 5


def test_a_longer_prompt_counts_more() -> None:
    """Twice the text is twice the tokens, to within one."""
    model = ScriptedModel(HELLO)
    once, twice = (model.answer(asked(LONG * times, cache=False)).tokens.prompt for times in (1, 2))
    assert twice == pytest.approx(2 * once, abs=1)


def test_tool_calls_are_output_too() -> None:
    """A reply that only calls a tool has output tokens, and its text adds to them."""
    silent, talking = (
        ScriptedModel(Script(replies=(Reply(text=text, tools=(("web_search", {"query": "bees"}),)),)))
        for text in ("", "Let me look.")
    )
    calls = silent.answer(asked("Hi")).tokens.output
    assert talking.answer(asked("Hi")).tokens.output == calls + count_tokens("Let me look.") > calls > 0


def test_a_repeated_prefix_is_read_from_the_cache() -> None:
    """A prompt that begins with an earlier prompt reads that much from the cache; the rest is written to it."""
    model = ScriptedModel(HELLO)
    first, second = model.answer(asked(LONG)).tokens, model.answer(asked(LONG, "And now?")).tokens
    assert (first.cache_read, first.cache_write) == (0, count_tokens(LONG))
    assert (second.cache_read, second.cache_write) == (count_tokens(LONG), count_tokens("And now?"))


def test_cached_tokens_come_in_blocks() -> None:
    """Where the provider counts cached tokens in blocks, the count is a multiple of a block."""
    model = ScriptedModel(HELLO)
    model.answer(asked(LONG, block=128))
    read = model.answer(asked(LONG, "And now?", block=128)).tokens.cache_read
    assert read % 128 == 0
    assert count_tokens(LONG) - 128 < read <= count_tokens(LONG)


@pytest.mark.parametrize(
    "other",
    [asked(LONG[1:], "And now?"), asked(LONG, "And now?", cache=False), asked(LONG, "And now?", model="other")],
    ids=["another prefix", "caching not asked for", "another model"],
)
def test_nothing_else_is_read_from_the_cache(other: ModelRequest) -> None:
    """Another text, another model, or a request that does not want caching finds nothing in the cache."""
    model = ScriptedModel(HELLO)
    model.answer(asked(LONG))
    assert model.answer(other).tokens.cache_read == 0


def test_short_prompts_are_not_cached() -> None:
    """Below a thousand tokens nothing is cached, as with the real providers."""
    model = ScriptedModel(HELLO)
    for _ in range(2):
        tokens = model.answer(asked("Short.")).tokens
        assert (tokens.cache_read, tokens.cache_write) == (0, 0)


def test_the_script_goes_on_with_its_last_reply() -> None:
    """A conversation longer than the script hears the last reply again."""
    model = ScriptedModel(script.REPLAY)
    assert model.answer(replace(asked("Hi"), turn=99)).text == script.REPLAY.replies[-1].text


def test_the_replay_is_the_published_example() -> None:
    """38,800 input and 3,200 output tokens in ten steps, two searches and three pages read."""
    assert script.REPLAY.usage is not None
    assert sum(tokens.prompt for tokens in script.REPLAY.usage) == 38_800
    assert sum(tokens.output for tokens in script.REPLAY.usage) == 3_200
    assert len(script.REPLAY.usage) == len(script.REPLAY.replies) == 10
    tools = [name for reply in script.REPLAY.replies for name, _ in reply.tools]
    assert (tools.count("web_search"), tools.count("read_page"), len(tools)) == (2, 3, 5)


def test_the_replay_grows_like_a_conversation() -> None:
    """Each prompt holds at least the one before it and the answer to that."""
    assert script.REPLAY.usage is not None
    for before, after in zip(script.REPLAY.usage, script.REPLAY.usage[1:], strict=False):
        assert after.prompt >= before.prompt + before.output


@pytest.mark.parametrize("name", ["TOUR", "REPLAY"])
def test_scripts_read_only_pages_that_the_search_finds(name: str) -> None:
    """Every page that the scripted model reads was among the results of a search before."""
    found: set[str] = set()
    scenario: Script = getattr(script, name)
    for tool, arguments in (use for reply in scenario.replies for use in reply.tools):
        if tool == "web_search":
            found |= {page.url for page in corpus.search(arguments["query"])}
        else:
            assert arguments["url"] in found


def test_an_unknown_page_is_none() -> None:
    """A page that the demo's web does not have is None, and a search without a match finds nothing."""
    assert corpus.read("https://bees.example/nowhere") is None
    assert corpus.search("quantum chromodynamics") == []
