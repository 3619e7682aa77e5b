"""Usages with spellings and in places that only some gateways have: they are read before anything is estimated."""

from __future__ import annotations

from typing import Any

import pytest
from openai.types.chat import ChatCompletion

from tests.wire.reading import chat, delta, streamed, used, whole

CLAUDE: dict[str, Any] = {"prompt_tokens": 10032, "completion_tokens": 100, "total_tokens": 10132}
WRITTEN = {"input_tokens": 15, "cache_write_tokens": 10017, "output_tokens": 100}
CHUNK: dict[str, Any] = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "kimi-k2.5"}


@pytest.mark.parametrize(
    "usage",
    [
        {**CLAUDE, "prompt_tokens_details": {"cached_creation_tokens": 10017}},  # new-api
        {**CLAUDE, "prompt_tokens_details": {"created_cache_tokens": 10017}},  # Together, through LiteLLM
        {**CLAUDE, "cacheWriteInputTokens": 10017},  # Bedrock's names
        {**CLAUDE, "cacheWriteInputTokenCount": 10017},
        {"promptTokens": 10032, "completionTokens": 100, "promptTokensDetails": {"cacheWriteTokens": 10017}},
        # Besides the input, as Anthropic counts: there is less input than that.
        {"prompt_tokens": 15, "completion_tokens": 100, "total_tokens": 115, "cache_creation_input_tokens": 10017},
        {"input_tokens": 15, "output_tokens": 100, "cache_creation_input_tokens": 10017},
    ],
)
def test_cache_writes_under_further_names_are_never_billed_as_input(usage: dict[str, Any]) -> None:
    """new-api, Bedrock's spelling, camel case, and gateways that copy Claude's counts without adding them up."""
    response = {**chat(usage), "object": "chat.completion", "created": 1}
    parsed: Any = ChatCompletion
    for given in (response, parsed.model_construct(**response)):
        assert used(whole("openai_chat", given)).counts == WRITTEN
    assert used(streamed("openai_chat", [delta("Hi"), chat(usage)])).counts == WRITTEN


def test_writes_for_an_hour_are_read_from_new_api() -> None:
    """Its names for them have the hour in the middle."""
    counts = {"claude_cache_creation_5_m_tokens": 17, "claude_cache_creation_1_h_tokens": 10000}
    found = used(whole("openai_chat", chat({**CLAUDE, **counts}))).counts
    assert (found["cache_write_5m_tokens"], found["cache_write_1h_tokens"]) == (17, 10000)


@pytest.mark.parametrize("name", ["prompt_cache_tokens", "cached_prompt_tokens", "semantic_cache_read_tokens"])
def test_cached_tokens_under_an_unknown_name_are_not_billed_in_silence(name: str) -> None:
    """Their price is another than that of the input, whatever the name means exactly."""
    answer = whole("openai_chat", chat({**CLAUDE, name: 900}))
    assert answer.uncounted == f"the price of 900 {name} is not known"


@pytest.mark.parametrize("empty", [[], "", 0])
def test_details_without_fields_never_hide_the_counts(empty: Any) -> None:
    """PHP writes an empty object as an empty list."""
    usage = {**CLAUDE, "prompt_tokens_details": empty, "completion_tokens_details": empty}
    assert used(whole("openai_chat", chat(usage))).counts == {"input_tokens": 10032, "output_tokens": 100}


def test_a_stream_with_an_empty_usage_is_estimated_like_one_without() -> None:
    """An object without a count says as much as no object; an error has nothing to estimate."""
    assert streamed("openai_chat", [delta("Forty-two, as everybody knows."), chat({})]).partial is not None
    assert whole("openai_chat", {**chat({}), "error": {"message": "overloaded"}}).partial is None


@pytest.mark.parametrize("stream", [False, True])
def test_openais_names_in_anthropics_format_are_never_estimated(*, stream: bool) -> None:
    """There the input includes what was read from a cache."""
    counted = {**CLAUDE, "prompt_tokens_details": {"cached_tokens": 10017}}
    message: dict[str, Any] = {"id": "m1", "type": "message", "model": "claude-sonnet-4-5", "content": []}
    if stream:
        events = [
            {"type": "message_start", "message": {**message, "usage": {"input_tokens": 0, "output_tokens": 0}}},
            {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": counted},
            {"type": "message_stop"},
        ]
        usage = used(streamed("anthropic_messages", events))
    else:
        usage = used(whole("anthropic_messages", {**message, "usage": counted}))
    assert usage.counts == {"input_tokens": 15, "cache_read_tokens": 10017, "output_tokens": 100}


def test_gemini_counts_by_modality_alone_are_never_estimated() -> None:
    """The details say all that the missing totals would say."""
    counted = {
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 400}, {"modality": "AUDIO", "tokenCount": 600}],
        "candidatesTokensDetails": [{"modality": "TEXT", "tokenCount": 100}],
    }
    candidates = [{"content": {"parts": [{"text": "Forty-two."}]}, "finishReason": "STOP"}]
    chunk = {"candidates": candidates, "modelVersion": "gemini-2.5-flash", "usageMetadata": counted}
    wanted = {"input_text_tokens": 400, "input_audio_tokens": 600, "output_text_tokens": 100}
    assert used(whole("gemini", chunk)).counts == wanted
    assert used(streamed("gemini", [{**chunk, "usageMetadata": {"trafficType": "ON_DEMAND"}}, chunk])).counts == wanted


@pytest.mark.parametrize("stream", [False, True])
def test_capacity_paid_in_advance_is_never_billed_by_the_token(*, stream: bool) -> None:
    """Google's OpenAI-compatible API has the traffic type within the usage."""
    usage = {**CLAUDE, "extra_properties": {"google": {"traffic_type": "PROVISIONED_THROUGHPUT"}}}
    answer = streamed("openai_chat", [delta("Hi"), chat(usage)]) if stream else whole("openai_chat", chat(usage))
    assert "provisioned throughput" in (answer.missing or "")
    flex = {**CLAUDE, "extra_properties": {"google": {"traffic_type": "ON_DEMAND_FLEX"}}}
    assert whole("openai_chat", chat(flex)).terms == (("service_tier", "flex"),)


COUNTED = {"prompt_tokens": 1000, "completion_tokens": 100}


@pytest.mark.parametrize(
    "more",
    [
        {"metrics": {"usage": COUNTED}},
        {"metadata": {"usage": COUNTED}},
        {"usageMetadata": {"promptTokenCount": 1000, "outputTokenCount": 100}},
        {"token_usage": COUNTED},
        {"amazon-bedrock-invocationMetrics": {"inputTokenCount": 1000, "outputTokenCount": 100}},
        {"timings": {"prompt_n": 400, "cache_n": 600, "predicted_n": 100}},  # llama.cpp
        {"usage": {"prompt_tokens": "1000", "completion_tokens": "100"}},
    ],
)
def test_counts_in_a_place_that_no_row_names_are_never_estimated(more: dict[str, Any]) -> None:
    """Any object with counts of input and output says it, before the tokens are estimated."""
    end = {**CHUNK, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}], **more}
    usage = used(streamed("openai_chat", [delta("Forty-two."), end]))
    tokens = usage.tokens()
    assert (tokens.input, tokens.output, usage.estimated) == (1000, 100, False)
    tokens = used(whole("openai_chat", {**chat(None), **more})).tokens()
    assert (tokens.input, tokens.output) == (1000, 100)


def test_counts_in_the_content_of_an_answer_are_no_usage() -> None:
    """What a model or a tool writes counts nothing."""
    message = {"role": "assistant", "content": None, "parsed": COUNTED}
    answer = whole("openai_chat", chat(None, choices=[{"index": 0, "message": message, "finish_reason": "stop"}]))
    assert answer.missing == "the response has no usage"
