"""Whatever comes instead of a response or an event, a reader does not raise, and counts nothing that is not there."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from otel_agentcost.core.call import Answer
from otel_agentcost.core.usage import KINDS
from otel_agentcost.wire import load
from otel_agentcost.wire.prompt_tokens import PROMPT_TOKENS

FORMATS = [
    ("openai_chat", "/chat/completions"),
    ("openai_completions", "/completions"),
    ("openai_responses", "/responses"),
    ("openai_embeddings", "/embeddings"),
    ("openai_images", "/images/generations"),
    ("openai_audio", "/audio/transcriptions"),
    ("openai_audio", "/audio/speech"),
    ("openai_moderations", "/moderations"),
    ("openai_batches", "/batches"),
    ("anthropic_messages", "/v1/messages"),
    ("anthropic_batches", "/v1/messages/batches"),
    ("gemini", "models/gemini-3-flash:generateContent"),
    ("gemini", "models/gemini-embedding-001:embedContent"),
]

# Field names of all formats, so that nonsense lands where readers look.
NAMES = re.findall(
    r"\S+",
    """
    id model modelVersion usage usageMetadata choices candidates output content delta type index finish_reason
    finishReason stop_reason message response error status text thinking partial_json prompt_tokens completion_tokens
    total_tokens input_tokens output_tokens prompt_tokens_details completion_tokens_details input_tokens_details
    output_tokens_details cached_tokens cache_write_tokens audio_tokens reasoning_tokens text_tokens image_tokens cost
    service_tier speed inference_geo cache_creation cache_creation_input_tokens cache_read_input_tokens
    ephemeral_5m_input_tokens ephemeral_1h_input_tokens thinking_tokens server_tool_use web_search_requests iterations
    promptTokenCount candidatesTokenCount thoughtsTokenCount cachedContentTokenCount toolUsePromptTokenCount
    promptTokensDetails cacheTokensDetails candidatesTokensDetails modality tokenCount trafficType groundingMetadata
    webSearchQueries tool_usage web_search image_gen num_requests seconds duration svg_usage x_groq statistics
    predictions embeddings token_count parts functionCall name arguments tool_calls function item action
    stream max_tokens n temperature stop messages input prompt contents tools parameters requests params voice
    generationConfig topK candidateCount reasoning conversation
    """,
)

WORDS = re.findall(
    r"\S+",
    """
    message_start message_delta content_block_delta content_block_start text_delta error response.completed
    response.failed response.output_text.delta response.created completed in_progress queued incomplete failed message
    compaction advisor_message fallback_message web_search_call image_generation_call flex scale auto batch fast us eu
    TEXT AUDIO IMAGE PROVISIONED_THROUGHPUT ON_DEMAND_FLEX transcript.text.done image_generation.completed
    gpt-4o claude-opus-5 gemini-2.5-flash stop
    """,
)


class Hostile:
    """An object whose every attribute fails."""

    def __getattribute__(self, name: str) -> Any:
        if name.startswith("__"):  # what the interpreter itself asks for
            return object.__getattribute__(self, name)
        raise RuntimeError(name)


class Fielded:
    """An SDK-like object: its fields are attributes."""

    def __init__(self, values: dict[str, Any]) -> None:
        self.__dict__.update(values)


plain = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-5, 3000),
    st.sampled_from([2**53, 2**53 + 1, 10**400, -1]),
    st.floats(),
    st.sampled_from(WORDS),
    st.text(max_size=6),
    st.builds(Hostile),
    st.builds(object),
)
values = st.recursive(
    plain,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.sampled_from(NAMES), inner, max_size=7),
        st.dictionaries(st.sampled_from(NAMES), inner, max_size=7).map(lambda values: Fielded(dict(values))),
    ),
    max_leaves=12,
)
objects = st.one_of(st.dictionaries(st.sampled_from(NAMES), values, max_size=9), values)
BOUNDED = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def check(answer: Answer) -> None:
    """What must hold of every answer, whatever it was read from."""
    assert isinstance(answer, Answer)
    assert answer.usage is not None or answer.missing or answer.free
    for usage in [answer.usage, *(charge.usage for charge in answer.extra)]:
        for kind, number in usage.counts.items() if usage else ():
            assert kind in KINDS
            assert number > 0
    assert answer.model is None or isinstance(answer.model, str)
    assert answer.missing is None or len(answer.missing) < 400
    json.dumps([answer.missing, answer.model, answer.response_id, answer.finish_reasons, answer.terms, answer.tier])


@pytest.mark.parametrize(("name", "path"), FORMATS)
@BOUNDED
@given(body=objects, response=objects)
def test_no_response_makes_a_reader_raise(name: str, path: str, body: Any, response: Any) -> None:
    """Any request and any response: an answer with a usage or a reason, and no count that is not positive."""
    form = load(name)
    call = form.read_request(body, path)
    json.dumps(dict(call.parameters))
    assert call.choices >= 1
    check(form.read_response(call, response))


@pytest.mark.parametrize(("name", "path"), FORMATS)
@BOUNDED
@given(body=objects, events=st.lists(objects, max_size=6), complete=st.booleans())
def test_no_event_makes_a_reader_raise(name: str, path: str, body: Any, events: list[Any], complete: bool) -> None:
    """Any sequence of events, cut anywhere: the same."""
    form = load(name)
    reader = form.open_stream(form.read_request(body, path))
    for event in events:
        reader.feed(event)
    check(reader.answer(complete=complete))


tokens = st.integers(0, 5000)


@BOUNDED
@given(prompt=tokens, completion=tokens, cached=tokens, written=tokens, audio=tokens, image=tokens, thought=tokens)
def test_the_parts_of_a_chat_sum_to_the_provider_s_totals(
    prompt: int, completion: int, cached: int, written: int, audio: int, image: int, thought: int
) -> None:
    """No token is counted twice and none is lost, or the usage is refused because a part is more than the whole."""
    usage = {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {
            "cached_tokens": cached,
            "cache_write_tokens": written,
            "audio_tokens": audio,
            "image_tokens": image,
        },
        "completion_tokens_details": {"reasoning_tokens": min(thought, completion)},
    }
    form = load("openai_chat")
    answer = form.read_response(form.read_request({"model": "gpt-4o"}, ""), {"usage": usage})
    if cached + written > prompt or audio + image > prompt:
        assert answer.usage is None
        assert answer.missing is not None
        return
    assert answer.usage is not None
    assert (answer.usage.input_tokens, answer.usage.output_tokens) == (prompt, completion)
    assert (answer.usage.cache_read_tokens, answer.usage.cache_write_tokens) == (cached, written)
    assert answer.usage.reasoning_tokens == min(thought, completion)
    assert sum(n for kind, n in answer.usage.counts.items() if "audio" in kind) == audio


@BOUNDED
@given(fresh=tokens, read=tokens, short=tokens, long=tokens, other=tokens, output=tokens, thought=tokens)
def test_the_parts_of_a_message_sum_to_the_provider_s_totals(
    fresh: int, read: int, short: int, long: int, other: int, output: int, thought: int
) -> None:
    """Anthropic's input is what is fresh, read and written together."""
    usage = {
        "input_tokens": fresh,
        "cache_read_input_tokens": read,
        "cache_creation_input_tokens": short + long + other,
        "cache_creation": {"ephemeral_5m_input_tokens": short, "ephemeral_1h_input_tokens": long},
        "output_tokens": output,
        "output_tokens_details": {"thinking_tokens": min(thought, output)},
    }
    form = load("anthropic_messages")
    answer = form.read_response(form.read_request({}, "/v1/messages"), {"usage": usage})
    assert answer.usage is not None
    assert answer.usage.input_tokens == fresh + read + short + long + other
    assert answer.usage.output_tokens == output
    assert answer.usage.cache_write_tokens == short + long + other


modalities = st.dictionaries(st.sampled_from(["TEXT", "AUDIO", "IMAGE", "VIDEO", "DOCUMENT"]), tokens, max_size=4)


@BOUNDED
@given(prompt=modalities, output=modalities, tools=modalities, thoughts=tokens, cached=st.integers(0, 100), more=tokens)
def test_the_parts_of_a_generation_sum_to_the_provider_s_totals(
    prompt: dict[str, int], output: dict[str, int], tools: dict[str, int], thoughts: int, cached: int, more: int
) -> None:
    """Gemini's total is prompt, candidates, thoughts and tool results, whatever their modalities."""

    def details(of: dict[str, int]) -> list[dict[str, Any]]:
        return [{"modality": modality, "tokenCount": number} for modality, number in of.items()]

    of_cache = {modality: number * cached // 100 for modality, number in prompt.items()}
    total = sum(prompt.values()) + sum(output.values()) + sum(tools.values()) + thoughts + more
    usage = {
        "promptTokenCount": sum(prompt.values()) + more,
        "promptTokensDetails": details(prompt),
        "cachedContentTokenCount": sum(of_cache.values()),
        "cacheTokensDetails": details(of_cache),
        "candidatesTokenCount": sum(output.values()),
        "candidatesTokensDetails": details(output),
        "toolUsePromptTokenCount": sum(tools.values()),
        "toolUsePromptTokensDetails": details(tools),
        "thoughtsTokenCount": thoughts,
        "totalTokenCount": total,
    }
    form = load("gemini")
    answer = form.read_response(form.read_request({}, "models/m:generateContent"), {"usageMetadata": usage})
    assert answer.usage is not None
    assert answer.usage.input_tokens + answer.usage.output_tokens == total
    assert answer.usage.cache_read_tokens == sum(of_cache.values())
    assert answer.usage.unsplit == ()


def test_a_request_whose_type_is_a_list_is_counted() -> None:
    """What a run of the above once found: a field that is looked up, and cannot be."""
    assert PROMPT_TOKENS.count({"messages": [{"type": [], "text": "some words"}]}, None) > 0
