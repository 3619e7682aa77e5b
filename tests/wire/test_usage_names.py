"""Usage under every name and in every place: a count that the provider has sent is never estimated or left out."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, get_args

import pytest
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from otel_agentcost.core.prices import PRICE_KEY_OF
from otel_agentcost.core.usage import Kind, Usage
from otel_agentcost.pricebook import open_book
from otel_agentcost.wire.usage_names import HEADERS, PLACES, ROWS, Meaning, found_in
from tests.wire.reading import chat, delta, streamed, used, whole

CLAUDE: dict[str, Any] = {"prompt_tokens": 10032, "completion_tokens": 100, "total_tokens": 10132}
WRITTEN = {"input_tokens": 15, "cache_write_tokens": 10017, "output_tokens": 100}
PRICED = {"provider": "anthropic", "base_url": "https://api.anthropic.com", "models": ("claude-sonnet-4-5",)}


def usd(usage: Usage, **where: Any) -> Decimal:
    """The dollars of a usage, all of it."""
    cost = open_book().price(usage, at=1_796_000_000, **where)
    assert cost.unpriced is None
    assert cost.usd is not None
    return cost.usd


def detailed(**counts: Any) -> dict[str, Any]:
    return {**CLAUDE, "prompt_tokens_details": counts}


@pytest.mark.parametrize(
    "usage",
    [
        {
            **CLAUDE,
            "prompt_tokens_details": {"cached_tokens": 0},
            "cache_creation_input_tokens": 10017,
            "cache_read_input_tokens": 0,
        },
        {**CLAUDE, "cache_creation_input_tokens": 10017},
        {**CLAUDE, "cache_write_tokens": 10017},
        detailed(cache_write_tokens=10017),
        detailed(cache_creation_tokens=10017, text_tokens=15),
        detailed(cache_creation_input_tokens=10017, cache_type="ephemeral"),
        detailed(caching_tokens=10017),
        {**detailed(cached_tokens=0, cache_creation_tokens=10017), "cache_creation_input_tokens": 10017},
        # Portkey leaves cached tokens out of the prompt, and has them in the total.
        {**CLAUDE, "prompt_tokens": 15, "cache_creation_input_tokens": 10017, "cache_read_input_tokens": 0},
    ],
)
def test_cache_writes_are_never_billed_as_plain_input(usage: dict[str, Any]) -> None:
    """Under every name that a gateway gives them, whole, streamed, and as the SDK's object."""
    response = {**chat(usage), "object": "chat.completion", "created": 1}
    assert used(whole("openai_chat", response)).counts == WRITTEN
    assert used(whole("openai_chat", ChatCompletion.model_validate(response))).counts == WRITTEN
    assert used(streamed("openai_chat", [delta("Hi"), chat(usage)])).counts == WRITTEN
    assert usd(Usage(counts=used(whole("openai_chat", response)).counts), **PRICED) == Decimal("0.03910875")


@pytest.mark.parametrize(
    "usage",
    [
        {
            **CLAUDE,
            "cache_creation_input_tokens": 10017,
            "cache_creation": {"ephemeral_5m_input_tokens": 17, "ephemeral_1h_input_tokens": 10000},
        },
        detailed(
            cache_creation_tokens=10017,
            cache_creation_token_details={"ephemeral_5m_input_tokens": 17, "ephemeral_1h_input_tokens": 10000},
        ),
        detailed(caching_tokens=10017, caching_token_details={"caching_5m_tokens": 17, "caching_1h_tokens": 10000}),
    ],
)
def test_writes_for_an_hour_are_never_billed_as_those_for_five_minutes(usage: dict[str, Any]) -> None:
    """The split by time to live is read where a gateway passes it on."""
    counts = used(whole("openai_chat", chat(usage))).counts
    assert counts == {
        "input_tokens": 15,
        "cache_write_5m_tokens": 17,
        "cache_write_1h_tokens": 10000,
        "output_tokens": 100,
    }


@pytest.mark.parametrize(
    "form_and_usage",
    [
        ("openai_responses", {"input_tokens": 10032, "output_tokens": 100, "cache_creation_input_tokens": 10017}),
        (
            "openai_responses",
            {
                "input_tokens": 10032,
                "output_tokens": 100,
                "input_tokens_details": {"cached_tokens": 0, "cache_creation_tokens": 10017},
            },
        ),
        ("openai_responses", {**CLAUDE, "cache_creation_input_tokens": 10017}),
    ],
)
def test_cache_writes_of_responses_are_never_billed_as_plain_input(form_and_usage: tuple[str, Any]) -> None:
    """The responses API knows the same names."""
    form, usage = form_and_usage
    assert used(whole(form, {"id": "r1", "status": "completed", "usage": usage})).counts == WRITTEN


MOONSHOT = {"prompt_tokens": 1019, "completion_tokens": 113, "total_tokens": 1132, "cached_tokens": 768}
IN_CHOICE = {"index": 0, "delta": {}, "finish_reason": "stop", "usage": MOONSHOT}
CHUNK: dict[str, Any] = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "kimi-k2.5"}


@pytest.mark.parametrize(
    "last",
    [
        {**CHUNK, "choices": [IN_CHOICE]},
        {**CHUNK, "choices": [IN_CHOICE], "usage": None},
        {**CHUNK, "choices": [IN_CHOICE], "usage": {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}},
        {**CHUNK, "choices": [{**IN_CHOICE, "usage": None, "delta": {"usage": MOONSHOT}}]},
        {**CHUNK, "choices": [], "x_groq": {"id": "r1", "usage": MOONSHOT}},
        {**CHUNK, "choices": [], "usage": MOONSHOT},
        {**CHUNK, "choices": [], "message": {"usage": MOONSHOT}},
        {**CHUNK, "choices": [], "result": {"usage": MOONSHOT}},
    ],
)
def test_a_usage_in_another_place_is_never_estimated(last: dict[str, Any]) -> None:
    """In the choice (Moonshot), in its delta, under Groq's name, beside a usage of zeros."""
    for event in (last, ChatCompletionChunk.model_validate(last)):
        usage = used(streamed("openai_chat", [{**delta("Hi"), "model": "kimi-k2.5"}, event]))
        assert not usage.estimated
        assert usage.counts == {"input_tokens": 251, "cache_read_tokens": 768, "output_tokens": 113}
    where = {"provider": "moonshotai", "base_url": "https://api.moonshot.ai/v1", "models": ("kimi-k2.5",)}
    assert usd(usage, **where) == Decimal("0.0005664")


def test_a_whole_response_has_its_usage_in_any_place() -> None:
    """The same places, not streamed."""
    choice = {"index": 0, "message": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"}
    for response in (
        {"model": "kimi-k2.5", "choices": [{**choice, "usage": MOONSHOT}]},
        {"model": "kimi-k2.5", "choices": [{**choice, "message": {"content": "Hi", "usage": MOONSHOT}}]},
        {"model": "kimi-k2.5", "choices": [choice], "result": {"usage": MOONSHOT}},
    ):
        assert used(whole("openai_chat", response)).counts["cache_read_tokens"] == 768


def test_usages_of_several_choices_are_those_of_one_call() -> None:
    """The input once, the output of each."""
    other = {**MOONSHOT, "completion_tokens": 87, "total_tokens": 1106}
    response = {"model": "kimi-k2.5", "choices": [{"index": 0, "usage": MOONSHOT}, {"index": 1, "usage": other}]}
    usage = used(whole("openai_chat", response))
    assert (usage.input_tokens, usage.output_tokens) == (1019, 200)
    ends = [
        {"choices": [{"index": at, "finish_reason": "stop", "usage": each}]}
        for at, each in enumerate((MOONSHOT, other))
    ]
    usage = used(streamed("openai_chat", [delta("Hi"), *ends], {"n": 2}))
    assert (usage.input_tokens, usage.output_tokens) == (1019, 200)


def test_a_response_has_its_usage_beside_it() -> None:
    """Some gateways write the usage of a streamed response beside the response."""
    counted = {"input_tokens": 17, "output_tokens": 400, "total_tokens": 417}
    ended = {"type": "response.completed", "response": {"id": "r1", "status": "completed"}, "usage": counted}
    assert used(streamed("openai_responses", [ended])).counts == {"input_tokens": 17, "output_tokens": 400}


def test_bedrock_counts_in_the_last_event() -> None:
    """`amazon-bedrock-invocationMetrics` is the usage of a stream that has none, or zeros."""
    metrics = {"inputTokenCount": 17, "outputTokenCount": 400, "cacheReadInputTokenCount": 1000}
    start = {"type": "message_start", "message": {"model": "claude-haiku-4-5", "usage": {"input_tokens": 0}}}
    end = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 0}}
    stop = {"type": "message_stop", "amazon-bedrock-invocationMetrics": metrics}
    for events in ([start, end, stop], [start, stop]):
        counts = used(streamed("anthropic_messages", events)).counts
        assert counts == {"input_tokens": 17, "cache_read_tokens": 1000, "output_tokens": 400}


def test_audio_by_the_second_is_never_billed_as_its_tokens_alone() -> None:
    """Voxtral's prompt has three tokens of text and 203 seconds of sound."""
    usage = {"prompt_audio_seconds": 203, "prompt_tokens": 3, "completion_tokens": 635, "total_tokens": 3264}
    where = {"provider": "mistral_ai", "base_url": "https://api.mistral.ai/v1", "models": ("voxtral-small-latest",)}
    found = used(whole("openai_chat", chat(usage)))
    assert found.counts == {"input_tokens": 3, "input_audio_seconds": 203, "output_tokens": 635}
    assert round(usd(found, **where), 7) == Decimal("0.0137876")
    silent = {**usage, "prompt_audio_seconds": {}, "total_tokens": 638}
    assert used(whole("openai_chat", chat(silent))).counts == {"input_tokens": 3, "output_tokens": 635}


def test_a_unit_that_has_no_name_here_is_named_on_the_span() -> None:
    """A count that may be billed, and that no row knows, is said; a time that was measured is not."""
    usage = {**CLAUDE, "prompt_video_seconds": 12, "num_images": 0, "queue_time": 0.5, "total_time": 2.5}
    answer = whole("openai_chat", chat(usage))
    assert answer.uncounted == "the price of 12 prompt_video_seconds is not known"
    assert whole("openai_chat", chat(CLAUDE)).uncounted is None
    embedded = whole("openai_embeddings", {"usage": {"total_tokens": 9, "image_pixels": 4096}})
    assert used(embedded).counts == {"input_tokens": 9}
    assert embedded.uncounted == "the price of 4096 image_pixels is not known"


# --- Every unit that the price book has a price for -------------------------------------------------------------------

BODY = {"prompt_tokens": 900, "completion_tokens": 90, "total_tokens": 990}
ASKED = {"model": "mistral-ocr-latest", "bbox_annotation_format": {"type": "json_schema"}}
PAGES = {"usage_info": {"pages_processed": 2}, "pages": [{}, {}]}
IMAGE = {"input_tokens": 9, "input_tokens_details": {"image_tokens": 9}, "output_tokens": 5}
GENERATED = {"promptTokenCount": 9, "candidatesTokenCount": 5, "totalTokenCount": 14}


def of_video(name: str) -> dict[str, Any]:
    return {"usageMetadata": {**GENERATED, name: [{"modality": "VIDEO", "tokenCount": 5}]}}


def cached(modality: str) -> dict[str, Any]:
    details = [{"modality": modality, "tokenCount": 9}]
    usage = {**GENERATED, "cachedContentTokenCount": 9, "promptTokensDetails": details, "cacheTokensDetails": details}
    return {"usageMetadata": usage}


READ: dict[Kind, tuple[str, Any, Any]] = {
    "input_tokens": ("openai_chat", chat(BODY), None),
    "output_tokens": ("openai_chat", chat(BODY), None),
    "cache_read_tokens": ("openai_chat", chat({**BODY, "cached_tokens": 9}), None),
    "cache_write_tokens": ("openai_chat", chat({**BODY, "cache_creation_input_tokens": 9}), None),
    "cache_write_5m_tokens": (
        "openai_chat",
        chat({**BODY, "cache_creation": {"ephemeral_5m_input_tokens": 9}}),
        None,
    ),
    "cache_write_1h_tokens": (
        "openai_chat",
        chat({**BODY, "cache_creation": {"ephemeral_1h_input_tokens": 9}}),
        None,
    ),
    "input_audio_tokens": ("openai_chat", chat({**BODY, "prompt_tokens_details": {"audio_tokens": 9}}), None),
    "output_audio_tokens": ("openai_chat", chat({**BODY, "completion_tokens_details": {"audio_tokens": 9}}), None),
    "input_image_tokens": ("openai_images", {"usage": IMAGE}, None),
    "output_image_tokens": ("openai_images", {"usage": IMAGE}, None),
    "input_video_tokens": ("gemini", of_video("promptTokensDetails"), None),
    "output_video_tokens": ("gemini", of_video("candidatesTokensDetails"), None),
    "cache_audio_read_tokens": ("gemini", cached("AUDIO"), None),
    "cache_image_read_tokens": ("gemini", cached("IMAGE"), None),
    "output_reasoning_tokens": (
        "openai_chat",
        chat({**BODY, "completion_tokens_details": {"reasoning_tokens": 9}}),
        None,
    ),
    "output_citation_tokens": ("openai_chat", chat({**BODY, "citation_tokens": 9}), None),
    "web_searches": ("openai_chat", chat({**BODY, "num_search_queries": 9}), None),
    "storage_searches": (
        "openai_responses",
        {"output": [{"type": "file_search_call"}], "usage": {"input_tokens": 9, "output_tokens": 1}},
        None,
    ),
    "audio_seconds": ("openai_chat", chat({**BODY, "billable_audio_seconds": 9}), None),
    "input_audio_seconds": ("openai_audio", {"text": "Hi", "usage": {"type": "duration", "seconds": 9}}, None),
    "input_characters": ("openai_audio", None, {"model": "tts-1", "voice": "alloy", "input": "Hi"}),
    "input_text_messages": ("openai_chat", chat({**BODY, "input_text_messages": 9}), None),
    "input_document_pages": ("mistral_ocr", PAGES, {"model": "mistral-ocr-latest"}),
    "input_annotated_document_pages": ("mistral_ocr", PAGES, ASKED),
}
"""For each unit with a price: a format, a response, and a request, of which the format reads a count of the unit."""
BY_THE_CALL = {"requests"}
"""A fee for each request needs no count: the price list adds it."""


def priced_units() -> set[str]:
    """The units of every price in the book."""
    keys: set[str] = set()
    book = open_book().book
    for provider in book.providers:
        for entry in book.models_of(provider).entries:
            lists = entry["prices"] if isinstance(entry["prices"], list) else [entry["prices"]]
            for each in (*lists, *entry.get("variants", ())):
                keys.update(each)
    return {kind for kind, key in PRICE_KEY_OF.items() if key in keys}


def test_no_unit_that_has_a_price_is_left_unread() -> None:
    """Of each unit in the price book, a format reads a count; a new unit of the book needs a row here."""
    assert priced_units() - BY_THE_CALL <= READ.keys()
    for kind, (form, response, body) in READ.items():
        path = "models/gemini-2.5-flash:generateContent" if form == "gemini" else None
        assert used(whole(form, response, body, path)).counts.get(kind), kind


def test_every_name_of_a_count_has_its_meaning_and_its_source() -> None:
    """Each row is read, under its own name alone, and says which page documents it."""
    for row in ROWS:
        usage: dict[str, Any] = {}
        *objects, name = row.path.split(".")
        place = usage
        for each in objects:
            place = place.setdefault(each, {})
        place[name] = 7
        assert found_in(usage).counts == {row.meaning: 7}
        assert row.source.startswith("https://")
    assert {row.meaning for row in ROWS} == set(get_args(Meaning))
    assert all(place.source.startswith("https://") for place in PLACES)
    assert all(row.source.startswith("https://") for row in HEADERS)


def test_several_names_of_one_count_are_not_added() -> None:
    """LiteLLM writes the same number under two or three names, and a 0 under another."""
    usage = {
        **CLAUDE,
        "prompt_tokens_details": {"cached_tokens": 5000, "cache_write_tokens": 0},
        "cache_read_input_tokens": 5000,
        "cached_tokens": 0,
    }
    assert used(whole("openai_chat", chat(usage))).counts == {
        "input_tokens": 5032,
        "cache_read_tokens": 5000,
        "output_tokens": 100,
    }
