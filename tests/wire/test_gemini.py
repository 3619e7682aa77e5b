"""Gemini: thoughts, tool results, caches and modalities, on the Gemini API and on Vertex AI."""

from __future__ import annotations

from typing import Any

import pytest
from google.genai import types

from otel_agentcost.core.usage import Usage
from tests.wire.reading import ask, streamed, used, whole


def details(**numbers: int) -> list[dict[str, Any]]:
    return [{"modality": modality, "tokenCount": number} for modality, number in numbers.items()]


USAGE: dict[str, Any] = {
    "promptTokenCount": 1000,
    "candidatesTokenCount": 20,
    "thoughtsTokenCount": 100,
    "toolUsePromptTokenCount": 300,
    "cachedContentTokenCount": 400,
    "totalTokenCount": 1420,
    "promptTokensDetails": details(TEXT=700, AUDIO=300),
    "cacheTokensDetails": details(TEXT=350, AUDIO=50),
    "candidatesTokensDetails": details(TEXT=20),
}


def generated(usage: Any = None, **more: Any) -> dict[str, Any]:
    candidate = {"index": 0, "content": {"parts": [{"text": "Hi"}]}, "finishReason": "STOP"}
    response: dict[str, Any] = {"candidates": [candidate], "modelVersion": "gemini-3-flash", "responseId": "r1"}
    return {**response, "usageMetadata": USAGE if usage is None else usage, **more}


def test_every_part_of_a_generation_is_counted_once() -> None:
    """Thoughts are output, tool results input, cached tokens leave the prompt in their own modality."""
    answer = whole("gemini", generated())
    assert used(answer).counts == {
        "input_text_tokens": 350,
        "cache_text_read_tokens": 350,
        "input_audio_tokens": 250,
        "cache_audio_read_tokens": 50,
        "input_tool_tokens": 300,
        "output_text_tokens": 20,
        "output_reasoning_tokens": 100,
    }
    assert used(answer).input_tokens + used(answer).output_tokens == USAGE["totalTokenCount"]
    assert (answer.model, answer.response_id, answer.finish_reasons) == ("gemini-3-flash", "r1", ("stop",))


def test_cached_tokens_of_unknown_modality_are_marked_as_unsplit() -> None:
    """The cached tokens' modalities are not given: the split is possible, not certain."""
    usage = used(whole("gemini", generated({**USAGE, "cacheTokensDetails": None})))
    assert set(usage.unsplit) == {"cache_text_read_tokens", "cache_audio_read_tokens"}
    assert (usage.input_tokens, usage.cache_read_tokens) == (1300, 400)
    of_one = {**USAGE, "cacheTokensDetails": None, "promptTokensDetails": details(TEXT=1000)}
    assert used(whole("gemini", generated(of_one))).unsplit == ()


def test_a_document_is_billed_as_images() -> None:
    """Its pages are what the model sees; an unnamed modality is none."""
    usage = {"promptTokenCount": 800, "promptTokensDetails": details(DOCUMENT=516, MODALITY_UNSPECIFIED=284)}
    assert used(whole("gemini", generated(usage))).counts == {"input_image_tokens": 516, "input_tokens": 284}


def test_a_stream_counts_its_last_totals() -> None:
    """Streaming is not $0, and totals so far are not summed."""
    first = generated({"promptTokenCount": 1000, "totalTokenCount": 1000})
    first["candidates"][0].pop("finishReason")
    middle = generated({"trafficType": "ON_DEMAND"})
    middle["candidates"][0].pop("finishReason")
    answer = streamed(
        "gemini", [first, middle, generated()], path="models/gemini-3-flash:streamGenerateContent?alt=sse"
    )
    assert used(answer) == used(whole("gemini", generated()))
    assert answer.finish_reasons == ("stop",)


def test_a_last_chunk_without_output_takes_no_counts_back() -> None:
    """Totals never shrink: the chunk that only finishes has the prompt alone."""
    last = generated({"promptTokenCount": 1000, "totalTokenCount": 1000})
    usage = used(streamed("gemini", [generated({"promptTokenCount": 1000, "candidatesTokenCount": 100}), last]))
    assert usage == Usage(counts={"input_tokens": 1000, "output_tokens": 100})


def test_a_stream_left_early_is_estimated() -> None:
    """Totals so far are kept; the text that came after them is counted; nothing came: the prompt is counted."""
    body = {"contents": [{"role": "user", "parts": [{"text": "What is AI, in one word?"}]}]}
    unread = used(streamed("gemini", [], body, complete=False))
    assert unread.estimated
    assert 5 <= unread.input_tokens <= 12
    chunk = {"candidates": [{"content": {"parts": [{"text": "Artificial intelligence is the field of " * 5}]}}]}
    some = {**chunk, "modelVersion": "gemini-3-flash", "usageMetadata": {"promptTokenCount": 7, "totalTokenCount": 7}}
    usage = used(streamed("gemini", [some], body, complete=False))
    assert (usage.estimated, usage.input_tokens) == (True, 7)
    assert usage.output_tokens == pytest.approx(30, abs=6)


@pytest.mark.parametrize(
    ("usage", "terms"),
    [
        ({"trafficType": "ON_DEMAND_FLEX"}, (("service_tier", "flex"),)),
        ({"trafficType": "ON_DEMAND_PRIORITY"}, (("service_tier", "priority"),)),
        ({"trafficType": "ON_DEMAND"}, ()),
        ({"serviceTier": "flex"}, (("service_tier", "flex"),)),
        ({"serviceTier": "standard"}, ()),
        ({"serviceTier": "SERVICE_TIER_PRIORITY"}, (("service_tier", "priority"),)),
    ],
)
def test_the_tier_that_served_sets_the_price(usage: dict[str, Any], terms: Any) -> None:
    """Streams do not lose the flex tier, and priority that was not given is not charged."""
    body = {"serviceTier": "priority"}
    answer = streamed("gemini", [generated({**USAGE, **usage})], body)
    assert (answer.terms, answer.missing) == (terms, None)


def test_a_tier_that_was_asked_for_and_is_not_confirmed_has_no_price() -> None:
    """The Gemini API says which tier served in a header alone: without it, the price is not known."""
    body = {"serviceTier": "flex"}
    assert "flex tier" in (whole("gemini", generated(), body).missing or "")
    served = {"headers": {"x-gemini-service-tier": "standard"}}
    assert whole("gemini", generated(sdkHttpResponse=served), body).missing is None


def test_provisioned_throughput_is_not_billed_by_the_token() -> None:
    """The tokens are counted and not priced."""
    answer = whole("gemini", generated({**USAGE, "trafficType": "PROVISIONED_THROUGHPUT"}))
    assert used(answer).input_tokens == 1300
    assert "paid in advance" in (answer.missing or "")


@pytest.mark.parametrize(("model", "searches"), [("gemini-3-flash", 2), ("gemini-2.5-flash", 1)])
def test_grounding_is_billed_by_the_query_or_by_the_prompt(model: str, searches: int) -> None:
    """Gemini 3 bills each different query that is not empty, earlier models each grounded prompt."""
    candidate = {"groundingMetadata": {"webSearchQueries": ["a", "", "b", "a"]}, "finishReason": "STOP"}
    answer = whole("gemini", generated(candidates=[candidate], modelVersion=model))
    assert used(answer).counts["web_searches"] == searches


@pytest.mark.parametrize(
    ("usage", "reason"),
    [
        ({**USAGE, "cachedContentTokenCount": 2000}, "2000"),
        ({**USAGE, "promptTokenCount": "many"}, "promptTokenCount is 'many'"),
        ({**USAGE, "promptTokensDetails": details(TEXT=2000)}, "sum of promptTokensDetails is 2000"),
        ({}, "promptTokenCount is missing"),
        ("none", "the response has no usage: 'none'"),
    ],
)
def test_counts_that_cannot_be_are_refused(usage: Any, reason: str) -> None:
    """The usage is unknown, and the reason quotes the value."""
    answer = whole("gemini", generated(usage))
    assert answer.usage is None
    assert reason in (answer.missing or "")


def test_an_error_body_is_quoted() -> None:
    """Google's errors carry a message."""
    error = {"error": {"code": 429, "message": "Resource exhausted", "status": "RESOURCE_EXHAUSTED"}}
    assert whole("gemini", error).missing == "the response is an error: Resource exhausted"
    assert streamed("gemini", [error]).missing == "the response is an error: Resource exhausted"


EMBED = "models/gemini-embedding-001:embedContent"
PREDICT = "projects/p/locations/us-central1/publishers/google/models/text-embedding-005:predict"


def test_embeddings_report_a_usage_or_statistics() -> None:
    """The Gemini API's usage, and the token count beside each text of older Vertex models."""
    usage = {"promptTokenCount": 6, "promptTokensDetails": details(TEXT=6)}
    assert used(whole("gemini", {"embedding": {}, "usageMetadata": usage}, path=EMBED)).input_tokens == 6
    text = {"embeddings": {"values": [], "statistics": {"token_count": 4.0, "truncated": False}}}
    predicted = {"predictions": [text, text], "metadata": {"billableCharacterCount": 22}}
    assert used(whole("gemini", predicted, path=PREDICT)).counts == {"input_tokens": 8, "input_characters": 22}
    assert whole("gemini", {"embedding": {"values": [1.0]}}, path=EMBED).missing == "the response has no usage"


def test_a_generation_request_is_described() -> None:
    """The model is in the path, the settings in generationConfig."""
    config = {
        "temperature": 0.5,
        "topP": 0.9,
        "topK": 40.0,
        "maxOutputTokens": 100,
        "candidateCount": 2,
        "stopSequences": ["END"],
        "seed": 7,
        "responseMimeType": "application/json",
        "thinkingConfig": {"thinkingLevel": "low"},
    }
    path = "projects/p/locations/global/publishers/google/models/gemini-3-pro:streamGenerateContent?alt=sse"
    call = ask("gemini", {"contents": [], "generationConfig": config}, path)
    assert (call.operation, call.model, call.stream) == ("generate_content", "gemini-3-pro", True)
    assert (call.max_output_tokens, call.choices) == (100, 2)
    assert call.parameters == {
        "gen_ai.request.temperature": 0.5,
        "gen_ai.request.top_p": 0.9,
        "gen_ai.request.top_k": 40,
        "gen_ai.request.max_tokens": 100,
        "gen_ai.request.choice.count": 2,
        "gen_ai.request.stop_sequences": ("END",),
        "gen_ai.request.seed": 7,
        "gen_ai.output.type": "json",
        "gen_ai.request.reasoning.level": "low",
        "gen_ai.request.stream": True,
    }
    embed = ask("gemini", {"requests": [{"outputDimensionality": 64}]}, "models/g:batchEmbedContents")
    assert (embed.operation, embed.parameters) == ("embeddings", {"gen_ai.embeddings.dimension.count": 64})


def test_objects_of_the_sdk_are_read_like_json() -> None:
    """The same response as the SDK's own object, whose fields are in snake_case."""
    parsed = types.GenerateContentResponse.model_validate(generated())
    assert used(whole("gemini", parsed)) == used(whole("gemini", generated()))
    assert whole("gemini", parsed).finish_reasons == ("stop",)
