"""Chat completions and who copies them: every overlap split once, every deviation recognised."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from tests.wire.reading import ask, chat, delta, streamed, used, whole

CACHED = {
    "prompt_tokens": 1205,
    "completion_tokens": 183,
    "total_tokens": 1388,
    "prompt_tokens_details": {"cached_tokens": 1024, "audio_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 64},
}


def test_cached_tokens_are_not_billed_twice() -> None:
    """Cached tokens leave the fresh input, and reasoning leaves the plain output."""
    usage = used(whole("openai_chat", chat(CACHED)))
    assert usage.counts == {
        "input_tokens": 181,
        "cache_read_tokens": 1024,
        "output_tokens": 119,
        "output_reasoning_tokens": 64,
    }
    assert (usage.input_tokens, usage.output_tokens) == (1205, 183)


def test_cache_writes_are_within_the_prompt() -> None:
    """OpenAI's newer models bill what they write to the cache; it is part of prompt_tokens."""
    details = {"cached_tokens": 100, "cache_write_tokens": 300}
    usage = used(
        whole("openai_chat", chat({"prompt_tokens": 1000, "completion_tokens": 1, "prompt_tokens_details": details}))
    )
    assert usage.counts == {
        "input_tokens": 600,
        "cache_read_tokens": 100,
        "cache_write_tokens": 300,
        "output_tokens": 1,
    }


def test_audio_beside_cached_tokens_is_marked_as_unsplit() -> None:
    """Without a joint count, one possible split is made, and the kind in doubt is named."""
    details = {"cached_tokens": 150, "audio_tokens": 100}
    given = {"prompt_tokens": 200, "completion_tokens": 30, "prompt_tokens_details": details}
    usage = used(whole("openai_chat", chat({**given, "completion_tokens_details": {"audio_tokens": 20}})))
    assert usage.unsplit == ("cache_audio_read_tokens",)
    assert (usage.input_tokens, usage.cache_read_tokens) == (200, 150)
    assert (usage.counts["output_audio_tokens"], usage.counts["output_tokens"]) == (20, 10)


def test_audio_without_cached_tokens_is_certain() -> None:
    """Where one of the two is all or nothing, there is no doubt."""
    details = {"cached_tokens": 200, "audio_tokens": 100}
    usage = used(
        whole("openai_chat", chat({"prompt_tokens": 200, "completion_tokens": 0, "prompt_tokens_details": details}))
    )
    assert usage.unsplit == ()
    assert usage.counts == {"cache_audio_read_tokens": 100, "cache_read_tokens": 100}


@pytest.mark.parametrize("requested", ["priority", "flex", "auto", None])
def test_the_served_tier_counts_not_the_requested_one(requested: str | None) -> None:
    """Asked for priority and served as default is priced as default."""
    answer = whole("openai_chat", chat(CACHED, service_tier="default"), {"service_tier": requested})
    assert answer.terms == (("service_tier", "default"),)
    assert answer.tier == "default"


@pytest.mark.parametrize("tier", [None, "auto", "", 7])
def test_an_unknown_served_tier_is_no_term(tier: object) -> None:
    """ "auto" in a response does not say which tier served the call."""
    assert whole("openai_chat", chat(CACHED, service_tier=tier), {"service_tier": "flex"}).terms == ()


def test_streams_keep_the_service_tier() -> None:
    """The tier is read from whichever chunk carries it."""
    events = [delta("Hi", service_tier="flex"), delta(" you", service_tier="flex"), chat(CACHED)]
    answer = streamed("openai_chat", events)
    assert answer.terms == (("service_tier", "flex"),)
    assert used(answer).input_tokens == 1205


def test_capacity_paid_in_advance_is_not_billed_by_the_token() -> None:
    """The scale tier has its tokens counted and no price."""
    answer = whole("openai_chat", chat(CACHED, service_tier="scale"))
    assert used(answer).input_tokens == 1205
    assert "paid in advance" in (answer.missing or "")


def test_a_stream_without_usage_is_estimated_and_says_so() -> None:
    """Never 0, and never an estimate that looks like the provider's count."""
    body = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Tell me a joke"}]}
    usage = used(streamed("openai_chat", [delta(""), delta("Why did"), delta(" the chicken")], body))
    assert usage.estimated
    assert 8 <= usage.input_tokens <= 16
    assert 3 <= usage.output_tokens <= 7


def test_a_stream_left_early_is_charged_with_what_is_known() -> None:
    """Tool calls and thoughts that came count too; a stream that was never read counts its prompt."""
    body = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Tell me a joke"}]}
    call = {"index": 0, "function": {"name": "search", "arguments": '{"query": "jokes about chickens"}'}}
    tool = {"model": "gpt-4o", "choices": [{"index": 0, "delta": {"tool_calls": [call], "reasoning_content": "Hmm"}}]}
    assert used(streamed("openai_chat", [tool], body, complete=False)).output_tokens > 5
    unread = used(streamed("openai_chat", [], body, complete=False))
    assert unread.input_tokens > 0
    assert unread.output_tokens == 0


def test_usage_on_every_chunk_is_not_summed() -> None:
    """xAI and Perplexity send totals so far with every chunk: the last ones count."""
    events = [{**delta("a"), "usage": {"prompt_tokens": 10, "completion_tokens": number}} for number in (1, 2, 3)]
    assert used(streamed("openai_chat", events)).counts == {"input_tokens": 10, "output_tokens": 3}


def test_groq_sends_the_usage_of_a_stream_under_its_own_name() -> None:
    """`x_groq.usage` in the last chunk is a usage."""
    last: dict[str, Any] = {
        "model": "llama",
        "choices": [],
        "x_groq": {"usage": {"prompt_tokens": 18, "completion_tokens": 73}},
    }
    assert used(streamed("openai_chat", [delta("Hi"), last])).counts == {"input_tokens": 18, "output_tokens": 73}


def test_azure_names_its_model_in_a_later_chunk() -> None:
    """A first chunk about content filters, with an empty model, does not hide the model."""
    answer = streamed("openai_chat", [{"model": "", "id": "", "choices": []}, delta("Hi"), delta(None)])
    assert (answer.model, answer.response_id) == ("gpt-4o-2024-08-06", "c1")


def test_xai_reasons_beside_the_completion() -> None:
    """Where the total is prompt, completion and reasoning, the reasoning is not in the completion."""
    usage = {
        "prompt_tokens": 12,
        "completion_tokens": 1,
        "total_tokens": 399,
        "completion_tokens_details": {"reasoning_tokens": 386},
    }
    assert used(whole("openai_chat", chat(usage))).counts["output_reasoning_tokens"] == 386
    assert used(whole("openai_chat", chat(usage))).output_tokens == 387


def test_gemini_s_compatible_endpoint_hides_thoughts_in_the_total() -> None:
    """What the total has more than prompt and completion was thought, and is billed as output."""
    usage = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 65}
    assert used(whole("openai_chat", {**chat(usage), "model": "gemini-2.5-flash"})).output_tokens == 55
    assert used(whole("openai_chat", chat(usage))).output_tokens == 5


def test_deepseek_s_own_cache_counts_are_read() -> None:
    """prompt_cache_hit_tokens says the same as cached_tokens, and is not added to it."""
    usage = {
        "prompt_tokens": 100,
        "completion_tokens": 5,
        "prompt_cache_hit_tokens": 64,
        "prompt_cache_miss_tokens": 36,
    }
    assert used(whole("openai_chat", chat(usage))).counts["cache_read_tokens"] == 64
    both = {**usage, "prompt_tokens_details": {"cached_tokens": 64}}
    assert used(whole("openai_chat", chat(both))).counts["cache_read_tokens"] == 64


def test_perplexity_bills_reasoning_citations_and_searches_beside_the_completion() -> None:
    """Counts beside the completion are added, each once; its own cost goes before all prices."""
    usage = {
        "prompt_tokens": 33,
        "completion_tokens": 7163,
        "total_tokens": 7196,
        "citation_tokens": 20016,
        "num_search_queries": 18,
        "reasoning_tokens": 73997,
        "cost": {"total_cost": 0.4},
    }
    answer = whole("openai_chat", chat(usage))
    assert used(answer).counts == {
        "input_tokens": 33,
        "output_tokens": 7163,
        "output_reasoning_tokens": 73997,
        "output_citation_tokens": 20016,
        "web_searches": 18,
    }
    assert [each.usd for each in answer.reported] == [Decimal("0.4")]


@pytest.mark.parametrize(
    ("usage", "usd"),
    [
        ({"cost": 0.00014}, "0.00014"),
        ({"cost": 0}, "0"),
        ({"cost": -1}, None),
        ({"cost": True}, None),
        ({"cost": float("nan")}, None),
        ({"cost": 0.001, "is_byok": True, "cost_details": {"upstream_inference_cost": 0.02}}, "0.021"),
        ({"cost": 0.001, "is_byok": True}, None),
    ],
)
def test_a_cost_that_the_provider_reports_is_passed_on(usage: dict[str, Any], usd: str | None) -> None:
    """OpenRouter's cost, with what the caller's own key pays upstream; nonsense is no cost."""
    answer = whole("openai_chat", chat({**CACHED, **usage}))
    assert [each.usd for each in answer.reported] == ([] if usd is None else [Decimal(usd)])


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"prompt_tokens": -1}, "prompt_tokens is -1"),
        ({"prompt_tokens": "twelve"}, "prompt_tokens is 'twelve'"),
        ({"completion_tokens": True}, "completion_tokens is True"),
        ({"completion_tokens": float("nan")}, "completion_tokens is nan"),
        ({"prompt_tokens": 2**53 + 1}, "prompt_tokens is 9007199254740993"),
        ({"prompt_tokens": 10**5000}, "prompt_tokens is a value of type int"),
        ({"prompt_tokens": 1000}, "more than prompt_tokens, which is 1000"),
        ({"prompt_tokens": None}, "prompt_tokens is missing"),
        ({"prompt_tokens_details": [1]}, "prompt_tokens_details is [1]"),
    ],
)
def test_counts_that_cannot_be_are_refused_with_their_value(change: dict[str, Any], reason: str) -> None:
    """No guess, no clamp, no zero: the usage is unknown and the reason quotes what was wrong."""
    answer = whole("openai_chat", chat({**CACHED, **change}))
    assert answer.usage is None
    assert reason in (answer.missing or "")


@pytest.mark.parametrize(
    ("response", "reason"),
    [
        (chat(None), "the response has no usage"),
        (chat("n/a"), "usage is 'n/a', which is not an object"),
        (chat({}), "prompt_tokens is missing in the usage {}"),
        ({"error": {"message": "model not found", "code": 404}}, "the response is an error: model not found"),
        (None, "the response has no usage"),
        ("<html>", "the response has no usage"),
    ],
)
def test_a_response_without_usage_says_why(response: Any, reason: str) -> None:
    """Missing is not zero."""
    answer = whole("openai_chat", response)
    assert (answer.usage, answer.missing) == (None, reason)


def test_the_search_of_a_search_model_is_counted() -> None:
    """OpenAI's search models search once a request, and say so nowhere; others' models with that option do not."""
    body: dict[str, Any] = {"model": "gpt-4o-search-preview", "web_search_options": {}}
    assert used(whole("openai_chat", chat(CACHED), body)).counts["web_searches"] == 1
    sonar = {**chat(CACHED), "model": "sonar-pro"}
    assert "web_searches" not in used(whole("openai_chat", sonar, {"web_search_options": {}})).counts


def test_the_request_is_described_by_the_conventions_names() -> None:
    """What was given is there with the conventions' types; the SDK's own markers for "not given" are not."""
    body: dict[str, Any] = {
        "model": "gpt-4o",
        "temperature": 0,
        "top_p": 0.5,
        "max_completion_tokens": 100,
        "n": 2,
        "stop": "END",
        "seed": object(),
        "stream": True,
        "service_tier": "auto",
        "response_format": {"type": "json_schema"},
        "reasoning_effort": "low",
        "messages": [],
    }
    call = ask("openai_chat", body)
    assert (call.model, call.stream, call.max_output_tokens, call.choices) == ("gpt-4o", True, 100, 2)
    assert call.parameters == {
        "gen_ai.request.temperature": 0.0,
        "gen_ai.request.top_p": 0.5,
        "gen_ai.request.max_tokens": 100,
        "gen_ai.request.choice.count": 2,
        "gen_ai.request.stop_sequences": ("END",),
        "gen_ai.request.stream": True,
        "gen_ai.output.type": "json",
        "gen_ai.request.reasoning.level": "low",
    }
    assert call.body is body


def test_a_deployment_in_the_path_stands_in_for_a_model() -> None:
    """Azure's older clients name the model in the path alone."""
    assert ask("openai_chat", {}, "/openai/deployments/my-gpt/chat/completions").model == "my-gpt"


def test_legacy_completions_count_every_prompt_and_every_candidate() -> None:
    """`best_of` completions are generated for each prompt of a list, and all are billed."""
    assert ask("openai_completions", {"prompt": ["a", "b"], "n": 2, "best_of": 3}).choices == 6
    assert ask("openai_completions", {"prompt": [1, 2, 3]}).choices == 1
    nothing = {"prompt_tokens": 5, "total_tokens": 5}
    assert used(whole("openai_completions", chat(nothing))).counts == {"input_tokens": 5}
