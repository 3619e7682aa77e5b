"""The short way through a usage as OpenAI writes it: what it returns is what the rules for all usages return."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from anthropic.types import CacheCreation
from hypothesis import given
from hypothesis import strategies as st
from openai.types import CompletionUsage
from openai.types.responses import ResponseUsage

from otel_agentcost.wire.anthropic_messages import message_usage
from otel_agentcost.wire.anthropic_messages.plain_usage import plain_usage as plain_message_usage
from otel_agentcost.wire.fields import Malformed
from otel_agentcost.wire.openai_usage import CHAT, RESPONSES, Spelling, chat_usage, plain_usage, responses_usage

OTHER = {"a_field_that_no_row_knows": None}
"""With it, a usage goes the long way."""
COUNTS: st.SearchStrategy[Any] = st.one_of(
    st.integers(-1, 30), st.sampled_from([None, True, False, 1.0, 2.5, "7", "", {}, [], 2**53, 2**60])
)
DETAILS: st.SearchStrategy[Any] = st.one_of(
    st.none(),
    st.just({}),
    st.just("none"),
    st.fixed_dictionaries(
        {},
        optional={
            "cached_tokens": COUNTS,
            "reasoning_tokens": COUNTS,
            "audio_tokens": COUNTS,
            "cache_write_tokens": COUNTS,
            "accepted_prediction_tokens": COUNTS,
            "images": COUNTS,
        },
    ),
)


@st.composite
def usages(draw: st.DrawFn, names: Spelling) -> dict[str, Any]:
    """Usages with these names: most add up, and some have strange counts."""
    prompt, produced = draw(st.integers(0, 30)), draw(st.integers(0, 30))
    usage: dict[str, Any] = {names.input: prompt, names.output: produced, names.total: prompt + produced}
    if draw(st.booleans()):
        usage |= {names.input_details: draw(DETAILS), names.output_details: draw(DETAILS)}
    if draw(st.integers(0, 3)) == 0:
        usage[draw(st.sampled_from(names))] = draw(COUNTS)
    return usage


def read(by: Callable[[], tuple[Any, ...]]) -> Any:
    try:
        usage, *others = by()
    except Malformed as problem:
        return str(problem).partition(" in the usage ")[0]  # which it quotes, with the field that makes it long
    return list(usage.counts.items()), usage.unsplit, usage.tokens(), others


@given(usages(CHAT))
def test_a_chat_reads_the_same_both_ways(usage: dict[str, Any]) -> None:
    """All counts, in their order, their sums, and what is refused."""
    assert read(lambda: chat_usage(usage, "gpt-4o")) == read(lambda: chat_usage({**usage, **OTHER}, "gpt-4o"))


@given(usages(RESPONSES))
def test_a_response_reads_the_same_both_ways(usage: dict[str, Any]) -> None:
    """With the names of the responses API."""
    assert read(lambda: responses_usage(usage)) == read(lambda: responses_usage({**usage, **OTHER}))


@st.composite
def message_usages(draw: st.DrawFn) -> dict[str, Any]:
    """Usages of Anthropic's messages: most add up."""
    usage: dict[str, Any] = {name: draw(st.integers(0, 30)) for name in ("input_tokens", "output_tokens")}
    split = st.fixed_dictionaries({}, optional=dict.fromkeys(_SPLIT, COUNTS))
    optional: dict[str, Any] = {
        "cache_read_input_tokens": COUNTS,
        "cache_creation_input_tokens": COUNTS,
        "cache_creation": st.one_of(st.none(), st.sampled_from(["none", 0, []]), split),
        "output_tokens_details": st.sampled_from([None, {}, 0, {"thinking_tokens": 0}, {"thinking_tokens": 2}]),
        "server_tool_use": st.sampled_from([None, {}, "", {"web_search_requests": 2}]),
    }
    usage |= draw(st.fixed_dictionaries({}, optional=optional))
    if draw(st.integers(0, 3)) == 0:
        usage[draw(st.sampled_from(["input_tokens", "output_tokens"]))] = draw(COUNTS)
    return usage


_SPLIT = ("ephemeral_5m_input_tokens", "ephemeral_1h_input_tokens")


class LongWay(dict[str, Any]):
    """A mapping that is no plain `dict`: it is read by the rules for all usages."""


@given(message_usages())
def test_a_message_reads_the_same_both_ways(usage: dict[str, Any]) -> None:
    """Caching included."""
    assert read(lambda: (message_usage(usage),)) == read(lambda: (message_usage(LongWay(usage)),))


def test_the_usage_of_anthropic_goes_the_short_way() -> None:
    """As the SDK's object has it, without thoughts and searches."""
    usage = {
        "input_tokens": 181,
        "cache_read_input_tokens": 1024,
        "cache_creation_input_tokens": 256,
        "cache_creation": CacheCreation(ephemeral_5m_input_tokens=256, ephemeral_1h_input_tokens=0),
        "output_tokens": 183,
        "server_tool_use": None,
        "service_tier": "standard",
    }
    plain = plain_message_usage(usage)
    assert plain is not None
    assert plain.counts == {
        "input_tokens": 181,
        "cache_read_tokens": 1024,
        "cache_write_5m_tokens": 256,
        "output_tokens": 183,
    }
    assert (plain.input_tokens, plain.output_tokens, plain.cache_write_tokens) == (1461, 183, 256)


@pytest.mark.parametrize(
    ("names", "kind"),
    [(CHAT, CompletionUsage), (RESPONSES, ResponseUsage)],
)
def test_the_usage_of_openai_goes_the_short_way(names: Spelling, kind: Any) -> None:
    """As JSON and as an object of the SDK; a usage with a field of a gateway does not."""
    usage = {
        names.input: 1205,
        names.output: 183,
        names.total: 1388,
        names.input_details: {"cached_tokens": 1024, "cache_write_tokens": 0, "audio_tokens": 0},
        names.output_details: {"reasoning_tokens": 64, "audio_tokens": 0, "rejected_prediction_tokens": 0},
    }
    counts = {"input_tokens": 181, "cache_read_tokens": 1024, "output_tokens": 119, "output_reasoning_tokens": 64}
    for each in (usage, kind.model_validate(usage)):
        plain = plain_usage(each, names)
        assert plain is not None
        assert plain.counts == counts
        assert (plain.input_tokens, plain.output_tokens, plain.reasoning_tokens) == (1205, 183, 64)
    assert plain_usage({**usage, **OTHER}, names) is None
