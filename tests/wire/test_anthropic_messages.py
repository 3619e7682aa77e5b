"""Anthropic messages: exclusive counts, two cache lifetimes, iterations, placeholders, terms."""

from __future__ import annotations

from typing import Any

import pytest

from otel_agentcost.core.call import Charge
from otel_agentcost.core.usage import Usage
from tests.wire.reading import ask, streamed, used, whole

USAGE: dict[str, Any] = {
    "input_tokens": 181,
    "cache_read_input_tokens": 1024,
    "cache_creation_input_tokens": 256,
    "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 256},
    "output_tokens": 183,
    "service_tier": "standard",
    "inference_geo": "global",
    "speed": "standard",
}


def message(**changes: Any) -> dict[str, Any]:
    usage = {**USAGE, **changes}
    return {"id": "msg_1", "model": "claude-opus-5", "content": [], "stop_reason": "end_turn", "usage": usage}


def test_exclusive_input_is_not_reduced_by_the_cache_again() -> None:
    """Anthropic's input_tokens are what is left without the cache: nothing is subtracted, and the sum is the input."""
    answer = whole("anthropic_messages", message())
    assert used(answer).counts == {
        "input_tokens": 181,
        "cache_read_tokens": 1024,
        "cache_write_1h_tokens": 256,
        "output_tokens": 183,
    }
    assert used(answer).input_tokens == 1461
    assert (answer.response_id, answer.finish_reasons, answer.terms) == ("msg_1", ("end_turn",), ())


def test_cache_writes_of_unknown_lifetime_keep_their_own_kind() -> None:
    """Without a split, or with one that does not cover all, what is left is a write of no known lifetime."""
    assert used(whole("anthropic_messages", message(cache_creation=None))).counts["cache_write_tokens"] == 256
    split = {"ephemeral_5m_input_tokens": 100, "ephemeral_1h_input_tokens": 100}
    counts = used(whole("anthropic_messages", message(cache_creation=split))).counts
    assert (counts["cache_write_5m_tokens"], counts["cache_write_1h_tokens"], counts["cache_write_tokens"]) == (
        100,
        100,
        56,
    )


def test_thinking_leaves_the_plain_output() -> None:
    """Thinking tokens are within output_tokens."""
    counts = used(whole("anthropic_messages", message(output_tokens_details={"thinking_tokens": 83}))).counts
    assert (counts["output_tokens"], counts["output_reasoning_tokens"]) == (100, 83)


def test_searches_at_the_provider_are_counted() -> None:
    """Web searches are billed; fetching a page is not."""
    tools = {"web_search_requests": 3, "web_fetch_requests": 2}
    assert used(whole("anthropic_messages", message(server_tool_use=tools))).counts["web_searches"] == 3


@pytest.mark.parametrize(
    ("change", "terms"),
    [
        ({"speed": "fast"}, (("speed", "fast"),)),
        ({"service_tier": "batch"}, (("processing", "batch"),)),
        ({"inference_geo": "us"}, (("inference_geo", "us"),)),
        ({"inference_geo": "not_available"}, ()),
        ({"speed": "fast", "inference_geo": "us"}, (("speed", "fast"), ("inference_geo", "us"))),
    ],
)
def test_what_served_the_message_sets_its_price(change: dict[str, Any], terms: Any) -> None:
    """Speed, batch and geography are read from the answer."""
    answer = whole("anthropic_messages", message(**change), {"speed": "fast", "inference_geo": "us"})
    assert (answer.terms, answer.missing) == (terms, None)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"service_tier": "priority"}, "paid in advance"),
        ({"inference_geo": "eu"}, "the price of inference in 'eu' is not known"),
        ({"fallback_credit": {"status": {"type": "redeemed"}}}, "fallback credit"),
    ],
)
def test_tokens_without_a_list_price_are_counted_and_not_priced(change: dict[str, Any], reason: str) -> None:
    """The usage is there, and so is why it has no price."""
    answer = whole("anthropic_messages", message(**change))
    assert used(answer).output_tokens == 183
    assert reason in (answer.missing or "")


def iteration(kind: str, given: int, produced: int, model: str | None = None, **more: Any) -> dict[str, Any]:
    named = {"model": model} if model else {}
    return {"type": kind, "input_tokens": given, "output_tokens": produced, **named, **more}


def plain(given: int, produced: int) -> Usage:
    return Usage(counts={"input_tokens": given, "output_tokens": produced})


def test_iterations_are_what_is_billed() -> None:
    """The totals count the first iteration's input only; an advisor is billed at its own model's price."""
    entries = [
        iteration("message", 412, 89),
        iteration("advisor_message", 823, 1612, "claude-fable-5"),
        iteration("message", 1348, 442, cache_read_input_tokens=412),
    ]
    totals = {"input_tokens": 412, "output_tokens": 531, "iterations": entries, "speed": "fast"}
    answer = whole("anthropic_messages", {"model": "claude-opus-5", "usage": totals})
    assert used(answer).counts == {"input_tokens": 1760, "output_tokens": 531, "cache_read_tokens": 412}
    assert answer.extra == (Charge(model="claude-fable-5", usage=plain(823, 1612)),)


def test_a_compaction_is_charged_beside_the_answer() -> None:
    """Its tokens are not in the totals, and it ran on the same model under the same terms."""
    entries = [iteration("compaction", 150_000, 3500), iteration("message", 4000, 200)]
    totals = {"input_tokens": 4000, "output_tokens": 200, "iterations": entries, "speed": "fast"}
    answer = whole("anthropic_messages", {"model": "claude-opus-5", "usage": totals})
    assert used(answer) == plain(4000, 200)
    terms = (("speed", "fast"),)
    assert answer.extra == (Charge(model="claude-opus-5", usage=plain(150_000, 3500), terms=terms),)


def test_a_declined_attempt_is_billed_only_if_it_produced_output() -> None:
    """A fallback model answered: the first declined at once (free), the second in the middle (billed at its price)."""
    entries = [
        iteration("message", 900, 0, "claude-fable-5"),
        iteration("message", 900, 40, "claude-fable-5"),
        iteration("fallback_message", 950, 60, "claude-opus-4-8"),
    ]
    totals = {"input_tokens": 950, "output_tokens": 60, "iterations": entries}
    answer = whole("anthropic_messages", {"model": "claude-opus-4-8", "usage": totals})
    assert used(answer) == plain(950, 60)
    assert answer.extra == (Charge(model="claude-fable-5", usage=plain(900, 40)),)


@pytest.mark.parametrize(
    ("entries", "reason"),
    [
        ([iteration("dream", 1, 183)], "an entry of type 'dream'"),
        ([iteration("message", 1, 3)], "come to 3 output tokens, fewer than output_tokens, which is 183"),
        ([iteration("advisor_message", 1, 3)], "model is missing"),
        ([iteration("message", -1, 183)], "input_tokens is -1"),
    ],
)
def test_iterations_that_do_not_add_up_are_refused(entries: list[Any], reason: str) -> None:
    """What is not understood is not billed."""
    answer = whole("anthropic_messages", message(iterations=entries))
    assert (answer.usage, answer.extra) == (None, ())
    assert reason in (answer.missing or "")


START: dict[str, Any] = {"type": "message_start", "message": {**message(output_tokens=2), "stop_reason": None}}
WORDS: list[dict[str, Any]] = [
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Why did the collector"}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": " go to therapy?"}},
]
END = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 183}}


def test_a_stream_s_placeholder_is_replaced_and_not_added() -> None:
    """The totals of message_delta replace those of message_start; cache counts and lifetimes stay."""
    answer = streamed("anthropic_messages", [START, *WORDS, END, {"type": "message_stop"}])
    assert answer == whole("anthropic_messages", message())


def test_totals_that_grow_during_a_stream_replace_the_earlier_ones() -> None:
    """A server-side tool loop reports more input at the end than at the start."""
    end = {**END, "usage": {"input_tokens": 9000, "cache_creation_input_tokens": 300, "output_tokens": 400}}
    counts = used(streamed("anthropic_messages", [START, *WORDS, END, end])).counts
    assert (counts["input_tokens"], counts["output_tokens"]) == (9000, 400)
    assert (counts["cache_write_1h_tokens"], counts["cache_write_tokens"]) == (256, 44)


@pytest.mark.parametrize(
    "zeros",
    [
        {"input_tokens": 0},
        {"input_tokens": 0, "cache_read_input_tokens": 0, "cache_creation_input_tokens": 0},
        {"cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0}},
        {"cache_creation_input_tokens": 0, "cache_creation": {}},
    ],
)
def test_zeros_at_the_end_of_a_stream_do_not_erase_its_input(zeros: dict[str, Any]) -> None:
    """Totals never shrink: a gateway that writes zeros for the input into message_delta takes nothing back."""
    end = {**END, "usage": {"output_tokens": 183, **zeros}}
    assert streamed("anthropic_messages", [START, *WORDS, end]) == whole("anthropic_messages", message())


def test_a_count_that_is_none_at_the_end_of_a_stream_is_not_hidden_by_its_start() -> None:
    """A negative count is no smaller total: there is no price."""
    end = {**END, "usage": {"output_tokens": 183, "input_tokens": -1}}
    answer = streamed("anthropic_messages", [START, *WORDS, end])
    assert answer.usage is None
    assert "input_tokens is -1" in str(answer.missing)


def test_an_interrupted_stream_does_not_report_its_placeholder() -> None:
    """The input is exact, the output counted from the text that came, and the usage marked as an estimate."""
    answer = streamed("anthropic_messages", [START, *WORDS], complete=False)
    usage = used(answer)
    assert usage.estimated
    assert (usage.input_tokens, usage.cache_read_tokens) == (1461, 1024)
    assert 6 <= usage.output_tokens <= 14
    assert answer.model == "claude-opus-5"


def test_a_stream_that_was_never_read_counts_its_prompt() -> None:
    """The provider read the prompt, whatever became of the answer."""
    body = {"model": "claude-opus-5", "messages": [{"role": "user", "content": "Tell me a joke"}], "system": "Be brief"}
    usage = used(streamed("anthropic_messages", [], body, complete=False))
    assert usage.estimated
    assert usage.input_tokens > 5


def test_an_error_at_the_start_of_a_stream_is_quoted() -> None:
    """Nothing was used, and the reason is the provider's."""
    error = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
    assert streamed("anthropic_messages", [error]).missing == "the response is an error: Overloaded"


def test_counting_tokens_is_free() -> None:
    """It is no generation, and costs nothing."""
    path = "/v1/messages/count_tokens"
    assert whole("anthropic_messages", {"input_tokens": 14}, path=path).free


def test_a_message_request_is_described() -> None:
    """The conventions' names, and the model of a Vertex or Bedrock path."""
    body = {"max_tokens": 64, "top_k": 5, "stop_sequences": ["a", "b"], "stream": True}
    call = ask("anthropic_messages", {**body, "output_config": {"effort": "max", "format": {"type": "json_schema"}}})
    assert call.max_output_tokens == 64
    assert call.parameters["gen_ai.request.top_k"] == 5
    assert call.parameters["gen_ai.request.stop_sequences"] == ("a", "b")
    assert call.parameters["gen_ai.request.reasoning.level"] == "max"
    assert call.parameters["gen_ai.output.type"] == "json"
    vertex = "/projects/p/locations/l/publishers/anthropic/models/claude-opus-5@20260101:streamRawPredict"
    assert ask("anthropic_messages", {}, vertex).model == "claude-opus-5@20260101"
    assert ask("anthropic_messages", {}, "/model/us.anthropic.claude-v1:0/invoke").model == "us.anthropic.claude-v1:0"
